"""What a session asks of whoever scores its answers; those who do live in packages above this one."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol  # Any: JSON

from runtime.exam import Predict
from runtime.observer import Observer
from runtime.scores import Scores
from streams.frame import Frame


class Scorer(Observer, Protocol):
    """Compares predictions with labels; lives above this package. `figures` are what the summary gains at the end, by
    section; `save` leaves in the run folder what else there is to keep. `examine` is given two ways to answer, the
    source model's and the newest version's, and labelled source samples, once the run went to its end.
    """

    def scores(self) -> Scores | None: ...

    def figures(self) -> Mapping[str, Mapping[str, Any]]: ...

    def save(self, run_dir: Path) -> None: ...

    def examine(self, before: Predict, after: Predict, samples: Iterable[Frame]) -> None: ...
