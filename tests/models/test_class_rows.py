"""Classes taken by number: the logits are those of the rows, and what is not there is never answered."""

import pytest
import torch

from models.class_rows import take_classes
from models.deeplab import DeepLabV2Head
from models.light_decoder import LightDecoder
from models.zoo import build_model


@pytest.mark.parametrize("name", ["segformer_b0", "daformer_b0"])
def test_logits_are_those_of_the_rows(name) -> None:
    torch.manual_seed(0)
    model = build_model(name, num_classes=4).eval()
    decoder = LightDecoder.of(model) if name == "segformer_b0" else None
    torch.nn.init.normal_(model.head.classifier.bias, mean=-50.0)
    x, stage_1 = torch.randn(1, 3, 64, 64), torch.randn(1, 32, 8, 8)
    with torch.no_grad():
        before, light_before = model(x), None if decoder is None else decoder(stage_1)
        take_classes(model, decoder, (2, None, 0, 2, 3))
        after = model(x)
        assert model.num_classes == after.shape[1] == model.head.classifier.out_channels == 5
        torch.testing.assert_close(after[:, [0, 2, 3, 4]], before[:, [2, 0, 2, 3]])
        assert not (after.argmax(dim=1) == 1).any() and torch.isfinite(after.log_softmax(dim=1)).all()
        if light_before is not None:
            torch.testing.assert_close(decoder(stage_1)[:, [0, 2]], light_before[:, [2, 0]])


def test_classifiers_that_are_summed_are_picked_from_alike() -> None:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=4)
    model.head = DeepLabV2Head(model.encoder.channels, num_classes=4)
    model.eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        take_classes(model, None, (1, None, 0))
        after = model(x)
    assert model.num_classes == after.shape[1] == 3 and not (after.argmax(dim=1) == 1).any()
    torch.testing.assert_close(after[:, [0, 2]], before[:, [1, 0]])
