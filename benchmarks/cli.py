"""`udaseg-runtime`, assembled: the one place that may see every package hands the verbs to the front door.

`runtime` runs, `evaluation` scores and reports, `benchmarks` measures; none of them imports upwards, so they meet
here. Heavy imports happen inside the verbs, so that help and errors come at once.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.arguments import asks_for_help, parse
from runtime.cli import EXIT_DONE, Verb, usage
from runtime.cli import main as run_verb
from runtime.config import RuntimeConfig
from runtime.config_file import load_toml
from runtime.option_words import ConfigError, nearest
from runtime.process import leave, release_memory, settle_process, tune_process
from runtime.resume import load_run


def main() -> None:
    """Console entry point: exits with the code of the verb."""
    tune_process()
    leave(run_verb(sys.argv[1:], VERBS))


def run(arguments: Sequence[str]) -> int:
    """Predict and adapt; page and metrics up while it runs."""
    config = parse(RuntimeConfig, arguments, prog="udaseg-runtime", bases={"--config": load_toml, "--resume": load_run})
    from evaluation.oracle import Oracle
    from evaluation.report import write_report
    from evaluation.scoreboard import Scoreboard
    from evaluation.subsets import subset_lines, subset_names
    from runtime.idle_options import refuse_idle
    from runtime.session import run_session

    refuse_idle(config, arguments)
    subsets = subset_names(config.run.score_classes)
    settle_process()
    oracle = Oracle()
    outcome = run_session(
        config,
        make_scorer=lambda classes: Scoreboard(classes, subsets=subsets),
        finish=lambda run_dir: print(f"    report  {write_report(run_dir)}"),
        methods=oracle.methods,
        open_with=oracle.opener(config.adaptation.method),
        release=release_memory,
    )
    for line in subset_lines(outcome.summary):
        print(line)
    return EXIT_DONE


def pretrain(arguments: Sequence[str]) -> int:
    """Train a source model."""
    from runtime.pretraining.config import PretrainConfig

    config = parse(PretrainConfig, arguments, prog="udaseg-runtime pretrain")
    from runtime.pretrain import pretrain as train

    train(config)
    return EXIT_DONE


def streams(_: Sequence[str]) -> int:
    """List the streams."""
    from streams.stream import describe_streams

    print("\n".join(describe_streams()))
    return EXIT_DONE


def models(_: Sequence[str]) -> int:
    """List architectures, a line for each family, and shipped checkpoints."""
    from models.checkpoint import load_checkpoint, shipped_checkpoints
    from models.zoo import FORMS, MODELS

    manifests = {name: load_checkpoint(name)[1] for name in shipped_checkpoints()}
    shipped = {manifest.model for manifest in manifests.values()}
    families: dict[str, list[str]] = {}
    for name in MODELS:
        family, _, size = name.rpartition("_")
        families.setdefault(family, []).append(f"{size}*" if name in shipped else size)
    width = max(map(len, families))
    print("FAMILY_SIZE, as in segformer_b0 (* comes with a checkpoint, others need one):")
    for family, sizes in families.items():
        print(f"{family:<{width}}  {' '.join(sizes)}")
    print("\nnames of other forms:", *FORMS, "\nshipped checkpoints:", sep="\n")
    for name, manifest in manifests.items():
        score = manifest.metrics.get("miou")
        known = f", {score:.1f} mIoU there on unseen frames" if isinstance(score, float) else ""
        print(f"{name}: {manifest.model} trained on {manifest.source.dataset} {manifest.source.split}{known}")
    return EXIT_DONE


def methods(_: Sequence[str]) -> int:
    """List the adaptation methods, and the components they can be joined with."""
    from evaluation.oracle import Oracle
    from runtime.adaptation.components import COMPONENTS

    known = Oracle().methods
    width = max(map(len, [*known, *COMPONENTS]))
    for name, entry in known.items():
        track = "" if entry.track == "none" else f" [{entry.track}]"
        print(f"{name:<{width}}  {entry.summary}{track}")
    print("\nwith any of them (--with NAME,NAME=WEIGHT):")
    for name, component in COMPONENTS.items():
        print(f"{name:<{width}}  {component.summary}; weight {component.weight:g}")
    return EXIT_DONE


def checkpoint(arguments: Sequence[str]) -> int:
    """Say what a weight file holds, or make a checkpoint of it."""
    from runtime.conversion_config import ConvertConfig, InspectConfig

    action, *rest = arguments or ("",)
    if asks_for_help(arguments[:1]):
        print("usage: udaseg-runtime checkpoint inspect FILE [OPTIONS]")
        print("       udaseg-runtime checkpoint convert FILE --to NAME.safetensors [OPTIONS]")
        return EXIT_DONE
    if action not in ("inspect", "convert"):
        raise ConfigError("checkpoint: expected inspect FILE, or convert FILE --to NAME.safetensors")
    files = [word for word in rest[:1] if not word.startswith("-")]
    if not files and not asks_for_help(rest):
        raise ConfigError(f"checkpoint {action}: the weight file is missing; give it first, then the options")
    prog, options = f"udaseg-runtime checkpoint {action}{'' if files else ' FILE'}", rest[len(files) :]
    if action == "inspect":
        inspected = parse(InspectConfig, options, prog=prog)
        from runtime.conversion import inspect

        inspect(Path(files[0]), inspected, say=print)
        return EXIT_DONE
    config = parse(ConvertConfig, options, prog=prog)
    from runtime.conversion import convert

    convert(Path(files[0]), config, say=print)
    return EXIT_DONE


def compare(arguments: Sequence[str]) -> int:
    """Several methods on the same stream and seeds."""
    from benchmarks.compare import CompareConfig, run_comparison
    from runtime.idle_options import refuse_idle_folders

    config = parse(CompareConfig, arguments, prog="udaseg-runtime compare")
    refuse_idle_folders(config.stream, config.model, config.replay, arguments)
    print(run_comparison(config))
    return EXIT_DONE


def report(arguments: Sequence[str]) -> int:
    """Rebuild the report of a run folder."""
    if asks_for_help(arguments):
        print("usage: udaseg-runtime report RUN_DIR")
        return EXIT_DONE
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise ConfigError("report: expected one run folder; for example udaseg-runtime report runs/NAME")
    from evaluation.report import main as rebuild

    return rebuild(Path(arguments[0]))


def bench(arguments: Sequence[str]) -> int:
    """Run a benchmark by name, or list them."""
    from benchmarks.suite import BENCHMARKS

    if not arguments or asks_for_help(arguments[:1]):
        print("usage: udaseg-runtime bench NAME [OPTIONS]\n")
        for name, entry in BENCHMARKS.items():
            print(f"  {name:<12} {entry.summary}")
        print("\nudaseg-runtime bench NAME --help lists a benchmark's options.")
        return EXIT_DONE
    name, *rest = arguments
    if name not in BENCHMARKS:
        raise ConfigError(f"bench {name}: no such benchmark; {nearest(name, list(BENCHMARKS))}")
    return BENCHMARKS[name].function(rest)


def help_text(_: Sequence[str]) -> int:
    """List the verbs."""
    print(usage(VERBS))
    return EXIT_DONE


VERBS: dict[str, Verb] = {
    "run": Verb("predict and adapt (the default verb)", run),
    "streams": Verb("the streams there are", streams),
    "models": Verb("the models and shipped checkpoints there are", models),
    "methods": Verb("the adaptation methods there are", methods),
    "pretrain": Verb("train a source model and write its checkpoint", pretrain),
    "checkpoint": Verb("what a weight file holds; convert another program's", checkpoint),
    "compare": Verb("run several methods on one stream and compare them", compare),
    "report": Verb("rebuild report.html from a run folder", report),
    "bench": Verb("run a benchmark", bench),
    "help": Verb("this list", help_text),
}
