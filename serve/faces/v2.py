"""V2's face: the Open Inference Protocol with Triton's extensions. Its codec is gantline.wire.v2."""

from __future__ import annotations

from gantline.errors import GantlineError
from gantline.request import Reply, Request
from gantline.wire.classification import classify
from gantline.wire.v2 import decode_raw, decode_request, encode_reply

from .. import paths
from ..exchange import Head, Headers
from ..model import Model
from ..shared_memory import SharedMemory
from ..statuses import JSON, v2_error
from ..wishes import wishes_of
from .face import Face, Outputs

_OCTETS = (b"content-type", b"application/octet-stream")
_MUCH = 64 << 10  # bytes in shared memory that are read on a thread


class V2Face(Face):
    """Its forms are those that Forms has by itself, since gRPC and the core's shortest way use them, too."""

    name = "v2"

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory

    def paths(self, name: str, version: str) -> list[bytes]:
        return paths.v2(name, version)

    def locate(self, path: bytes) -> tuple[str, str]:
        return paths.v2_model(path)

    def read(self, head: Head, body: bytes, model: Model) -> Request:
        length = wishes_of(head).length
        if length == 0:
            return decode_raw(body, model.signature, model.name)
        return decode_request(body, length, self._memory.access())

    def write(self, request: Request, model: Model, outputs: Outputs) -> tuple[Headers, bytes]:
        wishes, named = request.outputs, list(outputs)
        if wishes is not None:
            named = [
                (name, classify(a, model.signature.output(name), w.classes, model.stacked) if w.classes else a)
                for w, (name, a) in zip(wishes, outputs, strict=True)
            ]
        reply = Reply(request.model, request.version, named, request.id)
        body, length = encode_reply(reply, request, self._memory.access())
        if length is None:
            return [JSON], body
        return [_OCTETS, (b"inference-header-content-length", b"%d" % length)], body

    def refuse(self, error: GantlineError) -> tuple[int, Headers, bytes]:
        status, body = v2_error(error)
        return status, [JSON], body

    def heavy(self, body: bytes) -> bool:
        """A small body may stand for a large tensor in shared memory."""
        regions = self._memory.regions
        return bool(regions) and b"shared_memory_region" in body and self._memory.largest() > _MUCH
