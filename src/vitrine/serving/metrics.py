"""What Prometheus is told."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
PHOTOS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one server; of its own, so that two servers in a process do not add up."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter("vitrine_requests", "Answered requests.", ["route", "code"], registry=registry)
        self.seconds = Histogram(
            "vitrine_request_seconds", "From the headers to the answer.", ["route"], buckets=SECONDS, registry=registry
        )
        self.batch = Histogram(
            "vitrine_batch_photos",
            "Photos a net was asked about at once.",
            ["model"],
            buckets=PHOTOS,
            registry=registry,
        )
        self.net_seconds = Histogram(
            "vitrine_batch_seconds", "Of a net, for a batch.", ["model"], buckets=SECONDS, registry=registry
        )
        self.waiting = Gauge("vitrine_waiting_photos", "Photos of requests that are being answered.", registry=registry)
        self.refused = Counter("vitrine_refused_photos", "Photos that could not be used.", registry=registry)
        self.model = Gauge(
            "vitrine_model", "1 for each model that answers.", ["model", "task", "version", "engine"], registry=registry
        )
        self.swaps = Counter("vitrine_model_swaps", "Champions taken over while running.", ["model"], registry=registry)
        self.faults = Counter("vitrine_registry_faults", "Looks at the registry that failed.", registry=registry)

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)
