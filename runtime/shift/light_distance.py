"""Distance between a light decoder and the served answer: how strange a frame looks to the first stage.

    decoder = light_decoder_of(frozen, replay)      # at start, a few seconds at most
    distance = LightDistance(frozen, decoder)
    d = distance.of_frame(image_HWC, served_labels_HW)

HAMLET, Colomer et al., ICCV 2023, arXiv 2307.15063: the cross-entropy of the frozen stage-1 decoder's logits against
the labels that were served, mean over pixels. It grows as a frame leaves the source, needs no label of the stream and
costs a stage. Published with a decoder trained with the network; here one is fitted to the frozen network's first stage
on labelled source samples, by a fixed number of steps on sampled pixels, so that the time is bounded and a seed fixes
the result.
"""

# N samples, B batch, H height, W width (of images; a quarter of it for features), C channels of stage 1, K classes,
# P pixels

import numpy as np
import torch
from torch import Tensor

from models.light_decoder import LightDecoder
from models.losses import IGNORE_LABEL, cross_entropy, shrink_labels
from models.preprocess import labels_of, normalise, to_tensor, upsample_logits
from models.segformer import SegmentationModel
from replay.buffer import ReplayBuffer
from runtime.optimizers import AdamW

STEPS = 200
PIXELS_PER_STEP = 1024
PIXELS_PER_SAMPLE = 1024
LEARNING_RATE = 1e-3
FIT_SAMPLES = 64  # source samples the light decoder is fitted to


class LightDistance:
    """Reads frames with the first stage of `frozen`, whose weights never move, and a light decoder in eval mode."""

    def __init__(self, frozen: SegmentationModel, decoder: LightDecoder) -> None:
        self._frozen = frozen
        self._decoder = decoder
        self._device = next(frozen.parameters()).device

    def of_frame(self, image_HWC: np.ndarray, labels_HW: np.ndarray, *, at_full_size: bool = False) -> float:
        """In nats, of one uint8 RGB frame and the labels it was given; `at_full_size` as published, else at stride 4.

        Waits for the device: not for the serving path.
        """
        images_BHWC, labels_BHW = to_tensor(image_HWC)[None], to_tensor(labels_HW)[None]
        return float(light_distance(self.logits(images_BHWC), labels_BHW.to(self._device), at_full_size=at_full_size))

    def of_source(self, images_NHWC: Tensor) -> list[float]:
        """Of samples, one by one, against what the frozen network itself says of them: what it reads at home."""
        height, width = images_NHWC.shape[1:3]
        distances = []
        with torch.no_grad():
            for image_HWC in images_NHWC:
                features = self._frozen.encoder(normalise(image_HWC[None].to(self._device)))
                labels_BHW = labels_of(self._frozen.head(features), (height, width))
                distances.append(float(light_distance(self._decoder(features[0]), labels_BHW)))
        return distances

    def logits(self, images_BHWC: Tensor) -> Tensor:
        """What the light decoder says of uint8 RGB images, (B, K, H / 4, W / 4)."""
        with torch.no_grad():
            features_BCHW = self._frozen.encoder.run_stages(normalise(images_BHWC.to(self._device)), stop=1)[0]
            logits_BKHW: Tensor = self._decoder(features_BCHW)
            return logits_BKHW


def light_distance(logits_BKHW: Tensor, labels_BHW: Tensor, *, at_full_size: bool = False) -> Tensor:
    """Cross-entropy in nats of a light decoder's logits against labels (uint8, at the image's size)."""
    height, width = labels_BHW.shape[-2:]
    if at_full_size:
        return cross_entropy(upsample_logits(logits_BKHW, (height, width)), labels_BHW)
    return cross_entropy(logits_BKHW, shrink_labels(labels_BHW, logits_BKHW.shape[-2:]))


def light_decoder_of(frozen: SegmentationModel, replay: ReplayBuffer) -> LightDecoder:
    """Fitted to the first samples held, at most two thirds of them: the others are for calibration."""
    num = min(FIT_SAMPLES, max(1, len(replay) * 2 // 3))
    return fitted_light_decoder(frozen, *replay.gather(torch.arange(num)))


def fitted_light_decoder(
    frozen: SegmentationModel, images_NHWC: Tensor, labels_NHW: Tensor, *, seed: int = 0, num_steps: int = STEPS
) -> LightDecoder:
    """A light decoder for the first stage of `frozen`, trained on labelled samples (uint8); in eval mode.

    AdamW on the cross-entropy of pixels drawn from a pool of at most PIXELS_PER_SAMPLE a sample; the embedding is the
    network's own and stays. ValueError where no pixel is labelled.
    """
    generator = torch.Generator().manual_seed(seed)
    device = next(frozen.parameters()).device
    features_PC, labels_P = _pixels(frozen, images_NHWC, labels_NHW, generator)
    decoder = LightDecoder.of(frozen).train()
    trained = [p for name, p in decoder.named_parameters() if not name.startswith("embed.")]
    optimizer = AdamW(trained, lr=LEARNING_RATE)
    with torch.enable_grad():
        for _ in range(num_steps):
            chosen = torch.randint(len(labels_P), (PIXELS_PER_STEP,), generator=generator).to(device)
            loss = torch.nn.functional.cross_entropy(decoder.of_pixels(features_PC[chosen]), labels_P[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss, inputs=trained)
            optimizer.step()
    return decoder.requires_grad_(False).eval()


def _pixels(
    frozen: SegmentationModel, images_NHWC: Tensor, labels_NHW: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Stage-1 features (P, C) and labels (P,) of labelled pixels drawn without replacement from every sample."""
    device = next(frozen.parameters()).device
    features, labels = [], []
    for image_HWC, label_HW in zip(images_NHWC, labels_NHW, strict=True):
        with torch.no_grad():
            feature_BCHW = frozen.encoder.run_stages(normalise(image_HWC[None].to(device)), stop=1)[0]
        label_P = shrink_labels(label_HW[None], feature_BCHW.shape[-2:]).flatten().long()
        order = torch.randperm(len(label_P), generator=generator)
        chosen = order[label_P[order] != IGNORE_LABEL][:PIXELS_PER_SAMPLE]
        features.append(feature_BCHW.permute(0, 2, 3, 1).flatten(0, 2)[chosen.to(device)])
        labels.append(label_P[chosen].to(device))
    if not sum(len(part) for part in labels):
        raise ValueError("no source sample has a labelled pixel to fit a light decoder to; check the replayed labels")
    return torch.cat(features), torch.cat(labels)
