"""V1 beside predict: models, their status and metadata, for clients of TensorFlow Serving and of KServe alike."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gantline.errors import GantlineError, NotFound, Unavailable, Unsupported
from gantline.signature import TensorSpec
from gantline.wire.v1 import SIGNATURE

from ..core import Core
from ..fronts.asgi import Endpoint
from ..model import Model
from ..paths import v1_model
from ..repository import LOADING, READY, UNLOADING, Repository, Slot
from ..standby import Standby, loaded
from .answering import get, json_response, marked, post

# what TensorFlow Serving calls a version's state, and an element's type
_STATES = {READY: "AVAILABLE", LOADING: "LOADING", UNLOADING: "UNLOADING"}
_DTYPES = {
    "BOOL": "DT_BOOL", "UINT8": "DT_UINT8", "UINT16": "DT_UINT16", "UINT32": "DT_UINT32", "UINT64": "DT_UINT64",
    "INT8": "DT_INT8", "INT16": "DT_INT16", "INT32": "DT_INT32", "INT64": "DT_INT64", "FP16": "DT_HALF",
    "BF16": "DT_BFLOAT16", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING",
}  # fmt: skip


class V1Routes:
    """Endpoints over a repository. One status document has the keys of both protocols."""

    def __init__(self, repository: Repository, core: Core, max_body: int) -> None:
        self.repository = repository
        self._predict = Endpoint(core.infer, max_body)

    def routes(self) -> list[Route]:
        """The whole table; what `:predict` is asked on the hot road does not come here."""
        model = "/v1/models/{name}"
        table = [get("/v1/models", self.models), post(model + ":explain", self.explain)]
        for base in (model, model + "/versions/{version}"):
            table += [
                get(base + "/metadata", self.metadata),
                Route(base + ":predict", self._predict, methods=["POST"]),
                post(base + ":classify", self.examples),
                post(base + ":regress", self.examples),
            ]
        table += [
            get(model + "/labels/{label}", self.label),
            get(model + "/labels/{label}/metadata", self.label),
            Route(model + "/labels/{label}:predict", self._predict, methods=["POST"]),
            get(model + "/versions/{version}", self.status),
            get(model, self.status),
        ]
        return table

    async def models(self, request: Request) -> Response:
        return json_response({"models": self.repository.names()})

    async def status(self, request: Request) -> Response:
        """503 while nothing can be asked, as KServe's clients expect; what TensorFlow Serving's read is there, too."""
        name, version = _named(request)
        slots = [s for s in self.repository.slots(name) if version in ("", s.entry.version)]
        error: GantlineError | None = None
        model: Model | None = None
        try:
            model = self.repository.find(name, version)
        except Unavailable as e:
            standby = isinstance(e, Standby) and self.repository.awaits(name)  # who asks it first has it loaded
            error = None if standby else e
        document: dict[str, Any] = {
            "name": name,
            "ready": error is None,
            "model_version_status": [_status(s, self.repository.stands_by(s)) for s in slots],
        }
        if error is not None:
            document["error"] = error.message
        answer = json_response(document, 200 if error is None else 503)
        return answer if model is None else marked(answer, model)

    async def metadata(self, request: Request) -> Response:
        model = await loaded(partial(self.repository.find, *_named(request)))
        signature = {
            "inputs": {t.name: _tensor(t) for t in model.signature.inputs},
            "outputs": {t.name: _tensor(t) for t in model.signature.outputs},
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        document = {
            "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
            "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
        }
        return marked(json_response(document), model)

    async def explain(self, request: Request) -> Response:
        name = self.repository.find(*_named(request)).name
        raise Unsupported(f"model '{name}' has no explainer; :predict computes its outputs")

    async def examples(self, request: Request) -> Response:
        """Which features of an Example make which element of a tensor, a package does not say."""
        name = self.repository.find(*_named(request)).name
        raise Unsupported(f'model \'{name}\' takes tensors, no Examples; ask :predict with "instances" or "inputs"')

    async def label(self, request: Request) -> Response:
        v1_model(f"/v1/models/{request.path_params['name']}/labels/{request.path_params['label']}:".encode())
        raise NotFound("Not Found")


def _named(request: Request) -> tuple[str, str]:
    version = request.path_params.get("version", "")
    if version and not (version.isascii() and version.isdigit()):
        raise NotFound("Not Found")
    return request.path_params["name"], version


def _status(slot: Slot, standby: bool) -> dict[str, Any]:
    state = READY if standby else slot.state
    fault = slot.reason if state not in _STATES else ""
    return {
        "version": slot.entry.version,
        "state": _STATES.get(state, "END"),
        "status": {"error_code": "UNAVAILABLE" if fault else "OK", "error_message": fault},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    sizes = [{"size": str(d), "name": ""} for d in spec.shape]
    return {
        "dtype": _DTYPES[spec.datatype],
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
        "name": spec.name,
    }
