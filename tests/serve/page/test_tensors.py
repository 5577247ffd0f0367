"""What the page computes by itself, in Node.js: bytes of tensors, snippets; numpy and Python are the judges."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

PAGE = Path(__file__).parents[3] / "serve" / "page"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js runs the page's scripts")


@pytest.fixture
def node(tmp_path: Path) -> Any:
    """Evaluate an expression over the page's pure modules; `given` is there as a value."""
    for name in ("tensors.js", "snippets.js"):
        shutil.copy(PAGE / name, (tmp_path / name).with_suffix(".mjs"))

    def run(expression: str, given: Any = None) -> Any:
        code = (
            "import * as t from './tensors.mjs'; import * as s from './snippets.mjs'; import {readFileSync} from 'fs';"
            "const given = JSON.parse(readFileSync(0)); const bytes = (b) => Buffer.from(b).toString('hex');"
            f"console.log(JSON.stringify({expression}));"
        )
        (tmp_path / "run.mjs").write_text(code)
        done = subprocess.run(
            ["node", "run.mjs"], cwd=tmp_path, input=json.dumps(given), capture_output=True, text=True, check=False
        )
        assert not done.returncode, done.stderr
        return json.loads(done.stdout)

    return run


def test_floats_of_two_bytes_are_rounded_as_numpy_rounds_them(node: Any) -> None:
    rng = np.random.default_rng(0)
    some = np.concatenate(
        [
            rng.normal(size=500) * 10.0 ** rng.integers(-9, 6, 500),
            [0, -0.0, 1, -1, 65504, 65519.9, 65520, 1e9, -1e9, 2**-24, 2**-25, 1.5 * 2**-25, 2**-14, 1 + 2**-11],
            [1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 3e38],
        ]
    ).astype(np.float32)
    given = [float(v) for v in some]
    with np.errstate(over="ignore"):
        half, brain = some.astype(np.float16).tobytes(), some.astype(ml_dtypes.bfloat16).tobytes()
    assert node("bytes(t.toBytes(given, 'FP16'))", given) == half.hex()
    assert node("bytes(t.toBytes(given, 'BF16'))", given) == brain.hex()
    assert node("[bytes(t.toBytes([-3, 0.4, 254.6, 300], 'UINT8')), bytes(t.toBytes([-300, 200], 'INT8'))]") == [
        "0000ffff", "807f",
    ]  # fmt: skip
    assert node("bytes(t.toBytes([1.1], 'FP64'))") == struct.pack("<d", 1.1).hex()


LAYOUTS: list[tuple[str, list[int], list[Any] | None]] = [
    ("FP32", [-1, 3, 224, 200], ["CHW", 3, 224, 200, True]),
    ("UINT8", [-1, 28, 20, 1], ["HWC", 1, 28, 20, True]),
    ("FP16", [1, 3, -1, -1], ["CHW", 3, 0, 0, True]),
    ("FP32", [28, 28, 3], ["HWC", 3, 28, 28, False]),
    ("FP32", [-1, 4], None),
    ("FP32", [8, 3, 224, 224], None),
    ("INT64", [-1, 3, 224, 224], None),
    ("FP32", [-1, 5, 224, 224], None),
]


def test_what_can_hold_a_picture(node: Any) -> None:
    told = node("given.map(t.pictureLayout)", [{"datatype": d, "shape": shape} for d, shape, _ in LAYOUTS])
    names = ("layout", "channels", "height", "width", "lead")
    assert told == [found and dict(zip(names, found, strict=True)) for _, _, found in LAYOUTS]


def test_a_picture_as_numbers(node: Any) -> None:
    rgba = np.random.default_rng(1).integers(0, 256, (2, 3, 4))
    cases = list(product(("CHW", "HWC"), ("RGB", "BGR"), ("raw", "unit", "signed", "imagenet")))
    call = "t.pictureValues(given[0], 3, 2, {layout, channels: 3}, {order, scaling, invert: false})"
    got = node(f"given[1].map(([layout, order, scaling]) => Array.from({call}))", [rgba.ravel().tolist(), cases])
    rgb = rgba[..., :3].astype(float)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scaled = {"raw": rgb, "unit": rgb / 255, "signed": rgb / 127.5 - 1, "imagenet": (rgb / 255 - mean) / deviation}
    for (layout, order, scaling), found in zip(cases, got, strict=True):
        want = scaled[scaling][..., ::-1] if order == "BGR" else scaled[scaling]
        want = want.transpose(2, 0, 1) if layout == "CHW" else want
        assert np.allclose(found, want.ravel(), atol=1e-12), (layout, order, scaling)


def test_a_grey_picture_turned_round(node: Any) -> None:
    given = {"pixels": [255, 255, 255, 255, 255, 0, 0, 255], "layout": {"layout": "CHW", "channels": 1}}
    options = '{"scaling": "raw", "order": "RGB", "invert": true}'
    got = node(f"Array.from(t.pictureValues(given.pixels, 2, 1, given.layout, {options}))", given)
    assert np.allclose(got, [0, 255 - 0.299 * 255])


def test_a_body_is_taken_apart_and_put_together(node: Any) -> None:
    head = b'{"inputs": [{"name": "a", "parameters": {"binary_data_size": 2}}, {"name": "b", "data": [1]}]}'
    given = {"bytes": [*head, 7, 8], "length": len(head)}
    both = "t.takeApart(new Uint8Array(given.bytes), given.length)"
    assert node(f"bytes({both}.blobs.get('a'))", given) == "0708"
    made = f"(() => {{ const p = {both}; return t.putTogether(JSON.stringify(p.tree), p.blobs); }})()"
    assert (
        node(f"bytes({made}.body)", given)
        == (json.dumps(json.loads(head), separators=(",", ":")).encode() + b"\7\x08").hex()
    )
    plain = '{"inputs": []}'
    assert node("t.putTogether(given, new Map())", plain) == {"body": plain, "length": 0}
    wrong = "(() => { try { t.putTogether(given, new Map()); } catch (e) { return e.message; } })()"
    assert node(wrong, head.decode()).startswith("input 'a' says binary data, and there are none for it")


def test_json_that_is_none_is_read_all_the_same(node: Any) -> None:
    assert node("t.read(given)", '{"y":[NaN,-Infinity, Infinity,1]}') == {"y": [None, None, None, 1]}
    assert node("t.read(given)", '{"y":"a, NaN"}') == {"y": "a, NaN"}
    assert node("[t.read('Healthy') === undefined]") == [True]
    text = node("t.write(given)", {"inputs": [{"name": "x", "shape": [1, 2], "data": [[1, 2]]}], "e": {}})
    assert json.loads(text) == {"inputs": [{"name": "x", "shape": [1, 2], "data": [[1, 2]]}], "e": {}}
    assert '"shape": [1, 2]' in text and text.count("\n") > 4


TEXTS = ["{}", "it's\n\\ \U0001f600 ä '''", '{"a": "x\'"}', "'", "a\rb", "\\u0041"]


def test_snippets_send_what_the_editor_has(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTLINE_KEY", "KEY")
    request: dict[str, Any] = {"url": "http://127.0.0.1:1/x y'", "headers": {"content-type": "application/json"}}
    request |= {"binary": False, "key": True}
    found = node("given.map((r) => [s.python(r), s.curl(r)])", [{**request, "text": text} for text in TEXTS])
    for text, (code, line) in zip(TEXTS, found, strict=True):
        assert sent_by_python(code) == (request["url"], text.encode(), {**request["headers"], "x-api-key": "KEY"})
        command = line.replace("curl -s", "printf '%s\\0'", 1)
        done = subprocess.run(["sh", "-c", command], capture_output=True, env={"GANTLINE_KEY": "KEY"}, check=True)
        assert done.stdout.split(b"\0") == [
            b"http://127.0.0.1:1/x y'", b"-H", b"x-api-key: KEY", b"-H", b"content-type: application/json",
            b"--data-binary", text.encode(), b"",
        ]  # fmt: skip


def sent_by_python(code: str) -> tuple[str, bytes, dict[str, str]]:
    """What a snippet would send: it is run up to where it connects."""
    sent: list[Any] = []
    body = code.partition("with urllib")[0].replace("urllib.request.Request(", "note(")
    exec(body, {"note": lambda url, data, headers: sent.extend((url, data, headers))})  # noqa: S102
    url, data, headers = sent
    return url, data, headers
