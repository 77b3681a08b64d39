"""Probe: a few labelled source samples every candidate must still answer much as the frozen model does.

Learning for the worst of weathers leaves clear streets nearly untouched: 0.93 of a probe's pixels keep their class in
200 mm/h of rain or at night, where the model gains 15 to 30 points. What falls far below has collapsed, or was taught
wrong, and that shows whether or not the labels themselves can be trusted. Each reading looks at the next sample in
turn, at half size (a quarter of a forward pass; a sixteenth from 512 rows, at a quarter of the size), and judges the
newest reading of every sample together.
"""

# N samples, B batch, H height, W width, C channels, K classes, R labels (K and unknown), P pixels

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.precision import answering
from models.preprocess import labels_of, normalise
from runtime.state import State

SAMPLES = 8
HALVED_FROM, QUARTERED_FROM = 128, 512  # rows; smaller images are looked at whole
OFTEN = 0.02  # of the probe's pixels
HARDLY = 0.1  # of what the frozen model sees of a class


@dataclass(frozen=True, slots=True)
class ProbeReading:
    """Shares in [0, 1]: agreement with the frozen model on the sample just seen, and on all of them.

    `miou` and `miou_frozen` are against the samples' labels; `lost_class` is a class the frozen model sees often and
    the candidate hardly ever, or None.
    """

    newest_agreement: float
    agreement: float
    miou: float
    miou_frozen: float
    lost_class: int | None


class Probe:
    """Owns its samples; asked by one thread. `frozen` must hold the source weights while the probe is built."""

    def __init__(self, images_NHWC: Tensor, labels_NHW: Tensor, *, frozen: nn.Module, num_classes: int) -> None:
        height = images_NHWC.shape[1]
        step = 4 if height >= QUARTERED_FROM else 2 if height >= HALVED_FROM else 1
        images_NCHW = images_NHWC.permute(0, 3, 1, 2).float()
        self._images_NHWC = F.avg_pool2d(images_NCHW, step).round().to(torch.uint8).permute(0, 2, 3, 1)
        height, width = self._images_NHWC.shape[1:3]
        labels_NHW = labels_NHW[:, ::step, ::step][:, :height, :width].long().clamp(max=num_classes)
        self._rows_NHW = labels_NHW * num_classes  # where rows of counts begin; the last row is of unknown labels
        self._num_classes = num_classes
        self._device = next(frozen.parameters()).device
        self._frozen_NHW = torch.cat([self._answer(frozen, n) for n in range(len(images_NHWC))])
        self._frozen_counts_NRK = torch.stack([self._counts(n, answer) for n, answer in enumerate(self._frozen_NHW)])
        self._frozen_shares_K = _shares(self._frozen_counts_NRK)
        self._miou_frozen = _miou(self._frozen_counts_NRK)
        self.reset()

    def reset(self) -> None:
        """Forget all candidates."""
        self._answers_NHW = self._frozen_NHW.clone()
        self._counts_NRK = self._frozen_counts_NRK.clone()
        self._same_N = torch.full((len(self._frozen_NHW),), self._frozen_NHW[0].numel())
        self._next = 0

    def read(self, candidate: nn.Module) -> ProbeReading:
        """Ask the candidate about the next sample."""
        number = self._next
        self._next = (number + 1) % len(self._images_NHWC)
        self._answers_NHW[number] = self._answer(candidate, number)[0]
        self._count(number)
        share_K = _shares(self._counts_NRK)
        lost_K = (self._frozen_shares_K >= OFTEN) & (share_K < HARDLY * self._frozen_shares_K)
        return ProbeReading(
            newest_agreement=float(self._same_N[number] / self._frozen_NHW[number].numel()),
            agreement=float(self._same_N.sum() / self._frozen_NHW.numel()),
            miou=_miou(self._counts_NRK),
            miou_frozen=self._miou_frozen,
            lost_class=int(lost_K.float().argmax()) if bool(lost_K.any()) else None,
        )

    def state(self) -> State:
        """What candidates answered lately, and whose turn it is."""
        return {"answers": self._answers_NHW.clone(), "next": self._next}

    def load_state(self, state: State) -> None:
        """Go on from `state`, of a probe with the same samples."""
        match state:
            case {"answers": Tensor() as seen_NHW, "next": int(number)} if seen_NHW.shape == self._frozen_NHW.shape:
                self._answers_NHW, self._next = seen_NHW, number
                for sample in range(len(seen_NHW)):
                    self._count(sample)
            case _:
                raise ValueError("not the state of a probe with these samples")

    def _answer(self, model: nn.Module, number: int) -> Tensor:
        """Labels of one sample, (1, H, W) on the host."""
        image_1HWC = self._images_NHWC[number : number + 1]
        with torch.no_grad():
            with answering(model, self._device):
                logits_1KHW = model(normalise(image_1HWC.to(self._device))).float()
            return labels_of(logits_1KHW, (image_1HWC.shape[1], image_1HWC.shape[2])).cpu()

    def _count(self, number: int) -> None:
        """Counts of one sample's newest answer."""
        self._counts_NRK[number] = self._counts(number, self._answers_NHW[number])
        self._same_N[number] = (self._answers_NHW[number] == self._frozen_NHW[number]).sum()

    def _counts(self, number: int, answer_HW: Tensor) -> Tensor:
        """Pixels (R, K) by label and answer."""
        num = self._num_classes
        cells_P = (self._rows_NHW[number] + answer_HW).flatten()
        return torch.bincount(cells_P, minlength=(num + 1) * num).view(num + 1, num)


def _shares(counts_NRK: Tensor) -> Tensor:
    counts_K = counts_NRK.sum((0, 1))
    return counts_K / counts_K.sum()


def _miou(counts_NRK: Tensor) -> float:
    """Mean over the classes that occur where labels are known, as `evaluation.confusion` has it; nan of none."""
    counts_KK = counts_NRK.sum(0)[:-1]
    hits_K = counts_KK.diagonal()
    union_K = counts_KK.sum(0) + counts_KK.sum(1) - hits_K
    return float((hits_K[union_K > 0] / union_K[union_K > 0]).mean())
