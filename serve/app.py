"""The serving program put together: build_stack lists everything that a request passes, top to bottom."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gantline.settings import Resolved, ServeSettings
from gantline.wire.v2 import dump_json

from .access import Access
from .admission import ByteBudget
from .certificate import Certificate
from .control import Control
from .core import Core
from .entry import Entry
from .faces.mlflow import MlflowFace
from .faces.v1 import V1Face
from .following import Following
from .fronts.gate import Gate, PageGate
from .fronts.hot import Front
from .head_start import HeadStart
from .inventory import Inventory
from .key_file import KeyFile
from .loader import Loader
from .log_settings import LogSettings
from .on_demand import OnDemand
from .operations import Operations
from .pages import Pages
from .paths import is_scoring
from .poller import Poller
from .process.cores import usable_cores
from .process.memory import usable_memory
from .readiness import Readiness
from .repository import Repository
from .routes.azure import UNMATCHED_HEADERS, AzureRoutes
from .routes.dispatch import DispatchRoutes
from .routes.docs import DocsRoutes
from .routes.generate import GenerateRoutes
from .routes.log_settings import LogRoutes
from .routes.memory import MemoryRoutes
from .routes.metrics import MetricsRoutes
from .routes.mlflow import MlflowRoutes
from .routes.openapi import OpenApiRoutes
from .routes.shared_memory import SharedMemoryRoutes
from .routes.trace_settings import TraceRoutes
from .routes.v1 import V1Routes
from .routes.v2 import V2Routes
from .shared_memory import SharedMemory
from .shelf import Shelf
from .statuses import told
from .telemetry.collector import Collector
from .telemetry.explainer import Explainer
from .trace_settings import TraceSettings

if TYPE_CHECKING:
    from .rpc.service import Service

MAX_WAITING = 64  # threads


@dataclass(slots=True)
class Stack:
    """The parts that the server process starts, watches and stops."""

    settings: ServeSettings
    repository: Repository
    loader: Loader
    control: Control
    readiness: Readiness
    core: Core
    v2: V2Routes
    front: Front
    app: Starlette
    access: Access | None  # None: no keys
    key_file: KeyFile | None
    certificate: Certificate | None  # None: no TLS
    pools: tuple[ThreadPoolExecutor, ...]
    logs: LogSettings
    traces: TraceSettings
    collector: Collector
    poller: Poller | None
    on_demand: OnDemand | None
    _service: Service | None = None

    def service(self) -> Service:
        """What the gRPC fronts answer; made when the first of them asks, since protobuf takes its time to import."""
        if self._service is None:
            from .rpc.service import Service

            self._service = Service(
                self.repository, self.control, self.readiness, self.core, self.settings, self.access, self.pools[0]
            )
        return self._service

    def drain(self) -> None:
        """Lame duck: readiness says no, and every answer asks its client to connect elsewhere."""
        self.readiness.draining = self.front.draining = True

    def close(self) -> None:
        """Start no more threads' work; what runs is not waited for."""
        self.traces.close()
        self.logs.close()
        for pool in self.pools:
            pool.shutdown(wait=False, cancel_futures=True)


def build_stack(
    resolved: Resolved[ServeSettings], entries: list[Entry], shelf: Shelf | None = None,
    head_start: HeadStart | None = None,
) -> Stack:  # fmt: skip
    """Everything between a socket and a model. `head_start`: the models that are being opened already.

    Hot:  Http1 -> Access -> Front -> Core -> Face, wire -> Model -> Batcher, Dispatch -> Session -> Engine, and back.
    Slow: Http1 -> Starlette -> Gate, Access (without keys PageGate, Pages) -> V2Routes, or Endpoint -> Core as above.
    gRPC: Grpcio or Http2 -> rpc.Service -> Infer -> wire.v2_grpc -> Core.submit -> Model as above; the rest -> Control.
    """
    settings, limit, (pool, waiting) = resolved.settings, resolved.settings.max_body_bytes, _pools()
    repository = Repository(entries, settings.default)
    loader = Loader(repository, resolved, pool, waiting, shelf, head_start)
    control = Control()
    memory = SharedMemory(settings.allow_shared_memory, limit, control)
    workers = settings.workers or usable_cores()
    budget = ByteBudget(settings.max_pending_bytes or usable_memory() // 4 // workers)
    on_demand = OnDemand(loader, resolved, workers, budget) if settings.load == "on-demand" else None
    inventory = Inventory(on_demand, control) if on_demand is not None else None
    core = Core(repository, limit, pool, memory, budget)
    v1 = core.beside(V1Face())
    Operations(repository, loader, control, settings.model_control, on_demand)
    poller, following = _movers(settings, shelf, loader, control, waiting, on_demand)
    readiness = Readiness(repository)
    v2 = V2Routes(repository, control, readiness, core, settings)
    key_file, access, certificate = _locks(settings, repository)
    azure = AzureRoutes(repository, limit, budget, access is not None)
    mlflow = MlflowRoutes(core.beside(MlflowFace(repository.default_name)), azure, readiness, limit)
    logs = LogSettings(settings.log_level, control)
    traces = TraceSettings(settings.trace_dir, repository, control, waiting)
    repository.ledger.measured = not settings.no_metrics
    pages = Pages(settings.host)
    denials = access.denials if access else pages.denials
    triton = not settings.no_triton_metrics
    collector = Collector(repository, readiness, budget, control, triton, denials, inventory, following)
    Explainer(repository, control)
    routes: list[BaseRoute] = [
        *v2.routes(),
        *V1Routes(repository, v1, limit).routes(),
        *GenerateRoutes(repository, core, limit, pool).routes(),
        *SharedMemoryRoutes(control, limit).routes(),
        *LogRoutes(control, limit).routes(),
        *TraceRoutes(control, limit).routes(),
        *([] if settings.no_metrics else MetricsRoutes(control).routes()),
        *DispatchRoutes(control).routes(),
        *MemoryRoutes(control, on_demand is not None).routes(),
        *azure.routes(),
        *mlflow.routes(),
    ]
    if not settings.no_docs:
        routes += [*OpenApiRoutes(repository, settings, routes).routes(), *DocsRoutes(repository, control).routes()]
    gate = Middleware(Gate, access, azure.preflight) if access else Middleware(PageGate, pages)
    app = Starlette(routes=routes, middleware=[gate], exception_handlers={HTTPException: partial(_unmatched, azure)})
    app.router.redirect_slashes = False  # `/score/` is another path, and not found
    faces, refused = [(v1.routes, v1.infer), (mlflow.models, mlflow.invoke)], repository.ledger.refused
    front = Front(settings, core.infer, repository.routes, azure.handlers, access, refused, faces)
    return Stack(
        settings, repository, loader, control, readiness, core, v2, front, app, access, key_file, certificate,
        (pool, waiting), logs, traces, collector, poller, on_demand,
    )  # fmt: skip


def _pools() -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
    """Threads that compute, one a core since engines release the GIL, and threads that only wait, for loads and calls
    of another process: a script that takes its time must not keep other models from running.
    """
    computing = ThreadPoolExecutor((os.cpu_count() or 1) + 1, thread_name_prefix="gantline")
    return computing, ThreadPoolExecutor(MAX_WAITING, thread_name_prefix="gantline-waiting")


def _movers(
    settings: ServeSettings, shelf: Shelf | None, loader: Loader, control: Control, waiting: ThreadPoolExecutor,
    on_demand: OnDemand | None,
) -> tuple[Poller | None, Following | None]:  # fmt: skip
    """What has models change that lie on a shelf: what lies there, and aliases."""
    if shelf is None:
        return None, None
    poller = None
    if settings.model_control == "poll":
        poller = Poller(shelf, loader, control, settings.poll_s, waiting, on_demand)
    return poller, Following(shelf, loader, control, on_demand)


def _locks(settings: ServeSettings, repository: Repository) -> tuple[KeyFile | None, Access | None, Certificate | None]:
    """Keys and TLS, where they are set."""
    key_file = KeyFile(settings.keys) if settings.keys else None
    access = Access(key_file.read(), settings.keyless, repository.default_name) if key_file else None
    certificate = Certificate(settings.tls_certificate, settings.tls_key) if settings.tls_certificate else None
    return key_file, access, certificate


async def _unmatched(azure: AzureRoutes, request: Request, error: Exception) -> Response:
    """404 and 405 in the face of the default model."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if is_scoring(path.encode()):
        _, body = told(path.encode(), error.status_code, error.detail)
        return Response(body, error.status_code, headers=error.headers, media_type="application/json")
    if azure.default() is not None and not path.startswith(("/v1/", "/v2")):
        status, body = azure.unmatched(error.status_code)
        return Response(body, status, headers=UNMATCHED_HEADERS, media_type="application/json")
    return Response(
        dump_json({"error": error.detail}), error.status_code, headers=error.headers, media_type="application/json"
    )
