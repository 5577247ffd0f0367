"""V2's face: paths, answers and errors as V2 has them; its codec and the core are tried elsewhere."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.session import Session
from gantline.serve.control import Control
from gantline.serve.exchange import Head
from gantline.serve.faces.v2 import V2Face
from gantline.serve.model import Model
from gantline.serve.shared_memory import SharedMemory

from gantline.errors import DeadlineExceeded, NotFound
from gantline.packages import Package
from gantline.request import RequestedOutput


@pytest.fixture
def face() -> V2Face:
    return V2Face(SharedMemory(False, 1000, Control()))


def test_paths(face: V2Face) -> None:
    (path,) = face.paths("m", "3")
    assert path == b"/v2/models/m/versions/3/infer" and face.locate(path) == ("m", "3")
    assert face.locate(b"/v2/models/%6d/infer") == ("m", "")
    with pytest.raises(NotFound):
        face.locate(b"/v1/models/m:predict")


def test_a_request_and_its_answer(face: V2Face, zoo: Path) -> None:
    async def test() -> None:
        with ThreadPoolExecutor(1) as pool:
            session = Session.open(Package.bare(zoo / "double.onnx", "m"))
            model = Model(session, "m", "1", pool)
            body = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'
            assert not face.heavy(body)
            request = face.read(Head(b"POST", b"/", b"", []), body, model)
            assert request.inputs["x"].tolist() == [[1, 2, 3]]
            raw = Head(b"POST", b"/", b"", [(b"inference-header-content-length", b"0")])
            assert face.read(raw, np.ones(3, np.float32).tobytes(), model).binary_output
            request.model, request.version = "m", "1"
            answer = [("y", np.array([[2, 6, 4]], np.float32))]
            headers, text = face.write(request, model, answer)
            assert headers == [(b"content-type", b"application/json")]
            assert json.loads(text)["outputs"] == [
                {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2, 6, 4]}
            ]
            request.outputs = [RequestedOutput("y", classes=1)]
            assert json.loads(face.write(request, model, answer)[1])["outputs"][0]["data"] == ["6.000000:1"]
            request.outputs = [RequestedOutput("y", binary=True)]
            headers, text = face.write(request, model, answer)
            assert dict(headers)[b"inference-header-content-length"] == b"%d" % (len(text) - 12)
            session.close()

    asyncio.run(test())


def test_errors(face: V2Face) -> None:
    status, headers, body = face.refuse(DeadlineExceeded("too late"))
    assert (status, headers) == (504, [(b"content-type", b"application/json")])
    assert json.loads(body) == {"error": "too late"}
