"""The components any method can be joined with, by name, in one dict.

    udaseg-runtime --method dacs --with mic,tie=0.5

Add your own by writing a class with `loss(student, target)` (a term) or `settle(student)` (a rule), see `composed.py`,
and naming it here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from runtime.adaptation.anchoring import MergeToSource, RestoreByChance
from runtime.adaptation.class_percentile import ClassPercentile
from runtime.adaptation.composed import Composed, Rule, Term
from runtime.adaptation.core_boundary import CoreBoundary
from runtime.adaptation.entropy_filter import SureEntropy
from runtime.adaptation.fisher_anchor import STRENGTH, measured_anchor
from runtime.adaptation.method import Materials, Method
from runtime.adaptation.methods import Entry, Track
from runtime.adaptation.mic import MaskedConsistency
from runtime.adaptation.prior import ServedPrior
from runtime.adaptation.thing_distance import ThingDistance
from runtime.adaptation.tie import OutputTie
from runtime.option_words import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Component:
    """A term or a rule, and the weight it has where none is given; at weight 0 it is not built at all.

    `needs_source` where it replays labelled source samples, `reads_source` where it looks at unlabelled ones once: a
    method joined with it is no longer source-free.
    """

    summary: str
    weight: float
    term: Callable[[Materials, float], Term] | None = None
    rule: Callable[[Materials, float], Rule] | None = None
    needs_source: bool = False
    reads_source: bool = False


COMPONENTS: dict[str, Component] = {
    "mic": Component(
        "masked frame to be told as the whole one (MIC, CVPR 2023)",
        1.0,
        term=lambda given, weight: MaskedConsistency(given, weight=weight),
    ),
    "tie": Component(
        "adapted outputs of stages stay near the frozen stages' own (EcoTTA, CVPR 2023)",
        0.5,
        term=lambda given, weight: OutputTie(given, weight=weight),
    ),
    "things": Component(
        "features of things in source samples stay near a fixed encoder's (DAFormer, CVPR 2022)",
        0.005,
        term=lambda given, weight: ThingDistance(given, weight=weight),
        needs_source=True,
    ),
    "percentile": Component(
        "self-training on the surest half of every class, hard classes weighing more (after CoTICA, 2025)",
        1.0,
        term=lambda given, weight: ClassPercentile(given, weight=weight),
    ),
    "core": Component(
        "sure pixels onto their class's prototype, doubtful ones turned towards it (after HBCA, CVPR 2026)",
        0.1,
        term=lambda given, weight: CoreBoundary(given, weight=weight),
    ),
    "entropy": Component(
        "entropy minimised where it is below 0.4 ln K, the surer the more (EATA, ICML 2022)",
        1.0,
        term=lambda given, weight: SureEntropy(given, weight=weight),
    ),
    "fisher": Component(
        "weights held where the source's answers depend on them, by Fisher information (EATA, ICML 2022)",
        STRENGTH,
        term=lambda given, weight: measured_anchor(given.replay, given.frozen, strength=weight),
        reads_source=True,
    ),
    "merge": Component(
        "weights go this share of the way back to the source after every step (ROID, WACV 2024)",
        0.01,
        rule=lambda given, weight: MergeToSource(given, share=_share("merge", weight)),
    ),
    "prior": Component(
        "answers weighed by how common classes are now; by --trainable norm alone (ROID, WACV 2024)",
        1.0,
        rule=lambda given, weight: ServedPrior(given, share=_share("prior", weight)),
    ),
    "restore": Component(
        "each weight returns to the source with this chance after every step (CoTTA, CVPR 2022)",
        0.01,
        rule=lambda given, weight: RestoreByChance(given, probability=_share("restore", weight)),
    ),
}


def joined(
    entry: Entry, weights: Mapping[str, float | None], *, components: Mapping[str, Component] = COMPONENTS
) -> Entry:
    """The entry with the named components at their weights (None: their own). ConfigError for what cannot be."""
    for name in weights:
        if name not in components:
            raise ConfigError(f"--with {name}: no such component; {nearest(name, list(components))}")
    chosen = {name: (components[name], components[name].weight if w is None else w) for name, w in weights.items()}
    chosen = {name: (component, weight) for name, (component, weight) in chosen.items() if weight > 0}
    if not chosen:
        return entry
    if entry.build is None:
        raise ConfigError(f"--with {','.join(weights)}: the method never learns; choose one that does, or leave it out")
    build = partial(_composed, build=entry.build, chosen=chosen)
    return replace(entry, build=build, track=_track(entry.track, [component for component, _ in chosen.values()]))


def _composed(
    given: Materials, *, build: Callable[[Materials], Method], chosen: Mapping[str, tuple[Component, float]]
) -> Method:
    return Composed(
        build(given),
        terms={name: part.term(given, weight) for name, (part, weight) in chosen.items() if part.term is not None},
        rules={name: part.rule(given, weight) for name, (part, weight) in chosen.items() if part.rule is not None},
    )


def _track(own: Track, components: Sequence[Component]) -> Track:
    """What a method of a track of its own needs with these components."""
    if own in ("source-free", "source-once"):
        if any(component.needs_source for component in components):
            return "source-replay"
        if any(component.reads_source for component in components):
            return "source-once"
    return own


def _share(name: str, weight: float) -> float:
    """The weight of a component that takes a share of the way; ConfigError above 1."""
    if weight > 1.0:
        raise ConfigError(f"--with {name}={weight:g}: expected a share, at most 1; try {COMPONENTS[name].weight:g}")
    return weight
