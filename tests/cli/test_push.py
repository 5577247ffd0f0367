"""`gantline push`: names, archives and packages go to a registry; errors are one line, with the way out and a code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import gantline
from gantline.cli import main
from gantline.oci.archive import write_archive
from gantline.oci.store import Store
from tests.oci.conftest import make_image, store
from tests.oci.faulty_registry import Answer, Registry

__all__ = ["make_image", "store"]  # fixtures


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry().serving() as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gantline's home, whose store is the one that images are made in; nobody's credentials."""
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nobody"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x = np.random.default_rng(0).normal(size=(60, 3))
    folder = tmp_path_factory.mktemp("push") / "ridge.pkg"
    gantline.package(Ridge().fit(x, x[:, 0]), name="ridge", output=folder)
    return folder


def told(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def failed(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    assert main(list(map(str, words))) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("gantline ")
    return err


def test_a_name_in_the_store(
    registry: Registry, store: Store, make_image: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    image = make_image()
    name = f"{registry.host}/iris:1"
    store.name(name, image.descriptor)
    store.name("iris:1", image.descriptor)
    first = told(capsys, "push", name)
    assert first["digest"] == image.descriptor.digest and first["bytes_reused"] == 0
    assert first["bytes_new"] == first["bytes_sent"] + image.descriptor.size
    assert main(["push", "iris:1", f"oci://{registry.host}/iris:2"]) == 0
    out = capsys.readouterr().out
    assert f"{registry.host}/iris:2" in out and "401 B new" in out.replace(str(image.descriptor.size), "401")


def test_by_digest_by_id_and_from_another_registry(
    registry: Registry, store: Store, make_image: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    image, other = make_image(), make_image("linux/arm64", b"other")
    store.name("docker.io/library/iris:1", image.descriptor)
    for i, source in enumerate((image.descriptor.digest, image.id, "iris:1")):
        assert told(capsys, "push", source, f"{registry.host}/by:{i}")["digest"] == image.descriptor.digest
    with Registry().serving() as away:
        store.name("other:1", other.descriptor)
        told(capsys, "push", "other:1", f"{away.host}/other:1")
        store.unname("other:1")
        assert told(capsys, "push", f"oci://{away.host}/other:1", f"{registry.host}/copy:1")["bytes_new"] > 0
        assert "no such name in" in failed(capsys, 3, "push", f"{away.host}/other:2")
    assert ("copy", "1") in registry.manifests


def test_an_archive_and_a_package(
    registry: Registry, store: Store, make_image: Any, package: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = make_image()
    write_archive(store, image.descriptor, "iris:1", home / "iris.tar")
    assert told(capsys, "push", home / "iris.tar", f"{registry.host}/a:1")["digest"] == image.descriptor.digest
    done = told(capsys, "push", package, f"oci://{registry.host}/models/ridge:1")
    kept = json.loads(registry.manifests["models/ridge", "1"][1])
    assert kept["artifactType"].startswith("application/vnd.cncf.model.manifest") and done["bytes_new"] > 0


def test_what_is_wrong_is_said_in_a_line(
    registry: Registry, store: Store, make_image: Any, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = f"oci://{registry.host}/iris:1"
    store.name("iris:1", make_image().descriptor)
    assert "oci://HOST/REPOSITORY:TAG" in failed(capsys, 2, "push", "iris:1")
    assert "did you mean 'iris'" in failed(capsys, 2, "push", "iris:1", f"oci://{registry.host}/Iris:1")
    assert "tag 'a b'" in failed(capsys, 2, "push", "iris:1", f"oci://{registry.host}/iris:a b")
    assert "no such name in" in failed(capsys, 3, "push", "nothing", to)
    assert "no such name in" in failed(capsys, 3, "push", "No such:thing", to)
    (home / "x.tar").write_text("hello")
    assert "not a whole tar archive" in failed(capsys, 3, "push", home / "x.tar", to)
    registry.scheme = "basic"
    assert "nothing here says who you are" in failed(capsys, 2, "push", "iris:1", to)
    registry.scheme = ""
    registry.answers = [Answer("POST", "uploads", 403)]
    assert "403; this user may not" in failed(capsys, 2, "push", "iris:1", to)
    registry.answers = [Answer("POST", "uploads", 429, {"Retry-After": "9999"})]
    assert "too many requests; try again in 9999 s" in failed(capsys, 1, "push", "iris:1", to)
    assert "nothing listens there" in failed(capsys, 6, "push", "iris:1", "oci://127.0.0.1:9/iris:1")
    assert "'0' is not a number from 1 to 32" in failed(capsys, 2, "push", "iris:1", to, "--jobs", "0")
    assert "No such file" in failed(capsys, 2, "push", "iris:1", to, "--ca-file", home / "absent.pem")
    assert registry.manifests == {}
