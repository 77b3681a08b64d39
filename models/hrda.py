"""HRDA: the whole image at half its resolution, windows of it at full resolution, and a learnt say of which to trust.

Hoyer et al. 2022, arXiv 2204.13132, section 3. One encoder and one head serve both. The whole image, halved, is the
context; details are windows of the context's size, so of half the image's height and width. A second, light head reads
the context's features and says, per pixel and class, how far the detail is to be believed. Answers are fused at the
details' resolution, a being a sigmoid:

    up((1 - a) context) + up(a) details

To answer, nine windows that overlap by half cover the image, their logits averaged. Each is a quarter of the image, and
so is the context: a pass costs two and a half of the network's own at that size, and more than that in time where the
network is quicker on one large image than on ten small ones. In supervised training one detail at a random place does,
and outside of it the context alone answers: half of the network's own cost.

    model = hrda_of("hrda:segformer_b0", build_model("segformer_b0", num_classes=19))

Here context and details go through encoder and head as one batch, image by image, context first: any encoder and head
do, stages stay restartable, and a batch norm in training sees both at once, where the released code shows it one after
the other. Sides are stretched to multiples of 32 pixels (of four patches, where those have more than 8) and to 64 at
least, so that windows lie on the grid of the answers. Attention is read by SegFormer's head with 256 channels, which is
what the released code has for DAFormer.
"""

# B batch, V views of an image (context, then windows row by row), C channels, K classes
# H W of an image, and of logits for the whole of it in detail; h w of a view, half of that

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.class_choice import ClassChoice
from models.encoder import Encoder
from models.head import Head
from models.mit import NUM_STAGES
from models.segformer import SegFormerHead, SegmentationModel
from models.supervision import Supervised

PREFIX = "hrda:"
GRID = 3  # windows across, and down, half a window apart
NUM_VIEWS = 1 + GRID * GRID
FINEST = 8  # pixels; a window of the grid begins at a multiple of this, or of a patch
SMALLEST = 64  # pixels; half of it is what MiT's reduced keys need
ATTENTION_CHANNELS = 256
DETAIL_WEIGHT = 0.1  # lambda_d of the paper's loss


class HrdaEncoder(nn.Module):
    """(B, 3, H, W) images to four maps (B V, C_i, h_i, w_i), the views of an image one after the other."""

    def __init__(self, base: Encoder) -> None:
        super().__init__()
        self.base: Encoder = base

    @property
    def channels(self) -> Sequence[int]:
        return self.base.channels

    @property
    def is_restartable(self) -> bool:
        return self.base.is_restartable

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        return self.run_stages(x_B3HW)

    def run_stages(self, x_BCHW: Tensor, *, start: int = 0, stop: int = NUM_STAGES) -> list[Tensor]:
        """As the base's: stage 0 reads the images, later ones the maps of all their views."""
        if start > 0:
            return self.base.run_stages(x_BCHW, start=start, stop=stop)
        image_B3HW = self._stretched(x_BCHW)
        h, w = image_B3HW.shape[-2] // 2, image_B3HW.shape[-1] // 2
        return self.base.run_stages(_views(image_B3HW, grid_corners(h, w)), stop=stop)

    def with_one_detail(self, x_B3HW: Tensor) -> tuple[list[Tensor], tuple[float, float]]:
        """Maps of two views, the context and a window, and where that lies: top and left in sides of the window.

        The same place for the batch, drawn from torch's own generator; twice as coarse as the grid's, so that it lies
        on the grid of the context's answers.
        """
        image_B3HW = self._stretched(x_B3HW)
        h, w = image_B3HW.shape[-2] // 2, image_B3HW.shape[-1] // 2
        steps = [side // (2 * place) for side, place in zip((h, w), self._places(), strict=True)]
        top, left = (int(torch.randint(num + 1, ())) / num for num in steps)
        return self.base(_views(image_B3HW, [(round(top * h), round(left * w))])), (top, left)

    def fitted(self, size_HW: tuple[int, int]) -> tuple[int, int]:
        """The size images of this one are stretched to."""
        sides = (max(side, SMALLEST) for side in size_HW)
        height, width = (-(-side // (4 * at)) * 4 * at for side, at in zip(sides, self._places(), strict=True))
        return height, width

    def stage_of(self, name: str) -> int:
        """That of the base's tensor or module."""
        return self.base.stage_of(name.removeprefix("base."))

    def _stretched(self, x_B3HW: Tensor) -> Tensor:
        size_HW = (x_B3HW.shape[2], x_B3HW.shape[3])
        fitted_HW = self.fitted(size_HW)
        if fitted_HW == size_HW:
            return x_B3HW
        return F.interpolate(x_B3HW, size=fitted_HW, mode="bilinear", align_corners=False)

    def _places(self) -> tuple[int, int]:
        """Windows begin at multiples of this, down and across: where the base's patches do, if it has large ones."""
        patch_HW = self.base.fitted((1, 1))
        if self.base.fitted((patch_HW[0] + 1, patch_HW[1] + 1)) == patch_HW:  # whatever the size, it is shown this one
            return FINEST, FINEST
        down, across = (side if side >= FINEST else math.lcm(side, FINEST) for side in patch_HW)
        return down, across


class HrdaHead(Head):
    """Maps of the views to logits (B, K, H, W). The embedding is these: no linear classifier gives what is fused."""

    def __init__(self, base: Head, *, channels: Sequence[int]) -> None:
        super().__init__()
        self.num_classes = base.num_classes
        self.embed_channels = base.num_classes
        self.base = base
        self.attention = SegFormerHead(channels, embed_channels=ATTENTION_CHANNELS, num_classes=base.num_classes)
        self.choice = ClassChoice()

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """Context and all windows of the grid, fused."""
        logits_BVKhw = _by_image(_on_even_grid(self.base(features)), NUM_VIEWS)
        context_BKhw, details_BKHW = logits_BVKhw[:, 0], stitched(logits_BVKhw[:, 1:])
        return fused(context_BKhw, details_BKHW, self._attention(features, NUM_VIEWS, context_BKhw))

    def classify(self, embedding_BEHW: Tensor) -> Tensor:
        """The embedding, or the classes taken of it."""
        logits_BKHW: Tensor = self.choice(embedding_BEHW)
        return logits_BKHW

    def supervised_with_one_detail(
        self, features: Sequence[Tensor], place: tuple[float, float], *, detail_weight: float = DETAIL_WEIGHT
    ) -> list[Supervised]:
        """What is fused, and with `detail_weight` of the loss the detail, of every answer that the base learns from."""
        answers = []
        for answer in self.base.supervised(features):
            logits_B2Khw = _by_image(_on_even_grid(answer.logits_BKhw), 2)
            context_BKhw, detail_BKhw = logits_B2Khw[:, 0], logits_B2Khw[:, 1]
            h, w = context_BKhw.shape[-2:]
            top, left = (2 * round(share * side / 2) for share, side in zip(place, (h, w), strict=True))
            around = (left, w - left, top, h - top)
            is_there_hw = F.pad(context_BKhw.new_ones(h // 2, w // 2), [side // 2 for side in around])
            a_BKhw = self._attention(features, 2, context_BKhw) * is_there_hw
            fused_BKHW = fused(context_BKhw, F.pad(detail_BKhw, around), a_BKhw)
            answers.append(Supervised(fused_BKHW, answer.weight * (1.0 - detail_weight)))
            answers.append(Supervised(detail_BKhw, answer.weight * detail_weight, (2 * h, 2 * w), (top, left)))
        return answers

    def _attention(self, features: Sequence[Tensor], num_views: int, context_BKhw: Tensor) -> Tensor:
        """How far to believe the detail, 0 to 1, at the size of the context's logits."""
        of_context = [_by_image(map_VChw, num_views)[:, 0] for map_VChw in features]
        said_BKhw: Tensor = self.attention(of_context)
        if said_BKhw.shape[-2:] != context_BKhw.shape[-2:]:
            said_BKhw = F.interpolate(said_BKhw, size=context_BKhw.shape[-2:], mode="bilinear", align_corners=False)
        return said_BKhw.sigmoid()


class HrdaModel(SegmentationModel):
    """Answers from a grid of details, learns its source from one detail at a time."""

    encoder: HrdaEncoder
    head: HrdaHead

    def supervised(self, x_B3HW: Tensor) -> list[Supervised]:
        features, place = self.encoder.with_one_detail(x_B3HW)
        return self.head.supervised_with_one_detail(features, place)


def hrda_of(name: str, model: SegmentationModel) -> HrdaModel:
    """The model's encoder and head within HRDA; attention is drawn from torch's global generator."""
    head = HrdaHead(model.head, channels=model.encoder.channels)
    return HrdaModel(name, HrdaEncoder(model.encoder), head)


def grid_corners(h: int, w: int) -> list[tuple[int, int]]:
    """Top and left of the windows of h by w that cover an image of twice that, row by row."""
    return [(row * h // 2, column * w // 2) for row in range(GRID) for column in range(GRID)]


def stitched(windows_BVKhw: Tensor) -> Tensor:
    """Windows of the grid as one picture (B, K, 2 h, 2 w), the mean where several show the same."""
    B, _, K, h, w = windows_BVKhw.shape
    sum_BKHW = windows_BVKhw.new_zeros(B, 2 * h, 2 * w, K).permute(0, 3, 1, 2)
    num_HW = windows_BVKhw.new_zeros(2 * h, 2 * w)
    for index, (top, left) in enumerate(grid_corners(h, w)):
        sum_BKHW[:, :, top : top + h, left : left + w] += windows_BVKhw[:, index]
        num_HW[top : top + h, left : left + w] += 1.0
    return sum_BKHW / num_HW


def fused(context_BKhw: Tensor, details_BKHW: Tensor, a_BKhw: Tensor) -> Tensor:
    """up((1 - a) context) + up(a) details, (B, K, H, W)."""
    size_HW = details_BKHW.shape[-2:]
    believed_BKHW = F.interpolate(a_BKhw, size=size_HW, mode="bilinear", align_corners=False)
    rest_BKHW = F.interpolate((1.0 - a_BKhw) * context_BKhw, size=size_HW, mode="bilinear", align_corners=False)
    return torch.addcmul(rest_BKHW, believed_BKHW, details_BKHW)


def _views(image_B3HW: Tensor, corners: Sequence[tuple[int, int]]) -> Tensor:
    """The halved image and its windows at the corners, (B V, 3, h, w)."""
    h, w = image_B3HW.shape[-2] // 2, image_B3HW.shape[-1] // 2
    context_B3hw = F.interpolate(image_B3HW, size=(h, w), mode="bilinear", align_corners=False)
    windows = [image_B3HW[:, :, top : top + h, left : left + w] for top, left in corners]
    return torch.stack([context_B3hw, *windows], dim=1).flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _by_image(map_VCHW: Tensor, num_views: int) -> Tensor:
    """(B V, C, h, w) to (B, V, C, h, w)."""
    return map_VCHW.view(-1, num_views, *map_VCHW.shape[1:])


def _on_even_grid(logits_BKhw: Tensor) -> Tensor:
    """Windows lie half a side apart; networks that take one size alone may answer on an odd grid."""
    h, w = logits_BKhw.shape[-2:]
    if h % 2 == 0 and w % 2 == 0:
        return logits_BKhw
    return F.interpolate(logits_BKhw, size=(h + h % 2, w + w % 2), mode="bilinear", align_corners=False)
