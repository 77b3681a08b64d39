"""Recollection: when what was learnt goes into the library, and when it comes back.

What is learnt in one stretch (a stay in one domain, as far as appearances tell) is remembered after its first steps and
every few more, so that a shift, however slow, or the end of the run loses little. A kept domain comes back when frames
in a row look like it and not like the stretch at hand: near what is being learnt nothing learnt earlier is better.
It copies no weights and serves none; that is the candidate's.
"""

# F features

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from runtime.library import DomainLibrary, Evidence, Found
from runtime.state import State, array_again, kept_array

FIRST_STEPS = 10  # of a stretch, before what it taught is told from what was there before; the average's memory
EVERY_STEPS = 5
CONFIRM_FRAMES = 2  # in a row; one odd frame must not cost what is being learnt
STEADY_STEPS = 20  # the appearance of a stretch is the mean over about so many


class Recollection:
    """Owned by the learner's thread."""

    def __init__(self, library: DomainLibrary) -> None:
        self._library = library
        self._candidates: tuple[int, int] = (0, 0)  # number of a kept domain, frames in a row that look like it
        self._num_frames = 0  # since the library was told last
        self.leave()

    @property
    def is_at_home(self) -> bool:
        """Whether the newest frame looks like the stretch at hand."""
        return self._is_at_home

    def leave(self) -> None:
        """What is learnt is given up, or leads elsewhere: the stretch is over."""
        self._appearance_F: np.ndarray | None = None
        self._number: int | None = None
        self._num_steps = 0
        self._is_at_home = False

    def look(self, features_F: np.ndarray) -> Found | None:
        """A kept domain that has returned with this frame, if one has; `take_up` or `forget` is to follow."""
        self._is_at_home = self._appearance_F is not None and self._library.is_near(features_F, self._appearance_F)
        found = None if self._is_at_home else self._library.find(features_F)
        if found is None:
            self._num_frames += self._is_at_home
            self._candidates = (0, 0)
            return None
        number, in_a_row = found.domain.number, self._candidates[1]
        self._candidates = (number, in_a_row + 1 if self._candidates[0] == number else 1)
        return found if self._candidates[1] >= CONFIRM_FRAMES else None

    def take_up(self, found: Found) -> None:
        """The domain's weights are being used from now on."""
        self._library.note_recall(found.domain.number)
        self._candidates, self._num_frames = (0, 0), 0
        self._appearance_F, self._number = found.domain.appearance_F, found.domain.number
        self._num_steps = STEADY_STEPS
        self._is_at_home = True

    def forget(self, found: Found) -> None:
        """The domain's weights are of no use."""
        self._library.forget(found.domain.number)
        self._candidates = (0, 0)

    def learnt(self, appearance_F: np.ndarray, tensors: Mapping[str, Tensor], evidence: Evidence) -> None:
        """`tensors` came of a step on frames that look like this; kept where that is due."""
        if self._appearance_F is None or not self._library.is_near(appearance_F, self._appearance_F):
            self.leave()
            self._appearance_F, self._num_frames = appearance_F, 0
        self._num_steps += 1
        share = 1.0 / min(self._num_steps, STEADY_STEPS)
        self._appearance_F = self._appearance_F + share * (appearance_F - self._appearance_F)
        if self._num_steps >= FIRST_STEPS and self._num_steps % EVERY_STEPS == 0:
            frames, self._num_frames = self._num_frames, 0
            self._number = self._library.remember(self._appearance_F, tensors, evidence, num_frames=frames)

    def weighed(self, evidence: Evidence) -> None:
        """Whether the weights are worth serving has turned out otherwise, on the newest frame."""
        if self._is_at_home and self._number is not None:
            self._library.note_evidence(self._number, evidence)

    def state(self) -> State:
        """The library and the stretch at hand."""
        return {
            "library": self._library.state(),
            "candidates": list(self._candidates),
            "num_frames": self._num_frames,
            "appearance": kept_array(self._appearance_F),
            "number": self._number,
            "num_steps": self._num_steps,
            "is_at_home": self._is_at_home,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "library": dict(library),
                "candidates": [int(number), int(in_a_row)],
                "num_frames": int(num_frames),
                "appearance": Tensor() | None as appearance_F,
                "number": int() | None as current,
                "num_steps": int(num_steps),
                "is_at_home": bool(is_at_home),
            }:
                self._library.load_state(library)
                self._candidates, self._num_frames = (number, in_a_row), num_frames
                self._appearance_F, self._number = array_again(appearance_F), current
                self._num_steps, self._is_at_home = num_steps, is_at_home
            case _:
                raise ValueError(f"not the state of a recollection: it has the keys {sorted(state)}")
