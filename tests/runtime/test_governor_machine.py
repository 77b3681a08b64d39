"""Whatever the facts, a governor never runs away, and one rebuilt from its state does the same."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.effort import LEVELS
from runtime.governor import DOWN_WAIT_S, MAX_DOWN_WAIT_S, OOM_LIMIT, REASONS, UP_WINDOW_S, Governor
from tests.fakes import make_step
from tests.runtime.governed import LAST, PERIOD_S, prediction

# Exact in binary, so that two clocks agree on what lies between two events.
GAPS_S = st.integers(1, 192).map(lambda sixty_fourths: sixty_fourths / 64)
OFFSETS_S = st.integers(-100_000, 100_000).map(float)


class Machine(RuleBasedStateMachine):
    """A stream of facts, with pauses, restarts and another governor that was replaced at each of them.

    `governor` goes on for ever; `resumed` is rebuilt from its state, on a clock that starts anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = 0.2
        self.governor = Governor(period_s=PERIOD_S, memory_share=lambda: self.memory)
        self.resumed = Governor(period_s=PERIOD_S, memory_share=lambda: self.memory)
        self.now_s = 0.0
        self.offset_s = 0.0
        self.num_facts = 0  # misses since the last change
        self.num_ooms = 0
        self.last_change_s = -math.inf
        self.is_first = True

    def frame(self, gap_s: float, *, is_late: bool) -> None:
        self.now_s += 0.0 if self.is_first else gap_s
        self.is_first = False
        latency_s = 0.3 if is_late else 0.02
        self.num_facts += is_late or self.memory >= 0.9
        level = self.governor.level
        changed = self.governor.update(prediction(self.now_s, latency_s=latency_s))
        twin = self.resumed.update(prediction(self.now_s + self.offset_s, latency_s=latency_s))
        assert (changed is None) == (twin is None)
        if changed is None or twin is None:
            return
        assert (changed.level, changed.reason, changed.detail) == (twin.level, twin.reason, twin.detail)
        assert abs(changed.level - level) == 1 and changed.reason in REASONS
        assert self.now_s - self.last_change_s >= UP_WINDOW_S - 1e-6
        if changed.level > level:
            assert self.num_facts > 0
        else:
            assert self.now_s - self.last_change_s >= DOWN_WAIT_S - 1e-6
        self.last_change_s = self.now_s
        self.num_facts = 0

    @rule(number=st.integers(1, 60), gap_s=GAPS_S, late_every=st.integers(0, 20))
    def frames(self, number: int, gap_s: float, late_every: int) -> None:
        for index in range(number):
            self.frame(gap_s, is_late=late_every > 0 and index % late_every == 0)

    @rule(share=st.sampled_from([0.2, 0.85, 0.95]))
    def memory_changes(self, share: float) -> None:
        self.memory = share

    @precondition(lambda self: not self.is_first)
    @rule()
    def out_of_memory(self) -> None:
        for governor, offset_s in ((self.governor, 0.0), (self.resumed, self.offset_s)):
            level = governor.level
            changed = governor.note_step(make_step(outcome="oom", at_s=self.now_s + offset_s))
            assert (changed is None) == (level == LAST) and governor.level >= min(LAST, level + 1)
        self.num_ooms += 1
        self.last_change_s, self.num_facts = self.now_s, 0

    @rule(offset_s=OFFSETS_S)
    def restart(self, offset_s: float) -> None:
        state = self.resumed.state()
        self.resumed = Governor(period_s=PERIOD_S, memory_share=lambda: self.memory)
        self.resumed.load_state(state)
        self.offset_s, self.is_first = offset_s, True

    @rule(number=st.integers(1, 20))
    def eligible_frames(self, number: int) -> None:
        admitted = [self.governor.admits_step() for _ in range(number)]
        assert admitted == [self.resumed.admits_step() for _ in range(number)]
        assert self.governor.level < LAST or not any(admitted)

    @invariant()
    def in_range_and_alike(self) -> None:
        assert 0 <= self.governor.level <= LAST
        assert self.governor.level == self.resumed.level
        assert self.governor.effort is LEVELS[self.governor.level]

    def teardown(self) -> None:
        self.memory = 0.2
        for _ in range(int((LAST + 2) * (MAX_DOWN_WAIT_S + 2 * UP_WINDOW_S))):
            self.frame(1.0, is_late=False)
        assert self.governor.level == (0 if self.num_ooms < OOM_LIMIT else self.governor.level)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
