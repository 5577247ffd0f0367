"""MLflow's face, and SageMaker's: /invocations for the default model, /models/NAME/invoke for each.

The codec is gantline.wire.mlflow. Statuses are MLflow's: 400 for whatever a model raises, 415 for other types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

from gantline.errors import EngineFailed, GantlineError, NotFound
from gantline.request import Request
from gantline.tensors import Array
from gantline.wire import mlflow as wire
from gantline.wire.list_form import ListForm
from gantline.wire.mlflow_forms import scoring_form
from gantline.wire.predictions_form import PredictionsForm
from gantline.wire.tabular import Table

from .. import paths
from ..exchange import Head, Headers
from ..failures import OVER_HTTP
from ..model import Model
from ..statuses import JSON, MAX_MESSAGE, status_of
from .face import Face, Outputs

INVOCATIONS = b"/invocations"
# how an answer is written where a client asks for another form than MLflow's own
_WRITERS = {wire.CSV: wire.encode_csv, wire.LINES: wire.encode_lines}
_KINDS = {wire.CSV: (b"content-type", b"text/csv; charset=utf-8"), wire.LINES: (b"content-type", wire.LINES.encode())}


class MlflowFace(Face):
    """`default`: the name of the model that /invocations means, empty for none."""

    name = "mlflow"

    def __init__(self, default: Callable[[], str]) -> None:
        self._default = default

    def paths(self, name: str, version: str) -> list[bytes]:
        return [] if version else [f"/models/{quote(name)}/invoke".encode()]

    def locate(self, path: bytes) -> tuple[str, str]:
        if path == INVOCATIONS:
            name = self._default()
            if not name:
                raise NotFound("the server has no default model: start it with --default, or ask /models/NAME/invoke")
            return name, ""
        parts = paths.split(path)
        if len(parts) == 3 and parts[0] == "models" and parts[2] == "invoke":
            return parts[1], ""
        raise NotFound("Not Found")

    def read(self, head: Head, body: bytes, model: Model) -> Request:
        kind = wire.kind_of(head.get(b"content-type") or b"")
        table = Table(model.signature, model.session.package.manifest.table.columns)
        request = wire.decode(body, kind, table, model.signature, model.name)
        if (wanted := wire.answer_type(head.get(b"accept") or b"")) != wire.JSON:
            request.asked = wanted
        return request

    def write(self, request: Request, model: Model, outputs: Outputs) -> tuple[Headers, bytes]:
        table = model.session.package.manifest.table
        chosen = [o for o in outputs if o[0] in table.predictions] if table.predictions else list(outputs)
        kind = str(request.asked or wire.JSON)
        if kind == wire.JSON:
            return [JSON], wire.encode_json(chosen, table.form)
        return [_KINDS[kind]], _WRITERS[kind](chosen, table.form)

    def refuse(self, error: GantlineError) -> tuple[int, Headers, bytes]:
        return refused(error)

    def style(self, head: Head) -> str | None:
        for name, value in head.headers:
            if name == b"content-type" and value != b"application/json":
                return None
            if name == b"accept" and wire.answer_type(value) != wire.JSON:
                return None
        return "json"

    def request_form(self, body: bytes, request: Request) -> ListForm | None:
        return scoring_form(body, request)

    def reply_form(self, model: Model, names: Sequence[str], arrays: Sequence[Array]) -> PredictionsForm | None:
        table = model.session.package.manifest.table
        return PredictionsForm.of(names, arrays, table.predictions, table.form)


def refused(error: GantlineError) -> tuple[int, Headers, bytes]:
    """Status, headers and body for an error, in one line."""
    status, message = status_of(error), error.message
    if isinstance(error, wire.UnknownType):
        status = 415
    elif isinstance(error, EngineFailed):
        OVER_HTTP.note(message)
        status = 400  # MLflow takes it for the input's fault
        who, failed, _ = message.partition(" failed: ")
        if failed:  # in the engine's words, which may quote what it was given
            message = f"{who} failed on this input; see the server's log"
    return status, [JSON], wire.error_body(status, " ".join(message.split())[:MAX_MESSAGE])
