"""An image from a package without any daemon, in a real engine: loaded, run as in production, and scored."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gantline.builders.image.packed import plain

import gantline
from gantline.client import Client
from gantline.manifest import EnvironmentRequest, Manifest, ScriptInfo
from gantline.oci.image import Image
from gantline.oci.reading import read
from gantline.oci.store import Store
from gantline.packages import seal
from tests.docker_engine import docker_engine
from tests.engine import container_engine

pytestmark = pytest.mark.container
WAIT_S = 60
PYTHON = "/opt/gantline/env/bin/python"
SCRIPT = """
import json, os, joblib, numpy
def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.pkl"))
def run(raw):
    return model.predict(numpy.array(json.loads(raw)["data"])).tolist()
"""
BOOSTED = """
import json, lightgbm, numpy
def init():
    global model
    rows = numpy.arange(100.0).reshape(-1, 1) / 10
    settings = {"verbosity": -1, "min_data_in_leaf": 1, "num_threads": 2}
    model = lightgbm.train(settings, lightgbm.Dataset(rows, rows[:, 0]), 50)
def run(raw):
    return model.predict(numpy.array(json.loads(raw))).tolist()
"""


COMPILED = """
import importlib.machinery as machinery
found, compiled = [], machinery.SourceFileLoader.source_to_code
def source_to_code(self, data, path, **more):
    found.append(path)
    return compiled(self, data, path, **more)
machinery.SourceFileLoader.source_to_code = source_to_code
import gantline.cli.contained, gantline.serve.process.alone, gantline.serve.fronts.grpcio, sklearn.tree
print(found)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with container_engine(tmp_path_factory.mktemp("engine")) as client:
        yield client


@pytest.fixture(scope="module")
def build(home: Path, base_tar: Path) -> Callable[..., dict[str, Any]]:
    """`build(package, "--tag", "x:1")`: what `gantline build --json` says."""

    def run(package: Path, *words: str | Path) -> dict[str, Any]:
        command = [sys.executable, "-m", "gantline", "build", package, "--base", base_tar, "--json", *words]
        own = os.environ | {"GANTLINE_HOME": str(home)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    data, labels = load_iris(return_X_y=True)
    target = tmp_path_factory.mktemp("packages") / "iris.pkg"
    model = LogisticRegression(max_iter=1000).fit(data, labels)
    gantline.package(model, name="iris", sample=data.astype(np.float32), output=target)
    return target


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pickle behind a scoring script, which needs scikit-learn in the image."""
    import joblib
    import sklearn
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    root = tmp_path_factory.mktemp("script")
    data, labels = load_iris(return_X_y=True)
    (root / "model").mkdir()
    joblib.dump(DecisionTreeClassifier(random_state=0).fit(data, labels), root / "model" / "model.pkl")
    (root / "score.py").write_text(SCRIPT)
    (root / "body.json").write_text('{"data": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}')
    versions = f"scikit-learn=={sklearn.__version__}\nnumpy=={np.__version__}\njoblib=={joblib.__version__}\n"
    (root / "requirements.txt").write_text(versions)
    target = root / "tree.pkg"
    gantline.package(
        name="tree", script=root / "score.py", model_dir=root / "model", env=root / "requirements.txt",
        sample=root / "body.json", output=target,
    )  # fmt: skip
    return target


@contextmanager
def running(engine: Any, image: str, port: int, grpc: int, **options: Any) -> Iterator[Any]:
    """A container as a careful operator runs it: read-only, without capabilities or new privileges."""
    environment = {"PORT": str(port), "GANTLINE_GRPC_PORT": str(grpc)}
    container = engine.containers.run(
        image, detach=True, environment=environment, network_mode="host", read_only=True, cap_drop=["ALL"],
        security_opt=["no-new-privileges"], **options,
    )  # fmt: skip
    try:
        end = time.monotonic() + WAIT_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                    break
            except (urllib.error.URLError, ConnectionError):
                container.reload()
                assert container.status != "exited" and time.monotonic() < end, container.logs().decode()
                time.sleep(0.05)
        yield container
    finally:
        container.remove(force=True)


def test_an_onnx_package(
    engine: Any, build: Callable[..., dict[str, Any]], iris: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    made = build(iris, "--tag", "iris:1", "-o", tmp_path / "iris.tar")
    (image,) = made["images"]
    above = image["bytes"]["new"] + image["bytes"]["reused"]
    assert above < 60e6, "an ONNX-only image is small above its base"
    with (tmp_path / "iris.tar").open("rb") as f:
        (loaded,) = engine.images.load(f)
    assert loaded.id == image["id"] and any("iris:1" in tag for tag in loaded.tags)
    port, grpc = free_port(), free_port()
    with running(engine, loaded.id, port, grpc) as container:
        with Client(f"http://127.0.0.1:{port}") as client:
            answer = client.infer("iris", [[5.1, 3.5, 1.4, 0.2]])
        assert answer["label"].tolist() == [0]
        assert over_grpc(grpc) == [0]
        assert container.exec_run([PYTHON, "-m", "gantline.cli.contained", "--healthy"]).exit_code == 0
        who = container.exec_run([PYTHON, "-c", "import os; print(os.getuid())"])
        assert who.output.strip() == b"65532"
        assert b"golden sample held" in container.logs()
        container.stop(timeout=20)
        assert container.wait()["StatusCode"] == 0


def over_grpc(port: int) -> list[int]:
    """By tritonclient in a process of its own, since its messages and ours have the same names."""
    code = (
        "import sys, numpy, tritonclient.grpc as t;"
        "x = t.InferInput('X', [1, 4], 'FP32'); x.set_data_from_numpy(numpy.array([[5.1, 3.5, 1.4, 0.2]], 'f'));"
        "print(t.InferenceServerClient('127.0.0.1:' + sys.argv[1]).infer('iris', [x]).as_numpy('label').tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(port)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[int] = json.loads(done.stdout)
    return found


def test_a_script_with_a_pickle(
    engine: Any, build: Callable[..., dict[str, Any]], script: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    made = build(script, "--tag", "tree:1", "-o", tmp_path / "tree.tar", "--max-size", "220MB")
    (image,) = made["images"]
    assert image["bytes"]["new"] + image["bytes"]["reused"] < 130e6
    with (tmp_path / "tree.tar").open("rb") as f:
        (loaded,) = engine.images.load(f)
    port, grpc = free_port(), free_port()
    with running(engine, loaded.id, port, grpc) as container:
        assert container.exec_run([PYTHON, "-c", COMPILED]).output == b"[]\n", "a start compiles nothing"
        body = b'{"data": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}'
        request = urllib.request.Request(f"http://127.0.0.1:{port}/score", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as reply:
            assert json.loads(reply.read()) == [0, 2]


def test_a_library_that_the_base_lacks(
    engine: Any, build: Callable[..., dict[str, Any]], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """LightGBM's wheel needs libgomp.so.1, and Debian's minimal system has none: the image takes it from Debian."""
    root = tmp_path / "boosted.pkg"
    (root / "code").mkdir(parents=True)
    (root / "code" / "score.py").write_text(BOOSTED)
    asked = EnvironmentRequest("requirements", "3.11", ("lightgbm==4.7.0",))
    seal(root, Manifest("boosted", "script", script=ScriptInfo("score.py"), environment=asked), {})
    (image,) = build(root, "--tag", "boosted:1", "-o", tmp_path / "boosted.tar")["images"]
    assert [one["files"] > 1 for one in image["layers"] if one["title"].startswith("debs libgomp1 ")] == [True]
    with (tmp_path / "boosted.tar").open("rb") as f:
        (loaded,) = engine.images.load(f)
    port, grpc = free_port(), free_port()
    with running(engine, loaded.id, port, grpc):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/score", b"[[1.0], [9.0]]")
        with urllib.request.urlopen(request, timeout=20) as reply:
            low, high = json.loads(reply.read())
        assert low < 3 < 7 < high


def held(store: Store, image: Image) -> dict[str, list[Any]]:
    """Every path of an image: what it is, with whose owner, mode and time, and the digest of what is in it."""
    found: dict[str, list[Any]] = {}
    for layer in image.layers:
        with (
            store.path(layer.digest).open("rb") as f,
            plain(f, "layer") as s,
            tarfile.open(fileobj=s, mode="r|") as tar,
        ):
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                digest = hashlib.file_digest(file, "sha256").hexdigest() if file else member.linkname  # type: ignore[arg-type]
                path = member.name.strip("/").removeprefix("./")
                found[path] = [member.type, member.mode & 0o7777, member.uid, member.gid, member.mtime, digest]
    return found


def test_a_context_builds_to_an_equal_image(
    engine: Any,
    build: Callable[..., dict[str, Any]],
    home: Path,
    iris: Path,
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    context, again = tmp_path / "context", tmp_path / "again"
    build(iris, "--tag", "iris:c", "--target", "context", "-o", context)
    build(iris, "--tag", "iris:c", "--target", "context", "-o", again)
    assert not filecmp.dircmp(context, again).diff_files
    assert not filecmp.dircmp(context / "layers", again / "layers").diff_files
    built, _ = engine.images.build(path=str(context), tag="context:1")
    port, grpc = free_port(), free_port()
    with running(engine, built.id, port, grpc):
        with Client(f"http://127.0.0.1:{port}") as client:
            assert client.infer("iris", [[5.1, 3.5, 1.4, 0.2]])["label"].tolist() == [0]
        assert over_grpc(grpc) == [0]
    with (tmp_path / "built.tar").open("wb") as f:
        f.writelines(built.save())
    store = Store(tmp_path / "store").prepared()
    (theirs,) = read(tmp_path / "built.tar", store)
    image = Image.open(store, theirs.descriptor)
    kept = Store(home / "store")
    named = kept.find("iris:c")
    assert named is not None
    ours = Image.open(kept, named)
    assert len(image.layers) == len(ours.layers)
    mine, built_there = held(kept, ours), held(store, image)
    assert {p for p in mine if mine[p] != built_there.get(p)} == set() and built_there.keys() <= {*mine, ""}
    theirs_say = {key: image.settings[key] for key in ours.settings}
    del theirs_say["Labels"]["io.buildah.version"]
    theirs_say["Env"] = [line for line in theirs_say["Env"] if not line.startswith("PATH=")]  # the engine's own
    theirs_say["Healthcheck"]["StartInterval"] = ours.settings["Healthcheck"]["StartInterval"]  # which is left out
    assert theirs_say == ours.settings


def test_in_dockers_own_engine(
    build: Callable[..., dict[str, Any]], home: Path, iris: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Loaded, run as an endpoint, asked, changed and deleted; and a context built by Docker's own builder."""
    import docker

    def said(*words: str | Path) -> Any:
        command = [sys.executable, "-m", "gantline", *map(str, words), "--engine-url", url, "--json"]
        own = os.environ | {"GANTLINE_HOME": str(home)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=own, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    build(iris, "--tag", "iris:d", "--target", "context", "-o", tmp_path / "context")
    with docker_engine(tmp_path) as url, closing(docker.DockerClient(base_url=url, timeout=120)) as client:
        made = build(iris, "--tag", "iris:d", "--target", "docker", "--engine-url", url)
        assert client.images.get("iris:d").id == made["images"][0]["id"], "the engine's own ID is ours"
        ports = ("--port", str(free_port()), "--grpc-port", str(free_port()))
        started = said("run", "iris:d", "--name", "dock", "--detach", "--network", "host", *ports)
        assert over_grpc(int(ports[3])) == [0]
        (listed,) = said("endpoint", "list")
        assert (listed["name"], listed["place"], listed["state"]) == ("dock", "engine", "running")
        said("endpoint", "update", "dock", "--env", "GANTLINE_LOG_LEVEL=debug")
        with Client(started["url"]) as asked:
            assert asked.infer("iris", [[5.1, 3.5, 1.4, 0.2]])["label"].tolist() == [0]
        assert "GANTLINE_LOG_LEVEL=debug" in client.containers.get("dock").attrs["Config"]["Env"]
        said("endpoint", "delete", "dock")
        assert client.containers.list(all=True) == [] and said("endpoint", "list") == []
        built, _ = client.images.build(path=str(tmp_path / "context"), tag="context:1", rm=True)
        theirs, ours = built.attrs["Config"], client.images.get("iris:d").attrs["Config"]
        for key in ("Entrypoint", "User", "WorkingDir", "ExposedPorts", "Labels"):
            assert theirs[key] == ours[key], key
        port, grpc = free_port(), free_port()
        with running(client, str(built.id), port, grpc):
            assert over_grpc(grpc) == [0]


def test_again_and_elsewhere_it_is_the_same(
    build: Callable[..., dict[str, Any]], iris: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(iris, "--tag", "iris:1")
    again = build(iris, "--tag", "iris:2", "--check-reproducible")
    assert again["digest"] == first["digest"] and again["images"][0]["bytes"]["new"] == 0
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert build(iris, "--tag", "iris:3", "--check-reproducible")["digest"] == first["digest"]
