"""`gantline infer` against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantline.cli import main

SCRIPT = """
def init():
    pass

def run(body):
    return {"got": body}
"""


@pytest.fixture(scope="module")
def url(serving: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """double: y = x + x on [N,3] and its first column as text; echo: a scoring script."""
    import onnx

    root = tmp_path_factory.mktemp("models")
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    info = h.make_tensor_value_info
    nodes = [h.make_node("Add", ["x", "x"], ["y"]), h.make_node("Cast", ["x"], ["t"], to=onnx.TensorProto.STRING)]
    graph = h.make_graph(
        nodes, "g", [info("x", float32, ["N", 3])],
        [info("y", float32, ["N", 3]), info("t", onnx.TensorProto.STRING, ["N", 3])],
    )  # fmt: skip
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), root / "double.onnx")
    (root / "score.py").write_text(SCRIPT)
    words = ["--script", str(root / "score.py"), "--env", "current", "-o", str(root / "echo.pkg")]
    assert main(["package", "--name", "echo", *words]) == 0
    with serving(root / "double.onnx", root / "echo.pkg") as found:
        yield found


@pytest.fixture
def infer(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """infer(file name, content, *flags) -> exit code, stdout, stderr."""

    def call(name: str, content: Any, *flags: str, model: str = "double") -> tuple[int, str, str]:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        elif isinstance(content, np.ndarray):
            np.save(path, content)
        else:
            path.write_text(json.dumps(content))
        code = main(["infer", model, "--input", str(path), "--url", url, *flags])
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


@pytest.fixture
def zoo_with_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path, str]:
    """A model, a keys file, and the secret of its one key."""
    import onnx

    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    tensors = [h.make_tensor_value_info(name, float32, ["N", 3]) for name in "xy"]
    graph = h.make_graph([h.make_node("Neg", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), tmp_path / "neg.onnx")
    assert main(["keys", "new", "--name", "me", "--keys", str(tmp_path / "keys.toml")]) == 0
    return tmp_path / "neg.onnx", tmp_path / "keys.toml", capsys.readouterr().out.strip()


ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
Infer = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("wire", ["--binary", "--text-json"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.csv", "a,b,c\n1,2,3\n4,5,6\n"),
        ("s.json", [[1, 2, 3], [4, 5, 6]]),
        ("s.json", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}]}),
        ("s.npy", ROWS),
    ],
)
def test_json_for_programs(infer: Infer, name: str, content: Any, wire: str) -> None:
    code, out, _ = infer(name, content, "--json", "--output", "y", wire)
    assert code == 0
    assert json.loads(out) == {
        "model": "double",
        "version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 3], "data": [[2, 4, 6], [8, 10, 12]]}],
    }


def test_a_table_for_people(infer: Infer) -> None:
    code, out, _ = infer("s.csv", "a,b,c,label\n1,2,3,x\n4,5,6,y\n", "--drop", "label", "--version", "1")
    assert code == 0 and "double version 1" in out
    assert "2 4 6" in out and "8 10 12" in out
    _, out, _ = infer("s.npy", np.zeros((30, 3), np.float32))
    assert "and 10 more rows: --json prints all" in out


def test_classes(infer: Infer) -> None:
    _, out, _ = infer("s.json", [[1, 3, 2]], "--classes", "2", "--output", "y", "--json")
    (output,) = json.loads(out)["outputs"]
    assert output["datatype"] == "BYTES" and [v.split(":")[1] for v in output["data"][0]] == ["1", "2"]


def test_not_a_number_is_printed(infer: Infer) -> None:
    _, out, _ = infer("s.csv", "a,b,c\n1,,inf\n", "--json", "--output", "y")
    assert json.loads(out)["outputs"][0]["data"][0][2] == float("inf") and "NaN" in out


def test_a_script_gets_the_file_as_it_is(infer: Infer) -> None:
    code, out, _ = infer("s.json", '{"data":  [1]}', "--json", model="echo")
    assert code == 0 and json.loads(out) == {"got": '{"data":  [1]}'}


@pytest.mark.parametrize(
    ("name", "content", "flags", "code", "message"),
    [
        ("s.csv", "a,b,c,label\n1,2,3,x\n", [], 3, "4 columns ('a', 'b', 'c', 'label'), input 'x' takes 3 columns"),
        ("s.json", "{", [], 3, "not JSON"),
        ("s.json", [[1, 2, 3]], ["--output", "z"], 3, "unexpected output 'z'"),
        ("s.json", [[1, 2, 3]], ["--version", "9"], 3, "version 9 is not found"),
        ("s.json", [[1, 2, 3]], ["--url", "http://127.0.0.1:1"], 6, "nothing listens there"),
        ("s.txt", "x", [], 2, "a sample is one of"),
    ],
)
def test_errors(infer: Infer, name: str, content: Any, flags: list[str], code: int, message: str) -> None:
    found, out, err = infer(name, content, *flags)
    assert (found, out) == (code, "") and message in err and err.count("\n") == 1


def test_a_file_that_is_not_there_is_told_before_the_server_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", "m", "--input", str(tmp_path / "rows.csv"), "--url", "http://127.0.0.1:1"]) == 3
    assert capsys.readouterr().err.endswith("rows.csv: no such file\n")


def test_a_key_from_a_file_or_the_environment(
    serving: Callable[..., Any], zoo_with_keys: tuple[Path, Path, str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    model, keys, secret = zoo_with_keys
    rows, held = tmp_path / "rows.json", tmp_path / "key"
    rows.write_text("[[1, 2, 3]]")
    held.write_text(secret + "\n")
    noise = tmp_path / "noise"
    noise.write_bytes(b"\xff")
    monkeypatch.delenv("GANTLINE_KEY", raising=False)
    with serving(model, "--keys", keys) as url:
        words = ["infer", model.stem, "--input", str(rows), "--url", url]
        assert main(words) == 2
        assert capsys.readouterr().err.startswith("gantline infer: error: no key; send a key as")
        assert main([*words, "--key-file", str(held)]) == 0
        monkeypatch.setenv("GANTLINE_KEY", secret)
        assert main(words) == 0
        for file, message in ((tmp_path / "none", "cannot be read: No such file"), (noise, "it is not ASCII text")):
            assert main([*words, "--key-file", str(file)]) == 3
            assert message in capsys.readouterr().err
