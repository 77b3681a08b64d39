"""The last event is told whatever became of the run."""

from runtime.build import build
from runtime.first_and_last import Accounts, closing


def test_the_last_event_is_there_also_where_weights_can_no_longer_be_read(tiny_world) -> None:
    parts, accounts = build(tiny_world.config()), Accounts("error", wall_s=1.0, in_flight=1)
    assert closing(parts, accounts, stream_faults={}).frozen_digest is not None
    parts.model.to("meta")
    last = closing(parts, accounts, stream_faults={"decode": 2})
    assert (last.reason, last.in_flight, last.frozen_digest, last.stream_faults) == ("error", 1, None, {"decode": 2})
