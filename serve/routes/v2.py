"""The V2 face beside infer: health, metadata, config, statistics, repository (wire contract: Triton's HTTP server)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

import gantline
from gantline.errors import BadRequest, GantlineError, NotFound, Unsupported
from gantline.settings import ServeSettings
from gantline.wire.v2 import dump_json, parse_json

from ..control import Control
from ..core import Core
from ..fronts.asgi import Endpoint, read_body
from ..model import Model
from ..readiness import Readiness
from ..repository import Repository
from ..statuses import v2_error

# only what works is advertised
EXTENSIONS = (
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
Answer = Callable[[Request], Awaitable[Response]]
_log = logging.getLogger("gantline.http")


class V2Routes:
    """Endpoints over a repository; what changes the server goes through its control."""

    def __init__(
        self, repository: Repository, control: Control, readiness: Readiness, core: Core, settings: ServeSettings
    ) -> None:
        self.repository = repository
        self.control = control
        self.readiness = readiness
        self.core = core
        self.settings = settings

    def routes(self) -> list[Route]:
        """The whole table. Versions are digits, others are 404 as Triton's are: see _model."""
        get, post = self._get, self._post
        model, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
        infer = Endpoint(self.core.infer, self.settings.max_body_bytes)
        table = [
            get("/v2", self.server_metadata),
            get("/v2/", self.server_metadata),
            get("/v2/health/live", self.live),
            get("/v2/health/ready", self.ready),
            get("/v2/models/stats", self.statistics),
            post("/v2/repository/index", self.index),
            post("/v2/repository/models/{name}/load", self.load),
            post("/v2/repository/models/{name}/unload", self.unload),
        ]
        for base in (model, version):
            table += [
                get(base, self.metadata),
                get(base + "/ready", self.model_ready),
                get(base + "/config", self.config),
                get(base + "/stats", self.statistics),
                Route(base + "/infer", infer, methods=["POST"]),
            ]
        return table

    # -- server

    async def server_metadata(self, request: Request) -> Response:
        return _json({"name": "gantline", "version": gantline.__version__, "extensions": list(EXTENSIONS)})

    async def live(self, request: Request) -> Response:
        return Response(status_code=200, media_type="text/plain")

    async def ready(self, request: Request) -> Response:
        return Response(status_code=200 if self.readiness else 503, media_type="text/plain")

    # -- models

    async def metadata(self, request: Request) -> Response:
        model = self._model(request)
        manifest = model.session.package.manifest
        out: dict[str, Any] = {
            "name": model.name,
            "versions": self.repository.versions(model.name),
            "platform": {"onnx": "onnxruntime_onnx", "torch": "pytorch_libtorch"}.get(manifest.engine, manifest.engine),
            "inputs": [_tensor(t.name, t.datatype, t.shape) for t in model.signature.inputs],
            "outputs": [_tensor(t.name, t.datatype, t.shape) for t in model.signature.outputs],
        }
        parameters = {"package_digest": model.session.package.digest} if model.session.package.digest else {}
        if manifest.parity is not None and manifest.parity.loosened:
            parameters["parity_loosened"] = "; ".join(manifest.parity.loosened)
        if parameters:
            out["parameters"] = parameters
        return _json(out)

    async def model_ready(self, request: Request) -> Response:
        try:
            self._model(request)
        except NotFound:
            raise
        except GantlineError as e:
            return _json({"error": e.message}, 400)  # as Triton answers a version that is not ready
        return Response(status_code=200, media_type="text/plain")

    async def config(self, request: Request) -> Response:
        from ..model_config import config_json  # protobuf is needed only here

        model = self._model(request)
        slot = next(s for s in self.repository.slots(model.name) if s.model is model)
        return _json(config_json(model.session.package, model.signature, model.max_rows, slot.entry.config))

    async def statistics(self, request: Request) -> Response:
        name = request.path_params.get("name", "")
        version = self._model(request).version if request.path_params.get("version") else ""
        return _json({"model_stats": await self.control.call("statistics", name=name, version=version)})

    # -- repository

    async def index(self, request: Request) -> Response:
        only_ready = bool((await self._document(request)).get("ready", False))
        return _json(await self.control.call("index", ready=only_ready))

    async def load(self, request: Request) -> Response:
        name = request.path_params["name"]
        parameters = (await self._document(request)).get("parameters") or {}
        if not isinstance(parameters, dict):
            raise BadRequest(f"load of '{name}': \"parameters\" must be an object")
        config = parameters.pop("config", "")
        if not isinstance(config, str):
            raise BadRequest(f"load of '{name}': parameter 'config' must be a string of JSON")
        if parameters:
            raise Unsupported(f"load of '{name}': parameter {next(iter(parameters))!r} is not supported")
        await self.control.call("load", name=name, config=config)
        return Response(status_code=200)

    async def unload(self, request: Request) -> Response:
        await self._document(request)
        await self.control.call("unload", name=request.path_params["name"])
        return Response(status_code=200)

    # -- how each endpoint is called

    def _get(self, path: str, answer: Answer) -> Route:
        return Route(path, self._guarded(answer), methods=["GET"])

    def _post(self, path: str, answer: Answer) -> Route:
        return Route(path, self._guarded(answer), methods=["POST"])

    def _guarded(self, answer: Answer) -> Answer:
        async def endpoint(request: Request) -> Response:
            try:
                return await answer(request)
            except GantlineError as e:
                status, body = v2_error(e)
                return Response(body, status, media_type="application/json")
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it
            except Exception:
                _log.exception("%s %s", request.method, request.url.path)
                return _json({"error": "internal error; see the server's log"}, 500)

        return endpoint

    def _model(self, request: Request) -> Model:
        version = request.path_params.get("version", "")
        if version and not (version.isascii() and version.isdigit()):
            raise NotFound("Not Found")
        return self.repository.find(request.path_params["name"], version)

    async def _document(self, request: Request) -> dict[str, Any]:
        body = await read_body(request, self.settings.max_body_bytes)
        document = parse_json(body) if body.strip() else {}
        if not isinstance(document, dict):
            raise BadRequest("the body must be a JSON object, or empty")
        return document


def _tensor(name: str, datatype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _json(tree: Any, status: int = 200) -> Response:
    return Response(dump_json(tree), status, media_type="application/json")
