"""Target-styled replay, the default method: true labels under the weather just seen.

Each step learns from a labelled source sample styled like the frames just seen (`styling.py`), and every other one from
a clean one too, which keeps what the model knows of the source. Served labels say where sky and ground are and nothing
else, and that only as far as they are believed (`usual_layout.py`): no pseudo-label is learnt, so nothing can be
confirmed by its own mistakes.
"""

# B batch, H height, W width (of images; a quarter of it for logits), C channels, K classes

import torch
from torch import Tensor

from models.losses import cross_entropy, shrink_labels
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from replay.augment import CropRule, random_flip, random_window, share_of
from replay.buffer import ReplayBuffer
from runtime.adaptation.method import Method, Target
from runtime.adaptation.styling import Style, Styler
from runtime.state import State, state_of

CLEAN_PERIOD = 2  # losses; without any, gains in rain stay and mild weather loses a point (ablation_synthetic.md)
CROP_SHARE = 0.5
WHOLE_PIXELS = 256 * 256  # images up to this size are not cropped
NUM_MEASURED = 64  # source samples whose look is measured at start


class StyledReplay(Method):
    """Owns its replay buffer. A sample takes the target's look; in every CLEAN_PERIOD-th loss another keeps its own.

    Samples are mirrored before styling (the model has seen the plain ones in training and knows them by heart) and
    large ones cropped to a quarter: a step costs a third of one on three crops of 0.75 x 0.75, and two points of mIoU
    in rain. Small images stay whole: at 180x240 crops cost 3 points of mIoU in light rain. All are drawn equally often:
    with rare classes first, a model that can hardly see found more of them than there are.
    """

    def __init__(
        self,
        replay: ReplayBuffer,
        *,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        self._replay = replay
        self._device = device
        self._generator = generator
        self._num_losses = 0
        images_NHWC, labels_NHW = replay.gather(torch.arange(min(len(replay), NUM_MEASURED)))
        self._styler = Styler(images_NHWC, labels_NHW, generator=generator)

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Mean cross-entropy over styled and clean samples' pixels."""
        style = self._styler.read(to_tensor(target.image_HWC), torch.from_numpy(target.labels_HW))
        rule = CropRule(crop_size(self._replay.size_HW, target.crop_share), scale_range=(1.0, 1.0))
        crops = [self._sample(style, rule)]
        if self._num_losses % CLEAN_PERIOD == 0:
            crops.append(self._sample(None, rule))
        self._num_losses += 1
        images_BHWC = torch.stack([image for image, _ in crops]).to(self._device)
        labels_BHW = torch.stack([label for _, label in crops])
        logits_BKHW = student(normalise(images_BHWC))
        return cross_entropy(logits_BKHW, shrink_labels(labels_BHW, logits_BKHW.shape[-2:]).to(self._device))

    def state(self) -> State:
        """What the stream looks like, and how near the next clean sample is."""
        return {"styler": state_of(self._styler), "num_losses": self._num_losses}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"styler": dict(styler), "num_losses": int(num_losses)}:
                self._styler.load_state(styler)
                self._num_losses = num_losses
            case _:
                raise ValueError(f"not the state of styled replay: it has the keys {sorted(state)}")

    def _sample(self, style: Style | None, rule: CropRule) -> tuple[Tensor, Tensor]:
        """One augmented crop of the source, in `style` or as it is: uint8 (H, W, 3) and (H, W)."""
        (image,), (label,) = self._replay.gather(torch.tensor([self._replay.draw_any()]))
        image, label = random_flip(image, label, generator=self._generator)
        window = random_window(label, rule=rule, generator=self._generator)
        crop = label[window.rows, window.columns]
        if style is None:
            return image[window.rows, window.columns], crop
        return self._styler.apply(image, label, style, window), crop


def crop_size(size_HW: tuple[int, int], share: float) -> tuple[int, int]:
    """CROP_SHARE of each side, small images whole, and of that the share asked for."""
    own = 1.0 if size_HW[0] * size_HW[1] <= WHOLE_PIXELS else CROP_SHARE
    return share_of(size_HW, own * share)
