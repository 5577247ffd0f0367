"""What the package commands print, piece by piece."""

from __future__ import annotations

import json
import sys

import pytest

from gantline.cli.show import columns, parity_line, print_json, size, table, tensor_line
from gantline.manifest import Manifest, Parity
from gantline.signature import TensorSpec


def test_a_row_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    table([("a", "x" * 300), ("long name", "[red]not markup[/red]"), ("long name", "second")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["a          " + "x" * 300, "long name  [red]not markup[/red]", "           second"]


def test_a_terminal_folds_but_cuts_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    table([("digest", "0123456789" * 8)])
    out = capsys.readouterr().out
    assert sum(out.count(c) for c in "0123456789") >= 80 and out.count("\n") > 1


def test_parity_lines() -> None:
    assert parity_line(Manifest("m", "onnx")).startswith("not checked")
    parity = Parity("synthetic", 64, 1e-6, 2e-7, 0, 12, {}, ("rtol 0.0001 -> 0.01",))
    assert parity_line(Manifest("m", "onnx", parity=parity)) == (
        "on 64 synthetic rows and 12 probes next to tree thresholds: max relative error 2e-07 (absolute 1e-06), "
        "0 label flips; limits loosened: rtol 0.0001 -> 0.01"
    )


def test_tensors_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    spec = TensorSpec("y", "FP32", (-1, 10), True, tuple("abcdefghij"))
    assert tensor_line(spec) == "y FP32 [-1,10] (optional) labels: a, b, c, d, e, f, g, h, ..."
    assert [size(n) for n in (0, 1023, 1536, 3 << 20, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "3.0 MiB", "5.0 GiB"]
    print_json({"b": 1, "a": "é"})
    assert capsys.readouterr().out == json.dumps({"a": "é", "b": 1}, indent=2, ensure_ascii=False) + "\n"


def test_nothing_that_a_terminal_acts_on_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    table([("note", "\x1b[2Jgone\r\n\x9b3m \u202eback ünï 東京\u200d")])
    assert capsys.readouterr().out == "note  \ufffd[2Jgone\ufffd\ufffd\ufffd3m \ufffdback ünï 東京\u200d\n"
    columns(("TAGS",), [("a\nb \x1b[31m",)])
    assert capsys.readouterr().out == "TAGS\na\ufffdb \ufffd[31m\n"
