"""Journeys through the tiny world: day, dusk with a stuck camera, and day again; and one on which dusk returns."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.config import RuntimeConfig

DUSK, NUM_FRAMES = 12, 44
STUCK = 15  # this frame repeats the one before

# What differs between two runs of the same thing: when it happened, and how long it took.
TIMES = ("t_s", "latency_ms", "inference_ms", "duration_ms")
OF_ONE_PROCESS = ("checkpoint_saved", "run_resumed", "run_finished")


def journey(tiny_world: Any, folder: Path) -> Any:
    """The tiny world with one more split, `journey`: 8 frames of day, 16 of dusk with one repeated, 20 of day."""
    data = folder / "journey"
    shutil.copytree(tiny_world.data, data)
    day = (data / "train.txt").read_text().splitlines()  # twenty: the gate takes a shorter round for a loop
    dusk = (data / "test_dusk.txt").read_text().splitlines()
    rows = day[:8] + [dusk[n % DUSK] for n in range(16)] + day
    rows[STUCK] = rows[STUCK - 1]
    (data / "journey.txt").write_text("\n".join(rows) + "\n")
    return replace(tiny_world, data=data)


def round_trip(tiny_world: Any, folder: Path) -> Any:
    """The tiny world with a split in which dusk returns: 8 frames of day, 20 of dusk, 12 of day, 8 of dusk."""
    data = folder / "round_trip"
    shutil.copytree(tiny_world.data, data)
    day, dusk = ((data / f"{split}.txt").read_text().splitlines() for split in ("train", "test_dusk"))
    rows = [*day[:8], *dusk, *dusk[:8], *day[8:], *dusk[8:], *dusk[:4]]
    (data / "journey.txt").write_text("\n".join(rows) + "\n")
    return replace(tiny_world, data=data)


def journey_config(world: Any, run_dir: Path, **run: Any) -> RuntimeConfig:
    """Lockstep through the journey, with budget for two steps before upkeep."""
    return world.config(
        stream={"stream": "dataset:camvid:journey"},
        adaptation={"budget": 2},
        run={"run_dir": run_dir, "pace": "lockstep", "seed": 3, **run},
    )


def story(run_dir: Path) -> list[dict[str, Any]]:
    """The events as recorded, without times and without what is said of processes and disks."""
    rows = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    told = [row for row in rows if row["event"] not in OF_ONE_PROCESS]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in told]


def outcome(run_dir: Path) -> dict[str, Any]:
    """The summary without times and memory."""
    summary = json.loads((run_dir / "summary.json").read_text())
    for key in ("wall_s", "fps", "latency_ms", "memory", "environment"):
        del summary[key]
    for key in ("step_ms", "duty", "forwards_per_frame", "all_forwards_per_frame"):
        del summary["adaptation"][key]
    for level in summary["adaptation"]["levels"].values():
        del level["seconds"]
    return summary
