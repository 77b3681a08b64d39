"""Is the run alive, is it ready: verdicts on a status snapshot, as lists of reasons (empty means yes).

A lost camera makes a run not ready, but not dead: restarting the process would not bring the camera back.
"""

import math

from runtime.status import Snapshot

OWED_LIMIT_S = 30.0  # an answer owed longer than this means the predictor hangs
STALE_LIMIT_S = 10.0


def liveness(snapshot: Snapshot) -> list[str]:
    """Why the process should be restarted."""
    if snapshot.finished is None and snapshot.waited_s > OWED_LIMIT_S:
        return [f"no prediction for {snapshot.waited_s:.0f} s although frames came in (limit {OWED_LIMIT_S:.0f} s)"]
    return []


def readiness(snapshot: Snapshot) -> list[str]:
    """Why its predictions should not be relied on now."""
    reasons = liveness(snapshot)
    if snapshot.run is None:
        reasons.append("the run has not started")
    elif snapshot.finished is not None:
        reasons.append(f"the run is over ({snapshot.finished})")
    elif math.isnan(snapshot.prediction_age_s):
        reasons.append("no prediction yet")
    elif snapshot.prediction_age_s > STALE_LIMIT_S and not reasons:
        reasons.append(f"last prediction {snapshot.prediction_age_s:.0f} s ago (limit {STALE_LIMIT_S:.0f} s)")
    return reasons
