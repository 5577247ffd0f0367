"""Package directories: sealed, opened, and verified to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, UsageError, VerificationFailed
from gantline.manifest import Golden, Manifest, ScriptInfo
from gantline.packages import LINEAGE, MANIFEST, Package, check_name, seal


@pytest.fixture
def package(tmp_path: Path) -> Package:
    root = tmp_path / "p"
    (root / "code" / "sub").mkdir(parents=True)
    (root / "model.onnx").write_bytes(b"model")
    (root / "code" / "score.py").write_text("pass\n")
    (root / "code" / "sub" / "data.bin").write_bytes(bytes(1000))
    return seal(root, Manifest(name="m", engine="onnx", model="model.onnx"), {"run": "7"})


def test_sealing_lists_every_file(package: Package) -> None:
    found = {f.path: (f.size, f.mediaType) for f in package.manifest.files}
    assert found == {
        "code/score.py": (5, "text/x-python"),
        "code/sub/data.bin": (1000, "application/octet-stream"),
        "model.onnx": (5, "application/vnd.gantline.model.onnx"),
    }
    opened = Package.open(package.path)
    assert opened == package and opened.digest == opened.manifest.digest
    assert opened.lineage() == {"run": "7", "package": package.digest} and opened.model_path.read_bytes() == b"model"
    assert opened.verify_files() == 3
    assert (package.path / "model.onnx").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("path", ["model.onnx", "code/score.py", "code/sub/data.bin"])
def test_any_flipped_bit_is_found(package: Package, path: str) -> None:
    target = package.path / path
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)
    with pytest.raises(VerificationFailed, match=rf"{path}: digest sha256:\w+, the manifest says"):
        package.verify_files()


def test_only_what_is_listed_may_be_hashed(package: Package) -> None:
    (package.path / "code" / "__pycache__").mkdir()
    (package.path / "code" / "__pycache__" / "score.pyc").write_bytes(b"")
    package.verify_listed()
    with pytest.raises(VerificationFailed, match="not in the manifest"):
        package.verify_files()
    (package.path / "code" / "score.py").write_text("Pass\n")
    with pytest.raises(VerificationFailed, match=r"score\.py: digest sha256:\w+, the manifest says"):
        package.verify_listed()


def test_a_changed_manifest_is_found(package: Package) -> None:
    path = package.path / MANIFEST
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"name":"m"', b'"name":"n"'))
    with pytest.raises(VerificationFailed, match=r"manifest\.json: digest sha256:\w+; lineage\.json says"):
        Package.open(package.path).verify_files()
    path.write_bytes(whole.replace(b":", b": "))
    with pytest.raises(VerificationFailed, match="in another spelling"):
        Package.open(package.path).verify_files()
    path.write_bytes(whole)
    (package.path / LINEAGE).write_text("{")
    with pytest.raises(VerificationFailed, match=r"lineage\.json: not JSON"):
        Package.open(package.path).verify_files()


def test_what_is_sealed_is_what_is_read_back(tmp_path: Path) -> None:
    manifest = Manifest(name="m", engine="null", golden=(Golden("a", "b", rtol=1, atol=0),))
    sealed = seal(tmp_path, manifest, {})
    assert Package.open(tmp_path).digest == sealed.digest and sealed.verify_files() == 0


def test_missing_shorter_and_added_files_are_found(package: Package) -> None:
    added = package.path / "code" / "new.py"
    added.write_text("")
    with pytest.raises(VerificationFailed, match=r"new\.py: not in the manifest"):
        package.verify_files()
    added.unlink()
    (package.path / LINEAGE).write_text('{"label": "later"}')  # beside the content
    assert package.verify_files() == 3 and package.lineage() == {"label": "later"}
    (package.path / "model.onnx").write_bytes(b"mode")
    with pytest.raises(VerificationFailed, match="4 bytes, the manifest says 5"):
        package.verify_files()
    (package.path / "model.onnx").unlink()
    with pytest.raises(VerificationFailed, match=r"model\.onnx: missing"):
        package.verify_files()


def test_what_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match="does not exist"):
        Package.open(tmp_path / "gone")
    with pytest.raises(BadArtefact, match=f"has no {MANIFEST}"):
        Package.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadArtefact, match="file"):
        Package.open(tmp_path / "file")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a\\b"])
def test_paths_that_leave_the_package_are_refused(package: Package, path: str) -> None:
    for changed in (
        replace(package.manifest, model=path),
        replace(package.manifest, golden=(Golden(path, "reply.bin"),)),
        replace(package.manifest, script=ScriptInfo("score.py", models=path)),
        replace(package.manifest, files=(replace(package.manifest.files[0], path=path),)),
    ):
        (package.path / MANIFEST).write_bytes(changed.to_bytes())
        with pytest.raises(BadArtefact, match="leaves the package"):
            Package.open(package.path)


def test_names_of_files_that_no_manifest_can_hold(tmp_path: Path) -> None:
    for name, says in ((b"\xff.txt", "not UTF-8"), (b"a\\b.txt", "a backslash")):
        root = tmp_path / says.replace(" ", "")
        root.mkdir()
        os.close(os.open(os.fsencode(root) + b"/" + name, os.O_CREAT))
        with pytest.raises(BadArtefact, match=says) as told:
            seal(root, Manifest(name="m", engine="onnx", model="model.onnx"), {})
        assert str(told.value).isascii() and not (root / MANIFEST).exists()


def test_names_of_files_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    """Read as Latin-1, or by the codec of the C locale, they would be other names, and the package another."""
    script = (
        "import pathlib, sys; from gantline.manifest import Manifest; from gantline.packages import *;"
        "root = pathlib.Path(sys.argv[1]); seal(root, Manifest(name='m', engine='onnx', model='m.onnx'), {})"
    )
    (tmp_path / "é.txt").write_text("")
    other = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", script, str(tmp_path)]
    for more, code in (other, 1), ({"LC_ALL": "POSIX", "PYTHONUTF8": "1"}, 0):
        done = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert not code or "set PYTHONUTF8=1" in done.stderr
    assert [f.path for f in Package.open(tmp_path).manifest.files] == ["é.txt"]


def test_lineage_that_is_missing_or_damaged(package: Package) -> None:
    (package.path / LINEAGE).write_text("{")
    with pytest.raises(BadArtefact, match=rf"{LINEAGE}: not JSON"):
        package.lineage()
    (package.path / LINEAGE).write_text(json.dumps([1]))
    assert package.lineage() == {}
    os.unlink(package.path / LINEAGE)
    assert package.lineage() == {}


@pytest.mark.parametrize("name", ["a", "iris", "A-1.b_2", "x" * 128])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a/b", "é", "x" * 129, ".", "a\n"])
def test_names_that_urls_cannot_carry(name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        check_name(name)


def test_a_bare_model_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    bare = Package.bare(tmp_path / "m.onnx", "m", "3")
    assert (bare.digest, bare.version, bare.model_path) == (None, "3", tmp_path / "m.onnx")
