import json
import math

import pytest

from benchmarks.search import SearchConfig, best, cell, main, searched, trial, trials_table
from runtime.adaptation.methods import METHODS
from runtime.option_words import ConfigError


def finish(config, words, hmean):
    """Leave a finished run of every stream where the search looks for it."""
    for stream in config.streams.split(","):
        run_dir = config.out / cell(config, words, stream, 10).folder_name()
        run_dir.mkdir(parents=True)
        (run_dir / "summary.json").write_text(json.dumps({"ended": "end", "quality": {"hmean": hmean}}))


def tried_words(hmeans, tmp_path):
    config = SearchConfig(out=tmp_path, rates=len(hmeans) - 2)
    for words, hmean in hmeans.items():
        finish(config, words, hmean)
    return [one.words for one in searched(config, "tent")]


def test_trials_of_unknown_code_say_so_below_their_table(tmp_path, capsys):
    config = SearchConfig(methods="tent", streams="rain_sequence", seeds="10", out=tmp_path)
    for words in ("frozen", "tent", "tent@learning-rate=3e-05", "tent@ema-decay=0.9"):
        finish(config, words, 10.0)
    main(["--methods", "tent", "--streams", "rain_sequence", "--seeds", "10", "--rates", "1", "--out", str(tmp_path)])
    _, table = capsys.readouterr().out.split("Settings tried")
    note = "4 of 4 runs were made with other code (unknown)"
    assert note in " ".join(table.split()) and note in (tmp_path / "search.md").read_text()


def test_rates_go_up_while_that_helps_then_between(tmp_path):
    hmeans = {
        "tent": 10.0,
        "tent@learning-rate=3e-05": 11.0,
        "tent@learning-rate=0.00012": 9.0,
        "tent@learning-rate=6e-05": 12.0,
        "tent@learning-rate=6e-05@ema-decay=0.9": 8.0,
    }
    assert tried_words(hmeans, tmp_path) == list(hmeans)


def test_rates_go_down_where_up_was_no_good(tmp_path):
    hmeans = {
        "tent": 10.0,
        "tent@learning-rate=3e-05": 9.0,
        "tent@learning-rate=1.875e-06": 11.0,
        "tent@learning-rate=4.6875e-07": 10.5,
        "tent@learning-rate=1.875e-06@ema-decay=0.9": 12.0,
    }
    assert tried_words(hmeans, tmp_path) == list(hmeans)


def test_published_settings_stay_where_nothing_is_better_and_a_blind_run_is_never_chosen():
    published = trial("tent", {"rain_sequence": 10.0, "night_sequence": 20.0})
    equal = trial("tent@learning-rate=3e-05", {"rain_sequence": 20.0, "night_sequence": 10.0})
    blind = trial("tent@learning-rate=0.1", {"rain_sequence": 90.0, "night_sequence": math.nan})
    assert best([published, equal, blind]) is published


def test_a_trial_tells_what_holds_in_it():
    recipe = METHODS["rotta"].recipe
    published, changed = trial("rotta", {"a": 1.0}), trial("rotta@ema-decay=0", {"a": 2.0})
    assert (published.learning_rate, published.ema_decay) == (recipe.learning_rate, recipe.ema_decay)
    assert (changed.learning_rate, changed.ema_decay) == (recipe.learning_rate, 0.0)
    assert (
        "| rotta (source-free) | 0.001 | 0 | 2.0 | 2.0 | yes |"
        in trials_table([published, changed], chosen=["rotta@ema-decay=0"], streams=["a"]).markdown()
    )


def test_a_cell_is_a_short_run_without_the_frozen_model():
    config = cell(SearchConfig(), "tent@learning-rate=3e-05", "night_sequence", 10).config
    assert (config.run.pace, config.run.shadow, config.run.seed) == ("lockstep", 0.0, 10)
    assert (config.stream.stream, config.stream.frames_per_visit) == ("night_sequence", 8)
    assert config.adaptation.learning_rate == 3e-5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "frozen"}, "'frozen' is not known"),
        ({"streams": "rain"}, "'rain' is not known; nearest: rain_sequence"),
        ({"seeds": "10,x"}, "--seeds 10,x: expected whole numbers"),
        ({"factor": 1.0}, "--factor 1: expected above 1"),
        ({"rates": 0}, "--rates 0"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words):
        SearchConfig(**options)
