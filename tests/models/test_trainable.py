"""What learns, learns; what is frozen stays so, bit for bit, and is held in memory once."""

import pytest
import torch

from models.adapters import AdapterConfig, attach_adapters
from models.losses import cross_entropy
from models.segformer import SegmentationModel
from models.trainable import (
    MODES,
    adaptable_tensors,
    copy_adaptable,
    frozen_digest,
    load_adaptable,
    only_learning,
    outermost_parameters,
    replica,
    set_trainable,
    trainable_parameters,
)
from models.zoo import build_model

X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 19, (2, 16, 16), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def model() -> SegmentationModel:
    torch.manual_seed(0)
    return attach_adapters(build_model("segformer_b0", num_classes=19), AdapterConfig(stages=(3, 4))).eval()


def learn(model: SegmentationModel, *, steps: int = 2) -> None:
    """With momentum and weight decay, which move a parameter that was merely given no gradient."""
    optimizer = torch.optim.AdamW(trainable_parameters(model), lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(X), LABELS).backward()
        optimizer.step()


def pointers(model: SegmentationModel) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


@pytest.mark.parametrize("mode", MODES)
def test_learning_changes_the_adaptable_tensors_and_no_other(model: SegmentationModel, mode: str) -> None:
    set_trainable(model, mode)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    digest = frozen_digest(model)
    learn(model.train())
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    changed.discard("head.bn.num_batches_tracked")
    settable = {"head.bn.running_mean", "head.bn.running_var", "head.classifier.bias"}
    assert changed | settable >= set(adaptable_tensors(model)) >= changed
    assert frozen_digest(model) == digest


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "full"])
def test_frozen_modules_stay_in_eval_mode(model: SegmentationModel, mode: str) -> None:
    set_trainable(model, mode)
    model.train()
    assert not any(module.training for name, module in model.encoder.named_modules() if "adapter" not in name)
    assert not model.head.bn.training
    assert model.head.dropout.training == ("head" in mode)
    model.eval()
    assert not any(module.training for module in model.modules())


def test_full_trains_every_module(model: SegmentationModel) -> None:
    set_trainable(model, "head")
    set_trainable(model, "full")
    assert all(module.training for module in model.train().modules())


def test_report_counts_by_group(model: SegmentationModel) -> None:
    report = set_trainable(model, "adapters+head")
    width_3, width_4 = 160 // 4, 256 // 4
    adapters = 2 * (2 * 160 * width_3 + 160 + width_3) + 2 * (2 * 256 * width_4 + 256 + width_4)
    assert dict(report.trainable_by_group) == {"adapters": adapters, "head": 399_635, "norm": 0, "encoder": 0}
    assert report.total == 3_719_027 + adapters
    assert report.trainable == sum(parameter.numel() for parameter in trainable_parameters(model))
    assert len(report.names) == len(trainable_parameters(model))
    assert str(report).startswith(f"trainable = adapters+head: {report.trainable:,} of {report.total:,} parameters")


def test_norm_mode_trains_only_norms(model: SegmentationModel) -> None:
    report = set_trainable(model, "norm")
    assert all("norm" in name or ".bn." in name for name in report.names)
    assert {"head.bn.running_mean", "head.bn.running_var"} <= set(adaptable_tensors(model))


def test_the_bias_of_the_classes_may_be_set_but_does_not_learn_in_norm_mode(model: SegmentationModel) -> None:
    report = set_trainable(model, "norm")
    assert "head.classifier.bias" in adaptable_tensors(model) and "head.classifier.bias" not in report.names
    twin, bias_K = replica(model), model.head.classifier.bias
    assert bias_K is not None and twin.head.classifier.bias is not None and not bias_K.requires_grad
    assert twin.head.classifier.bias.data_ptr() != bias_K.data_ptr()
    set_trainable(model, "adapters")
    assert "head.classifier.bias" not in adaptable_tensors(model)


@pytest.mark.parametrize(
    ("mode", "prefix"),
    [
        ("adapters+head", "head."),
        ("head", "head."),
        ("norm", "head.bn."),
        ("full", "head."),
        ("adapters", "encoder.stages.3."),
    ],
)
def test_the_outermost_part_is_the_head_or_what_learns_nearest_to_it(
    model: SegmentationModel, mode: str, prefix: str
) -> None:
    set_trainable(model, mode)
    outermost = {id(parameter) for parameter in outermost_parameters(model)}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in outermost) == (parameter.requires_grad and name.startswith(prefix)), name


@pytest.mark.parametrize("mode", MODES)
def test_only_what_was_chosen_gets_gradients_and_the_choice_ends(model: SegmentationModel, mode: str) -> None:
    set_trainable(model, mode)
    learning = trainable_parameters(model)
    chosen = outermost_parameters(model)
    with only_learning(model, chosen):
        cross_entropy(model(X), LABELS).backward()
    assert {id(p) for p in learning if p.grad is not None} == {id(p) for p in chosen}
    assert [id(p) for p in trainable_parameters(model)] == [id(p) for p in learning]
    model.zero_grad()
    cross_entropy(model(X), LABELS).backward()
    assert all(p.grad is not None for p in learning)


def test_the_gradients_of_the_outermost_part_are_those_of_a_full_pass(model: SegmentationModel) -> None:
    set_trainable(model, "adapters+head")
    chosen = outermost_parameters(model)
    gradients = []
    for what_learns in (trainable_parameters(model), chosen):
        model.zero_grad()
        with only_learning(model, what_learns):
            cross_entropy(model(X), LABELS).backward()
        gradients.append([p.grad.clone() for p in chosen if p.grad is not None])
    assert all(torch.equal(full, short) for full, short in zip(*gradients, strict=True))


def test_a_failure_within_ends_the_choice_too(model: SegmentationModel) -> None:
    set_trainable(model, "adapters+head")
    num_learning = len(trainable_parameters(model))
    with pytest.raises(KeyError), only_learning(model, outermost_parameters(model)):
        raise KeyError
    assert len(trainable_parameters(model)) == num_learning


def test_stale_gradients_are_dropped(model: SegmentationModel) -> None:
    set_trainable(model, "full")
    cross_entropy(model(X), LABELS).backward()
    set_trainable(model, "head")
    assert all(parameter.grad is None for parameter in model.parameters())


def test_replica_shares_frozen_storage_and_owns_the_rest(model: SegmentationModel) -> None:
    set_trainable(model, "adapters+head")
    twin = replica(model)
    assert torch.equal(twin(X), model(X))
    ours, theirs, adaptable = pointers(model), pointers(twin), set(adaptable_tensors(model))
    assert {name for name in ours if ours[name] != theirs[name]} == adaptable
    learn(twin)
    assert frozen_digest(twin) == frozen_digest(model)
    assert not torch.equal(twin(X), model(X))


def test_load_swaps_pointers_and_changes_the_answer(model: SegmentationModel) -> None:
    set_trainable(model, "norm")
    served = replica(model)
    model.head.bn.running_mean.add_(0.5)
    learn(model)
    published = {name: tensor.clone() for name, tensor in adaptable_tensors(model).items()}
    load_adaptable(served, published)
    assert torch.equal(served(X), model(X))
    assert {name: tensor.data_ptr() for name, tensor in adaptable_tensors(served).items()} == {
        name: tensor.data_ptr() for name, tensor in published.items()
    }


def test_copy_keeps_the_models_own_memory(model: SegmentationModel) -> None:
    set_trainable(model, "adapters+head")
    source = {name: tensor.clone() for name, tensor in adaptable_tensors(model).items()}
    memory = pointers(model)
    learn(model)
    copy_adaptable(model, source)
    assert pointers(model) == memory
    assert all(torch.equal(tensor, source[name]) for name, tensor in adaptable_tensors(model).items())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "head.classifier.bias is missing"),
        ("foreign", "head.other is not adaptable"),
        ("shape", r"head.classifier.bias must be torch.float32 \(19,\).*got torch.float32 \(20,\)"),
        ("dtype", "head.classifier.bias must be torch.float32.*got torch.float16"),
    ],
)
def test_load_is_strict_and_changes_nothing_on_failure(model: SegmentationModel, fault: str, message: str) -> None:
    set_trainable(model, "head")
    tensors = {name: torch.zeros_like(tensor) for name, tensor in adaptable_tensors(model).items()}
    if fault == "missing":
        del tensors["head.classifier.bias"]
    elif fault == "foreign":
        tensors["head.other"] = torch.zeros(1)
    else:
        tensors["head.classifier.bias"] = torch.zeros(20) if fault == "shape" else torch.zeros(19).half()
    before = pointers(model)
    with pytest.raises(ValueError, match=message):
        load_adaptable(model, tensors)
    assert pointers(model) == before


def test_digest_sees_one_bit_of_a_frozen_tensor(model: SegmentationModel) -> None:
    set_trainable(model, "head")
    digest = frozen_digest(model)
    weight = model.encoder.stages[0].patch_embed.proj.weight
    with torch.no_grad():
        weight.view(torch.int32).view(-1)[0] ^= 1
    assert frozen_digest(model) != digest


def test_adapters_mode_without_adapters_is_refused() -> None:
    with pytest.raises(ValueError, match="needs adapters and segformer_b0 has none"):
        set_trainable(build_model("segformer_b0", num_classes=2), "adapters+head")


def test_unknown_mode_is_refused(model: SegmentationModel) -> None:
    with pytest.raises(ValueError, match="must be one of adapters"):
        set_trainable(model, "everything")
