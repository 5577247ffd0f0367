"""What a notebook shows: read back by an HTML parser, with everything in it that is said, and nothing that runs."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from gantline.client import Result
from gantline.packages import Package
from gantline.request import Reply
from gantline.signature import Signature, TensorSpec

EVIL = "<script>alert('x')</script>"


class Reader(HTMLParser):
    """The texts and the tags of a document; every tag that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_signature() -> None:
    labels = tuple(f"class{i}" for i in range(20))
    signature = Signature(
        (TensorSpec(EVIL, "FP32", (-1, 4)), TensorSpec("b", "BYTES", (-1,), optional=True)),
        (TensorSpec("p", "FP32", (-1, 20), labels=labels),),
    )
    found = Reader(signature._repr_html_())
    assert {EVIL, "[any, 4]", "b", "optional", "inputs", "outputs"} <= set(found.texts)
    assert any(t.startswith("labels: class0, ") and t.endswith("class11, ...") for t in found.texts)
    assert found.tags == {"table", "tr", "th", "td"}


def test_package(tmp_path: Path) -> None:
    import gantline

    onnx = pytest.importorskip("onnx")
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    x, y = (h.make_tensor_value_info(name, float32, ["N", 3]) for name in "xy")
    graph = h.make_graph([h.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    file = tmp_path / "double.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), file)
    package = gantline.package(file, name="double", output=tmp_path / "p")
    found = Reader(package._repr_html_())
    assert {"double", str(tmp_path / "p"), package.digest, "onnx", "FP32"} <= set(found.texts)
    assert "golden samples" in found.texts
    bare = Reader(Package.bare(file, "double")._repr_html_())
    assert "a bare file, without a manifest" in bare.texts


def test_result() -> None:
    long = np.arange(1000, dtype=np.float32).reshape(50, 20) / 3
    texts = np.array([EVIL.encode(), b"y" * 100], object)
    found = Reader(Result(Reply(EVIL, "1", [("y", long), ("t", texts), ("none", np.zeros((0, 3)))]))._repr_html_())
    shown = " ".join(found.texts)
    assert "FP32 [50,20]" in shown and "... 40 more rows" in shown and "0.333333" in found.texts
    assert EVIL in found.texts and "y" * 57 + "..." in found.texts and "FP64 [0,3]" in shown
    assert "script" not in found.tags
    assert Result(Reply("m", "1", [("y", long)]))._repr_html_().count("<tr>") == 10


@pytest.mark.parametrize("array", [np.float32(1.5), np.array([True, False]), np.zeros((2, 3, 4))])
def test_results_of_any_shape(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    assert Reader(Result(Reply("m", "1", [("y", np.asarray(array))]))._repr_html_()).texts
