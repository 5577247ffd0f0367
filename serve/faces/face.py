"""Face: a protocol of infer: which paths it owns, how it reads bodies and writes answers, how its errors look.

All the rest is the core's, and the same for every face: the queue, deadlines and tenants, limits, compression, work on
threads, statistics. The codecs are in gantline.wire and pure; a face joins them to heads and models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gantline.errors import GantlineError
from gantline.request import Request
from gantline.tensors import Array

from ..exchange import Head, Headers
from ..forms import ReplyForm, RequestForm
from ..model import Model

Outputs = Sequence[tuple[str, Array]]


class Face(ABC):
    """What the core asks of a protocol. `read` and `write` may be called on any thread."""

    name: str  # what models remember its forms by

    @abstractmethod
    def paths(self, name: str, version: str) -> list[bytes]:
        """The raw paths that mean a model's version ("": that name none), as most clients quote them."""

    @abstractmethod
    def locate(self, path: bytes) -> tuple[str, str]:
        """The model and the version ("" for none) that a raw path means, however it is quoted. NotFound."""

    @abstractmethod
    def read(self, head: Head, body: bytes, model: Model) -> Request:
        """A request from a body, Content-Encoding undone. GantlineError says what is wrong with it.

        What the answer's form depends on goes into the request's `asked`, None for the usual one.
        """

    @abstractmethod
    def write(self, request: Request, model: Model, outputs: Outputs) -> tuple[Headers, bytes]:
        """A whole 200 answer, outputs in the order asked for."""

    @abstractmethod
    def refuse(self, error: GantlineError) -> tuple[int, Headers, bytes]:
        """Status, headers and body for an error."""

    # optional

    def heavy(self, body: bytes) -> bool:
        """Whether a small body may take long to read."""
        return False

    def style(self, head: Head) -> str | None:
        """What a head says of how its body is to be read, where bodies of one form may be remembered; None: not."""
        return None

    def request_form(self, body: bytes, request: Request) -> RequestForm | None:
        """The form of a small body that was just read, to read the next ones faster."""
        return None

    def reply_form(self, model: Model, names: Sequence[str], arrays: Sequence[Array]) -> ReplyForm | None:
        """The form of a usual answer with such arrays."""
        return None
