"""The assembled command: its options, and what it says when it is given something it cannot use."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cli import VERBS
from models.zoo import MODELS
from runtime.adaptation.components import COMPONENTS
from runtime.adaptation.methods import METHODS
from runtime.cli import main as run_verb
from tests.conftest import write_random_checkpoint
from tests.streams.recorded import damage, write_camvid

COMMAND = "from benchmarks.cli import main; main()"
RUN_OPTIONS = {
    *("--stream", "--dataset", "--data", "--fps", "--max-frames", "--size", "--rounds", "--frames-per-visit"),
    *("--model", "--checkpoint", "--trainable", "--adapter", "--adapter-stages", "--device", "--precision"),
    *("--adapter-reduction", "--adapter-rank", "--adapter-scale"),
    *("--method", "--with", "--learning-rate", "--policy", "--ema-decay", "--budget", "--serve-below"),
    *("--library", "--library-mb"),
    *("--detector", "--signal"),
    *("--source", "--source-data", "--replay-mb", "--held-out"),
    *("--pace", "--adapt", "--latency", "--threads", "--seed", "--shadow", "--score-classes"),
    *("--run-dir", "--resume", "--quiet", "--no-quiet", "--checkpoint-every-s"),
    *("--port", "--web", "--no-web", "--help"),
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder that the command runs in, so that whatever it leaves is seen."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refuse(tiny_world, here, capsys):
    """Runs the command line; returns its exit code and its one line. Nothing may be left behind."""

    def run(*more: object) -> tuple[int, str]:
        code = run_verb(tiny_world.arguments("--run-dir", here / "run", *more), VERBS)
        shown = capsys.readouterr()
        assert shown.err.startswith("udaseg-runtime: ") and shown.err.count("\n") == 1, shown.err
        assert list(here.iterdir()) == []
        return code, shown.err.removeprefix("udaseg-runtime: ").rstrip("\n")

    return run


def test_the_command_answers_without_torch_and_with_its_exit_code() -> None:
    script = (
        "import sys\n"
        "from benchmarks.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print({'torch', 'cv2'} & set(sys.modules), file=sys.stderr)"
    )
    for arguments, code in ((["--help"], 0), (["help"], 0), (["--sed", "3"], 2), (["pretrain", "--help"], 0)):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (code, "set()")
        assert bool(done.stdout) == (code == 0)


def test_the_options_of_run_are_these_and_no_others(capsys) -> None:
    with pytest.raises(SystemExit):
        run_verb(["--help"], VERBS)
    lines = re.findall(r"^\W*((?:-h, )?--.*)", capsys.readouterr().out, flags=re.MULTILINE)
    shown = {name for line in lines for name in re.findall(r"(?:^|, )(--[a-z-]+)", line)}
    assert shown - {"--config", "--debug"} == RUN_OPTIONS


@pytest.mark.parametrize(
    ("verb", "expected"),
    [("streams", "rain_sequence"), ("models", "segformer_b0_synthetic:"), ("methods", "styled"), ("help", "pretrain")],
)
def test_lists_have_a_line_for_each(verb, expected, capsys) -> None:
    assert run_verb([verb], VERBS) == 0
    assert any(line.split()[:1] == [expected] for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("verb", ["checkpoint", "report", "bench"])
def test_verbs_that_take_words_first_say_which(verb, capsys) -> None:
    assert run_verb([verb, "--help"], VERBS) == 0
    assert capsys.readouterr().out.startswith(f"usage: udaseg-runtime {verb} ")


def test_help_for_a_conversion_names_the_file(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        run_verb(["checkpoint", "convert", "--help"], VERBS)
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("usage: udaseg-runtime checkpoint convert FILE ")


def test_every_model_is_listed_with_its_family_and_those_that_come_with_weights_are_marked(capsys) -> None:
    run_verb(["models"], VERBS)
    families, *_ = capsys.readouterr().out.split("\n\n")
    rows = [line.split() for line in families.splitlines()[1:]]
    listed = [f"{family}_{size}" for family, *sizes in rows for size in sizes]
    assert [name.rstrip("*") for name in listed] == list(MODELS)
    assert [name for name in listed if name.endswith("*")] == ["segformer_b0*"]


def test_every_method_and_component_is_listed(capsys) -> None:
    run_verb(["methods"], VERBS)
    methods, _, components = capsys.readouterr().out.partition("\nwith any of them (--with NAME,NAME=WEIGHT):\n")
    lines = methods.splitlines()
    assert [line.split()[0] for line in lines] == [*METHODS, "oracle"]
    assert lines[-1].endswith("evaluation only [oracle]")
    assert [line.split()[0] for line in components.splitlines()] == list(COMPONENTS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--stream", "rain_sequense"], r"--stream rain_sequense: no such stream .*nearest: rain_sequence"),
        (["--with", "mick"], r"--with mick: no such component; nearest: mic"),
        (["--with", "mic", "--method", "frozen"], r"--with mic: the method never learns; choose one that does"),
        (["--method", "frozen", "--budget", "3"], r"--budget 3: expected a method that learns"),
        (["--method", "stiled"], r"--method stiled: no such method; nearest: styled"),
        (["--model", "segformer_b9"], r"--model segformer_b9: no such model; nearest: segformer_b"),
        (["--stream", "dataset:camvit:x"], r"--stream dataset:camvit:x: no data set layout 'camvit'; nearest: camvid"),
        (["--stream", "dataset:camvid:test_dask"], r"no split 'test_dask' in .*; nearest: test_dusk"),
        (["--dataset", "camvid"], r"--dataset camvid: only presets render weather on a data set"),
        (["--stream", "camera:first"], r"--stream camera:first: expected a whole number there"),
        (["--stream", "rtsp://nobody"], r"--stream rtsp://nobody: streams from a network are not read"),
        (["--source", "synthtic"], r"--source synthtic: no such source of labelled samples; nearest: synthetic"),
        (["--source", "camvid:test_day"], r"--source camvid:test_day: 6 labelled samples, expected at least 16"),
        (["--replay-mb", "0.015625"], r"--replay-mb 0.015625: no room for 16 samples of 32x64, .*give at least 0.2"),
        (["--size", "512x1024"], r"--replay-mb 1: no room for 16 samples of 512x1024, .*give at least 32.1"),
        (["--size", "10x10"], r"--size 10x10: expected HxW with 32 to 8192 pixels each"),
        (["--seed", "-3"], r"--seed -3: expected 0 to below 2\^63"),
        (["--threads", "2"], r"--threads 2: expected N\+M with 1 to 512 threads each"),
        (["--method", "oracle", "--stream", "dataset:camvid:test_blind"], r"--method oracle: .*_test_blind carries no"),
        (["--frobnicate"], r"--frobnicate: no such option of udaseg-runtime"),
    ],
)
def test_wrong_words_end_with_2(refuse, words, expected) -> None:
    code, line = refuse(*words)
    assert code == 2 and re.match(f".*{expected}", line), line


def test_an_option_that_no_run_of_a_comparison_would_heed_ends_with_2(here, capsys) -> None:
    assert run_verb(["compare", "--source-data", "x"], VERBS) == 2
    assert capsys.readouterr().err.startswith("udaseg-runtime: --source-data x: expected a source that is a data set")
    assert list(here.iterdir()) == []


def test_a_wrong_file_of_settings_ends_with_2(refuse, tmp_path) -> None:
    (tmp_path / "my.toml").write_text("[run]\nseeds = 3\n")
    assert refuse("--config", tmp_path / "my.toml") == (
        2,
        f"--config {tmp_path / 'my.toml'}: unknown key run.seeds; nearest: seed, threads",
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data", "{tmp}/none"], r"--data .*none: no such folder; point --data at the folder of camvid"),
        (["--data", "{tmp}/empty"], r"--data .*empty: no camvid there"),
        (["--stream", "{tmp}/empty"], r"--stream .*empty: "),
        (["--stream", "{tmp}/none.mp4"], r"--stream .*none.mp4: no such file or directory; check the path"),
        (["--stream", "{tmp}/noise.mp4"], r"--stream .*noise.mp4: "),
        (["--stream", "camera:99"], r"--stream camera:99: no camera gives pictures there"),
    ],
)
def test_streams_that_do_not_open_end_with_3(refuse, tmp_path, words, expected) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    code, line = refuse(*(word.format(tmp=tmp_path) for word in words))
    assert code == 3 and re.match(expected, line), line


def test_a_source_without_labels_ends_with_3(refuse, tmp_path) -> None:
    data = write_camvid(tmp_path / "bare", split="train", num=20)
    (data / "train.txt").write_text("".join(f"train/{number:02}.png\n" for number in range(20)))
    code, line = refuse("--source", "camvid:train", "--source-data", data)
    assert code == 3 and "none of the 20 images" in line


def test_checkpoints_of_no_use_end_with_4(refuse, tmp_path, tiny_world) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(tiny_world.checkpoint.read_bytes())
    damage(cut)
    key = "encoder.stages.2.blocks.1.attn.q.weight"
    lacking = write_random_checkpoint(tmp_path / "lacking.safetensors", without=key)
    foreign = write_random_checkpoint(tmp_path / "foreign.safetensors", classes=("rain", "sky", "sea"))
    for checkpoint, expected in (
        (cut, "not a complete safetensors file"),
        (lacking, f"key {key} is missing"),
        (foreign, "of its 3 classes (rain, ...) 1 are among the 19 Cityscapes classes"),
        (tmp_path / "none", "neither a file nor a shipped checkpoint"),
    ):
        code, line = refuse("--checkpoint", checkpoint)
        assert code == 4 and line.startswith(f"--checkpoint {checkpoint}: ") and expected in line
    code, line = refuse("--model", "segformer_b1")
    assert code == 4 and line.startswith("--checkpoint ") and "holds segformer_b0, not segformer_b1" in line


def test_a_busy_port_ends_with_2(refuse) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = refuse("--web", "--port", port)
    assert code == 2 and line.startswith(f"--port {port}: is in use")


def test_an_existing_run_folder_is_left_as_it_is(tiny_world, here, capsys) -> None:
    (here / "run").mkdir()
    (here / "run" / "summary.json").write_text("mine")
    assert run_verb(tiny_world.arguments("--run-dir", here / "run"), VERBS) == 2
    assert capsys.readouterr().err.startswith(f"udaseg-runtime: --run-dir {here / 'run'}: exists already; ")
    assert [path.name for path in here.rglob("*")] == ["run", "summary.json"]
    assert (here / "run" / "summary.json").read_text() == "mine"


def test_a_run_ends_with_0_table_and_report(tiny_world, here, capsys) -> None:
    assert run_verb(tiny_world.arguments("--run-dir", here / "run", "--max-frames", 3), VERBS) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "test_dusk" in shown.out and "harmonic mean" in shown.out
    assert (here / "run" / "report.html").is_file()
    assert run_verb(["report", str(here / "run")], VERBS) == 0


def test_the_oracle_is_asked_for_like_any_method(tiny_world, here) -> None:
    words = tiny_world.arguments("--run-dir", here / "run", "--max-frames", 3, "--method", "oracle")
    assert run_verb(words, VERBS) == 0
    summary = json.loads((here / "run" / "summary.json").read_text())
    assert summary["method"] == "oracle" and summary["adaptation"]["steps_applied"] > 0


def test_reports_are_rebuilt_from_run_folders_only(here, capsys) -> None:
    assert run_verb(["report"], VERBS) == 2
    assert run_verb(["report", "--all"], VERBS) == 2
    assert run_verb(["report", str(here)], VERBS) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_output_that_nobody_reads_ends_the_run_quietly(tiny_world, tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *tiny_world.arguments("--run-dir", tmp_path / "run", "--pace", "lockstep")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    _, complaint = process.communicate(timeout=100)
    assert (process.returncode, complaint) == (0, b"")
