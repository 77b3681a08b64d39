"""Trainer: one network, its moving average and its optimiser; takes supervised steps and can be put aside and taken up.

    trainer = Trainer(model, recipe=recipe, device=device, precision=torch.bfloat16)
    for images_BHWC, labels_BHW in loader: trainer.step(images_BHWC, labels_BHW)
    save(trainer.averaged.state_dict())

Knows nothing of files, data sets, time or progress.
"""

# B batch, H height, W width, C channels

import contextlib
import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.preprocess import blank_outside, normalise
from models.segformer import SegmentationModel
from models.supervision import supervised_loss
from runtime.pretraining.config import Curve
from runtime.pretraining.objective import AT_STRIDE, Objective
from runtime.pretraining.schedule import averaging_decay, learning_rate_factor

BETAS = (0.9, 0.999)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Numbers of the optimisation; see `PretrainConfig` for their meaning."""

    num_steps: int
    learning_rate: float
    head_multiplier: float = 1.0
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    max_grad_norm: float = 1.0
    curve: Curve = "cosine"
    objective: Objective = AT_STRIDE


class Trainer:
    """Owns everything that changes while training, the step counter included."""

    def __init__(
        self, model: SegmentationModel, *, recipe: Recipe, device: torch.device, precision: torch.dtype
    ) -> None:
        self._recipe = recipe
        self._device = device
        self._precision = precision
        self._model = model.to(device).train()
        self.averaged = copy.deepcopy(model).eval().requires_grad_(False)
        self._optimizer = _optimizer(model, recipe, device)
        self.num_steps_done = 0

    @property
    def learning_rate(self) -> float:
        """Step size of the encoder in the step to come."""
        recipe = self._recipe
        return recipe.learning_rate * learning_rate_factor(
            self.num_steps_done, num_steps=recipe.num_steps, curve=recipe.curve
        )

    def step(self, images_BHWC: Tensor, labels_BHW: Tensor, extents_B2: Tensor | None = None) -> Tensor:
        """One step on a uint8 batch; the loss, a scalar left on the device so that nothing waits for it.

        `extents_B2` are the rows and columns that are image, where what is below and to the right is filling.
        """
        images_BHWC = images_BHWC.to(self._device, non_blocking=True)
        labels_BHW = labels_BHW.to(self._device, non_blocking=True)
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate * group["multiplier"]
        x_B3HW = normalise(images_BHWC)
        if extents_B2 is not None:
            x_B3HW = blank_outside(x_B3HW, extents_B2)
        with self._autocast():
            answers = self._model.supervised(x_B3HW)
        loss = supervised_loss(answers, labels_BHW, self._recipe.objective)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.max_grad_norm)
        self._optimizer.step()
        self.num_steps_done += 1
        self._average()
        return loss.detach()

    def state(self) -> dict[str, Tensor]:
        """All tensors that make up the training state, the global random state (dropout, drop path) included."""
        tensors = {f"model/{name}": tensor for name, tensor in self._model.state_dict().items()}
        tensors |= {f"averaged/{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        for index, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in values.items()}
        tensors["random/cpu"] = torch.get_rng_state()
        if self._device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self._device)
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor], *, num_steps_done: int) -> None:
        """Takes up from `state()`; on the same machine the steps to come are those of an uninterrupted run."""
        self._model.load_state_dict(_part(tensors, "model/"))
        self.averaged.load_state_dict(_part(tensors, "averaged/"))
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _part(tensors, "optimizer/").items():
            index, _, name = key.partition("/")
            state.setdefault(int(index), {})[name] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        torch.set_rng_state(tensors["random/cpu"])
        if self._device.type == "cuda" and "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"], self._device)
        self.num_steps_done = num_steps_done

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._precision == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, self._precision)

    @torch.no_grad()
    def _average(self) -> None:
        """Moves the average towards the network: parameters and batch norm statistics, step counters copied."""
        decay = averaging_decay(self.num_steps_done, decay=self._recipe.ema_decay)
        averaged, current = self.averaged.state_dict(), self._model.state_dict()
        floats = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([averaged[name] for name in floats], [current[name] for name in floats], 1.0 - decay)
        for name in averaged.keys() - set(floats):
            averaged[name].copy_(current[name])


def _optimizer(model: SegmentationModel, recipe: Recipe, device: torch.device) -> torch.optim.AdamW:
    """AdamW, fused; norms and biases are not decayed, the head has its own multiplier."""
    groups = []
    for part, multiplier in ((model.encoder, 1.0), (model.head, recipe.head_multiplier)):
        weights = [p for p in part.parameters() if p.ndim > 1]
        others = [p for p in part.parameters() if p.ndim <= 1]
        groups.append({"params": weights, "weight_decay": recipe.weight_decay, "multiplier": multiplier})
        groups.append({"params": others, "weight_decay": 0.0, "multiplier": multiplier})
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=BETAS, fused=device.type in ("cpu", "cuda"))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
