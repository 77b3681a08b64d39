"""The metrics of one run: what its parts can be asked for, wired to gauges that are read when somebody scrapes."""

from runtime.build import Parts
from runtime.first_and_last import device_name
from runtime.memory import device_bytes
from runtime.metrics import Metrics, new_registry
from runtime.scores import ScoresSource
from runtime.summary import describe_environment


def build_metrics(parts: Parts, scores: ScoresSource) -> Metrics:
    """In a registry of their own."""
    environment = describe_environment(device_name(parts.device))
    metrics = Metrics(
        new_registry(),
        stream=parts.stream.name,
        classes=parts.manifest.classes,
        scores=scores,
        build={"version": environment["package_version"], "torch": environment["torch"]},
    )
    metrics.watch_replay(lambda: parts.replay.statistics().num_bytes)
    metrics.watch_device_memory(device_bytes(parts.device))
    for name, depth in parts.driver.queue_depths().items():
        metrics.watch_queue(name, depth)
    for component, silence_s in parts.driver.silences().items():
        metrics.watch_worker(component, silence_s)
    return metrics
