"""The metrics of all workers in one scrape: the label `worker` has the process id.

The multiprocess mode of prometheus_client keeps its values in files. It has no functions as
gauges, no `Info` and no metrics of the process, and its counters need a writable folder.
"""

from collections.abc import Iterable, Iterator
from typing import TypedDict

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector


class Family(TypedDict):
    """A metric with its samples, as a message between processes."""

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


def families_of(registry: CollectorRegistry, worker: str) -> list[Family]:
    """All samples of a registry, with the label `worker`."""
    return [
        Family(
            name=metric.name,
            documentation=metric.documentation,
            type=metric.type,
            samples=[
                (sample.name, sample.labels | {"worker": worker}, sample.value)
                for sample in metric.samples
            ],
        )
        for metric in registry.collect()
    ]


class _Together(Collector):
    """The samples of several workers; those of one metric stand together."""

    def __init__(self, workers: Iterable[list[Family]]) -> None:
        self._metrics: dict[str, Metric] = {}
        for family in (family for families in workers for family in families):
            empty = Metric(family["name"], family["documentation"], family["type"])
            metric = self._metrics.setdefault(family["name"], empty)
            for sample in family["samples"]:
                metric.add_sample(*sample)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.values()


def text_of(workers: Iterable[list[Family]]) -> bytes:
    """The samples of all workers in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Together(workers))
    return generate_latest(registry)
