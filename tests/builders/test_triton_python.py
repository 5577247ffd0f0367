"""The python backend's model.py as a package: run unedited, and refused where it asks for a whole Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.accelerators.replay import replay
from gantline.accelerators.session import Session

from gantline.errors import BadArtefact, ScriptFailed, Unsupported, VerificationFailed
from gantline.packages import Package
from tests.builders.triton_models import DECOUPLED, DECOUPLED_PY, MODEL_PY, PYTHON, python_entry

Packager = Callable[..., Package]
A = np.array([[1, 2], [3, 4], [0.5, 0.25]], np.float32)


def test_it_runs_as_it_is(packaged: Packager, tmp_path: Path) -> None:
    package = packaged(python_entry(tmp_path), "adder", sample={"A": A})
    manifest = package.manifest
    assert manifest.engine == "script" and manifest.batching.max_batch_size == 8
    assert manifest.signature is not None and [t.optional for t in manifest.signature.inputs] == [False, True]
    assert len(manifest.golden) == 1 and not any("is not applied" in n for n in manifest.notes)
    session = Session.open(package)
    try:
        total, words = session.run({"A": A})
        assert total.dtype == np.float64 and total.tolist() == (A + 0.5).tolist()
        assert words.tolist() == [[b"zero"], [b"zero"], [b"one"]]
        total, _ = session.run({"A": A, "B": A})
        assert total.tolist() == (2 * A + 0.5).tolist()
        with pytest.raises(ScriptFailed):
            session.run({"A": -A})
        assert len(replay(session)) == 1
    finally:
        session.close()


def test_untried_it_tells_what_it_takes_and_is_not_stacked(packaged: Packager, tmp_path: Path) -> None:
    text = PYTHON.replace("TYPE_FP32 dims: [ 2 ] }", "TYPE_FP32 dims: [ 1, 2 ] reshape { shape: 2 } }", 1)
    manifest = packaged(python_entry(tmp_path, text=text), "adder").manifest
    assert manifest.signature is not None and manifest.config is not None and manifest.config.signature is not None
    assert [t.shape for t in manifest.signature.inputs] == [(-1, 1, 2), (-1, 2)], "as clients see it"
    assert [t.shape for t in manifest.config.signature.inputs] == [(-1, 2), (-1, 2)]
    assert manifest.batching.max_batch_size == 0 and manifest.golden == ()
    assert any("max_batch_size 8 of the source is not applied: it was not tried" in n for n in manifest.notes)


def test_a_golden_sample_that_it_does_not_answer_is_caught(packaged: Packager, tmp_path: Path) -> None:
    """The broken twin: the same model, off by a little."""
    package = packaged(python_entry(tmp_path), "adder", sample={"A": A})
    script = package.path / "code/adder/1/model.py"
    script.write_text(script.read_text().replace("+ self.offset", "+ self.offset * 1.01"))
    session = Session.open(package)
    try:
        with pytest.raises(VerificationFailed, match="SUM"):
            replay(session)
    finally:
        session.close()


def test_a_decoupled_model_streams(packaged: Packager, tmp_path: Path) -> None:
    package = packaged(python_entry(tmp_path, DECOUPLED_PY, DECOUPLED, "counter"), "counter")
    assert package.manifest.script is not None and package.manifest.script.decoupled
    session = Session.open(package)

    async def ask(count: int) -> list[Any]:
        return [one[0].tolist() async for one in session.stream({"N": np.array([count])}, ["I"])]

    try:
        assert asyncio.run(ask(3)) == [[0], [1], [2]]
        assert asyncio.run(ask(0)) == []
    finally:
        session.close()


CALLS = """
class TritonPythonModel:
    def execute(self, requests):
        import triton_python_backend_utils as u
        return [u.InferenceRequest(model_name="other", inputs=[], requested_output_names=[]).exec()]
"""


@pytest.mark.parametrize(
    ("model", "text", "kind", "told"),
    [
        (CALLS, PYTHON, Unsupported, r"model\.py line 5: .*InferenceRequest: .* other models"),
        ("x = 1", PYTHON, BadArtefact, "no class TritonPythonModel"),
        ("def (", PYTHON, BadArtefact, r"model\.py line 1: not Python"),
        (MODEL_PY, 'backend: "python"', BadArtefact, "needs config.pbtxt with its inputs and outputs"),
        (
            MODEL_PY, PYTHON + 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "env.tar.gz" } }',
            Unsupported, "packed conda environment, .*--env requirements.txt",
        ),
        (MODEL_PY, PYTHON.replace("data_type: TYPE_FP64", ""), BadArtefact, "'SUM' has no data_type"),
    ],
)  # fmt: skip
def test_what_it_cannot_have_is_named(
    packaged: Packager, tmp_path: Path, model: str, text: str, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        packaged(python_entry(tmp_path, model, text), "adder")


ASKS = """
class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        return config

    def execute(self, requests):
        for request in requests:
            print(request.request_id(), self.net.parameters(), request.is_cancelled())
"""


def test_what_does_not_reach_it_is_noted(packaged: Packager, tmp_path: Path) -> None:
    notes = packaged(python_entry(tmp_path, ASKS), "adder").manifest.notes
    told = [n.partition(": ")[2] for n in notes if n.startswith("model.py line ")]
    assert told == [
        "auto_complete_config() is not called: config.pbtxt is taken as it is",
        "request.request_id() is always empty: it does not reach model.py",
    ]


def test_a_program_in_a_folder_of_its_own_finds_what_lies_beside(packaged: Packager, tmp_path: Path) -> None:
    """default_model_filename may lead into a folder; paths still begin at the version's."""
    place = python_entry(tmp_path, text=PYTHON + 'default_model_filename: "src/model.py"')
    (place / "1/src").mkdir()
    (place / "1/model.py").rename(place / "1/src/model.py")
    package = packaged(place, "adder", sample={"A": A})
    assert {"code/adder/1/src/model.py", "code/adder/1/table.txt"} <= {f.path for f in package.manifest.files}
    assert len(package.manifest.golden) == 1
