"""Going on with an earlier run: its own configuration, overlaid by nothing that could change what it finds.

    config = load_run(Path("runs/NAME"))      # what --resume begins from; options overlay it
    refuse_changes(config)                    # ConfigError where one of them would make it another run

Without torch, so that a mistyped folder is answered at once. Where in the stream it goes on is in its checkpoints.
"""

import dataclasses
import json
from pathlib import Path

from runtime.config import RuntimeConfig
from runtime.config_file import load_toml
from runtime.option_words import ConfigError, option_of

FREE = {
    "stream": {"data", "max_frames"},
    "model": {"checkpoint", "device"},  # a checkpoint that moved; another one is found out by its digest
    "replay": {"source_data"},
    "library": {"library"},  # what a checkpoint holds of it counts
    "run": {"quiet", "checkpoint_every_s", "resume", "run_dir"},
    "web": {"port", "web"},
}


def load_run(run_dir: Path) -> RuntimeConfig:
    """The configuration of the run in `run_dir`, set to go on there; ConfigError where there is none."""
    path = run_dir / "config.toml"
    if not run_dir.is_dir():
        raise ConfigError(f"--resume {run_dir}: no such folder; give the run folder of a run that was interrupted")
    if not path.is_file():
        raise ConfigError(f"--resume {run_dir}: not a run folder (no config.toml in it); give one, or begin a new run")
    config = load_toml(path)
    return dataclasses.replace(config, run=dataclasses.replace(config.run, resume=run_dir, run_dir=run_dir))


def refuse_changes(config: RuntimeConfig) -> None:
    """ConfigError where `config` would not go on with the run it resumes, or where there is nothing to go on with."""
    run_dir = config.run.resume
    if run_dir is None:
        return
    begun = load_run(run_dir)
    if begun.run.latency is not None:
        raise ConfigError(
            f"--resume {run_dir}: its clock was simulated, and what was in flight there is gone; begin a new run with "
            f"--config {run_dir / 'config.toml'}"
        )
    for section in dataclasses.fields(begun):
        new, old = getattr(config, section.name), getattr(begun, section.name)
        for option in dataclasses.fields(old):
            values = getattr(new, option.name), getattr(old, option.name)
            if values[0] != values[1] and option.name not in FREE.get(section.name, ()):
                raise ConfigError(
                    f"{option_of(option.name)} {values[0]}: the run in {run_dir} was begun with {values[1]}; "
                    f"leave the option out, or begin a new run with --config {run_dir / 'config.toml'}"
                )
    if config.run.run_dir not in (None, run_dir):
        raise ConfigError(f"--run-dir {config.run.run_dir}: --resume goes on in {run_dir}; leave one of the two out")
    if _is_complete(run_dir) and not _wants_more(config, begun):
        raise ConfigError(
            f"--resume {run_dir}: the run is complete; begin a new one, or go on with a higher --max-frames where that "
            "was its end"
        )


def _is_complete(run_dir: Path) -> bool:
    try:
        summary = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # an unfinished run has none
    return isinstance(summary, dict) and summary.get("ended") == "end"


def _wants_more(config: RuntimeConfig, begun: RuntimeConfig) -> bool:
    old, new = begun.stream.max_frames, config.stream.max_frames
    return old is not None and (new is None or new > old)
