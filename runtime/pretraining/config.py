"""Configuration of `udaseg-runtime pretrain`, without torch so that `--help` is quick.

Read by `runtime.pretrain` alone; what lies below takes plain values. Settings left at None follow the data set and
device.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runtime.option_words import ConfigError, parse_size
from streams.datasets.labels import CITYSCAPES

Norm = Literal["all", "valid", "weight"]
Curve = Literal["cosine", "poly"]
Pipeline = Literal["own", "mmsegmentation", "daformer"]
OWN: Pipeline = "own"
SYNTHETIC = "synthetic"
SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class DatasetDefaults:
    """What suits a data set: frame and crop size (HxW)."""

    size: str
    crop: str


DATASET_DEFAULTS: dict[str, DatasetDefaults] = {
    SYNTHETIC: DatasetDefaults("256x512", "256x256"),
    "camvid": DatasetDefaults("180x240", "160x192"),
}
OTHER_DEFAULTS = DatasetDefaults("512x1024", "512x512")


@dataclass(frozen=True, slots=True)
class PipelineDefaults:
    """What a pipeline comes with: random scales, strength of the colour distortion, divisor of the loss, curve of the
    step size.
    """

    scale_range: tuple[float, float]
    photometric: float
    loss_norm: Norm
    curve: Curve


PIPELINES: dict[Pipeline, PipelineDefaults] = {
    OWN: PipelineDefaults((0.75, 1.75), 0.5, "valid", "cosine"),
    "mmsegmentation": PipelineDefaults((0.5, 2.0), 1.0, "all", "poly"),
    "daformer": PipelineDefaults((1.0, 1.0), 0.0, "all", "poly"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Train a source model on labelled clear-weather images and write its checkpoint."""

    out: Path
    """Checkpoint to write (.safetensors). Training saves its state beside it as OUT.partial and goes on from there."""
    dataset: str = SYNTHETIC
    """synthetic (the clear rendered world), or LAYOUT or LAYOUT:SPLIT; splits are joined with +."""
    data: Path | None = None
    """Folder of the data set; synthetic needs none."""
    model: str = "segformer_b0"
    """Architecture (see `udaseg-runtime models`)."""
    checkpoint: str | None = None
    """Checkpoint to begin from, of that architecture and in the Cityscapes classes: ours, or a converted encoder.
    Random weights by default."""
    encoder_weights: Path | None = None
    """File to begin the encoder with; random by default. For MiT encoders any that `checkpoint convert` reads, of an
    encoder or a whole network; for timm: models safetensors in timm's layout or its authors'; within hrda: alike."""
    validation: str | None = None
    """Split of the data set to score on, none by default; synthetic scores on unseen places by itself."""
    size: str | None = None
    """HxW images are brought to; synthetic 256x512, camvid 180x240 by default."""
    crop: str | None = None
    """HxW the network sees in training; synthetic 256x256, camvid 160x192 by default."""
    pipeline: Pipeline = OWN
    """How images become crops and the loss is divided: own is quick; mmsegmentation and daformer (its source images)
    follow the published rules step by step, from files in their own size."""
    resize: str | None = None
    """HxW the published pipelines bring images within, keeping their ratio, at scale 1; --size by default."""
    samples: int = 1500
    """Frames rendered for training on the synthetic world."""
    steps: int = 6000
    """Optimiser steps."""
    batch: int | None = None
    """Crops per step; 8 on a CPU, 32 on a GPU by default."""
    learning_rate: float = 1.5e-3
    """Peak step size of AdamW, after the warm-up over the first 5 % of the steps (at most 1500)."""
    schedule: Curve | None = None
    """How it falls to 0: along half a cosine, or evenly (poly); cosine for pipeline own, else poly, by default."""
    head_multiplier: float = 1.0
    """Factor on the head's step size."""
    weight_decay: float = 0.01
    """Decoupled weight decay; norms and biases have none."""
    ema_decay: float = 0.998
    """Per-step decay of the averaged weights, which are what is scored and written."""
    loss_norm: Norm | None = None
    """What the loss is divided by: the number of labelled pixels, that of all, or the sum of class weights; by default
    valid for pipeline own, else all."""
    class_weights: str | None = None
    """Factors on the loss of each class, joined by commas; 1 by default."""
    scale_low: float | None = None
    """Smallest random scale of a training image; 0.75, 0.5 for mmsegmentation, 1 for daformer by default."""
    scale_high: float | None = None
    """Largest random scale of a training image; 1.75, 2 for mmsegmentation, 1 for daformer by default."""
    max_class_share: float = 0.75
    """Crops in which one class has that share of the labelled pixels are drawn anew, up to ten times; 1 takes all."""
    photometric: float | None = None
    """Strength of the colour distortion, 0 to 1; 0.5, 1 for mmsegmentation, 0 for daformer by default. Strong values
    make the model immune to the weather it should meet later.
    """
    rare_class_temperature: float | None = 0.01
    """Temperature of rare-class sampling (DAFormer); None draws images uniformly."""
    rare_class_min_pixels: int | None = None
    """Pixels of a rare class an image is drawn for; by default DAFormer's 3000 of 1024x2048, scaled to the images."""
    rare_class_crop_share: float = 0.5
    """Share of these that the crop should hold; published with 0.5 for crops of 512 and 2 for crops of 1024."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16 autocasts the network, the loss stays fp32; auto takes it where the hardware computes in it."""
    workers: int | None = None
    """Processes that prepare data; 1 on a CPU, up to 8 beside a GPU by default."""
    threads: int | None = None
    """Threads of the training step on a CPU; torch's default if unset."""
    validate_every: int = 1000
    """Steps between scores on the validation frames."""
    save_every_s: float = 60.0
    """Seconds between saved states."""
    seed: int = 0
    """Seed of weights, data and places."""
    quiet: bool = False
    """Show no progress."""

    def __post_init__(self) -> None:
        self._check_output()
        _ = self.size_HW, self.crop_HW, self.resize_HW  # each says what is wrong with it
        for option in ("samples", "steps", "validate_every"):
            _require(getattr(self, option) >= 1, option, getattr(self, option), "1 or more", "try the default")
        _require(self.batch is None or self.batch >= 2, "batch", self.batch, "2 or more", "batch norm needs two images")
        _require(0 < self.learning_rate <= 1, "learning_rate", self.learning_rate, "above 0, at most 1", "try 1.5e-3")
        _require(self.head_multiplier > 0, "head_multiplier", self.head_multiplier, "above 0", "try 1")
        _require(0 <= self.weight_decay < 1, "weight_decay", self.weight_decay, "0 to below 1", "try 0.01")
        _require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "0 to below 1", "try 0.998")
        low, high = self.scale_range
        _require(0 < low <= high, "scale_low", low, f"0 < low <= high ({high})", "try 0.75")
        _require(0 <= self.distortion <= 1, "photometric", self.distortion, "0 to 1", "try 0.5")
        share = self.max_class_share
        _require(0 < share <= 1, "max_class_share", share, "above 0, at most 1", "try 0.75")
        if self.encoder_weights is not None:
            inner = self.model.removeprefix("hrda:")
            has_known_encoder = ":" not in inner or inner.startswith("timm:")
            _require(has_known_encoder, "encoder_weights", self.encoder_weights, "a MiT or timm: model", "leave it out")
            _require(self.checkpoint is None, "encoder_weights", self.encoder_weights, "no --checkpoint", "give one")
        self._check_pipeline()
        self._check_rare_classes()
        _require(self.workers is None or self.workers >= 0, "workers", self.workers, "0 or more", "try 1")
        _require(self.threads is None or self.threads >= 1, "threads", self.threads, "1 or more", "try 2")
        _require(self.save_every_s > 0, "save_every_s", self.save_every_s, "above 0", "try 60")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "0 to below 2^63", "try 0")  # generators take no more

    @property
    def layout(self) -> str:
        return self.dataset.partition(":")[0]

    @property
    def uses_synthetic(self) -> bool:
        return self.layout == SYNTHETIC

    @property
    def size_HW(self) -> tuple[int, int]:
        return parse_size(self.size or self._defaults.size)

    @property
    def crop_HW(self) -> tuple[int, int]:
        return parse_size(self.crop or self._defaults.crop, option="--crop")

    @property
    def resize_HW(self) -> tuple[int, int]:
        return self.size_HW if self.resize is None else parse_size(self.resize, option="--resize")

    @property
    def is_published(self) -> bool:
        """Whether the pipeline follows published rules."""
        return self.pipeline != OWN

    @property
    def scale_range(self) -> tuple[float, float]:
        low, high = PIPELINES[self.pipeline].scale_range
        return (
            low if self.scale_low is None else self.scale_low,
            high if self.scale_high is None else self.scale_high,
        )

    @property
    def distortion(self) -> float:
        return PIPELINES[self.pipeline].photometric if self.photometric is None else self.photometric

    @property
    def divisor(self) -> Norm:
        return self.loss_norm or PIPELINES[self.pipeline].loss_norm

    @property
    def curve(self) -> Curve:
        return self.schedule or PIPELINES[self.pipeline].curve

    @property
    def weights_of_classes(self) -> tuple[float, ...] | None:
        if self.class_weights is None:
            return None
        try:
            weights = tuple(float(word) for word in self.class_weights.split(","))
        except ValueError:
            weights = ()
        num_classes = len(CITYSCAPES.names)
        is_usable = len(weights) == num_classes and all(0 <= weight < float("inf") for weight in weights)
        expected = f"{num_classes} numbers, 0 or more, joined by commas"
        _require(is_usable, "class_weights", self.class_weights, expected, "leave it out for 1")
        return weights

    @property
    def partial(self) -> Path:
        """Where the state of an unfinished training lies."""
        return self.out.with_name(self.out.name + ".partial")

    @property
    def _defaults(self) -> DatasetDefaults:
        return DATASET_DEFAULTS.get(self.layout, OTHER_DEFAULTS)

    def _check_pipeline(self) -> None:
        """What is set can take effect."""
        _require(self.resize is None or self.is_published, "resize", self.resize, "a published --pipeline", "drop it")
        weighted = self.weights_of_classes is not None
        _require(self.loss_norm != "weight" or weighted, "loss_norm", "weight", "--class-weights", "try valid")

    def _check_rare_classes(self) -> None:
        temperature = self.rare_class_temperature
        _require(temperature is None or temperature > 0, "rare_class_temperature", temperature, "above 0", "try 0.01")
        pixels, share = self.rare_class_min_pixels, self.rare_class_crop_share
        _require(pixels is None or pixels >= 1, "rare_class_min_pixels", pixels, "1 or more", "leave it out")
        _require(share >= 0, "rare_class_crop_share", share, "0 or more", "try 0.5")

    def _check_output(self) -> None:
        _require(self.out.suffix == SUFFIX, "out", self.out, f"a name ending in {SUFFIX}", "rename it")
        _require(
            self.out.parent.is_dir(), "out", self.out, "a file in an existing folder", f"mkdir -p {self.out.parent}"
        )
        _require(not self.out.exists(), "out", self.out, "a file that does not exist yet", "choose another name")


def _require(holds: bool, option: str, value: object, expected: str, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"--{option.replace('_', '-')} {value}: expected {expected}; {remedy}")
