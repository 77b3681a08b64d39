"""The closed sets of words that events use for reasons, outcomes and kinds; a metric's label takes no others."""

OTHER = "other"
DROP_REASONS = ("stale", "late", "invalid", "shutdown", OTHER)
GATE_REASONS = (
    *("black", "flat", "noise", "dead blocks", "duplicate", "frozen", "looped", "torn", "out of order"),
    OTHER,
)
STEP_OUTCOMES = ("applied", "shadowed", "skipped", "nonfinite", "refused_guard", "error", "oom", "relaxed", OTHER)
ROLLBACK_CAUSES = ("nonfinite", "refused_guard", "error", "oom", "restart", OTHER)
PUBLISHING_OUTCOMES = ("applied",)
SHIFT_KINDS = ("away", "change", "return", OTHER)
SHED_REASONS = ("late", "age", "memory", "oom")
WORKERS = ("capture", "inference", "learner")
COMPONENTS = (*WORKERS, "library", "record", "web", "terminal", OTHER)
