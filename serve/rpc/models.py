"""Models: what gRPC clients ask beside inference: is it ready, what is it, what has it done, load and unload it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial
from typing import Any

import gantline
from gantline.errors import BadRequest, GantlineError, Unsupported
from gantline.pb import message
from gantline.settings import ServeSettings

from ..control import Control
from ..description import configuration, metadata
from ..extensions import extensions
from ..model import Model
from ..readiness import Readiness
from ..repository import Repository
from ..standby import Standby, loaded
from .answering import Answer, Marked


class Models:
    """Methods over a repository; what changes the server goes through its control."""

    def __init__(self, repository: Repository, control: Control, readiness: Readiness, settings: ServeSettings) -> None:
        self._repository = repository
        self._control = control
        self._readiness = readiness
        self._settings = settings

    def answers(self) -> dict[str, Answer]:
        """By the method's name."""
        return {
            "ServerLive": self.live,
            "ServerReady": self.ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.metadata,
            "ModelConfig": self.config,
            "ModelStatistics": self.statistics,
            "RepositoryIndex": self.index,
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
        }

    # -- server

    async def live(self, request: Any) -> Any:
        return _new("ServerLive", live=True)

    async def ready(self, request: Any) -> Any:
        return _new("ServerReady", ready=bool(self._readiness))

    async def server_metadata(self, request: Any) -> Any:
        return _new(
            "ServerMetadata", name="gantline", version=gantline.__version__, extensions=extensions(self._settings)
        )

    # -- models

    async def model_ready(self, request: Any) -> Any:
        """A model that is not there is not ready either: clients poll this until one is."""
        try:
            model = self._model(request)
        except Standby as e:
            return _new("ModelReady", ready=self._repository.awaits(e.name))
        except GantlineError:
            return _new("ModelReady", ready=False)
        return Marked(_new("ModelReady", ready=True), model.mark)

    async def metadata(self, request: Any) -> Any:
        # the message has no field for a package's digest and the like
        model = await self._loaded(request)
        return Marked(_fill(_new("ModelMetadata"), metadata(self._repository, model)), model.mark)

    async def config(self, request: Any) -> Any:
        model = await self._loaded(request)
        found = _fill(_new("ModelConfig"), {"config": configuration(self._repository, model)})
        return Marked(found, model.mark)

    async def statistics(self, request: Any) -> Any:
        found = await self._control.call("statistics", name=request.name, version=request.version)
        return _fill(_new("ModelStatistics"), {"model_stats": found})

    # -- repository

    async def index(self, request: Any) -> Any:
        _one_repository(request)
        return _fill(_new("RepositoryIndex"), {"models": await self._control.call("index", ready=request.ready)})

    async def load(self, request: Any) -> Any:
        _one_repository(request)
        name, parameters = request.model_name, _parameters(request.parameters)
        config = parameters.pop("config", "")
        if not isinstance(config, str):
            raise BadRequest(f"load of '{name}': parameter 'config' must be a string of JSON")
        files = {}
        for key, value in parameters.items():
            if not key.startswith("file:"):
                raise Unsupported(f"load of '{name}': parameter {key!r} is not supported")
            if not isinstance(value, bytes):
                raise BadRequest(f"load of '{name}': parameter {key!r} must be bytes")
            files[key] = base64.b64encode(value).decode()  # a verb's arguments are JSON
        await self._control.call("load", name=name, config=config, files=files)
        return _new("RepositoryModelLoad")

    async def unload(self, request: Any) -> Any:
        _one_repository(request)
        await self._control.call("unload", name=request.model_name)
        return _new("RepositoryModelUnload")

    # -- what a request speaks of

    async def _loaded(self, request: Any) -> Model:
        return await loaded(partial(self._model, request))

    def _model(self, request: Any) -> Model:
        return self._repository.find(request.name, request.version)


def _new(kind: str, /, **fields: Any) -> Any:
    return message(f"inference.{kind}Response")(**fields)


def _fill(found: Any, tree: Mapping[str, Any]) -> Any:
    """A message with the values of a JSON document, as far as it has fields for them."""
    from google.protobuf import json_format

    return json_format.ParseDict(tree, found, ignore_unknown_fields=True)


def _parameters(found: Any) -> dict[str, Any]:
    return {key: getattr(value, value.WhichOneof("parameter_choice") or "string_param") for key, value in found.items()}


def _one_repository(request: Any) -> None:
    if request.repository_name:
        raise Unsupported(f"repository {request.repository_name!r}: there is one, and it has no name")
