"""A face of a few lines takes the whole hot way: the queue, limits, compression, threads and forms are the core's."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from gantline.accelerators.session import Session
from gantline.serve.admission import ByteBudget
from gantline.serve.control import Control
from gantline.serve.core import Core
from gantline.serve.entry import Entry
from gantline.serve.exchange import Head, Headers
from gantline.serve.faces.face import Face, Outputs
from gantline.serve.forms import ReplyForm, RequestForm
from gantline.serve.model import Model
from gantline.serve.policy import QueuePolicy
from gantline.serve.repository import Repository
from gantline.serve.shared_memory import SharedMemory
from gantline.serve.statuses import status_of
from gantline.serve.tuning import Tuning

from gantline.errors import BadRequest, GantlineError, NotFound
from gantline.packages import Package
from gantline.request import Request
from gantline.tensors import Array

LIMIT = 1 << 20
TEXT: Headers = [(b"content-type", b"text/plain")]


class Line:
    """The form of a body with one row."""

    name = "x"
    asked: object = None

    def read(self, body: bytes) -> Array | None:
        return np.array([body.split(b",")], np.float32) if re.fullmatch(rb"\d+,\d+,\d+", body) else None

    def write(self, arrays: Sequence[Array]) -> bytes | None:
        return b"|".join(b"%g" % v for v in arrays[0].ravel().tolist())


class Lines(Face):
    """A row a line, its numbers with commas between; /lines/MODEL/VERSION. `?` before it asks for no commas."""

    name = "lines"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def paths(self, name: str, version: str) -> list[bytes]:
        return [f"/lines/{name}/{version}".encode()]

    def locate(self, path: bytes) -> tuple[str, str]:
        parts = path.decode().lower().split("/")
        if parts[:2] != ["", "lines"]:
            raise NotFound("no line")
        return parts[2], parts[3]

    def read(self, head: Head, body: bytes, model: Model) -> Request:
        self.calls.append("read")
        try:
            rows = [line.split(b",") for line in body.removeprefix(b"?").split()]
            request = Request({model.signature.inputs[0].name: np.array(rows, np.float32)})
        except ValueError as e:
            raise BadRequest("not lines") from e
        request.asked = "joined" if body.startswith(b"?") else None
        return request

    def write(self, request: Request, model: Model, outputs: Outputs) -> tuple[Headers, bytes]:
        self.calls.append("write")
        ((_, array),) = outputs
        between = "" if request.asked else ","
        return TEXT, "\n".join(between.join(f"{v:g}" for v in row) for row in array.tolist()).encode()

    def refuse(self, error: GantlineError) -> tuple[int, Headers, bytes]:
        return status_of(error), TEXT, b"oh: " + error.message.encode()

    def style(self, head: Head) -> str | None:
        return None if head.get(b"x-odd") else "plain"

    def request_form(self, body: bytes, request: Request) -> RequestForm | None:
        return None if request.asked else Line()

    def reply_form(self, model: Model, names: Sequence[str], arrays: Sequence[Array]) -> ReplyForm | None:
        return Line() if arrays[0].shape == (1, 3) else None


class Answer:
    def __init__(self) -> None:
        self.closed = False
        self.got: asyncio.Future[tuple[int, Headers, bytes]] = asyncio.get_running_loop().create_future()

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self.got.set_result((status, headers, body))

    def start(self, status: int, headers: Headers) -> None: ...
    def chunk(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def abort(self) -> None: ...
    async def drain(self) -> None: ...
    def on_close(self, callback: Callable[[], None]) -> None: ...


def at(zoo: Path, test: Callable[[Core, Lines, Callable[..., Any]], Any]) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(2) as pool:
            repository, face = Repository([]), Lines()
            v2 = Core(repository, LIMIT, pool, SharedMemory(False, LIMIT, Control()), ByteBudget(LIMIT))
            core = v2.beside(face)
            session = Session.open(Package.bare(zoo / "double.onnx", "double"))
            model = Model(session, "double", "1", pool, Tuning(QueuePolicy(64, 100)))
            repository.swap("double", [(Entry("double", "1", session.package), model)])

            async def ask(
                body: bytes, path: bytes = b"/lines/double/", *headers: tuple[bytes, bytes]
            ) -> tuple[int, bytes]:
                answer = Answer()
                core.infer(Head(b"POST", path, b"", list(headers)), body, answer)
                status, _, found = await answer.got
                return status, found

            await test(core, face, ask)

    asyncio.run(run())


def test_the_way_there_and_back(zoo: Path) -> None:
    async def test(core: Core, face: Lines, ask: Callable[..., Any]) -> None:
        assert core.routes == {b"/lines/double/": (m := core.repository.find("double")), b"/lines/double/1": m}
        assert await ask(b"1,2,3\n4,5,6") == (200, b"2,4,6\n8,10,12")
        assert await ask(b"?1,2,3") == (200, b"246")
        assert await ask(b"1,2,3", b"/lines/DOUBLE/1") == (200, b"2|4|6")
        assert await ask(b"a") == (400, b"oh: not lines")
        assert await ask(b"1,2") == (400, b"oh: model 'double': input 'x' has shape [1,2], expected [-1,3]")
        assert (await ask(b"1,2,3", b"/lines/none/"))[0] == 404
        assert await ask(b"1,2,3", b"/nothing") == (404, b"oh: no line")
        assert (await ask(b"1,2,3", b"/lines/double/", (b"x-gantline-timeout-ms", b"no")))[0] == 400
        assert await ask(gzip.compress(b"1,2,3"), b"/lines/double/", (b"content-encoding", b"gzip")) == (200, b"2|4|6")
        assert (await ask(b"1,2,3", b"/lines/double/", (b"content-encoding", b"br")))[0] == 501
        large = b"1,2,3\n" * 20_000
        status, found = await ask(large)
        assert status == 200 and found == b"\n".join([b"2,4,6"] * 20_000)
        assert (m.statistics.success_count, m.statistics.fail_count) == (5, 4)

    at(zoo, test)


def test_forms_are_kept_by_face_and_style(zoo: Path) -> None:
    async def test(core: Core, face: Lines, ask: Callable[..., Any]) -> None:
        for _ in range(3):
            assert await ask(b"1,2,3") == (200, b"2|4|6")
        assert face.calls == ["read"]  # the two others went the short way
        model = core.repository.find("double")
        assert model.forms.like is None and list(model.other_forms) == [("lines", "plain")]
        odd = (b"x-odd", b"1")
        assert await ask(b"1,2,3", b"/lines/double/", odd) == (200, b"2,4,6")
        assert face.calls == ["read", "read", "write"] and len(model.other_forms) == 1

    at(zoo, test)
