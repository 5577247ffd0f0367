"""From a source to a package: time of conversion, comparison and sealing, by kind of source.

`python benchmarks/conversion.py`. A scikit-learn classifier, its ONNX file, and that file in a Triton entry; scripts of
Triton's python backend and of Azure ML that do next to nothing, so that what shows is their process. Compared with the
plain ONNX file. A row is one function here; where what it needs cannot be imported it is left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from measuring import show, write

import gantline
from gantline.packages import Package

Case: TypeAlias = Callable[[Path], tuple[Any, dict[str, Any]]]  # a folder to write in -> source and options
CONFIG = 'max_batch_size: 32 input { name: "X" dims: 4 } dynamic_batching {} response_cache { enable: true }'
ADDER = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        found = [pb_utils.get_input_tensor_by_name(r, "X").as_numpy() for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(1))]) for x in found]
"""
ADDER_CONFIG = """
backend: "python" max_batch_size: 32
input { name: "X" data_type: TYPE_FP32 dims: 4 } output { name: "Y" data_type: TYPE_FP32 dims: 4 }
"""
SCORE = "def init():\n    pass\n\n\ndef run(data):\n    return {'got': len(data)}\n"
DEPLOYMENT = "endpoint_name: e\ncode_configuration: {code: code, scoring_script: score.py}\ninstance_type: DS3\n"
ROWS = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)


def estimator(folder: Path) -> tuple[Any, dict[str, Any]]:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True)), {"sample": ROWS}


def onnx_file(folder: Path) -> tuple[Any, dict[str, Any]]:
    package = gantline.package(estimator(folder)[0], name="plain", output=folder / "plain.pkg")
    return package.model_path, {"sample": ROWS}


def triton_entry(folder: Path) -> tuple[Any, dict[str, Any]]:
    model: Path = onnx_file(folder)[0]
    (folder / "entry/1").mkdir(parents=True)
    (folder / "entry/1/model.onnx").write_bytes(model.read_bytes())
    (folder / "entry/config.pbtxt").write_text(CONFIG)
    return folder / "entry", {"sample": ROWS}


def triton_python(folder: Path) -> tuple[Any, dict[str, Any]]:
    (folder / "adder/1").mkdir(parents=True)
    (folder / "adder/1/model.py").write_text(ADDER)
    (folder / "adder/config.pbtxt").write_text(ADDER_CONFIG)
    return folder / "adder", {"sample": {"X": ROWS}}


def azure_deployment(folder: Path) -> tuple[Any, dict[str, Any]]:
    (folder / "azure/code").mkdir(parents=True)
    (folder / "azure/code/score.py").write_text(SCORE)
    (folder / "azure/deployment.yml").write_text(DEPLOYMENT)
    (folder / "body.json").write_text("[1, 2]")
    return folder / "azure", {"sample": folder / "body.json"}


CASES: dict[str, Case] = {
    "ONNX file": onnx_file,
    "scikit-learn estimator": estimator,
    "Triton entry, onnxruntime": triton_entry,
    "Triton entry, python (two processes)": triton_python,
    "Azure ML deployment (two processes)": azure_deployment,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    found = [row for name, case in CASES.items() if (row := _row(name, case, args.rounds)) is not None]
    plain = found[0]["median_ms"]
    show(
        "From a source to a package (the first time apart, with its imports)",
        ("source", "first ms", "median ms", "times the ONNX file", "size KiB"),
        [[r["source"], r["first_ms"], r["median_ms"], r["median_ms"] / plain, r["kib"]] for r in found],
    )
    write("conversion", f"python benchmarks/conversion.py --rounds {args.rounds}", "an ONNX file", {"rows": found})


def _row(name: str, case: Case, rounds: int) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            source, options = case(Path(folder))
        except ModuleNotFoundError:
            return None
        package: Package | None = None
        times = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            package = gantline.package(source, name="m", output=Path(folder) / "m.pkg", overwrite=True, **options)
            times.append(1000 * (time.perf_counter() - started))
        return {
            "source": name,
            "first_ms": times[0],
            "median_ms": statistics.median(times[1:]),
            "kib": _size(package) / 1024,
        }


def _size(package: Package | None) -> int:
    return sum(f.size for f in package.manifest.files) if package is not None else 0


if __name__ == "__main__":
    main()
