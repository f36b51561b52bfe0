"""The job API, version 1, as an ASGI application: `/v1/...` as `cosmos_exp.remote.wire` describes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from starlette.routing import Match

from cosmos_exp import __version__
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import parse_json
from cosmos_exp.remote.wire import API, JobInfo, ModelInfo, ResultManifest, Status
from cosmos_exp.serving.answers import (
    HANDLERS,
    Answer,
    BlobIds,
    BlobsFound,
    BlobStored,
    Live,
    Ready,
    ServerStatus,
    Submission,
    WorkerState,
    answers,
)
from cosmos_exp.serving.api_page import HEADERS, api_page
from cosmos_exp.serving.service import Service

LOOK, HEARTBEAT = 0.2, 15.0
"""Seconds between two looks at a job that is watched, and between two signs of life."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
OPENAPI = f"{API}/openapi.json"
BLOCK = 1 << 20
"""Bytes of a file that are read or written at a time."""

Sha256Path = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the bytes")]
JobPath = Annotated[str, Path(max_length=100, description="id of a job")]


class BoundedRequest(Request):
    """Whose JSON is bounded in depth and digits, and is text that can be stored."""

    async def json(self) -> Any:
        try:
            return parse_json(await self.body(), "the body")
        except UserError as error:
            raise Answer(400, str(error)) from None


class BoundedRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handle(BoundedRequest(request.scope, request.receive))

        return bounded


class LargeBlocks(FileResponse):
    chunk_size = BLOCK


router = APIRouter(prefix=API, route_class=BoundedRoute)


def create_app(service: Service, metrics: Callable[[], tuple[bytes, str]] | None = None) -> FastAPI:
    """The application without what stands before it, see `cosmos_exp.serving.gate`. metrics: text and media type."""
    app = FastAPI(
        title="cosmos-exp", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None,
        openapi_url=OPENAPI,
    )  # fmt: skip
    app.state.service = service
    app.include_router(router)
    if metrics is not None:
        _add_metrics(app, metrics)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    app.add_api_route(f"{API}/{{rest:path}}", _nothing_here, methods=list(METHODS), include_in_schema=False)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


DESCRIPTION = """Videos of driving scenes from control videos and prompts.

Upload files with `PUT /v1/blobs/{sha256}`, submit a job that names them, watch it, and fetch its result. An equal
request is the same job. With tokens: `Authorization: Bearer TOKEN`."""


def _docs(request: Request) -> Response:
    return HTMLResponse(api_page(request.app.openapi(), OPENAPI), headers=HEADERS)


def _openapi(app: FastAPI) -> dict[str, Any]:
    from fastapi.openapi.utils import get_openapi

    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=router.routes)
        schemes = {"token": {"type": "http", "scheme": "bearer"}}
        found.setdefault("components", {})["securitySchemes"] = schemes
        for path, item in found["paths"].items():
            for operation in item.values():
                operation["responses"].pop("422", None)  # 400 here
                operation["security"] = [] if path.startswith(f"{API}/health/") else [{"token": []}]
        for name in ("HTTPValidationError", "ValidationError"):
            found["components"]["schemas"].pop(name, None)
        app.openapi_schema = found
    return app.openapi_schema


def _nothing_here(request: Request) -> None:
    """Before what is mounted after these routes gets it: 405 where the path has other methods, else 404."""
    allowed = {
        method
        for route in router.routes
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is Match.PARTIAL
        for method in route.methods or ()
    }
    if allowed:
        names = ", ".join(sorted(allowed))
        raise Answer(405, f"{request.method} is not allowed here: {names}", allow=names)
    raise Answer(404, f"no path {request.url.path[:200]!r}; {OPENAPI} describes what there is")


def _add_metrics(app: FastAPI, metrics: Callable[[], tuple[bytes, str]]) -> None:
    def show() -> Response:
        text, media_type = metrics()
        return Response(text, media_type=media_type)

    for path in ("/metrics", f"{API}/metrics"):
        app.add_api_route(path, show, include_in_schema=False)


def _service(request: Request) -> Service:
    return request.app.state.service


Server = Annotated[Service, Depends(_service)]


# Health


@router.get("/health/live")
def live() -> Live:
    """Whether the server answers."""
    return Live(status="ok", version=__version__)


@router.get("/health/ready", responses={503: {"model": Ready}})
def ready(service: Server) -> Response:
    """Whether every worker has its model loaded and takes jobs; 503 until then, with what each is at."""
    found = _ready(service)
    return JSONResponse(found.model_dump(), 200 if found.ready else 503)


def _ready(service: Service) -> Ready:
    workers = _workers(service)
    return Ready(
        ready=service.is_ready(),
        profile=service.config.hardware.device,
        backends=sorted({backend for worker in workers for backend in worker.backends}),
        workers=workers,
    )


def _workers(service: Service) -> list[WorkerState]:
    """Without what their messages say of jobs."""
    return [
        WorkerState(
            name=worker.name,
            device=worker.device,
            state=worker.state,
            message="" if worker.state == "busy" else worker.message,
            backends=list(worker.backends),
        )
        for worker in service.store.workers()
    ]


@router.get("/status", responses=answers())
def status(service: Server) -> ServerStatus:
    """Uptime, workers, jobs, uploads."""
    count, size = service.usage()
    return ServerStatus(
        version=__version__,
        uptime=time.time() - service.started,
        ready=service.is_ready(),
        workers=_workers(service),
        jobs={name: {s.value: n for s, n in counts.items()} for name, counts in service.store.counts().items()},
        blobs=count,
        blob_bytes=size,
    )


# Models


@router.get("/models", responses=answers())
def models(service: Server) -> list[ModelInfo]:
    """What the server generates with, and the contract of each."""
    return service.models()


@router.get("/models/{model}", responses=answers(400, 404))
def model(model: Annotated[str, Path(max_length=100)], service: Server) -> ModelInfo:
    try:
        return service.model(model)
    except UserError as error:
        raise Answer(404, str(error)) from None


# Uploads

RAW = {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}


@router.put(
    "/blobs/{sha256}", status_code=201, openapi_extra=RAW,
    responses=answers(400, 408, 507) | {200: {"model": BlobStored}},
)  # fmt: skip
async def put_blob(sha256: Sha256Path, request: Request, service: Server) -> Response:
    """Upload a file under the SHA-256 of its bytes; the header X-Filename is its name, percent-encoded. 201 for a new
    file, 200 where it was there."""
    declared = request.headers.get("content-length", "")
    if not await asyncio.to_thread(service.has_room, int(declared) if declared.isdigit() else 0):
        raise Answer(507, "no room for more uploads (serve.largest_state): try again later")
    name, media_type = unquote(request.headers.get("x-filename", "")), request.headers.get("content-type", "")
    with service.blobs.writer(sha256, name, media_type) as writer:
        async for block in _blocks(request.stream()):
            await asyncio.to_thread(writer.write, block)
        size, existed = await asyncio.to_thread(writer.keep)
    stored = BlobStored(id=sha256, size=size, existed=existed)
    return JSONResponse(stored.model_dump(), 200 if existed else 201)


async def _blocks(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks that are worth a thread's time."""
    waiting: list[bytes] = []
    size = 0
    async for piece in stream:
        waiting.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


@router.post("/blobs/check", responses=answers(400))
def check_blobs(given: BlobIds, service: Server) -> BlobsFound:
    """Which files need not be uploaded; those count as used now."""
    missing = service.blobs.missing(given.ids)
    present = sorted(set(given.ids) - set(missing))
    service.blobs.touch(present)
    return BlobsFound(present=present, missing=missing)


BINARY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/blobs/{sha256}", response_class=LargeBlocks, responses=answers(400, 404, 416) | {200: BINARY, 206: BINARY}
)
def get_blob(sha256: Sha256Path, service: Server) -> Response:
    """An uploaded file."""
    path = service.blobs.path(sha256)
    if not path.is_file():
        raise Answer(404, f"no file {sha256}")
    return _file(path)


def _file(path: Any, media_type: str = "application/octet-stream", name: str | None = None) -> Response:
    """attachment: a browser must not show what others uploaded as a page of this server."""
    return LargeBlocks(path, media_type=media_type, filename=name, headers={"cache-control": "private"})


# Jobs


@router.post("/jobs", status_code=202, responses=answers(400, 408, 409, 429, 507) | {200: {"model": JobInfo}})
def submit(given: Submission, request: Request, service: Server) -> Response:
    """Queue a request (202), or give the equal one that waits, runs or is done (200)."""
    if all(worker.state == "error" for worker in service.store.workers()) and service.store.workers():
        raise Answer(409, f"{given.request.backend} has no worker: {service.store.workers()[0].message}")
    token_id = request.scope.get("state", {}).get("token_id")
    job, created = service.submit(given.request, given.manifest, token_id)
    return Response(job.model_dump_json(), 202 if created else 200, media_type="application/json")


@router.get("/jobs", responses=answers(400))
def jobs(
    request: Request,
    service: Server,
    status: Status | None = None,
    backend: Annotated[str | None, Query(max_length=100)] = None,
    mine: bool = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[JobInfo]:
    """The newest first. mine: of this token."""
    token_id = request.scope.get("state", {}).get("token_id") if mine else None
    return service.store.jobs(status, backend, token_id, limit)


@router.get("/jobs/{job}", responses=answers(400, 404))
def job(job: JobPath, service: Server) -> JobInfo:
    return _found(service, job)


def _found(service: Service, job: str) -> JobInfo:
    found = service.store.get(job)
    if found is None:
        raise Answer(404, f"no job {job!r}")
    return found


@router.delete("/jobs/{job}", responses=answers(400, 404, 409))
def delete(job: JobPath, service: Server) -> JobInfo:
    """Cancel a job that waits or runs; delete one that is finished, with its files. The answer is the job as it is
    then, or was."""
    found = _found(service, job)
    if not found.status.finished:
        return service.store.cancel(job) or found
    if not service.delete(job):
        raise Answer(409, f"job {job} is still being left by its worker: try again in a second")
    return found


@router.get(
    "/jobs/{job}/events", response_class=StreamingResponse,
    responses=answers(400, 404) | {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def events(job: JobPath, service: Server) -> Response:
    """Server-sent events `job`, each with the job as JSON whenever it has changed; the stream ends with the job."""
    await asyncio.to_thread(_found, service, job)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(service, job), media_type="text/event-stream", headers=headers)


async def _events(service: Service, job: str) -> AsyncIterator[str]:
    seen, told = None, time.monotonic()
    while not service.stopping.is_set():
        update = await asyncio.to_thread(service.store.update, job)
        if update is None:
            yield "event: deleted\ndata: {}\n\n"
            return
        if update != seen:
            seen, told = update, time.monotonic()
            yield f"id: {update.version}\nevent: job\ndata: {update.job.model_dump_json()}\n\n"
            if update.job.status.finished:
                return
        elif time.monotonic() - told > HEARTBEAT:
            told = time.monotonic()
            yield ": waiting\n\n"
        await asyncio.sleep(LOOK)


@router.get("/jobs/{job}/result", responses=answers(400, 404, 409, 410))
def result(job: JobPath, service: Server) -> ResultManifest:
    """What a finished job made: its files with their SHA-256, and what they follow from."""
    _require_result(service, job)
    manifest = service.manifest(job)
    if manifest is None:
        raise Answer(410, f"the result of job {job} is gone: submit its request again")
    return manifest


@router.get(
    "/jobs/{job}/result/{name}", response_class=LargeBlocks,
    responses=answers(400, 404, 409, 410, 416) | {200: BINARY, 206: BINARY},
)  # fmt: skip
def result_file(job: JobPath, name: Annotated[str, Path(max_length=300)], service: Server) -> Response:
    """A file of the result."""
    _require_result(service, job)
    path = service.result_file(job, name)
    if path is None:
        raise Answer(404, f"the result of job {job} has no file {name[:80]!r}")
    return _file(path, "video/mp4" if path.suffix == ".mp4" else "application/octet-stream", path.name)


def _require_result(service: Service, job: str) -> None:
    found = _found(service, job)
    if service.store.is_expired(job):
        raise Answer(410, f"the result of job {job} was deleted after {service.serve.jobs_kept}: submit it again")
    if found.status is not Status.DONE:
        raise Answer(409, f"job {job} is {found.status.value}" + (f": {found.error}" if found.error else ""))
