"""`gantline pull`: an image into the store or a file, a package into its directory, which then serves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from gantline.cli import main
from gantline.oci.image import write_index
from gantline.oci.platforms import Platform
from gantline.oci.store import Store
from gantline.packages import Package
from tests.cli.test_push import failed, home, package, registry, told
from tests.oci.conftest import make_image, store
from tests.oci.faulty_registry import Registry

__all__ = ["home", "make_image", "package", "registry", "store"]  # fixtures


def move(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """To another user's home, and folder."""
    away = folder / "away"
    away.mkdir()
    monkeypatch.setenv("GANTLINE_HOME", str(away / "home"))
    monkeypatch.chdir(away)
    return away


def test_an_image(
    registry: Registry, store: Store, make_image: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    here = str(Platform.of_this_machine())
    images = make_image(here, b"mine"), make_image("linux/s390x", b"other")
    store.name("iris:1", write_index(store, images, {}))
    told(capsys, "push", "iris:1", f"{registry.host}/iris:1")
    away = move(tmp_path, monkeypatch)
    ref = f"oci://{registry.host}/iris:1"
    done = told(capsys, "pull", ref)
    assert (done["kind"], done["path"], done["digest"]) == ("image", None, images[0].descriptor.digest)
    assert Store(away / "home" / "store").names().keys() == {f"{registry.host}/iris:1"}
    told(capsys, "pull", ref, "-o", "iris.tar", "--platform", "linux/s390x")
    with tarfile.open("iris.tar") as tar:
        assert {"index.json", "manifest.json", "oci-layout"} <= set(tar.getnames())
    every = told(capsys, "pull", ref, "-o", "layout", "--platform", "all")
    assert (away / "layout" / "blobs" / "sha256" / every["digest"][7:]).is_file() and every["bytes_received"] == 0
    assert "exists" in failed(capsys, 2, "pull", ref, "-o", "iris.tar")
    assert f"has no image for linux/386; there is {here}, linux/s390x" in failed(
        capsys, 3, "pull", ref, "--platform", "linux/386"
    )
    assert "expected OS/ARCHITECTURE" in failed(capsys, 2, "pull", ref, "--platform", "linux")
    assert "the registry has no such image" in failed(capsys, 3, "pull", f"oci://{registry.host}/iris:2")


def test_a_package(
    registry: Registry, package: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ref = f"oci://{registry.host}/models/ridge:1"
    told(capsys, "push", package, ref)
    away = move(tmp_path, monkeypatch)
    assert main(["pull", ref]) == 0
    out = capsys.readouterr().out
    assert "next:  gantline serve ridge.pkg" in out and " new, 0 B reused" in out
    assert Package.open(away / "ridge.pkg").digest == Package.open(package).digest
    assert told(capsys, "verify", "ridge.pkg")["verified"] is True
    assert "exists" in failed(capsys, 2, "pull", ref)
    again = told(capsys, "pull", ref, "-o", "other.pkg")
    assert (again["kind"], again["path"], again["bytes_received"]) == ("package", "other.pkg", 0)
    told(capsys, "pull", ref, "-o", "other.pkg", "--overwrite")


def test_what_a_registry_changed_is_not_kept(
    registry: Registry, package: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ref = f"oci://{registry.host}/ridge:1"
    told(capsys, "push", package, ref)
    away = move(tmp_path, monkeypatch)
    layer = json.loads(registry.manifests["ridge", "1"][1])["layers"][0]
    registry.changed = {layer["digest"]: bytes(layer["size"])}
    assert "changed it; nothing was kept" in failed(capsys, 4, "pull", ref)
    assert [p.name for p in away.iterdir()] == ["home"]


def test_a_package_is_used_where_it_is(
    registry: Registry, package: Path, store: Store, make_image: Any, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every verb takes oci://; what a digest names is got once."""
    ref = f"oci://{registry.host}/ridge:1"
    done = told(capsys, "push", package, ref)
    store.name("image:1", make_image().descriptor)
    told(capsys, "push", "image:1", f"{registry.host}/image:1")
    move(tmp_path, monkeypatch)
    assert told(capsys, "verify", ref)["verified"] is True
    pinned = ref.replace(":1", f"@{done['digest']}")
    asked = len(registry.seen)
    assert told(capsys, "inspect", pinned)["digest"] == Package.open(package).digest
    assert told(capsys, "verify", pinned)["verified"] is True and len(registry.seen) == asked
    assert "an image, not a package" in failed(capsys, 3, "serve", f"oci://{registry.host}/image:1")
    told(capsys, "register", ref)
    again = told(capsys, "push", "registry://ridge:1", f"oci://{registry.host}/ridge:2")
    assert again["bytes_sent"] < 2000  # the lineage alone may differ


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_control_c_ends_it_at_once_and_leaves_nothing(
    registry: Registry, store: Store, make_image: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, verb: str,
) -> None:  # fmt: skip
    """Though the registry is silent in the middle of blobs of which several are under way."""
    name = f"{registry.host}/iris:1"
    store.name(name, make_image("linux/amd64", b"a" * 9000, b"b" * 9000, b"c" * 9000).descriptor)
    if verb == "pull":
        told(capsys, "push", name)
        move(tmp_path, monkeypatch)
    registry.stall = threading.Event()
    words = [sys.executable, "-m", "gantline", verb, name]
    before = set(tmp_path.rglob("*"))
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert registry.stalled.wait(30)
        process.send_signal(signal.SIGINT)
        assert (process.wait(10), process.stderr.read() if process.stderr else "") == (130, "")
    registry.stall.set()
    new = {p.name for p in set(tmp_path.rglob("*")) - before if p.is_file()}
    assert new <= {"oci-layout"} and registry.count("PUT", "/manifests/") == (verb == "pull")
