"""What all generated scripts share."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from gantline.builders.generated_script import DTYPES, TAIL, Wanted, behind, environment_of
from gantline.builders.sklearn_layout import Layout
from gantline.builders.source import Conversion, Source

from gantline.manifest import EnvironmentRequest
from gantline.signature import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("X", "FP32", (-1, 2)),), (TensorSpec("label", "BYTES", (-1,)),))


def test_a_conversion_behind_one(tmp_path: Path) -> None:
    source = Source("m")
    saved = tmp_path / "model.txt"
    wanted = Wanted(None, Layout(SIGNATURE.inputs), (), SIGNATURE, source, tmp_path)
    base = Conversion("onnx", "lightgbm", "Booster", {}, reason="no faithful ONNX: it is linear")
    made = behind(base, wanted, "pass\n", saved, EnvironmentRequest("current"))
    assert made.files == {"code/score.py": tmp_path / "score.py", "models/model.txt": saved}
    assert (made.engine, made.signature, made.reason) == ("script", SIGNATURE, base.reason)
    assert (tmp_path / "score.py").read_text() == "pass\n" and made.manifest["script"].contract == "tensors"


def test_the_environment(tmp_path: Path) -> None:
    own = environment_of(Source("m"), lambda: ["numpy", "no-such-distribution", "numpy"])
    assert own == EnvironmentRequest(
        "requirements", ".".join(map(str, sys.version_info[:2])), (f"numpy=={version('numpy')}",)
    )
    (tmp_path / "r.txt").write_text("numpy==1.26.4\n")

    def asked() -> list[str]:
        raise AssertionError("the user said what is wanted")

    assert environment_of(Source("m", environment=tmp_path / "r.txt"), asked).requirements == ("numpy==1.26.4",)


def test_answers_as_the_signature_has_them() -> None:
    module: dict[str, Any] = {"np": np}
    exec(DTYPES + TAIL, module)  # noqa: S102  # as it stands in a package
    labels = module["shaped"](np.array(["no", "yes"]), "BYTES", [])
    assert labels.tolist() == [b"no", b"yes"]
    numbers = module["shaped"](np.array([1.0, 2.0]), "FP32", [1])
    assert numbers.dtype == np.float32 and numbers.tolist() == [[1.0], [2.0]]
