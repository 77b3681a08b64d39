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

from runtime.library import DomainLibrary, Found
from runtime.state import State, array_again, kept_array

FIRST_STEPS = 10  # of a stretch, before what it taught is told from what was there before; the average's memory
EVERY_STEPS = 5
CONFIRM_FRAMES = 2  # in a row; one odd frame must not cost what is being learnt
STEADY_STEPS = 20  # the appearance of a stretch is the mean over about so many


class Recollection:
    """Owned by the learner's thread. `look` comes first for every frame, also for those nothing is learnt from."""

    def __init__(self, library: DomainLibrary) -> None:
        self._library = library
        self._features_F: np.ndarray | None = None  # of the newest frame
        self._returning: tuple[int, int] = (0, 0)  # number of a kept domain, frames in a row that look like it
        self._num_frames = 0  # of the stretch, since the library was told last
        self.leave()

    @property
    def is_at_home(self) -> bool:
        """Whether the newest frame looks like the stretch at hand, and not like the source."""
        return self._features_F is not None and self._is_near() and not self._library.is_of_source(self._features_F)

    def leave(self) -> None:
        """What is learnt is given up, or led elsewhere: the stretch is over."""
        self._appearance_F: np.ndarray | None = None
        self._number: int | None = None
        self._num_steps = 0
        self._num_outside = 0

    def look(self, features_F: np.ndarray) -> Found | None:
        """A kept domain that has returned with this frame, if one has; `take_up` or `forget` is to follow."""
        self._features_F = features_F
        is_near = self._is_near()
        self._num_frames += is_near
        self._num_outside = 0 if is_near else self._num_outside + 1
        found = None if is_near else self._library.find(features_F)
        if found is None:
            self._returning = (0, 0)
            return None
        number, in_a_row = self._returning
        self._returning = (found.domain.number, in_a_row + 1 if number == found.domain.number else 1)
        return found if self._returning[1] >= CONFIRM_FRAMES else None

    def take_up(self, found: Found) -> None:
        """The domain's weights are being used from now on."""
        self._library.note_recall(found.domain.number)
        self._returning, self._num_frames, self._num_outside = (0, 0), 0, 0
        self._appearance_F, self._number = found.domain.appearance_F, found.domain.number
        self._num_steps = STEADY_STEPS

    def forget(self, found: Found) -> None:
        """The domain's weights are of no use."""
        self._library.forget(found.domain.number)
        self._returning = (0, 0)

    def learnt(self, tensors: Mapping[str, Tensor], *, agreement: float) -> None:
        """`tensors` came of a step on the newest frame; kept where that is due."""
        features_F = self._features_F
        if features_F is None:
            return
        if self._appearance_F is None or self._num_outside >= CONFIRM_FRAMES:
            self.leave()
            self._appearance_F, self._num_frames = features_F, 1
        elif self._num_outside:  # an odd frame ends no stretch, and is no part of it
            return
        self._num_steps += 1
        share = 1.0 / min(self._num_steps, STEADY_STEPS)
        self._appearance_F = self._appearance_F + share * (features_F - self._appearance_F)
        is_due = self._num_steps >= FIRST_STEPS and self._num_steps % EVERY_STEPS == 0
        if is_due and not self._library.is_of_source(self._appearance_F):
            frames, self._num_frames = self._num_frames, 0
            self._number = self._library.remember(self._appearance_F, tensors, agreement=agreement, num_frames=frames)

    def weighed(self, agreement: float) -> None:
        """The weights agree so far with the frozen model, as of the newest frame."""
        if self._number is not None and self._is_near():
            self._library.note_agreement(self._number, agreement)

    def state(self) -> State:
        """The library and the stretch at hand."""
        return {
            "library": self._library.state(),
            "features": kept_array(self._features_F),
            "returning": list(self._returning),
            "appearance": kept_array(self._appearance_F),
            "number": self._number,
            "counts": [self._num_frames, self._num_steps, self._num_outside],
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "library": dict(library),
                "features": Tensor() | None as features_F,
                "returning": [int(returning), int(in_a_row)],
                "appearance": Tensor() | None as appearance_F,
                "number": int() | None as number,
                "counts": [int(num_frames), int(num_steps), int(num_outside)],
            }:
                self._library.load_state(library)
                self._features_F, self._returning = array_again(features_F), (returning, in_a_row)
                self._appearance_F, self._number = array_again(appearance_F), number
                self._num_frames, self._num_steps, self._num_outside = num_frames, num_steps, num_outside
            case _:
                raise ValueError(f"not the state of a recollection: it has the keys {sorted(state)}")

    def _is_near(self) -> bool:
        """Whether the newest frame is one of the stretch."""
        if self._appearance_F is None or self._features_F is None:
            return False
        return self._library.is_near(self._features_F, self._appearance_F)
