"""`udaseg-runtime checkpoint`: from another program's file to one that runs, or one line that says what is wrong."""

import json

import pytest
import torch

from benchmarks.cli import VERBS
from models.checkpoint import load_checkpoint, load_source
from models.zoo import build_model
from runtime.cli import main as run_verb
from streams.datasets.label_spaces import ADE20K, LABEL_SPACES
from streams.datasets.labels import CITYSCAPES


def hamlet_state(num_classes=19):
    """Of a B0 in HAMLET's layout, by way of ours: what matters here is the command, not the names."""
    torch.manual_seed(0)
    state = build_model("segformer_b0", num_classes=num_classes).state_dict()
    renamed = {}
    for name, tensor in state.items():
        words = name.split(".")
        if words[0] == "encoder":
            i = int(words[2]) + 1
            if words[3] == "blocks":
                inner = ".".join(words[5:]).replace("mlp.dwconv", "mlp.dwconv.dwconv")
                renamed[f"backbone.block{i}.{words[4]}.{inner}"] = tensor
            else:
                renamed[f"backbone.{words[3]}{i}.{'.'.join(words[4:])}"] = tensor
        elif words[1] == "linear_c":
            renamed[f"decode_head.linear_c.{words[2]}.proj.{words[3]}"] = tensor
        else:
            module = {"linear_fuse": "linear_fuse.conv", "bn": "linear_fuse.bn", "classifier": "linear_pred"}[words[1]]
            renamed[f"decode_head.{module}.{words[2]}"] = tensor
    return renamed


@pytest.fixture
def weights(tmp_path):
    torch.save({"state_dict": hamlet_state()}, tmp_path / "uda.pth")
    return tmp_path / "uda.pth"


@pytest.fixture
def command(capsys):
    """Exit code, what was printed, and the line of error."""

    def run(*words):
        code = run_verb(["checkpoint", *map(str, words)], VERBS)
        shown = capsys.readouterr()
        assert shown.err.count("\n") == (code != 0)
        return code, shown.out, shown.err

    return run


def test_what_is_converted_loads_and_runs(command, weights, tmp_path, tiny_world) -> None:
    out = tmp_path / "mine.safetensors"
    code, shown, _ = command("convert", weights, "--to", out, "--size", "64x96")
    assert code == 0 and "self-test" in shown and "turned" not in shown and "source     unknown" in shown
    manifest = load_checkpoint(out)[1]
    assert (manifest.model, manifest.classes, manifest.source.dataset) == ("segformer_b0", CITYSCAPES.names, "unknown")
    assert manifest.source.size_HW == (64, 96) and manifest.recipe["layout"] == "hamlet"
    frozen = ("--method", "frozen", "--quiet", "--pace", "lockstep")
    run = tiny_world.arguments("--checkpoint", out, "--max-frames", 2, *frozen)
    assert run_verb([*run, "--run-dir", str(tmp_path / "no")], VERBS) == 2
    more = ["--source", "camvid:train", "--size", "32x64", "--run-dir", str(tmp_path / "run")]
    assert run_verb([*run, *more], VERBS) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["frames"]["predicted"] == 2


def test_a_run_that_does_not_know_its_source_is_one_line(command, weights, tmp_path, tiny_world, capsys) -> None:
    out = tmp_path / "mine.safetensors"
    command("convert", weights, "--to", out)
    assert run_verb(tiny_world.arguments("--checkpoint", out, "--run-dir", tmp_path / "run"), VERBS) == 2
    assert "--source: not given, and segformer_b0 does not say what it was trained on" in capsys.readouterr().err


def test_inspect_tells_theirs_and_ours(command, weights, tiny_world) -> None:
    code, shown, _ = command("inspect", weights)
    assert code == 0 and "HAMLET" in shown and "segformer_b0, 19 classes" in shown and "complete" in shown
    assert "permuted   1: head.linear_fuse.weight" in shown
    code, shown, _ = command("inspect", tiny_world.checkpoint)
    assert code == 0 and "a checkpoint of ours, segformer_b0" in shown and "camvid train" in shown


def test_a_file_that_runs_is_refused_with_its_exit_code(command, tmp_path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"a": print}, path)
    code, _, error = command("convert", path, "--to", tmp_path / "out.safetensors")
    assert code == 4 and "a pickle that calls" in error and not (tmp_path / "out.safetensors").exists()


def test_class_names_come_from_the_command_the_file_or_the_number(command, tmp_path) -> None:
    out, ade, three = tmp_path / "out.safetensors", tmp_path / "ade.pth", tmp_path / "three.pth"
    torch.save(hamlet_state(150), ade)
    code, shown, _ = command("convert", ade, "--to", out)
    assert code == 0 and "taken for those of ade20k" in shown
    assert load_checkpoint(out)[1].classes == tuple(ADE20K.split())
    torch.save({"state_dict": hamlet_state(3), "meta": {"CLASSES": ("Road", "Traffic light", "sky")}}, three)
    assert command("convert", three, "--to", out)[0] == 0
    assert load_checkpoint(out)[1].classes == ("road", "traffic_light", "sky")
    torch.save(hamlet_state(3), three)
    assert "does not name its 3 classes" in command("convert", three, "--to", out)[2]
    (tmp_path / "names.txt").write_text("road\nsky\ncar\n")
    assert command("convert", three, "--to", out, "--classes", tmp_path / "names.txt")[0] == 0
    assert load_checkpoint(out)[1].classes == ("road", "sky", "car")


def test_another_label_space_draws_the_classifier_and_says_so(command, tmp_path, weights) -> None:
    out = tmp_path / "out.safetensors"
    code, shown, _ = command("convert", weights, "--to", out, "--classes", "camvid")
    assert code == 0 and "RANDOM     2: head.classifier.bias, head.classifier.weight" in shown
    network, _, manifest = load_source(out)
    assert network.num_classes == 11 and manifest.classes == LABEL_SPACES["camvid"]
    assert manifest.recipe["random"] == "head.classifier"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected inspect FILE, or convert FILE --to"),
        (("convert",), "the weight file is missing"),
        (("convert", "w.pth", "--to", "out.pth"), "expected a name that ends in .safetensors"),
        (("convert", "w.pth", "--to", "o.safetensors", "--size", "9"), "--size 9: expected HxW"),
        (("inspect", "w.pth", "--netwrk", "x"), "no such option"),
    ],
)
def test_words_that_cannot_be_used_are_one_line(command, words, message) -> None:
    code, _, error = command(*words)
    assert code == 2 and message in error


def test_label_spaces_that_are_none_are_refused(command, tmp_path, weights) -> None:
    out = tmp_path / "out.safetensors"
    code, _, error = command("convert", weights, "--to", out, "--classes", "cityscape")
    assert code == 2 and "nearest: cityscapes" in error
    (tmp_path / "twice.txt").write_text("road\nroad\n")
    assert "each once" in command("convert", weights, "--to", out, "--classes", tmp_path / "twice.txt")[2]


def test_the_verb_explains_itself(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        run_verb(["checkpoint", "convert", "--help"], VERBS)
    assert stop.value.code == 0 and "--allow-encoder" in capsys.readouterr().out


def test_checkpoints_are_written_in_other_layouts(command, weights, tiny_world, tmp_path) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.pth"
    assert command("convert", weights, "--to", ours)[0] == 0
    assert command("convert", ours, "--to", theirs, "--layout", "hamlet")[0] == 0
    written, original = (torch.load(path, weights_only=True)["state_dict"] for path in (theirs, weights))
    assert written.keys() == original.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in original.items())
    code, _, error = command("convert", tiny_world.checkpoint, "--to", ours)
    assert code == 2 and "is a checkpoint of ours already" in error
    code, _, error = command("convert", weights, "--to", weights, "--layout", "nvlabs")
    assert code == 2 and "is the file to be converted" in error
