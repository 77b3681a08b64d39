"""The look of a report: one self-contained HTML page and the few elements it is made of.

Every function returns HTML text; whatever comes from outside is escaped here and nowhere else. Knows nothing of runs.
"""

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

UNKNOWN = "-"
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}

STYLE = """
:root { color-scheme: light; --ink: #1f242b; --soft: #5d6570; --line: #e3e7ec; --good: #14743c; --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -0.01em; }
h1 + p { margin-bottom: 16px; }
h2 { font-size: 17px; margin: 0 0 12px; }
p { margin: 0 0 10px; }
.soft { color: var(--soft); font-size: 13.5px; }
.notice { background: #fff4dc; border: 1px solid #ecc97a; border-radius: 8px; padding: 10px 14px; margin: 16px 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 16px 0; }
.tile, section { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 10px 13px; }
.tile .name { color: var(--soft); font-size: 12px; }
.tile .value { font-size: 22px; font-weight: 650; line-height: 1.25; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile .note { color: var(--soft); font-size: 12.5px; }
section { padding: 18px 20px; margin: 0 0 16px; overflow-x: auto; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 16px; align-items: start; }
.columns > div { min-width: 0; }
svg { max-width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12.5px; border-bottom: 1px solid var(--line); }
th, td { padding: 4px 12px 4px 0; white-space: nowrap; }
td { border-bottom: 1px solid #f0f2f5; }
th.number, td.number { text-align: right; }
tr.total td { font-weight: 650; border-top: 2px solid var(--line); border-bottom: 0; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.dead { background: #fdeceb; }
.badge { background: var(--bad); color: #fff; border-radius: 4px; padding: 0 6px; font-size: 11.5px; margin-left: 6px; }
.bar { display: inline-block; width: 130px; height: 9px; position: relative; background: #eef1f4; border-radius: 2px; }
.bar i { position: absolute; left: 0; top: 0; height: 5px; background: #0f6fb3; border-radius: 2px 2px 0 0; }
.bar b { position: absolute; left: 0; top: 5px; height: 4px; background: #a3a9b2; border-radius: 0 0 2px 2px; }
figure { margin: 0 0 14px; }
figcaption { font-size: 13px; color: var(--soft); margin-bottom: 4px; }
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 6px; }
.strip img { width: 100%; display: block; border-radius: 4px; }
.strip span { font-size: 12px; color: var(--soft); }
pre { margin: 0; font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre-wrap; }
@media (max-width: 560px) { .columns { grid-template-columns: 1fr; } }
@media print { body { background: #fff; } section, .tile { break-inside: avoid; } }
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell: `html` is ready markup, `kind` its CSS classes."""

    html: str
    kind: str = ""


def page(title: str, body: Iterable[str]) -> str:
    """A whole document that loads nothing from elsewhere and runs no script."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *content: str, note: str = "") -> str:
    """A titled box; empty text where none of its content is there."""
    inside = "\n".join(part for part in content if part)
    if not inside:
        return ""
    remark = f'<p class="soft">{escape(note)}</p>' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{remark}{inside}\n</section>"


def columns(*stacks: Sequence[str]) -> str:
    """Stacks of boxes, side by side where the window is wide enough; stacks without content leave no gap."""
    filled = ["".join(stack) for stack in stacks if any(stack)]
    return f'<div class="columns">{"".join(f"<div>{stack}</div>" for stack in filled)}</div>' if filled else ""


def tile(name: str, value: str, note: str = "", *, kind: str = "") -> str:
    """A headline figure."""
    return (
        f'<div class="tile"><div class="name">{escape(name)}</div><div class="value {kind}">{escape(value)}</div>'
        f'<div class="note">{escape(note)}</div></div>'
    )


def table(header: Sequence[Cell], rows: Iterable[Sequence[Cell]], *, row_kinds: Sequence[str] = ()) -> str:
    """A table; `row_kinds` are CSS classes of its rows, in order (missing ones are plain)."""
    lines = ["<table><thead><tr>", *(f'<th class="{cell.kind}">{cell.html}</th>' for cell in header), "</tr></thead>"]
    for position, row in enumerate(rows):
        kind = row_kinds[position] if position < len(row_kinds) else ""
        cells = "".join(f'<td class="{cell.kind}">{cell.html}</td>' for cell in row)
        lines.append(f'<tr class="{kind}">{cells}</tr>')
    return "\n".join([*lines, "</table>"])


def text(value: object) -> Cell:
    return Cell(escape(str(value)))


def figure(value: float, *, digits: int = 1) -> Cell:
    """A right-aligned number, a dash where it is unknown."""
    return Cell(decimal(value, digits=digits), "number")


def difference(value: float, *, digits: int = 1) -> Cell:
    """A signed number, green or red from half a unit of its last digit on."""
    return Cell(signed(value, digits=digits), f"number {tone(value, digits=digits)}")


def decimal(value: float, *, digits: int = 1) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else UNKNOWN


def signed(value: float, *, digits: int = 1) -> str:
    return f"{value:+.{digits}f}" if math.isfinite(value) else UNKNOWN


def tone(value: float, *, digits: int = 1) -> str:
    """CSS class of a gain or a loss; none where it rounds to zero or is unknown."""
    if not abs(value) >= 0.5 * 10**-digits:
        return ""
    return "good" if value > 0 else "bad"


def bars(adapted: float, frozen: float) -> Cell:
    """Two thin bars on a scale of 0 to 100: adapted above, frozen below."""
    widths = [f"{max(0.0, min(100.0, value)):.1f}" if math.isfinite(value) else "0" for value in (adapted, frozen)]
    return Cell(f'<span class="bar"><i style="width:{widths[0]}%"></i><b style="width:{widths[1]}%"></b></span>')


def pairs(values: Iterable[tuple[str, object]]) -> str:
    """Names and values in two columns."""
    return table((), [(text(name), text(value)) for name, value in values])


def image(name: str, payload: bytes, suffix: str) -> str:
    """An image as a data URI with its name below; `suffix` in any case is a key of MEDIA_TYPES."""
    data = base64.b64encode(payload).decode("ascii")
    source = f"data:{MEDIA_TYPES[suffix.lower()]};base64,{data}"
    return f'<div><img alt="{escape(name)}" src="{source}"><span>{escape(name)}</span></div>'


def strip(caption: str, images: Iterable[str]) -> str:
    """Images in one row under a caption."""
    return f'<figure><figcaption>{escape(caption)}</figcaption><div class="strip">{"".join(images)}</div></figure>'


def title(name: str, facts: str) -> str:
    return f'<h1>{escape(name)}</h1>\n<p class="soft">{escape(facts)}</p>'


def notice(message: str) -> str:
    """Something to know before reading on."""
    return f'<p class="notice">{escape(message)}</p>'


def paragraph(message: str) -> str:
    return f'<p class="soft">{escape(message)}</p>'


def preformatted(content: str) -> str:
    return f"<pre>{escape(content)}</pre>"


def tiles(content: Iterable[str]) -> str:
    return f'<div class="tiles">{"".join(content)}</div>'
