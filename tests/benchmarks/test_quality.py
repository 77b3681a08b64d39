import json
from pathlib import Path

import pytest

from benchmarks.quality import QualityConfig, cell, main
from evaluation.run_folder import NOTE_FILE
from runtime.option_words import ConfigError


def test_a_cell_is_lockstep_with_the_frozen_model_on_every_frame():
    config = cell(QualityConfig(), "rain_sequence", "dacs", 2).config
    assert (config.run.pace, config.run.shadow, config.run.seed, config.web.web) == ("lockstep", 1.0, 2, False)
    assert (config.stream.stream, config.adaptation.method) == ("rain_sequence", "dacs")


def test_weather_is_rendered_on_the_data_set_for_presets_only():
    config = QualityConfig(dataset="camvid", data=Path("camvid"))
    assert cell(config, "rain_sequence", "styled", 0).config.stream.dataset == "camvid"
    recorded = cell(config, "dataset:camvid:test_dusk", "styled", 0)
    assert recorded.config.stream.dataset is None
    assert recorded.config.stream.data == Path("camvid")
    assert recorded.name == "dataset_camvid_test_dusk-styled-0"


def test_options_win_over_the_settings_file(tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text('[stream]\nsize = "64x64"\nmax_frames = 9\n[adaptation]\nbudget = 7\n')
    config = cell(QualityConfig(settings=settings, size="32x64"), "clear", "styled", 0).config
    assert (config.stream.size, config.stream.max_frames, config.adaptation.budget) == ("32x64", 9, 7)


def test_figures_of_other_code_say_so_below_their_table(tmp_path, capsys):
    run_dir = tmp_path / cell(QualityConfig(), "clear", "styled", 0).folder_name()
    run_dir.mkdir()
    domains = [{"name": "clear", "miou": 60.0, "miou_frozen": 60.0}]
    summary = {"stream": "clear", "method": "styled", "seed": 0, "ended": "end", "quality": {"domains": domains}}
    (run_dir / "summary.json").write_text(json.dumps(summary))
    (run_dir / NOTE_FILE).write_text('{"code": "0123456789ab"}')
    main(["--streams", "clear", "--seeds", "0", "--out", str(tmp_path)])
    _, table = capsys.readouterr().out.split("Quality by stream and method")
    note = "1 of 1 runs were made with other code (0123456789ab)"
    assert note in " ".join(table.split()) and note in (tmp_path / "quality.md").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "styled,dax"}, "'dax' is not known; nearest: onda, dacs"),
        ({"seeds": "0,x"}, "--seeds 0,x: expected whole numbers"),
        ({"jobs": 0}, "--jobs 0"),
        ({"save": "../x"}, "--save ../x"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words) as refusal:
        QualityConfig(**options)
    assert "\n" not in str(refusal.value)
