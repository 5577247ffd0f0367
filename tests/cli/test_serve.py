"""`gantline serve` from a shell: what is printed, which exit code, and that the curl line works."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import gantline

onnx = pytest.importorskip("onnx")
WAIT_S = 60.0


def save(path: Path, rows: str | int = "N", width: int = 3) -> Path:
    h, float32 = onnx.helper, onnx.TensorProto.FLOAT
    info = h.make_tensor_value_info
    graph = h.make_graph(
        [h.make_node("Neg", ["it's"], ["y"])], "g", [info("it's", float32, [rows, width])],
        [info("y", float32, [rows, width])],
    )  # fmt: skip
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("GANTLINE_")}


@contextmanager
def serve(folder: Path, *words: object) -> Iterator[Callable[[str], list[str]]]:
    """A running server; call the value for the lines up to the one that begins so."""
    command = [sys.executable, "-m", "gantline", "serve", *map(str, words), "--http-port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder, env=environment()
    ) as process:
        out = process.stdout
        assert out is not None

        def until(start: str) -> list[str]:
            lines: list[str] = []
            while not lines or not lines[-1].startswith(start):
                lines.append(out.readline())
                assert lines[-1], "".join(lines)
            return lines

        try:
            yield until
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()


def failed(folder: Path, *words: object) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "gantline", "serve", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, check=False, cwd=folder, env=environment()
    )
    return done.returncode, done.stdout, done.stderr


def test_what_a_person_reads_and_types(tmp_path: Path) -> None:
    save(tmp_path / "a model's.onnx")
    with serve(tmp_path, "a model's.onnx") as until:
        lines = until("  curl")
        assert re.match(
            r"Gantline listens on http://127\.0\.0\.1:\d+ \(gRPC: 127\.0\.0\.1:\d+\) with 1 model ready:\n", lines[0]
        )
        assert lines[1] == "  a model's:1\n" and lines[-2] == "Try:\n"
        if shutil.which("curl"):
            done = subprocess.run(lines[-1], shell=True, capture_output=True, text=True, check=True, timeout=WAIT_S)
            assert json.loads(done.stdout)["outputs"][0]["shape"] == [1, 3]


def test_a_scripts_sample_is_what_to_try(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("import json\ndef init(): pass\ndef run(d): return json.loads(d)['it\\'s']\n")
    (tmp_path / "body.json").write_text('{"it\'s": "so"}\n')
    script, sample = tmp_path / "score.py", tmp_path / "body.json"
    gantline.package(script=script, sample=sample, name="s", output=tmp_path / "s.pkg")
    with serve(tmp_path, "s.pkg") as until:
        line = until("  curl")[-1]
        assert "/score -H 'content-type: application/json' -d " in line
        if shutil.which("curl"):
            done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, timeout=WAIT_S)
            assert done.stdout == '"so"'


def test_a_request_too_long_to_print_is_not_printed(tmp_path: Path) -> None:
    save(tmp_path / "wide.onnx", width=1000)
    with serve(tmp_path, "wide.onnx") as until:
        assert until("  curl")[-1].endswith("/v2/models/wide\n")


def test_with_keys_the_line_to_try_takes_one_from_the_environment(tmp_path: Path) -> None:
    save(tmp_path / "m.onnx")
    words = [sys.executable, "-m", "gantline", "keys", "new", "--name", "me", "--keys", "keys.toml"]
    made = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment())
    with serve(tmp_path, "m.onnx", "--keys", "keys.toml", "--host", "0.0.0.0") as until:
        line = until("  curl")[-1]
        if shutil.which("curl"):
            for key, word in (("", "error"), (made.stdout.strip(), "outputs")):
                env = {**environment(), "GANTLINE_KEY": key}
                done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, env=env)
                assert word in json.loads(done.stdout)


def test_what_cannot_be_served_is_said_and_the_rest_serves(tmp_path: Path) -> None:
    save(tmp_path / "good.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with serve(tmp_path, tmp_path) as until:
        text = "".join(until("  curl"))
        assert "good:1" in text and re.search(r"NOT SERVED bad:1: .*bad\.onnx", text)
    with serve(tmp_path, tmp_path, "--json") as until:
        ready = json.loads(until("{")[-1])
        assert [m["name"] for m in ready["models"]] == ["good"]
        assert [m["name"] for m in ready["failed"]] == ["bad"] and "bad.onnx" in ready["failed"][0]["reason"]


def test_nothing_to_serve(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    code, out, log = failed(tmp_path, "bad.onnx", "--http-port", "0")
    assert code == 3 and out == "" and "bad.onnx" in log.splitlines()[-1] and "Traceback" not in log
    code, out, _ = failed(tmp_path, "bad.onnx", "--http-port", "0", "--json")
    assert code == 3 and "bad.onnx" in json.loads(out)["error"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none.onnx"], 3, "none.onnx: no such file"),
        ([], 2, "REF"),
        (["m.onnx", "--http-port", "70000"], 2, "from 0 to 65535"),
        (["m.onnx", "--http-prt", "1"], 2, "did you mean '--http-port'"),
        (["m.onnx", "--host", "0.0.0.0"], 2, "--no-auth"),
        (["m.onnx", "--keys", "none.toml"], 2, "keys none.toml: cannot be read: No such file"),
        (["m.onnx", "--tls-certificate", "c"], 2, "go together"),
        (["m.onnx", "--tls-certificate", "c", "--tls-key", "k", "--http-port", "0"], 2, "cannot be used"),
        (["m.onnx", "m.onnx"], 2, "serve one of them"),
        (["m.onnx", "--keyless", "nothing"], 2, "flag --keyless: there are no keys"),
        (["m.onnx", "--grpc-port", "8000"], 2, "flag --grpc-port: 8000 is the port of HTTP, too"),
    ],
)
def test_words_that_make_no_sense(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    save(tmp_path / "m.onnx")
    found, out, log = failed(tmp_path, *words)
    assert (found, out) == (code, "") and message in log and "Traceback" not in log
    assert log.splitlines()[-1].startswith("gantline serve: error: ")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_front_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    save(tmp_path / "m.onnx")
    (tmp_path / "zttp.py").write_text("raise ImportError('No module named zttp')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, out, log = failed(tmp_path, "m.onnx", "--http-port", "0", "--front", "h2", "--workers", workers)
    assert (code, out) == (2, "") and "Traceback" not in log
    assert log.splitlines()[-1] == (
        "gantline serve: error: front h2 needs the extra [h2]: No module named zttp; pip install 'gantline[h2]'"
    )


def test_a_json_log(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    _, _, log = failed(tmp_path, "bad.onnx", "--http-port", "0", "--log-format", "json")
    first = json.loads(log.splitlines()[0])
    assert set(first) == {"time", "level", "logger", "message"} and first["level"] == "error"


def test_a_package_that_was_changed_is_not_served(tmp_path: Path) -> None:
    import gantline

    package = gantline.package(save(tmp_path / "m.onnx"), name="m", output=tmp_path / "m.pkg")
    model = package.model_path
    data = bytearray(model.read_bytes())
    data[data.index(b"Neg")] = ord("A")
    model.write_bytes(bytes(data).replace(b"Aeg", b"Abs"))  # still a model, and one that onnxruntime loads
    code, out, err = failed(tmp_path, "m.pkg", "--http-port", 0)
    assert (code, out) == (3, "") and "Traceback" not in err
    assert re.search(r"error: m\.pkg/model\.onnx: digest sha256:\w+, the manifest says sha256:", err.splitlines()[-1])


def test_a_default_that_is_none_of_the_models(tmp_path: Path) -> None:
    save(tmp_path / "churn.onnx")
    code, _, err = failed(tmp_path, "churn.onnx", "--default", "chrn", "--http-port", 0)
    assert code == 2
    assert err == ("gantline serve: error: default 'chrn': no such model in what is served; did you mean 'churn'?\n")
