"""V1's face: TensorFlow Serving's REST API, and KServe's V1, which descends from it. Its codec is gantline.wire.v1.

Messages may come in CloudEvents, as KServe's may (gantline.wire.cloud_events), and are answered in such.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from gantline.accelerators.script.engine import SCORE

from gantline.errors import GantlineError, Unsupported
from gantline.request import Request
from gantline.tensors import Array
from gantline.wire import cloud_events
from gantline.wire.cloud_events import Enveloped
from gantline.wire.list_form import ListForm
from gantline.wire.predictions_form import PredictionsForm
from gantline.wire.v1 import COLUMNS, decode_predict, encode_predict, predict_of
from gantline.wire.v1_forms import values_form

from .. import paths
from ..exchange import Head, Headers
from ..model import Model
from ..statuses import JSON, v2_error
from ..wishes import wishes_of
from .face import Face, Outputs


class V1Face(Face):
    """Its errors look like V2's: {"error": "..."}, in an event or not."""

    name = "v1"

    def paths(self, name: str, version: str) -> list[bytes]:
        return paths.v1(name, version)

    def locate(self, path: bytes) -> tuple[str, str]:
        return paths.v1_model(path)

    def read(self, head: Head, body: bytes, model: Model) -> Request:
        if model.scores is not None and model.signature == SCORE:
            name = model.name
            raise Unsupported(f"model '{name}' is a script that declares no tensors: ask it by /models/{name}/score")
        mode = wishes_of(head).event
        if not mode:
            return decode_predict(body, model.signature, model.name)
        version = (head.get(b"ce-specversion") or b"").decode("latin-1")
        request = predict_of(cloud_events.message_in(body, mode, version), model.signature, model.name)
        request.asked = Enveloped(request.asked, mode)
        return request

    def write(self, request: Request, model: Model, outputs: Outputs) -> tuple[Headers, bytes]:
        asked = request.asked
        if not isinstance(asked, Enveloped):
            return [JSON], encode_predict(outputs, asked == COLUMNS)
        body = encode_predict(outputs, asked.asked == COLUMNS)
        return cloud_events.answer(body, asked.mode, model.name, str(uuid4()), datetime.now(UTC))

    def refuse(self, error: GantlineError) -> tuple[int, Headers, bytes]:
        status, body = v2_error(error)
        return status, [JSON], body

    def style(self, head: Head) -> str | None:
        # bodies are JSON, whatever their type is called
        return None if wishes_of(head).event else ""

    def request_form(self, body: bytes, request: Request) -> ListForm | None:
        return values_form(body, request)

    def reply_form(self, model: Model, names: Sequence[str], arrays: Sequence[Array]) -> PredictionsForm | None:
        return PredictionsForm.of(names, arrays)
