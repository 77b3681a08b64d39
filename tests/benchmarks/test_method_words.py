import pytest

from benchmarks.method_words import adaptation_of, method_of, model_of, with_setting
from runtime.config import ModelConfig
from runtime.option_words import ConfigError


def test_components_and_settings_are_read_out_of_the_words():
    given = adaptation_of("dacs+mic=0.5+tie@learning-rate=1e-4@ema-decay=0.9")
    assert (given.method, given.with_) == ("dacs", "mic=0.5,tie")
    assert (given.learning_rate, given.ema_decay) == (1e-4, 0.9)
    assert method_of("dacs+mic=0.5@learning-rate=1e-4") == "dacs"


def test_what_learns_is_read_out_of_the_words_too():
    words = "styled+mic@trainable=adapters+head@adapter=lora@adapter-rank=4@adapter-stages=2-4@ema-decay=0.5"
    model = model_of(words, ModelConfig(checkpoint="mine.safetensors"))
    assert (model.trainable, model.adapter, model.adapter_rank) == ("adapters+head", "lora", 4)
    assert (model.adapter_stages, model.checkpoint) == ("2,3,4", "mine.safetensors")
    given = adaptation_of(words)
    assert (given.method, given.with_, given.ema_decay) == ("styled", "mic", 0.5)
    assert model_of("styled@adapter-reduction=8@adapter-stages=4", ModelConfig()).adapter_stages == "4"


def test_a_bare_name_leaves_everything_to_the_recipe():
    given = adaptation_of("tent")
    assert (given.method, given.with_, given.learning_rate, given.ema_decay) == ("tent", "", None, None)
    model = ModelConfig(trainable="head", adapter="lora", adapter_stages="3,4", adapter_rank=2)
    assert model_of("tent", model) == model


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("styled@trainable=haed", "no trainable 'haed'; nearest: head"),
        ("styled@adapter=loar", "--adapter loar: no such adapters; nearest: lora"),
        ("styled@adapter-stages=4-3", "adapter-stages is '4-3', expected FIRST-LAST"),
        ("styled@adapter-stages=3-5", "adapter-stages is '3-5', expected FIRST-LAST"),
        ("styled@adapter-rank=x", "adapter-rank is 'x', expected a count"),
        ("styled@adapter-rank=4", "--adapter-rank 4: expected --adapter lora"),
        ("styled@adapter=lora@adapter=ssf", "given twice"),
        ("styled@adapters=lora", "no setting 'adapters'; nearest: adapter"),
    ],
)
def test_words_of_what_learns_are_refused_in_a_line(words, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        model_of(words, ModelConfig())
    assert "\n" not in str(refusal.value)
