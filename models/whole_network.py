"""Networks of other people's making: any module that gives logits, as a segmentation model of one part.

    model = whole_network("package.module:function", module, num_classes=19)

The module is the encoder, its logits its one feature map, and the head passes them on. Such a model has neither blocks
for adapters nor a head of its own: its norms can be adapted, or all of it.
"""

# B batch, K classes, H height, W width, h w of logits

import importlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.class_choice import ClassChoice
from models.encoder import ModelUnsuitable
from models.head import Head
from models.mit import NUM_STAGES
from models.points import at_points
from models.renormalise import IMAGENET_MEAN, IMAGENET_STD
from models.segformer import SegmentationModel
from models.timm_encoder import Entry

PROBE_HW = (64, 128)


class WholeNetwork(nn.Module):
    """The module, seen as an encoder: (B, 3, H, W) normalised images to one map, its logits."""

    is_restartable = False

    def __init__(self, module: nn.Module, *, num_classes: int, entry: Entry) -> None:
        super().__init__()
        self.channels = (num_classes,)
        self.entry = entry
        self.module = module

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        return [self.module(self.entry(x_B3HW))]

    def run_stages(self, x_BCHW: Tensor, *, start: int = 0, stop: int = NUM_STAGES) -> list[Tensor]:
        """All of it or nothing: there is one stage."""
        return self(x_BCHW) if start == 0 and stop > 0 else []

    def fitted(self, size_HW: tuple[int, int]) -> tuple[int, int]:
        """The size the module is shown for an image of this one; any, as far as is known."""
        return self.entry.fitted(size_HW)

    def stage_of(self, _: str) -> int:
        """The first, whatever the name."""
        return 0


class PassingHead(Head):
    """Logits in, logits out; the embedding is the logits as the module gives them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed_channels = num_classes
        self.choice = ClassChoice()

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        return features[-1]

    def classify(self, embedding_BEHW: Tensor) -> Tensor:
        logits_BKHW: Tensor = self.choice(embedding_BEHW)
        return logits_BKHW

    def forward_at(self, features: Sequence[Tensor], points_BN: Tensor) -> Tensor:
        return at_points(self(features), points_BN)


def whole_network(
    name: str, module: nn.Module, *, num_classes: int, entry: Entry | None = None
) -> SegmentationModel:
    """The module as a model; ModelUnsuitable where a small image does not give (1, K, h, w) logits.

    `entry` prepares images for it; by default it gets them with ImageNet's statistics, at their own size.
    """
    encoder = WholeNetwork(module, num_classes=num_classes, entry=entry or Entry(IMAGENET_MEAN, IMAGENET_STD))
    was_training = module.training
    module.eval()
    with torch.no_grad():
        try:
            (logits,) = encoder(torch.zeros(1, 3, *PROBE_HW))
        except Exception as error:  # whatever a stranger's network may raise
            raise ModelUnsuitable(f"{name}: fails on a 1x3x{PROBE_HW[0]}x{PROBE_HW[1]} image ({error})") from error
    module.train(was_training)
    if not isinstance(logits, Tensor) or logits.ndim != 4 or logits.shape[:2] != (1, num_classes):
        got = f"a tensor {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelUnsuitable(
            f"{name}: its module gave {got} for one image, expected logits (1, {num_classes}, h, w); wrap it so that "
            "forward returns those"
        )
    return SegmentationModel(name, encoder, PassingHead(num_classes))


def build_imported(name: str, num_classes: int) -> SegmentationModel:
    """What `package.module:function`, called with the number of classes, returns, weights and all.

    Imports and runs that code, so a name must come from the user and never from a file. ModelUnsuitable where it
    cannot be.
    """
    module_name, _, function_name = name.partition(":")
    try:
        function = vars(importlib.import_module(module_name)).get(function_name)
    except ImportError as error:
        raise ModelUnsuitable(
            f"{name}: {module_name} cannot be imported ({error}); is its folder on PYTHONPATH?"
        ) from error
    if not callable(function):
        raise ModelUnsuitable(f"{name}: {module_name} has no function {function_name!r} that builds a model")
    network = function(num_classes)
    if not isinstance(network, nn.Module):
        raise ModelUnsuitable(f"{name}: returned {type(network).__name__}, expected a torch.nn.Module")
    return whole_network(name, network, num_classes=num_classes)
