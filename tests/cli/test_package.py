"""`gantline package` as it is typed: what it prints, its exit codes, and one line for every kind of bad input."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
from onnx import helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from gantline.cli import main
from gantline.packages import Package

X = np.random.default_rng(0).normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m.onnx, m.skops and files that only look like them."""
    root = tmp_path_factory.mktemp("files")
    weight = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    info = helper.make_tensor_value_info
    node = helper.make_node("MatMul", ["X", "w"], ["Y"])
    graph = helper.make_graph([node], "g", [info("X", 1, [None, 3])], [info("Y", 1, [None, 2])], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), root / "m.onnx")
    skops.io.dump(LogisticRegression().fit(X, Y), root / "m.skops")
    skops.io.dump(LogisticRegression(), root / "unfitted.skops")
    np.savetxt(root / "rows.csv", X[:9], delimiter=",", header="a,b,c", comments="")
    np.savetxt(root / "wide.csv", np.ones((4, 5)), delimiter=",", header="a,b,c,d,e", comments="")
    (root / "picture.onnx").write_bytes(PNG)
    (root / "half.onnx").write_bytes((root / "m.onnx").read_bytes()[: (root / "m.onnx").stat().st_size // 2])
    (root / "empty.onnx").touch()
    (root / "text.skops").write_text("this is just some text\n")
    (root / "half.skops").write_bytes((root / "m.skops").read_bytes()[:2000])
    (root / "m.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(X, Y)))
    (root / "picture.csv").write_bytes(PNG)
    (root / "folder").mkdir()
    (root / "notes.txt").write_text("hello")
    return root


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """typed(words) -> exit code, stdout, stderr; the working directory is the test's own."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(w) for w in words])
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


def test_a_package_and_what_is_said(typed: Typed, files: Path) -> None:
    code, out, err = typed("package", files / "m.onnx", "--name", "linear", "--sample", files / "rows.csv")
    assert (code, err) == (0, "")
    made = Package.open("linear.pkg")
    assert made.digest is not None and made.digest in out
    assert "on 9 given rows: max relative error 0" in out and "next:  gantline serve linear.pkg" in out
    assert not any(line != line.rstrip() for line in out.splitlines())


def test_json_for_programs(typed: Typed, files: Path) -> None:
    words = ["--run", "r-1", "--dataset", "d", "--label", "first", "--max-batch-size", "5", "-o", "out/p"]
    code, out, _ = typed("package", files / "m.onnx", "--name", "m", "--json", *words)
    told = json.loads(out)
    made = Package.open("out/p")
    assert code == 0 and told["digest"] == made.digest and told["path"] == "out/p"
    assert told["manifest"]["batching"] == {"max_batch_size": 5}
    assert {"run": "r-1", "dataset": "d", "label": "first"}.items() <= made.lineage().items()


def test_loosened_limits_are_recorded_and_said(typed: Typed, files: Path) -> None:
    code, out, _ = typed("package", files / "m.onnx", "--name", "m", "--rtol", "0.01", "--allow-flips", "2")
    assert code == 0 and "limits loosened: rtol 0.0001 -> 0.01, label flips 0 -> 2" in out
    code, out, _ = typed("inspect", "m.pkg")
    assert "limits loosened: rtol 0.0001 -> 0.01" in out


def test_an_existing_package(typed: Typed, files: Path) -> None:
    assert typed("package", files / "m.onnx", "--name", "m")[0] == 0
    code, _, err = typed("package", files / "m.onnx", "--name", "m")
    assert code == 2 and "exists; choose another -o or pass --overwrite" in err
    assert typed("package", files / "m.onnx", "--name", "m", "--overwrite")[0] == 0


BAD: dict[str, tuple[list[str], int, str]] = {
    "a PNG as .onnx": (["picture.onnx"], 3, "expected an ONNX model, found a PNG image"),
    "half an .onnx": (["half.onnx"], 3, "expected an ONNX model"),
    "an empty .onnx": (["empty.onnx"], 3, "expected an ONNX model, found an empty file"),
    "no such .onnx": (["gone.onnx"], 3, "no such file"),
    "a text as .skops": (["text.skops"], 3, "expected a .skops file, found text ('this is just'...)"),
    "half a .skops": (["half.skops"], 3, "expected a .skops file, found a zip archive that is damaged or cut off"),
    "an unfitted estimator": (["unfitted.skops"], 3, "the LogisticRegression is not fitted: call fit() first"),
    "a pickle without trust": (["m.pkl"], 3, "--trust-pickle"),
    "a directory": (["folder"], 3, "a directory without a score.py"),
    "a file of no kind": (["notes.txt"], 3, "expected an .onnx, .skops, "),
    "wrong sample columns": (["m.onnx", "--sample", "wide.csv"], 3, "5 columns"),
    "a sample that is none": (["m.onnx", "--sample", "picture.csv"], 3, "picture.csv"),
    "a name that URLs cannot carry": (["m.onnx", "--name", "a b"], 2, "name 'a b'"),
    "nothing at all": ([], 2, "nothing to package"),
    "bad init": (["m.onnx", "--init", "{"], 2, "--init: not JSON"),
    "init of another kind": (["m.onnx", "--init", "[1]"], 2, "--init: expected a JSON object"),
    "a negative limit": (["m.onnx", "--rtol", "-1"], 2, "must not be negative"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(typed: Typed, files: Path, tmp_path: Path, case: str) -> None:
    words, expected, told = BAD[case]
    named = [str(files / w) if "." in w and not w.startswith("-") else w for w in words]
    named = [str(files / w) if w == "folder" else w for w in named]
    name = [] if "--name" in words else ["--name", "m"]
    code, out, err = typed("package", *named, *name)
    assert (code, out) == (expected, "") and err.count("\n") == 1 and err.startswith("gantline package: error: ")
    assert told in err and (len(words) != 1 or words[0] in err)
    assert list(tmp_path.iterdir()) == []


def test_errors_in_json(typed: Typed, files: Path) -> None:
    code, out, _ = typed("package", files / "picture.onnx", "--name", "m", "--json")
    told = json.loads(out)
    assert code == 3 and told["kind"] == "BadArtefact" and "a PNG image" in told["error"]


@pytest.mark.parametrize("source", ["picture.onnx", pytest.param("half.skops", marks=pytest.mark.slow)])
def test_as_a_process(files: Path, tmp_path: Path, source: str) -> None:
    command = [sys.executable, "-m", "gantline", "package", str(files / source), "--name", "m"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and done.stdout == "" and done.stderr.count("\n") == 1
    assert source in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_breach_is_exit_code_four(typed: Typed, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gantline.builders.canonical import canonicalise as real

    def broken(source: Path, target: Path) -> list[Path]:
        made = real(source, target)
        model = onnx.load(target)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((3, 2), 1.01, np.float32), "w0"))
        onnx.save(model, target)
        return made

    monkeypatch.setattr("gantline.builders.pack.canonicalise", broken)
    code, _, err = typed("package", files / "m.onnx", "--name", "m")
    assert code == 4 and "output 'Y': relative error" in err and "in row" in err and "--rtol" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_trusted_types(typed: Typed, tmp_path: Path, files: Path) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    path = tmp_path / "log.skops"
    skops.io.dump(make_pipeline(FunctionTransformer(np.nan_to_num), RandomForestClassifier(3)).fit(X, Y), path)
    code, _, err = typed("package", path, "--name", "m")
    assert code == 3 and "--trust numpy.nan_to_num" in err
    code, out, _ = typed("package", path, "--name", "m", "--trust", "numpy.nan_to_num", "--env", "current")
    assert code == 0 and "engine" in out
