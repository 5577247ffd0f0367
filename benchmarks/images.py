"""Images: their size, how long a build takes, what an edit moves, and how soon a container answers.

`python benchmarks/images.py [--base rootfs.tar] [--weights GIB] [--rivals none|mlflow,bentoml]`. The iris model, a
scikit-learn pickle behind a script, and ResNet-50 with weights of its own size. Bytes are of the layers above the base,
as pulled. A start is from `podman run` to the first answer, beside containers of the same image that only start
Python, or only load the model. Then the pickle and ResNet-50 as images of others, built from the Dockerfiles that they
write. Needs debootstrap (or --base) and podman as root; the others docker-registry and a package index.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from image_comparison import compare, tell
from image_engine import Engine, absent
from image_floor import floors
from image_makers import Subject, served
from images_report import page
from iris_model import ROW, make_package
from measuring import RESULTS, output_of, show, write

ROUNDS = 5
WANTED = {
    "ONNX above base MB": 60, "script above base MB": 130, "warm s": 1.0, "edit s": 1.0, "edit kB": 100, "start s": 1.0,
    "builder's memory MB": 150,
}  # fmt: skip
SCRIPT = """
import json, os, joblib, numpy
def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.pkl"))
def run(raw):
    return model.predict(numpy.array(json.loads(raw)["data"])).tolist()
"""


class Builds:
    """`gantline build` as a user types it, on one base, with a home of its own."""

    def __init__(self, home: Path, base: Path) -> None:
        self.home = home
        self.base = base

    def run(self, package: Path, *words: str) -> tuple[float, dict[str, Any]]:
        """Seconds, and what it says."""
        command: list[str | Path] = [sys.executable, "-m", "gantline", "build", package]
        command += ["--base", self.base, "--json", *words]
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        began = time.perf_counter()
        printed = output_of(command, inherited | {"GANTLINE_HOME": str(self.home)})
        took = time.perf_counter() - began
        told: dict[str, Any] = json.loads(printed)
        return took, told["images"][0]

    def forget(self) -> None:
        """All but the wheels and the base, which a first build of anything brings."""
        for name in ("layers", "store", "locks", "registry.db"):
            path = self.home / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="the tar of a root file system with Python")
    parser.add_argument(
        "--weights", type=float, default=4.0, metavar="GIB", help="for the builder's memory; 0: leave out"
    )
    parser.add_argument(
        "--rivals", default="mlflow,bentoml", metavar="NAMES", help="whose images to build too; none: nobody's"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        base = args.base or debian(work)
        builds = Builds(work / "home", base)
        makers: dict[str, Callable[[Path], Path]] = {
            "iris (ONNX)": make_package,
            "tree (pickle, script)": script_package,
            "ResNet-50 (ONNX)": resnet50,
        }
        rows = [row(name, make(work), builds) for name, make in makers.items()]
        edited = edits(work, builds)
        subjects = subjects_of(work)
        iris = Subject("iris", work / "iris.pkg", work / "iris.pkg", (), "X", [ROW], (0.0,))
        starts = containers(work, builds, [iris, *subjects("", 2)])
        beside = compare(work, base, [name for name in args.rivals.split(",") if name != "none"], subjects)
        memory = builder_memory(work, base, args.weights) if args.weights else 0.0
    columns = ("image", "above base MB", "unpacked MB", "files", "cold s", "warm s")
    show("An image of each (cold: wheels and base are there)", columns, [[n, *r.values()] for n, r in rows])
    show("After an edit", ("what", "s", "kB to push"), _rows(edited))
    timed = list(next(iter(starts.values()), {}))
    show("From `run` to the first answer, and what it cannot be less than", ("image", *timed), _rows(starts))
    tell(beside)
    if memory:
        sys.stdout.write(f"builder's memory for {args.weights:.0f} GiB of weights: {memory:.0f} MB\n")
    figures = {
        "images": dict(rows), "edits": edited, "starts_s": starts, "beside": beside, "builder_memory_mb": memory,
        "wanted": WANTED,
    }  # fmt: skip
    write(
        "images",
        "python benchmarks/images.py",
        "containers of the same image that serve nothing",
        figures,
    )
    (RESULTS / "images.md").write_text(page(beside))


def _rows(figures: dict[str, dict[str, float]]) -> list[list[object]]:
    return [[name, *row.values()] for name, row in figures.items()]


def debian(work: Path) -> Path:
    """Debian 12 with its Python, as docs/bases.md makes it."""
    from gantline.builders.image.bootstrap import commands

    for words in commands((3, 11), str(work / "root"), str(work / "rootfs.tar")):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return work / "rootfs.tar"


def row(name: str, package: Path, builds: Builds) -> tuple[str, dict[str, float]]:
    """An image's size, and the times of a first and of a second build."""
    builds.run(package)  # brings the wheels
    builds.forget()
    cold, image = builds.run(package)
    warm = statistics.median(builds.run(package)[0] for _ in range(ROUNDS))
    layers = image["layers"]
    above = sum(layer["bytes"] for layer in layers) / 1e6
    unpacked, files = sum(layer["unpacked"] for layer in layers) / 1e6, sum(layer["files"] for layer in layers)
    return name, {"above": above, "unpacked": unpacked, "files": files, "cold": cold, "warm": warm}


def edits(work: Path, builds: Builds) -> dict[str, dict[str, float]]:
    """A changed line of a script, and a model trained again: seconds, and new bytes."""
    found: dict[str, list[tuple[float, float]]] = {"a line of the script": [], "the model trained again": []}
    for i in range(ROUNDS):
        changes: dict[str, dict[str, Any]] = {
            "a line of the script": {"line": f"# edit {i}\n", "depth": 2},
            "the model trained again": {"line": f"# edit {i}\n", "depth": i + 3},
        }
        for name, change in changes.items():
            took, image = builds.run(script_package(work, **change))
            found[name].append((took, image["bytes"]["new"] / 1e3))
    return {
        n: {"s": statistics.median(s for s, _ in v), "kB": statistics.median(b for _, b in v)} for n, v in found.items()
    }


def script_package(work: Path, line: str = "", depth: int = 3) -> Path:
    """A pickled tree behind a scoring script."""
    import joblib
    import sklearn
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    import gantline

    root = work / "script"
    (root / "model").mkdir(parents=True, exist_ok=True)
    x, y = load_iris(return_X_y=True)
    joblib.dump(DecisionTreeClassifier(max_depth=depth, random_state=0).fit(x, y), root / "model" / "model.pkl")
    (root / "score.py").write_text(line + SCRIPT)
    pins = f"scikit-learn=={sklearn.__version__}\nnumpy=={np.__version__}\njoblib=={joblib.__version__}\n"
    (root / "requirements.txt").write_text(pins)
    target = work / "tree.pkg"
    gantline.package(
        name="tree", script=root / "score.py", model_dir=root / "model", env=root / "requirements.txt", output=target,
        overwrite=True,
    )  # fmt: skip
    return target


def resnet50(work: Path) -> Path:
    """The topology that the onnx package ships, with random weights where that has constants."""
    import onnx

    import gantline

    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_resnet50.onnx"
    model = onnx.load(light)
    shapes = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    random = np.random.default_rng(0)
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        shape = tuple(shapes[node.input[0]])
        deep = len(shape) > 1  # of layers; of their size, so that what comes out depends on what goes in
        weights = random.normal(0, math.prod(shape[1:]) ** -0.5 if deep else 0.01, shape).astype(np.float32)
        if "_bn_riv" in node.output[0] or "_bn_s" in node.output[0]:
            weights += 1  # variances and scales: else all answers would be NaN, or nothing
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, work / "resnet50.onnx")
    return gantline.package(work / "resnet50.onnx", name="resnet50", output=work / "resnet50.pkg").path


def subjects_of(work: Path) -> Callable[[str, int], list[Subject]]:
    """The pickle behind a script, with a line on top and trained so deep, and ResNet-50, to be asked."""
    from sklearn.datasets import load_iris

    flowers = load_iris().data[[0, 60, 140]].tolist()
    pixels = np.random.default_rng(1).random((1, 3, 224, 224), np.float32)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    session = onnxruntime.InferenceSession(work / "resnet50.onnx", quiet, ["CPUExecutionProvider"])
    given = session.get_inputs()[0].name
    deep = tuple(map(float, np.ravel(session.run(None, {given: pixels})[0])))
    serving = (f"onnxruntime=={onnxruntime.__version__}", f"numpy=={np.__version__}")

    def subjects(line: str, depth: int) -> list[Subject]:
        package, pickled = script_package(work, line, depth), work / "script" / "model" / "model.pkl"
        pins = tuple((work / "script" / "requirements.txt").read_text().split())
        network, its = work / "resnet50.onnx", work / "resnet50.pkg"
        return [
            Subject("tree", pickled, package, pins, "", flowers, (0.0, 1.0, 2.0), line),
            Subject("resnet50", network, its, serving, given, pixels.tolist(), deep),
        ]

    return subjects


def containers(work: Path, builds: Builds, subjects: Sequence[Subject]) -> dict[str, dict[str, float]]:
    """Medians by model, in an engine whose images are its own; empty where there is none."""
    if absent():
        return {}
    found: dict[str, dict[str, float]] = {}
    with Engine(work / "starts") as engine:
        for subject in subjects:
            image, archive = f"{subject.name}:1", work / "image.tar"
            builds.run(subject.package, "--tag", image, "-o", str(archive), "--overwrite")
            engine.call("load", "--quiet", "--input", archive)
            starts = []
            for _ in range(ROUNDS):
                asked = served(subject)
                with engine.answering(asked.words, image, asked.url, asked.body, subject.right) as (_name, took):
                    starts.append(took)
            start, least = statistics.median(starts), floors(engine, image, subject.package, ROUNDS)
            times = {f"x {name.removesuffix(' s')}": start / floor for name, floor in least.items()}
            found[subject.name] = {"start s": start, **least, **times}
    return found


def builder_memory(work: Path, base: Path, gib: float) -> float:
    """The most resident memory of a build, in MB, of a package with so much weight."""
    from gantline.manifest import Manifest
    from gantline.packages import seal

    root = work / "heavy.pkg"
    root.mkdir()
    piece = np.random.default_rng(0).bytes(1 << 24)
    with (root / "model.onnx").open("wb") as f:
        for _ in range(int(gib * 64)):
            f.write(piece)
    seal(root, Manifest("heavy", "onnx", "model.onnx"), {})
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command: Sequence[str | Path] = [sys.executable, "-m", "gantline", "build", root, "--base", base, "--no-record"]
    own = os.environ | {"GANTLINE_HOME": str(work / "home")}
    done = subprocess.run([sys.executable, "-c", code, *command], env=own, check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


if __name__ == "__main__":
    main()
