"""A server from its start to its end: the state folder, the workers, the sockets, what is deleted, the signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from cosmos_exp.common.errors import UserError
from cosmos_exp.serving import gradio_app
from cosmos_exp.serving.api import create_app
from cosmos_exp.serving.config import ENDPOINT, Settings, write_endpoint
from cosmos_exp.serving.connection import patient_for
from cosmos_exp.serving.gate import Gate
from cosmos_exp.serving.monitoring import metrics_text
from cosmos_exp.serving.pool import WorkerPool, devices
from cosmos_exp.serving.service import AT_WORK, Service, opened

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LAST_ANSWERS = 5
"""Seconds that open requests have to end."""
AGAIN = 1.0
"""Seconds within which two signals are one: a terminal and what started the server may both send it."""
REPORT = 1.0
"""Seconds between two looks for workers that are ready and jobs that have ended."""
KEEP_ALIVE = 15
"""Seconds that a connection without a request stays open."""

Ready = Callable[[str, Service], None]
"""Is told the endpoint."""


def serve(settings: Settings, overrides: Sequence[str], ready: Ready) -> None:
    """Serve until SIGINT or SIGTERM. overrides: those of the settings, for the workers. ready: called once clients can
    connect. Raises UserError where the port or the state folder cannot be used."""
    with contextlib.closing(listen(settings.serve.host, settings.serve.port)) as listening:
        found = devices(settings)
        with opened(settings, len(found)) as service:
            asyncio.run(_serve(service, listening, WorkerPool(
                service.store, service.state / "workers", overrides, found, settings.serve.grace
            ), ready))  # fmt: skip


def application(service: Service) -> Gate:
    """All that is served, behind the gate."""
    app = gradio_app.mount(create_app(service, lambda: metrics_text(service)), service)
    serve = service.serve
    return Gate(
        app=app,
        tokens=service.tokens if serve.asks_for_token else None,
        host=serve.host,
        largest_blob=service.largest_blob,
        idle_timeout=serve.idle_timeout,
    )


async def _serve(service: Service, listening: socket.socket, pool: WorkerPool, ready: Ready) -> None:
    serve = service.serve
    if serve.asks_for_token:
        service.tokens.mint_first()
    config = uvicorn.Config(
        application(service),
        http=patient_for(serve.idle_timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=serve.most_connections,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=LAST_ANSWERS,
    )
    server = Server(config, service)
    await pool.start()
    pruning = asyncio.create_task(_prune(service))
    reporting = asyncio.create_task(_report(service))
    telling = asyncio.create_task(_tell(server, service, endpoint(listening, serve.host), ready))
    try:
        await server.serve(sockets=[listening])
    finally:
        pruning.cancel()
        reporting.cancel()
        telling.cancel()
        (service.state / ENDPOINT).unlink(missing_ok=True)
        await pool.stop()


class Server(uvicorn.Server):
    """Ends at the first signal; at the second, without waiting for open requests."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service
        self.asked = 0.0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's, it does not raise them again once all is done."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        if time.monotonic() - self.asked < AGAIN:
            return
        if not self.service.stopping.is_set():
            log.info("stopping; jobs that run go back to the queue")
        self.asked = time.monotonic()
        self.service.stopping.set()
        super().handle_exit(sig, frame)


async def _tell(server: Server, service: Service, endpoint: str, ready: Ready) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    write_endpoint(service.state, endpoint, service.started)
    ready(endpoint, service)


async def _prune(service: Service) -> None:
    while True:
        try:
            await asyncio.to_thread(service.prune)
        except Exception:
            log.exception("what is old could not be deleted")
        await asyncio.sleep(service.serve.prune_every)


async def _report(service: Service) -> None:
    """Log how workers become ready, and how jobs end."""
    since, said = time.time(), dict[str, str]()
    while True:
        await asyncio.sleep(REPORT)
        for worker in await asyncio.to_thread(service.store.workers):
            now = worker.message if worker.state == "loading" else "ready" if worker.state in AT_WORK else ""
            if now and said.get(worker.name) != now:
                said[worker.name] = now
                log.info("worker %s: %s", worker.name, now)
        for job in await asyncio.to_thread(service.store.finished_since, since):
            since = max(since, job.finished or since)
            seconds = f" in {job.finished - job.started:.1f} s" if job.finished and job.started else ""
            log.info("job %s %s%s%s", job.id, job.status.value, seconds, f": {job.error}" if job.error else "")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any free one."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host.strip("[]"), port), family=family, backlog=512)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        hint = "; give another serve.port, or 0 for any" if "in use" in why else ""
        raise UserError(f"cannot listen on {host}:{port}: {why}{hint}") from None
    found.setblocking(False)
    return found


def endpoint(listening: socket.socket, host: str) -> str:
    """URL of a server on this machine, or by its name where others can connect."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}"
