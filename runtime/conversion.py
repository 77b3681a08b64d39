"""`udaseg-runtime checkpoint inspect|convert`: from another program's weight file to a checkpoint that runs.

    convert(Path("mitb1_uda.pth"), ConvertConfig(to=Path("b1.safetensors")), say=print)

Here class names meet weights, and the manifest is written; mapping is `models.conversion`'s, which knows neither.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from models.checkpoint import MANIFEST_KEY, Manifest, Source, load_checkpoint, save_checkpoint
from models.conversion import Conversion
from models.conversion import convert as converted
from models.conversion import inspect as report_of
from models.export import write_layout
from models.layouts import LAYOUTS
from models.self_test import self_test
from models.tensorfile import CheckpointInvalid, is_pickle, read_tensors
from models.weightfile import WeightFile, read_weights
from runtime.conversion_config import ConvertConfig, InspectConfig
from runtime.option_words import ConfigError, nearest, parse_size
from runtime.source import UNKNOWN
from streams.datasets.label_spaces import LABEL_SPACES, plain_name

Say = Callable[[str], None]
PUBLISHED = {19: "cityscapes", 150: "ade20k"}  # the numbers of classes that weights are published for


def inspect(path: Path, config: InspectConfig, *, say: Say) -> None:
    """Print what the file is. CheckpointInvalid where nothing can be made of it."""
    if is_ours(path):
        state, manifest = load_checkpoint(path)
        say(f"{path}: a checkpoint of ours, {manifest.model}, {manifest.num_classes} classes, {len(state)} tensors")
        say(f"  source     {manifest.source.dataset} {manifest.source.split}".rstrip())
        say(f"  classes    {', '.join(manifest.classes)}")
        return
    file = read_weights(path)
    report = report_of(file, network=config.network)
    say("\n".join(report.lines()))
    if file.classes:
        say(f"  classes    {', '.join(file.classes)}")
    whole = "a complete encoder; convert it with --allow-encoder and --classes" if report.is_encoder else "complete"
    say(f"  verdict    {report.fault() or whole}")


def convert(path: Path, config: ConvertConfig, *, say: Say) -> None:
    """Write the file. CheckpointInvalid where the network is not complete, answers otherwise than the published one on
    the same tensors, or has no place in the layout asked for.
    """
    if config.to.exists() and path.exists() and config.to.samefile(path):
        raise ConfigError(f"--to {config.to}: is the file to be converted; give another name")
    if is_ours(path):
        if config.layout == "native" or config.network is not None or config.classes is not None:
            raise ConfigError(f"{path}: is a checkpoint of ours already; give nothing but --to and another --layout")
        state, manifest = load_checkpoint(path)
    else:
        state, manifest = _converted(path, config, say)
    try:
        if config.layout == "native":
            save_checkpoint(config.to, state, manifest)
        else:
            write_layout(config.to, state, manifest, LAYOUTS[config.layout])
    except OSError as error:
        raise ConfigError(f"--to {config.to}: cannot be written ({error.strerror}); choose another folder") from error
    say(f"  wrote      {config.to}")
    if manifest.source.dataset == UNKNOWN and config.layout == "native":
        say("  source     unknown: a run must name what to replay (--source, --source-data)")


def is_ours(path: Path) -> bool:
    """Whether a file has our manifest."""
    return not is_pickle(path) and MANIFEST_KEY in read_tensors(path)[1]


def _converted(path: Path, config: ConvertConfig, say: Say) -> tuple[dict[str, Tensor], Manifest]:
    file = read_weights(path)
    named = None if config.classes is None else _classes(config.classes)
    conversion = converted(
        file,
        network=config.network,
        num_classes=None if named is None else len(named),
        allow_encoder=config.allow_encoder,
    )
    say("\n".join(conversion.report.lines()))
    classes = named or _names(file, conversion, say)
    difference = self_test(conversion)
    say(f"  self-test  answers like the published network on these tensors, to {difference:.0e} of the largest value")
    dataset, _, split = config.dataset.partition(":")
    manifest = Manifest(
        model=conversion.model,
        num_classes=conversion.num_classes,
        classes=classes,
        source=Source(dataset=dataset, split=split, size_HW=parse_size(config.size)),
        recipe={
            "converted_from": path.name,
            "layout": conversion.layout.name,
            "network": conversion.report.network,
            **({"random": _summed(conversion.report.drawn)} if conversion.report.drawn else {}),
        },
    )
    return conversion.state, manifest


def _names(file: WeightFile, conversion: Conversion, say: Say) -> tuple[str, ...]:
    """The names the file gives, else those of the data set that has as many classes."""
    num_classes = conversion.num_classes
    if len(file.classes) == num_classes:
        return tuple(plain_name(name) for name in file.classes)
    if conversion.report.is_encoder:
        raise CheckpointInvalid(f"{file.path}: an encoder knows no classes; name those of its new head with --classes")
    if num_classes not in PUBLISHED:
        raise CheckpointInvalid(
            f"{file.path}: does not name its {num_classes} classes; give a label space or a file of names to --classes"
        )
    name = PUBLISHED[num_classes]
    say(f"  classes    not named in the file; its {num_classes} are taken for those of {name} (or see --classes)")
    return LABEL_SPACES[name]


def _summed(drawn: Sequence[str]) -> str:
    """Modules whose tensors were drawn."""
    return ", ".join(sorted({name.rpartition(".")[0] for name in drawn}))


def _classes(words: str) -> tuple[str, ...]:
    """A label space by name, or the lines of a text file."""
    if words in LABEL_SPACES:
        return LABEL_SPACES[words]
    try:
        lines = Path(words).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--classes {words}: neither a label space nor a text file of names; {nearest(words, list(LABEL_SPACES))}"
        ) from error
    names = tuple(plain_name(line) for line in lines if line.strip())
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"--classes {words}: expected one name per line, each once; got {len(names)} names")
    return names
