"use strict";
// Reads /statusz and shows it. No framework, no other host: works on a machine without a network.

const LIGHT_MS = 250;   // numbers and pictures
const SERIES_EVERY = 4; // every how many polls the course of the run is fetched too
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const shown = (value, digits = 1) => (value === null || value === undefined ? "-" : value.toFixed(digits));

function setText(id, text) { byId(id).textContent = text; }

function signed(adapted, frozen) {
  if (adapted === null || frozen === null) return ["", ""];
  const gain = adapted - frozen;
  return [(gain >= 0 ? "+" : "") + gain.toFixed(1), gain >= 0 ? "up" : "down"];
}

function showNumbers(s) {
  const run = s.run, scores = s.scores;
  setText("run", run ? [run.stream, run.method, run.model, run.device, run.size, run.pace].join("  /  ") : "waiting for the run");
  const health = byId("health");
  health.textContent = s.finished ? `over: ${s.finished}` : s.ready ? "ready" : s.reasons.join("; ");
  health.className = "pill " + (s.ready ? "good" : s.finished ? "" : "bad");
  setText("domain", s.domain || "unnamed");
  setText("frame", run && run.num_frames ? `frame ${s.frame + 1} of ${run.num_frames}` : `frame ${s.frame + 1}`);
  setText("miou", scores ? shown(scores.recent_miou) : "no labels");
  setText("miou_frozen", scores ? shown(scores.recent_miou_frozen) : "-");
  const [gain, direction] = scores ? signed(scores.recent_miou, scores.recent_miou_frozen) : ["", ""];
  setText("gain", gain);
  byId("gain").className = direction;
  setText("fps", shown(s.fps));
  const dropped = Object.values(s.frames.dropped).reduce((a, b) => a + b, 0);
  setText("drops", `${dropped} of ${s.frames.captured} dropped`);
  setText("p99", shown(s.latency_ms.p99, 0));
  setText("p50", shown(s.latency_ms.p50, 0));
  setText("version", s.model_version);
  const a = s.adaptation;
  const extra = (a.rollbacks ? `, ${a.rollbacks} rolled back` : "") + (a.cost_share ? `, ${(100 * a.cost_share).toFixed(0)} % of the time` : "") +
    (a.governor_level ? `, governor level ${a.governor_level} (${a.governor.name}): ${a.governor.detail}` : "");
  setText("steps", `${a.steps.applied || 0} steps${extra}`);
  setText("shift", shown(s.shift.score, 2));
  byId("shift").className = s.shift.is_shifted ? "alarm" : "";
  const last = s.shift.recent[s.shift.recent.length - 1];
  const known = s.shift.last_recall;
  setText("last_shift", (last ? `${last.kind} at frame ${last.frame}` : "none detected") +
    (known ? `, domain ${known.domain} recalled at frame ${known.frame}` : ""));
  setText("confidence", s.confidence === null ? "-" : (100 * s.confidence).toFixed(1) + " %");
  setText("agreement", s.source_agreement === null ? `entropy ${shown(s.entropy_nats, 2)}` : `${(100 * s.source_agreement).toFixed(0)} % as frozen`);
  const faults = byId("faults");
  faults.hidden = s.faults.count === 0;
  if (s.faults.count) {
    const newest = s.faults.recent[s.faults.recent.length - 1];
    faults.textContent = `faults survived: ${s.faults.count}; newest: ${newest.component}: ${newest.detail}`;
  }
  showVisits(scores);
  showClasses(s.classes, scores !== null);
}

function showVisits(scores) {
  const table = byId("visits");
  if (!scores) { table.replaceChildren(row("td", ["no labels in this stream"])); return; }
  const rows = scores.visits.map((visit) => {
    const [gain, direction] = signed(visit.miou, visit.miou_frozen);
    const line = row("td", [visit.name, visit.frames, visit.compared, shown(visit.miou_frozen), shown(visit.miou), gain]);
    line.children[3].className = "frozen";
    line.children[4].className = "adapted";
    line.children[5].className = direction;
    return line;
  });
  table.replaceChildren(row("th", ["visit", "frames", "compared", "frozen", "adapted", "difference"]), ...rows);
}

function row(kind, cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const element = document.createElement(kind);
    element.textContent = cell;
    line.append(element);
  }
  return line;
}

// A class is lost where the adapted model hardly finds what the frozen one still does; the mean hides that.
function isLost(c) { return c.iou !== null && c.iou_frozen !== null && c.iou < 5 && c.iou_frozen >= 10; }

function showClasses(classes, hasScores) {
  byId("classes_title").textContent = hasScores ? "classes: IoU frozen, adapted, share of picture" : "classes: share of picture";
  byId("classes").replaceChildren(...classes.map((c) => {
    const line = document.createElement("div");
    line.className = ["class", hasScores ? "" : "plain", isLost(c) ? "lost" : "", c.share > 0 || c.iou > 0 ? "" : "absent"].join(" ");
    const swatch = element("svg", { class: "swatch", viewBox: "0 0 1 1" });
    swatch.append(element("rect", { width: 1, height: 1, fill: c.color }));
    const cells = [["name", c.name.replace(/_/g, " ")]];
    if (hasScores) cells.push(["frozen", shown(c.iou_frozen)], ["adapted", shown(c.iou)]);
    cells.push(["share", (100 * c.share).toFixed(1) + " %"]);
    line.append(swatch, ...cells.map(([kind, text]) => {
      const cell = document.createElement("span");
      cell.className = kind;
      cell.textContent = text;
      return cell;
    }));
    return line;
  }));
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// One chart: lines over frames with horizontal grid, optional limit and vertical marks.
function drawChart(id, frames, lines, { limit = null, marks = [], floor = null } = {}) {
  const svg = byId(id), width = svg.clientWidth, height = svg.clientHeight, left = 34, bottom = 16;
  const values = lines.flatMap((line) => line.values).filter((v) => v !== null);
  svg.replaceChildren();
  if (values.length < 2) { svg.append(label(left, height / 2, "nothing to draw yet", "start")); return; }
  if (limit !== null) values.push(limit);
  let low = floor === null ? Math.min(...values) : Math.min(floor, ...values), high = Math.max(...values);
  const step = niceStep((high - low || 1) / 3);
  low = Math.floor(low / step) * step;
  high = Math.max(Math.ceil(high / step) * step, low + step);
  const first = frames[0], span = frames[frames.length - 1] - first || 1;
  const x = (frame) => left + ((frame - first) / span) * (width - left - 4);
  const y = (value) => 6 + (1 - (value - low) / (high - low)) * (height - bottom - 10);
  for (let value = low; value <= high + step / 2; value += step) {
    svg.append(element("path", { class: "grid", d: `M${left} ${y(value)}H${width}` }));
    svg.append(label(left - 6, y(value) + 3.5, step < 1 ? value.toFixed(step < 0.1 ? 2 : 1) : value.toFixed(0), "end"));
  }
  svg.append(label(left, height - 1, `frame ${first}`, "start"), label(width - 4, height - 1, `${first + span}`, "end"));
  for (const mark of marks) {
    if (mark.frame < first || mark.frame > first + span) continue;
    const kind = mark.kind === "return" ? "mark_return" : "mark";
    svg.append(element("path", { class: kind, d: `M${x(mark.frame)} 4V${height - bottom - 4}` }));
  }
  if (limit !== null) svg.append(element("path", { class: "limit", d: `M${left} ${y(limit)}H${width}` }));
  for (const line of lines) {
    let d = "", pen = "M";
    line.values.forEach((value, i) => {
      if (value === null) { pen = "M"; return; }
      d += `${pen}${x(frames[i]).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    });
    svg.append(element("path", { class: line.kind, d }));
  }
}

function label(x, y, text, anchor) {
  const made = element("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

function niceStep(raw) {
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * [1, 2, 2.5, 5, 10].find((m) => m * power >= raw);
}

function showSeries(s) {
  const t = s.series;
  if (s.scores) {
    drawChart("chart_quality", t.frame, [{ kind: "frozen", values: t.miou_frozen }, { kind: "adapted", values: t.miou }], { marks: s.shift.recent });
  } else {
    setText("quality_title", "label-free health");
    setText("quality_first", "confidence, %");
    setText("quality_second", "agreement with frozen, %");
    const percent = (values) => values.map((v) => (v === null ? null : 100 * v));
    drawChart("chart_quality", t.frame, [{ kind: "frozen", values: percent(t.agreement) }, { kind: "adapted", values: percent(t.confidence) }], { marks: s.shift.recent });
  }
  drawChart("chart_shift", t.frame, [{ kind: "shift", values: t.shift_score }], { limit: 1, marks: s.shift.recent, floor: 0 });
  drawChart("chart_latency", t.frame, [{ kind: "p50", values: t.latency_p50_ms }, { kind: "p99", values: t.latency_p99_ms }], { floor: 0 });
  drawChart("chart_version", t.frame, [{ kind: "version", values: t.version }], { floor: 0 });
}

// Pictures are asked for by the number of one moment, so that the three of them show the same frame. Where the frozen model
// answers only a share of the frames, its last picture stays, with its number.
const CAPTIONS = { image: "camera", adapted: "adapted, served", frozen: "frozen source model" };
async function showPicture(kind, moment) {
  const reply = await fetch(`preview/${kind}.jpg?frame=${moment}`);
  if (!reply.ok) return;
  const picture = byId(`view_${kind}`), address = URL.createObjectURL(await reply.blob());
  picture.onload = () => URL.revokeObjectURL(address);
  picture.src = address;
  byId(`figure_${kind}`).hidden = false;
  setText(`caption_${kind}`, `${CAPTIONS[kind]}, frame ${moment}`);
}

let polls = 0;
async function poll() {
  try {
    if (!document.hidden) {
      const withSeries = polls++ % SERIES_EVERY === 0;
      const status = await (await fetch("statusz" + (withSeries ? "" : "?series=0"))).json();
      showNumbers(status);
      if (withSeries) showSeries(status);
      if (status.moment !== null) await Promise.all(["image", "adapted", "frozen"].map((kind) => showPicture(kind, status.moment)));
    }
  } catch (error) {
    const health = byId("health");
    health.textContent = "the run has ended or cannot be reached";
    health.className = "pill bad";
  }
  setTimeout(poll, LIGHT_MS);
}
poll();
