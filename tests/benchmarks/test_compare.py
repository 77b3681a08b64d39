import pytest

from benchmarks.compare import CompareConfig, cells, check_labelled, run_comparison, timed_by
from evaluation.run_folder import NOTE_FILE
from runtime.config import ModelConfig, ReplayConfig, StreamConfig
from runtime.option_words import ConfigError
from tests.streams.recorded import make_image, write_image, write_video


def test_a_cell_for_each_method_and_seed_in_lockstep():
    made = cells(CompareConfig(methods="styled,frozen", seeds="0,2", stream=StreamConfig(rounds=3)))
    assert [cell.name for cell in made] == ["styled-0", "styled-2", "frozen-0", "frozen-2"]
    assert {cell.config.run.pace for cell in made} == {"lockstep"}
    played = [(cell.config.adaptation.method, cell.config.run.seed) for cell in made]
    assert played == [("styled", 0), ("styled", 2), ("frozen", 0), ("frozen", 2)]
    assert made[0].config.stream.rounds == 3 and not made[0].config.web.web


def test_the_same_method_under_other_settings_is_another_cell():
    plain, changed = cells(CompareConfig(methods="tent,tent@learning-rate=1e-4"))
    assert plain.config.adaptation.learning_rate is None and changed.config.adaptation.learning_rate == 1e-4
    assert plain.name == "tent-0" and changed.name == "tent_learning-rate_1e-4-0"


def test_rows_may_differ_in_what_learns():
    words = "styled,styled@trainable=head,styled@adapter-stages=3-4"
    plain, head, late = cells(CompareConfig(methods=words, model=ModelConfig(trainable="adapters")))
    assert [cell.config.model.trainable for cell in (plain, head, late)] == ["adapters", "head", "adapters"]
    assert [cell.config.model.adapter_stages for cell in (plain, late)] == ["1,2,3,4", "3,4"]
    assert late.name == "styled_adapter-stages_3-4-0" and plain.folder_name() != late.folder_name()


def test_recorded_times_are_those_of_the_same_cell(tmp_path):
    config = CompareConfig(methods="styled,frozen", latency="recorded")
    made = cells(config)
    assert [cell.config.run.latency for cell in made] == [None, None]
    run_dirs = [tmp_path / cell.folder_name() for cell in made]
    for run_dir in run_dirs:
        run_dir.mkdir()
        (run_dir / "events.jsonl").touch()
    timed = timed_by(run_dirs, made)
    assert [cell.config.run.latency for cell in timed] == [str(run_dir) for run_dir in run_dirs]
    assert [cell.config.adaptation.method for cell in timed] == ["styled", "frozen"]
    assert not {cell.folder_name() for cell in timed} & {run_dir.name for run_dir in run_dirs}


def test_runs_are_made_once_and_compared(tiny_world, tmp_path, capsys):
    config = CompareConfig(
        methods="frozen",
        out=tmp_path / "out",
        stream=StreamConfig(stream="dataset:camvid:test_dusk", data=tiny_world.data, max_frames=3),
        model=ModelConfig(checkpoint=str(tiny_world.checkpoint)),
        replay=ReplayConfig(replay_mb=1.0),
    )
    page = run_comparison(config)
    assert "frozen  none" in capsys.readouterr().out
    assert page.parent == tmp_path / "out" and page.is_file()
    run_comparison(config)
    said = capsys.readouterr().out
    assert "1 of 1 runs are there already" in said and "other code" not in said
    (note,) = (tmp_path / "out").glob(f"*/{NOTE_FILE}")
    note.write_text('{"code": "0123456789ab", "wall_s": 1.0}')
    run_comparison(config)
    _, table = capsys.readouterr().out.split("methods compared")
    assert "1 of 1 runs were made with other code (0123456789ab)" in table
    for suffix in ("md", "html", "json"):
        assert "1 of 1 runs were made with other code (0123456789ab)" in page.with_suffix(f".{suffix}").read_text()


def test_a_stream_that_nothing_can_be_ranked_by_is_refused_before_the_first_run(tiny_world, tmp_path):
    images = write_image(tmp_path / "images" / "0.png", make_image(1)).parent
    film = write_video(tmp_path / "film.avi", num=3)
    for stream in (str(images), str(film), "camera:99", "dataset:camvid:test_blind"):
        config = CompareConfig(out=tmp_path / "out", stream=StreamConfig(stream=stream, data=tiny_world.data))
        with pytest.raises(ConfigError, match=f"^--stream {stream}: expected a recorded stream with labels"):
            run_comparison(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "stream", [{"stream": "clear"}, {"stream": "clear", "dataset": "camvid"}, {"stream": "dataset:camvid:test_dusk"}]
)
def test_presets_and_labelled_splits_can_be_ranked_by(tiny_world, stream):
    check_labelled(StreamConfig(data=tiny_world.data, **stream))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "styled,dax"}, "'dax' is not known; nearest: onda, dacs"),
        ({"methods": "tent@rate=1"}, "no setting 'rate'"),
        ({"methods": "styled,styled@trainable=all"}, "no trainable 'all'"),
        ({"methods": "tent,tent@ema-decay=0,tent"}, "--methods tent,tent@ema-decay=0,tent: expected each once"),
        ({"seeds": "0,x"}, "--seeds 0,x: expected whole numbers"),
        ({"jobs": 0}, "--jobs 0"),
        ({"latency": "record"}, "--latency record: expected P"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words):
        CompareConfig(**options)
