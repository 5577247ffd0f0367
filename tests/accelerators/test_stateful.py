"""Packages that keep sequences: declared, tried, replayed, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.replay import replay
from gantline.accelerators.session import Session
from gantline.accelerators.stateful import Stateful, Steps, policy_of

import gantline
from gantline.cli import main
from gantline.errors import BadArtefact, GantlineError, UsageError, VerificationFailed
from gantline.manifest import SequenceInfo
from gantline.packages import Package
from gantline.request import Request
from gantline.signature import Signature, TensorSpec
from tests.sequence_model import write_sequence_model

SAYS: dict[str, Any] = {
    "states": {"sum_in": "sum_out"},
    "initial": {"sum_in": 100.0},
    "controls": {"start": "START", "id": "CORRID"},
    "idle_s": 60.0,
    "max_sequences": 5,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sequence_model(tmp_path_factory.mktemp("stateful") / "sum.onnx")


@pytest.fixture(scope="module")
def package(model: Path) -> Package:
    sample = {"x": np.array([[1], [2], [4]], np.float32), "start": np.zeros((3, 1), np.float32),
              "sum_in": np.zeros((3, 1), np.float32), "id": np.zeros((3, 1), np.int64)}  # fmt: skip
    return gantline.package(model, name="sum", sample=sample, sequences=SAYS, output=model.parent / "sum.pkg")


def test_clients_see_neither_state_nor_controls(package: Package) -> None:
    signature = package.manifest.signature
    assert signature is not None
    assert [t.name for t in signature.inputs] == ["x"] and [t.name for t in signature.outputs] == ["y", "begun", "who"]
    assert package.manifest.sequences == SequenceInfo.from_json(SAYS, "here")


def test_the_golden_sequence_holds_and_its_state_matters(package: Package, tmp_path: Path) -> None:
    session = Session.open(package)
    try:
        assert [r.rows for r in replay(session)] == [1, 1, 1]
        assert isinstance(session.engine, Stateful)
        steps = Steps(session.engine.sequences)
        found = []
        for i, x in enumerate((1.0, 2.0, 4.0)):
            given = {"sequence_id": 9, "sequence_start": i == 0, "sequence_end": i == 2}
            request = Request({"x": np.array([[x]], np.float32)}, parameters=given)  # type: ignore[arg-type]
            found.append([a.item() for a in steps.run(session, request, ("y", "begun", "who"))])
        assert found == [[101.0, 1.0, 9], [103.0, 0.0, 9], [107.0, 0.0, 9]]
        with pytest.raises(VerificationFailed, match="does not begin with 'sequence_start'"):
            steps.run(session, Request({"x": np.array([[1]], np.float32)}), ("y",))
    finally:
        session.close()


def test_verify_and_inspect(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(package.path)]) == 0
    assert "3 rows replayed" in capsys.readouterr().out
    assert main(["inspect", str(package.path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "sum_out -> sum_in, 100 at first" in out and "start is START" in out
    assert "5 at once, over after 60 s without a request" in out


def test_a_run_outside_of_any_sequence_begins_one(package: Package) -> None:
    session = Session.open(package)
    try:
        y, begun, who = session.run({"x": np.array([[1], [2]], np.float32)})
        assert (y.tolist(), begun.tolist(), who.tolist()) == ([[101], [102]], [[1], [1]], [[0], [0]])
    finally:
        session.close()


def test_a_golden_sequence_that_does_not_hold(package: Package) -> None:
    first, second, third = package.manifest.golden
    swapped = Package(package.path, _with(package, golden=(first, third, second)), None)
    session = Session.open(swapped)
    try:
        with pytest.raises(VerificationFailed, match="replayed, "):
            replay(session)
    finally:
        session.close()


def _with(package: Package, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(package.manifest, **changes)


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ({}, "neither states nor controls"),
        ({"states": {"none": "sum_out"}}, "state input 'none' is not the model's; it has 'x'"),
        ({"states": {"sum_in": "none"}}, "state output 'none' is not the model's"),
        ({"states": {"sum_in": "who"}}, "output 'who' INT64 .* cannot be the next input 'sum_in' FP32"),
        ({"states": {"sum_in": "sum_out"}, "initial": {"x": 1.0}}, "initial value for 'x', which is not a state's"),
        ({"controls": {"start": "BEGIN"}}, "control 'start' is 'BEGIN', expected START, END, READY, CORRID"),
        ({"controls": {"start": "CORRID"}}, "control 'start' has FP32, which holds no sequence id"),
        ({"controls": {"none": "START"}}, "control input 'none' is not the model's"),
        ({"controls": {"start": "START"}, "idle_s": 0.0}, "idle_s is above 0"),
        ({"state": {}}, "unknown key 'state' in sequenceinfo"),
        ({"states": {"sum_in": 3}}, "key 'states' is int, expected"),
    ],
)
def test_what_does_not_fit_the_model(model: Path, tmp_path: Path, says: dict[str, Any], said: str) -> None:
    with pytest.raises(GantlineError, match=said):
        gantline.package(model, name="sum", sequences=says, output=tmp_path / "p.pkg")
    assert not (tmp_path / "p.pkg").exists()


def test_every_output_may_not_be_a_state() -> None:
    one = TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "FP32", (-1, 2))
    policy = policy_of(SequenceInfo(states={"a": "b"}), Signature(one[:1], one[1:]), "here")
    assert policy.hidden == (frozenset("a"), frozenset("b")) and policy.idle_ns == 1_000_000_000
    with pytest.raises(BadArtefact, match="here: sequences: state input 'b'"):
        policy_of(SequenceInfo(states={"b": "b"}), Signature(one[:1], one[1:]), "here")


def test_the_command_line_takes_a_file_or_the_object(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SAYS))
    for i, given in enumerate((str(tmp_path / "s.json"), json.dumps(SAYS))):
        out = tmp_path / f"{i}.pkg"
        assert main(["package", str(model), "--name", "sum", "--sequences", given, "-o", str(out)]) == 0
        assert Package.open(out).manifest.sequences is not None
    for given, said in (("{", "not JSON"), (str(tmp_path / "none"), "cannot be read")):
        assert main(["package", str(model), "--name", "sum", "--sequences", given, "-o", str(tmp_path / "x")]) != 0
        assert said in capsys.readouterr().err


def test_a_script_keeps_its_own_state(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def init():\n    pass\n\n\ndef run(data):\n    return data\n")
    with pytest.raises(UsageError, match="sequences are for models"):
        gantline.package(script=tmp_path / "score.py", name="s", sequences=SAYS, output=tmp_path / "s.pkg")
