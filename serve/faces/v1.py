"""V1's face: TensorFlow Serving's REST API, and KServe's V1, which descends from it. Its codec is gantline.wire.v1."""

from __future__ import annotations

from collections.abc import Sequence

from gantline.accelerators.script.engine import SCORE

from gantline.errors import GantlineError, Unsupported
from gantline.request import Request
from gantline.tensors import Array
from gantline.wire.v1 import COLUMNS, PredictionsForm, ValuesForm, decode_predict, encode_predict

from .. import paths
from ..exchange import Head, Headers
from ..model import Model
from ..statuses import JSON, v2_error
from .face import Face, Outputs


class V1Face(Face):
    """Its errors look like V2's: {"error": "..."}."""

    name = "v1"

    def paths(self, name: str, version: str) -> list[bytes]:
        return paths.v1(name, version)

    def locate(self, path: bytes) -> tuple[str, str]:
        return paths.v1_model(path)

    def read(self, head: Head, body: bytes, model: Model) -> Request:
        if model.scores is not None and model.signature == SCORE:
            name = model.name
            raise Unsupported(f"model '{name}' is a script that declares no tensors: ask it by /models/{name}/score")
        return decode_predict(body, model.signature, model.name)

    def write(self, request: Request, model: Model, outputs: Outputs) -> tuple[Headers, bytes]:
        return [JSON], encode_predict(outputs, request.asked == COLUMNS)

    def refuse(self, error: GantlineError) -> tuple[int, Headers, bytes]:
        status, body = v2_error(error)
        return status, [JSON], body

    def style(self, head: Head) -> str | None:
        return ""  # bodies are JSON, whatever their type is called

    def request_form(self, body: bytes, request: Request) -> ValuesForm | None:
        return ValuesForm.of(body, request)

    def reply_form(self, model: Model, names: Sequence[str], arrays: Sequence[Array]) -> PredictionsForm | None:
        return PredictionsForm(names) if PredictionsForm.fits(arrays) else None
