import queue
import threading

import pytest

from runtime.event_queue import EventQueue


def test_items_come_out_in_order_and_an_empty_queue_says_so():
    events = EventQueue()
    for item in range(3):
        events.put(item)
    assert events.depth() == 3
    assert [events.get(timeout_s=0.0) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(queue.Empty):
        events.get(timeout_s=0.0)


def test_nothing_is_lost_and_order_is_kept_by_producers_that_wait():
    events = EventQueue()

    def produce(name):
        for number in range(200):
            events.put_below((name, number), depth=4)
            if number % 3 == 0:
                events.put((name, number + 0.5))

    producers = [threading.Thread(target=produce, args=(name,)) for name in "ab"]
    for producer in producers:
        producer.start()
    seen, deepest = [], 0
    while any(producer.is_alive() for producer in producers) or events.depth():
        deepest = max(deepest, events.depth())
        seen.append(events.get(timeout_s=10.0))
    assert deepest <= 4 + 2  # what must not wait comes on top
    for name in "ab":
        own = [number for who, number in seen if who == name]
        assert own == sorted(own) and len(own) == 267


def test_closing_lets_go_of_whoever_waits_and_of_what_they_put():
    events = EventQueue()
    events.put("first")
    waiting = threading.Thread(target=lambda: events.put_below("second", depth=1))
    waiting.start()
    events.close()
    waiting.join(10)
    assert not waiting.is_alive()
    events.put("third")
    assert events.get(timeout_s=0.0) == "first" and events.depth() == 0
