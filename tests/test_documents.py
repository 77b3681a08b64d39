"""README, ARCHITECTURE, CONTRIBUTING and docs name what exists: commands, options, files, metrics, endpoints, codes."""

import dataclasses
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.adaptation import AdaptationBenchConfig
from benchmarks.cli import VERBS
from benchmarks.compare import CompareConfig
from benchmarks.concurrency import ConcurrencyConfig
from benchmarks.detection import DetectionConfig
from benchmarks.inference import InferenceConfig
from benchmarks.overload import OverloadConfig
from benchmarks.poison import PoisonConfig
from benchmarks.quality import QualityConfig
from benchmarks.soak import SoakConfig
from benchmarks.suite import BENCHMARKS
from models.trainable import replica, trainable_parameters
from models.zoo import build_model
from replay.buffer import ReplayBuffer
from runtime import cli
from runtime.adaptation.components import COMPONENTS, Component
from runtime.adaptation.method import Materials, Target
from runtime.adaptation.methods import METHODS
from runtime.arguments import parse
from runtime.config import RuntimeConfig
from runtime.conversion_config import ConvertConfig, InspectConfig
from runtime.metrics import Metrics, new_registry
from runtime.option_words import option_of
from runtime.pretraining.config import PretrainConfig
from runtime.status import Status
from runtime.web.routes import Routes
from streams.synthetic.sequences import PRESETS

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs/comparing.md",
    "docs/learning.md",
    "docs/measured.md",
    "docs/methods.md",
    "docs/speed.md",
)
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS}
README = TEXTS["README.md"]
PACKAGES = ("streams", "models", "replay", "runtime", "evaluation", "benchmarks")
CONFIGS = {
    "run": RuntimeConfig,
    "pretrain": PretrainConfig,
    "compare": CompareConfig,
    "checkpoint inspect": InspectConfig,
    "checkpoint convert": ConvertConfig,
    "bench quality": QualityConfig,
    "bench poison": PoisonConfig,
    "bench soak": SoakConfig,
    "bench concurrency": ConcurrencyConfig,
    "bench overload": OverloadConfig,
    "bench detection": DetectionConfig,
    "bench inference": InferenceConfig,
    "bench adaptation": AdaptationBenchConfig,
}
GENERAL_OPTIONS = {"--config", "--debug", "--help"}
UNLISTED = {"__init__.py", "py.typed"}  # every package has them


def fenced(text, language):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [content for opening, content in blocks if opening == language]


def commands():
    """Every udaseg-runtime command in shell blocks, as words after the program's name."""
    lines = [line for text in TEXTS.values() for block in fenced(text, "sh") for line in block.splitlines()]
    split = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in split if words and words[0] == "udaseg-runtime"]


def option_names(config_type):
    for field in dataclasses.fields(config_type):
        if dataclasses.is_dataclass(field.type):
            yield from option_names(field.type)
        else:
            option = option_of(field.name)
            yield from (option, option.replace("--", "--no-", 1)) if field.type is bool else (option,)


def listed_paths():
    """Paths of the README's file tree, patterns included; folders end in a slash."""
    (tree,) = (block for block in fenced(README, "") if block.startswith("streams/"))
    folders, paths = [], []
    for line in tree.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        folders = folders[: (len(line) - len(line.lstrip())) // 2]
        paths += ["".join(folders) + name for name in names]
        folders.append(names[0] if names[0].endswith("/") else "")
    return paths


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_are_understood(words):
    verb = words.pop(0) if words and words[0] in VERBS else cli.DEFAULT_VERB
    if verb == "bench" and words:
        verb = f"bench {words.pop(0)}"
        assert verb.removeprefix("bench ") in BENCHMARKS
    if verb == "checkpoint":
        verb = f"checkpoint {words.pop(0)}"
        words.pop(0)  # the file
    if verb in CONFIGS:
        parse(CONFIGS[verb], words, prog="udaseg-runtime")
    else:
        assert words == []


def test_options_exist():
    known = GENERAL_OPTIONS.union(*(option_names(config) for config in CONFIGS.values()))
    for name in DOCUMENTS:
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TEXTS[name])) <= known, name


def test_verbs_in_running_text_exist():
    for text in TEXTS.values():
        assert set(re.findall(r"`udaseg-runtime ([a-z]+)", text)) <= VERBS.keys()


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for text in TEXTS.values():
        words = re.findall(r"`make ([a-z]+)", text) + re.findall(r"^make ([a-z]+)", text, flags=re.MULTILINE)
        assert set(words) <= targets


def test_presets_methods_and_nothing_else_are_in_the_tables():
    assert set(re.findall(r"^\| `(\w+)` \|", README.partition("## Your own")[0], flags=re.MULTILINE)) == set(PRESETS)
    assert all(f"`{name}`" in README for name in METHODS)


def test_listed_files_exist():
    missing = [path for path in listed_paths() if not list(ROOT.glob(path.rstrip("/")))]
    assert missing == [], "in the README's file tree, but not in the repository"


def test_files_of_packages_are_listed():
    """A folder with entries of its own in the tree lists all of them; one without stands for what it holds."""
    paths = listed_paths()
    opened = {path.rstrip("/").rpartition("/")[0] + "/" for path in paths}
    unlisted = []
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*")):
            path = file.relative_to(ROOT).as_posix() + ("/" if file.is_dir() else "")
            parent = file.parent.relative_to(ROOT).as_posix() + "/"
            if parent in opened and file.name not in UNLISTED and file.name != "__pycache__":
                unlisted += [path] * (not any(fnmatch(path, listed) for listed in paths))
    assert unlisted == [], "in the repository, but not in the README's file tree"


def test_files_named_in_running_text_exist():
    for name, text in TEXTS.items():
        for path in re.findall(rf"`((?:{'|'.join(PACKAGES)}|tests)/[\w/.]*)`", text):
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_links_and_pictures_lead_somewhere():
    for text in TEXTS.values():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (ROOT / target).is_file(), target
    assert all(picture.stat().st_size < 400_000 for picture in (ROOT / "docs").glob("page.*"))


def test_metrics_are_registered():
    metrics = Metrics(new_registry(), stream="clear", classes=("road",))
    exposed = metrics.exposition()[1].decode()
    named = set(re.findall(r"udaseg_[a-z_]+", README))
    assert named
    assert {name for name in named if f"# TYPE {name} " not in exposed} == set()


def test_endpoints_answer():
    routes = Routes(Status(), exposition=lambda _: ("text/plain", b""))
    paragraph = README.partition("## Page, metrics, health")[2].partition("| metric")[0]
    endpoints = re.findall(r"`(/\w*)`", paragraph)
    assert len(endpoints) == 5
    assert [path for path in endpoints if routes.answer(path, accept="")[0] == 404] == []


def test_exit_codes_are_those_of_the_program():
    codes = {value for name, value in vars(cli).items() if name.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)} == codes


def test_example_method_is_short_and_learns():
    _, example, _ = fenced(README, "python")
    assert len(example.splitlines()) < 40
    names = {"__name__": "entropy"}
    before = set(METHODS)
    exec(compile(example, "README.md", "exec"), names)
    try:
        assert set(METHODS) - before == {"entropy"}
        generator = torch.Generator().manual_seed(0)
        replay = ReplayBuffer((64, 64), capacity_bytes=200_000, generator=generator)
        rng = np.random.default_rng(0)
        image_HWC, label_HW = rng.integers(0, 256, (64, 64, 3), np.uint8), rng.integers(0, 19, (64, 64), np.uint8)
        replay.add(image_HWC, label_HW)
        student = build_model("segformer_b0", num_classes=19)
        given = Materials(replay, replica(student), replica(student), torch.device("cpu"), generator)
        method = METHODS["entropy"].build(given)
        loss = method.loss(student, Target(0, image_HWC, label_HW, 1.0))
        torch.autograd.backward(loss)
        assert torch.isfinite(loss)
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in student.head.parameters())
    finally:
        del METHODS["entropy"]


def test_example_component_is_short_and_works():
    *_, example = fenced(README, "python")
    assert len(example.splitlines()) < 20
    names = {"torch": torch, "trainable_parameters": trainable_parameters, "Component": Component}
    exec(compile(example, "README.md", "exec"), names | {"COMPONENTS": (added := {})})
    student = build_model("segformer_b0", num_classes=2)
    before = student.head.classifier.weight.detach().clone()
    added["small"].rule(None, 2.0).settle(student)
    torch.testing.assert_close(student.head.classifier.weight.detach(), 0.998 * before)


def test_components_are_in_their_table():
    table = README.partition("| component |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, flags=re.MULTILINE) == list(COMPONENTS)


def test_documents_are_ascii_and_of_the_project_alone():
    for name, text in TEXTS.items():
        assert text.isascii(), name
        assert max(len(line) for line in text.splitlines() if not line.startswith(("|", "udaseg-runtime"))) <= 120, name
    assert len(TEXTS["ARCHITECTURE.md"].splitlines()) <= 120
