"""The V2 face beside infer: health, metadata, config, statistics, repository (wire contract: Triton's HTTP server)."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import gantline
from gantline.errors import BadRequest, GantlineError, NotFound, Unsupported
from gantline.settings import ServeSettings

from ..control import Control
from ..core import Core
from ..description import configuration, metadata
from ..extensions import extensions
from ..fronts.asgi import Endpoint
from ..model import Model
from ..readiness import Readiness
from ..repository import Repository
from ..standby import Standby, loaded
from .answering import document, get, json_response, marked, post


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
        self.extensions = extensions(settings)

    def routes(self) -> list[Route]:
        """The whole table. Versions are digits, others are 404 as Triton's are: see _model."""
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
        return json_response({"name": "gantline", "version": gantline.__version__, "extensions": self.extensions})

    async def live(self, request: Request) -> Response:
        return json_response({"live": True})

    async def ready(self, request: Request) -> Response:
        ready = bool(self.readiness)
        return json_response({"ready": ready}, 200 if ready else 503)

    # -- models

    async def metadata(self, request: Request) -> Response:
        model = await self._loaded(request)
        return marked(json_response(metadata(self.repository, model)), model)

    async def model_ready(self, request: Request) -> Response:
        answer = Response(status_code=200, media_type="text/plain")
        try:
            return marked(answer, self._model(request))
        except NotFound:
            raise
        except Standby as e:
            if not self.repository.awaits(e.name):
                return json_response({"error": e.message}, 400)
        except GantlineError as e:
            return json_response({"error": e.message}, 400)  # as Triton answers a version that is not ready
        return answer

    async def config(self, request: Request) -> Response:
        model = await self._loaded(request)
        return marked(json_response(configuration(self.repository, model)), model)

    async def statistics(self, request: Request) -> Response:
        name = request.path_params.get("name", "")
        version = request.path_params.get("version", "")
        with suppress(Standby):  # what it has done can be told none the less
            version = self._model(request).version if version else ""
        return json_response({"model_stats": await self.control.call("statistics", name=name, version=version)})

    # -- repository

    async def index(self, request: Request) -> Response:
        only_ready = (await document(request, self.settings.max_body_bytes)).get("ready", False)
        if not isinstance(only_ready, bool):
            raise BadRequest('index: "ready" must be true or false')
        return json_response(await self.control.call("index", ready=only_ready))

    async def load(self, request: Request) -> Response:
        name = request.path_params["name"]
        parameters = await self._parameters(request, f"load of '{name}'")
        config = parameters.pop("config", "")
        if not isinstance(config, str):
            raise BadRequest(f"load of '{name}': parameter 'config' must be a string of JSON")
        for key, value in parameters.items():
            if not key.startswith("file:"):
                raise Unsupported(f"load of '{name}': parameter {key!r} is not supported")
            if not isinstance(value, str):
                raise BadRequest(f"load of '{name}': parameter {key!r} must be a string of base64")
        await self.control.call("load", name=name, config=config, files=parameters)
        return Response(status_code=200)

    async def unload(self, request: Request) -> Response:
        name = request.path_params["name"]
        parameters = await self._parameters(request, f"unload of '{name}'")
        if not isinstance(parameters.get("unload_dependents", False), bool):
            raise BadRequest(f"unload of '{name}': \"unload_dependents\" must be true or false")
        await self.control.call("unload", name=name)
        return Response(status_code=200)

    async def _parameters(self, request: Request, what: str) -> dict[str, Any]:
        found = (await document(request, self.settings.max_body_bytes)).get("parameters")
        if not isinstance(found, dict | None):
            raise BadRequest(f'{what}: "parameters" must be an object')
        return found or {}

    # -- what a request speaks of

    async def _loaded(self, request: Request) -> Model:
        return await loaded(partial(self._model, request))

    def _model(self, request: Request) -> Model:
        version = request.path_params.get("version", "")
        if version and not (version.isascii() and version.isdigit()):
            raise NotFound("Not Found")
        return self.repository.find(request.path_params["name"], version)
