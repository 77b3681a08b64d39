import pytest

from benchmarks.method_words import adaptation_of, method_of, with_setting
from runtime.option_words import ConfigError


def test_components_and_settings_are_read_out_of_the_words():
    given = adaptation_of("dacs+mic=0.5+tie@learning-rate=1e-4@ema-decay=0.9")
    assert (given.method, given.with_) == ("dacs", "mic=0.5,tie")
    assert (given.learning_rate, given.ema_decay) == (1e-4, 0.9)
    assert method_of("dacs+mic=0.5@learning-rate=1e-4") == "dacs"


def test_a_bare_name_leaves_everything_to_the_recipe():
    given = adaptation_of("tent")
    assert (given.method, given.with_, given.learning_rate, given.ema_decay) == ("tent", "", None, None)


def test_words_with_a_setting_read_back():
    words = with_setting(with_setting("tent", "learning-rate", 3e-5), "ema-decay", 0.9)
    assert words == "tent@learning-rate=3e-05@ema-decay=0.9"
    assert adaptation_of(words).learning_rate == 3e-5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tent@rate=1", "no setting 'rate'; nearest: "),
        ("tent@learning-rate", "learning-rate is '', expected a number"),
        ("tent@learning-rate=nan", "learning-rate is 'nan', expected a number"),
        ("tent@ema-decay=0.9@ema-decay=0.5", "given twice"),
        ("tent@ema-decay=1", "--ema-decay 1.0: expected 0 to below 1"),
        ("dacs+Mic", "expected components by commas"),
    ],
)
def test_other_words_are_refused_in_a_line(words, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        adaptation_of(words)
    assert "\n" not in str(refusal.value)
