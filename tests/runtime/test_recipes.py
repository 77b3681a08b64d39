"""A recipe fills in what the user left open, and nothing else."""

from dataclasses import replace

from runtime.adaptation.methods import METHODS
from runtime.config import AdaptationConfig, ModelConfig, RuntimeConfig
from runtime.recipes import Recipe, resolved

TENT_LIKE = Recipe(trainable="norm", optimizer="adam", learning_rate=2e-4, ema_decay=0.0, policy="bare")


def test_what_is_left_open_is_the_methods() -> None:
    config = resolved(RuntimeConfig(), TENT_LIKE)
    assert (config.model.trainable, config.adaptation.learning_rate) == ("norm", 2e-4)
    assert (config.adaptation.ema_decay, config.adaptation.policy) == (0.0, "bare")
    assert config.stream == RuntimeConfig().stream and config.run == RuntimeConfig().run


def test_what_the_user_said_stands() -> None:
    wanted = replace(
        RuntimeConfig(),
        model=ModelConfig(trainable="head"),
        adaptation=AdaptationConfig(learning_rate=0.5, ema_decay=0.0, policy="guarded"),
    )
    config = resolved(wanted, Recipe(ema_decay=0.7))
    assert config == wanted and resolved(config, TENT_LIKE) == config


def test_the_default_method_keeps_its_guard() -> None:
    assert METHODS[AdaptationConfig().method].recipe.policy == "guarded"
