"""LatestSlot: nothing is lost silently, nothing comes twice."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from runtime.slot import LatestSlot


@given(st.lists(st.sampled_from(["put", "take"]), max_size=60))
def test_every_item_is_taken_or_displaced_exactly_once(operations: list[str]) -> None:
    slot: LatestSlot[int] = LatestSlot()
    taken, displaced, num_put = [], [], 0
    for operation in operations:
        if operation == "put":
            gone = slot.put(num_put)
            num_put += 1
            if gone is not None:
                displaced.append(gone)
        else:
            item = slot.take(timeout_s=0)
            if item is not None:
                taken.append(item)
    assert sorted(taken + displaced + ([slot.take(timeout_s=0)] if slot.depth else [])) == list(range(num_put))
    assert taken == sorted(taken)


def test_put_after_close_gives_the_item_back() -> None:
    slot: LatestSlot[str] = LatestSlot()
    slot.close()
    assert slot.put("late") == "late"
    assert slot.put_when_empty("later") == "later"
    assert slot.take() is None


def test_the_last_item_can_be_taken_after_close() -> None:
    slot: LatestSlot[str] = LatestSlot()
    slot.put("last")
    slot.close()
    assert slot.take() == "last"
    assert slot.take() is None


def test_lossless_hand_over_between_threads_keeps_order_and_count() -> None:
    slot: LatestSlot[int] = LatestSlot()

    def produce() -> None:
        for number in range(500):
            assert slot.put_when_empty(number) is None
        slot.close()

    producer = threading.Thread(target=produce)
    producer.start()
    received = []
    while (item := slot.take()) is not None:
        received.append(item)
    producer.join()
    assert received == list(range(500))


def test_newest_wins_between_threads_and_drops_are_accounted_for() -> None:
    slot: LatestSlot[int] = LatestSlot()
    dropped = []

    def produce() -> None:
        for number in range(1, 2001):
            gone = slot.put(number)
            if gone is not None:
                dropped.append(gone)
        slot.close()

    producer = threading.Thread(target=produce)
    producer.start()
    received = []
    while (item := slot.take()) is not None:
        received.append(item)
    producer.join()
    assert sorted(received + dropped) == list(range(1, 2001))
    assert received[-1] == 2000
