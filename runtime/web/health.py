"""Is the run alive, is it ready: verdicts on a status snapshot, as lists of reasons (empty means yes).

A lost camera makes a run not ready, but not dead: restarting the process would not bring the camera back.
"""

import math

from runtime.status import Snapshot

OWED_LIMIT_S = 30.0  # an answer owed longer than this means the predictor hangs, unless the model is that slow
OWED_LIMIT_INFERENCES = 20
FIRST_OWED_LIMIT_S = 300.0  # how slow the model is, nobody knows before the first answer
STALE_LIMIT_S = 10.0


def liveness(snapshot: Snapshot) -> list[str]:
    """Why the process should be restarted."""
    limit_s = _owed_limit_s(snapshot)
    if snapshot.finished is None and snapshot.waited_s > limit_s:
        return [f"no prediction for {snapshot.waited_s:.0f} s although frames came in (limit {limit_s:.0f} s)"]
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


def _owed_limit_s(snapshot: Snapshot) -> float:
    inference_s = snapshot.inference_p50_ms / 1e3
    return FIRST_OWED_LIMIT_S if math.isnan(inference_s) else max(OWED_LIMIT_S, OWED_LIMIT_INFERENCES * inference_s)
