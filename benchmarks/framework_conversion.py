"""How long conversion and packaging take: one model of each framework, in the environment that has it.

`python benchmarks/framework_conversion.py [NAME ...] [--rounds 3]`. A model is trained once, then packaged many times
in one process, with all that packaging does: conversion, parity, probes, golden samples. `convert` is the converter's
part, which tries its own result too. The first time, with its imports, is told apart. Environments: scripts/rivals.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, show, write

sys.path.insert(0, str(ROOT / "scripts"))
import rivals

MODELS = ROOT / "benchmarks" / "framework_models.py"
# row -> the environment of scripts/rivals.py that has the framework; nothing: this interpreter
ROWS: dict[str, str] = {
    "scikit-learn RandomForestClassifier": "",
    "XGBoost XGBClassifier": "boosters",
    "LightGBM LGBMClassifier": "boosters",
    "CatBoost CatBoostClassifier": "boosters",
    "Keras perceptron": "tensorflow",
    "Keras LSTM": "tensorflow",
    "Keras file (two processes)": "tensorflow",
    "TensorFlow SavedModel (two processes)": "tensorflow",
}
Row = dict[str, str | float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows that begin so (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    chosen = [r for r in ROWS if not args.names or r.lower().startswith(tuple(n.lower() for n in args.names))]
    rows = [_row(name, args.rounds) for name in chosen]
    columns = ("model", "engine", "first s", "convert s", "package s", "package MB", "max relative error", "probes")
    show("From a trained model to a package (medians)", columns, [list(r.values()) for r in rows])
    command = " ".join(["python benchmarks/framework_conversion.py", *args.names, f"--rounds {args.rounds}"])
    write(
        "framework_conversion", command, "nothing: the time of one framework is no measure of another's", {"rows": rows}
    )


def _row(name: str, rounds: int) -> Row:
    python = rivals.ensure(ROWS[name]) if ROWS[name] else Path(sys.executable)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "typings")} if ROWS[name] else None
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [str(python), "-W", "ignore", str(MODELS), name, str(rounds)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{name}: its process ended with code {done.returncode}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "model": name,
        "engine": found["engine"],
        "first_s": round(found["package_s"][0], 3),
        "convert_s": round(statistics.median(found["convert_s"][1:]), 3),
        "package_s": round(statistics.median(found["package_s"][1:]), 3),
        "package_mb": round(found["bytes"] / 1e6, 3),
        "max_rel_error": f"{found['max_rel_error']:.1e}",
        "probes": found["probes"],
    }


if __name__ == "__main__":
    main()
