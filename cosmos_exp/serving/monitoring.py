"""Prometheus metrics of a server, read from its queue whenever they are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.registry import Collector

from cosmos_exp.remote.wire import Status
from cosmos_exp.serving.service import Service


class ServerCollector(Collector):
    def __init__(self, service: Service):
        self.service = service

    def collect(self) -> Iterator[Gauge]:
        service, counts, workers = self.service, self.service.store.counts(), self.service.store.workers()
        jobs = Gauge("cosmos_jobs", "Jobs that are known.", labels=["backend", "status"])
        depth = Gauge("cosmos_queue_depth", "Jobs that wait.", labels=["backend"])
        for backend in sorted({service.config.model.name, *counts}):
            for status in Status:
                jobs.add_metric([backend, status.value], counts.get(backend, {}).get(status, 0))
            depth.add_metric([backend], counts.get(backend, {}).get(Status.QUEUED, 0))
        state = Gauge("cosmos_worker_state", "1 for the state that a worker is in.", labels=["worker", "state"])
        busy = Gauge("cosmos_worker_busy", "Whether a worker is at a job.", labels=["worker"])
        for worker in workers:
            state.add_metric([worker.name, worker.state], 1)
            busy.add_metric([worker.name], worker.state == "busy")
        blobs, size = service.usage()
        yield from (jobs, depth, state, busy)
        yield Gauge("cosmos_blobs", "Uploads.", value=blobs)
        yield Gauge("cosmos_blob_bytes", "Bytes of all uploads.", value=size)
        yield Gauge("cosmos_ready", "Whether every worker can take jobs.", value=service.is_ready())
        yield Gauge("cosmos_uptime_seconds", "Seconds since the server started.", value=time.time() - service.started)


def metrics_text(service: Service) -> tuple[bytes, str]:
    """In Prometheus' text format, and its media type."""
    registry = CollectorRegistry()
    registry.register(ServerCollector(service))
    return generate_latest(registry), CONTENT_TYPE_LATEST
