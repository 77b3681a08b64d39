"""Recipes: the settings a method comes with, and how they meet what the user asked for.

A method runs as it was published unless told otherwise: which weights learn, by which optimizer, at what rate, how they
are averaged, and under which policy. No torch here: the command line reads this.
"""

import dataclasses
import math
from dataclasses import dataclass

from runtime.config import Policy, RuntimeConfig, Trainable


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a method is run with where the user says nothing else.

    `ema_decay` in [0, 1): the served weights' own share at each step; 0 serves the student itself. `weight_decay` is
    decoupled under adamw and a penalty under the others; None is adamw's own 0.01, and 0 elsewhere. Norms of the
    encoder go without it where `decays_norms` is False. `sgd` and `nesterov` have momentum 0.9. The head learns at
    `head_rate` times the learning rate. Gradients are scaled down to a norm of `max_gradient_norm` at most; infinity
    leaves them alone. Weights fresh from the source take `fresh_descents` on a frame, for methods that do not count
    frames by them. Policy `guarded` learns where the stream has left the source and serves what earned it; `bare`
    learns from every frame and serves every finite outcome, as test-time methods are published.
    """

    trainable: Trainable = "adapters+head"
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float | None = None
    decays_norms: bool = True
    head_rate: float = 1.0
    max_gradient_norm: float = 1.0
    ema_decay: float = 0.9
    fresh_descents: int = 1
    policy: Policy = "guarded"

    def __post_init__(self) -> None:
        if not 0.0 < self.head_rate < math.inf:
            raise ValueError(f"recipe.head_rate must be positive, got {self.head_rate}; 1 treats all alike")
        if not self.max_gradient_norm > 0.0:
            raise ValueError(f"recipe.max_gradient_norm must be positive, got {self.max_gradient_norm}")


def resolved(config: RuntimeConfig, recipe: Recipe) -> RuntimeConfig:
    """The configuration with everything the user left to the method filled in."""
    adaptation, model = config.adaptation, config.model
    return dataclasses.replace(
        config,
        model=dataclasses.replace(model, trainable=model.trainable or recipe.trainable),
        adaptation=dataclasses.replace(
            adaptation,
            learning_rate=adaptation.learning_rate or recipe.learning_rate,
            ema_decay=recipe.ema_decay if adaptation.ema_decay is None else adaptation.ema_decay,
            policy=adaptation.policy or recipe.policy,
        ),
    )
