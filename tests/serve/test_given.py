"""Models whose files come in a request: what is written, and what is refused."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import pytest
from gantline.serve.given import PREFIX, write_model
from gantline.serve.scratch import LOCK, remove_scratch

from gantline.errors import BadRequest


def _there() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


def test_files_are_written() -> None:
    files = {"1/model.onnx": base64.b64encode(b"one").decode(), "labels/a.txt": "", "1/model.onnx.data": "AAEC"}
    folder = write_model("m", "{}", files)
    try:
        found = {
            p.relative_to(folder).as_posix(): p.read_bytes()
            for p in folder.rglob("*")
            if p.is_file() and p.name != LOCK
        }
        assert found == {"m/1/model.onnx": b"one", "m/labels/a.txt": b"", "m/1/model.onnx.data": b"\0\1\2"}
    finally:
        remove_scratch(folder)


@pytest.mark.parametrize(
    ("name", "config", "path", "text", "message"),
    [
        ("m", "", "1/model.onnx", "", "load of 'm': files need parameter 'config'"),
        ("m", "{}", "1/model.onnx", "A", r"file '1/model\.onnx' is not base64"),
        ("m", "{}", "1/model.onnx", "A!==", r"file '1/model\.onnx' is not base64"),
        ("m", "{}", "1/model.onnx", "\u00e4", r"file '1/model\.onnx' is not base64"),
        ("m", "{}", "../x", "", r"file '\.\./x': expected a path inside the model"),
        ("m", "{}", "1/../../x", "", "expected a path inside the model"),
        ("m", "{}", "/etc/x", "", "expected a path inside the model"),
        ("m", "{}", "1\\\\..\\\\x", "", "expected a path inside the model"),
        ("m", "{}", "c:x", "", "expected a path inside the model"),
        ("m", "{}", "a\0b", "", "expected a path inside the model"),
        ("m", "{}", "", "", "expected a path inside the model"),
        ("m", "{}", ".", "", "expected a path inside the model"),
        ("..", "{}", "1/model.onnx", "", "needs a name that a directory can have"),
        ("a/b", "{}", "1/model.onnx", "", "needs a name that a directory can have"),
    ],
)
def test_what_is_refused_leaves_nothing(name: str, config: str, path: str, text: str, message: str) -> None:
    before = _there()
    with pytest.raises(BadRequest, match=message):
        write_model(name, config, {path: text})
    assert _there() == before


def test_a_file_where_a_directory_is() -> None:
    before = _there()
    with pytest.raises(BadRequest, match=r"file '1/model.onnx' cannot be where another file is"):
        write_model("m", "{}", {"1": "", "1/model.onnx": ""})
    assert _there() == before
