"""What metrics are made of: a maker that binds labels at once, and counters that are read together."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as TotalCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.frame_accounts import FrameAccounts
from runtime.label_sets import OTHER


class FrameCollector(Collector):
    """The frame counters, exposed from one snapshot so that no scrape can fall between two of them."""

    def __init__(self, stream: str, accounts: FrameAccounts) -> None:
        self._stream = stream
        self._accounts = accounts

    def collect(self) -> Iterator[Metric]:
        counts, stream = self._accounts.counts, [self._stream]
        captured = CounterMetricFamily("udaseg_frames_captured", "Frames that entered.", labels=["stream"])
        captured.add_metric(stream, counts.captured)
        predicted = CounterMetricFamily("udaseg_frames_predicted", "Frames answered.", labels=["stream"])
        predicted.add_metric(stream, counts.predicted)
        dropped = CounterMetricFamily("udaseg_frames_dropped", "Frames never answered.", labels=["stream", "reason"])
        for reason, number in counts.dropped.items():
            dropped.add_metric([self._stream, reason], number)
        in_flight = GaugeMetricFamily("udaseg_frames_in_flight", "Frames waiting for their answer.", labels=["stream"])
        in_flight.add_metric(stream, counts.in_flight)
        yield from (captured, predicted, dropped, in_flight)


class Maker:
    """Declares metrics in one registry under fixed labels, and binds their children at once."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self.registry = registry
        self.labels = labels

    def gauge(self, name: str, text: str) -> Gauge:
        metric = Gauge(f"udaseg_{name}", text, list(self.labels), registry=self.registry)
        return metric.labels(*self.labels.values()) if self.labels else metric

    def counter(self, name: str, text: str) -> TotalCounter:
        metric = TotalCounter(f"udaseg_{name}", text, list(self.labels), registry=self.registry)
        return metric.labels(*self.labels.values()) if self.labels else metric

    def counters(self, name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, TotalCounter]:
        metric = TotalCounter(f"udaseg_{name}", text, [*self.labels, label], registry=self.registry)
        return {value: metric.labels(*self.labels.values(), value) for value in values}

    def histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        metric = Histogram(f"udaseg_{name}", text, list(self.labels), buckets=buckets, registry=self.registry)
        return metric.labels(*self.labels.values()) if self.labels else metric


def child_of(children: Mapping[str, TotalCounter], value: str) -> TotalCounter:
    """The counter of a label's value; that of the rest for values outside the set."""
    return children.get(value, children[OTHER])
