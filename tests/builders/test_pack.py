"""The whole way from a source to a sealed directory, and that nothing is left when it ends early."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gantline.accelerators.replay import replay
from gantline.accelerators.session import Session
from gantline.builders import from_sklearn, pack
from gantline.builders.lineage import Told
from gantline.builders.pack import Choices
from gantline.builders.source import Limits, Source
from sklearn.linear_model import LinearRegression, LogisticRegression

from gantline.errors import EngineFailed, UsageError, VerificationFailed
from gantline.packages import LINEAGE, MANIFEST, Package
from gantline.tensors import Array

Packager = Callable[..., Package]
XY = tuple[Array, Array]


def test_a_package_is_whole(tmp_path: Path, iris: XY) -> None:
    model = LogisticRegression(max_iter=500).fit(*iris)
    source = Source("flowers", object=model, sample={"": iris[0][::10]})
    made = pack.pack(source, tmp_path / "out", Choices(told=Told("v1", "run-3", "iris")))
    package = Package.open(tmp_path / "out")
    assert package.digest == made.digest and package.name == "flowers"
    assert package.verify_files() == 3
    assert package.lineage()["run"] == "run-3" and package.lineage()["label"] == "v1"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([MANIFEST, LINEAGE, "golden", "model.onnx"])
    (found,) = replay(Session.open(package))
    assert found.rows == 8 and found.max_rel == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_lineage_is_outside_the_digest(tmp_path: Path, iris: XY) -> None:
    model = LogisticRegression(max_iter=500).fit(*iris)
    digests = set()
    for run in ("one", "two"):
        source = Source("m", object=model)
        digests.add(pack.pack(source, tmp_path / run, Choices(told=Told(run=run))).digest)
    assert len(digests) == 1
    digests.add(pack.pack(Source("m", object=model, limits=Limits(rtol=1e-3)), tmp_path / "three").digest)
    assert len(digests) == 2


def test_existing_targets_are_kept_unless_told(tmp_path: Path, diabetes: XY) -> None:
    source = Source("m", object=LinearRegression().fit(*diabetes))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="exists; choose another -o or pass --overwrite"):
        pack.pack(source, tmp_path / "out")
    with pytest.raises(UsageError, match="not overwritten"):  # nor is what never was a package
        pack.pack(source, tmp_path / "out", Choices(overwrite=True))
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    (tmp_path / "out" / "mine.txt").unlink()
    first = pack.pack(source, tmp_path / "out", Choices(overwrite=True))
    second = pack.pack(replace(source, name="n"), tmp_path / "out", Choices(overwrite=True))
    assert first.digest != second.digest and Package.open(tmp_path / "out").name == "n"
    with pytest.raises(UsageError, match="name 'a b'"):
        pack.pack(replace(source, name="a b"), tmp_path / "other")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_converter_that_answers_otherwise_fails_the_command(
    tmp_path: Path, diabetes: XY, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own converter handing on a wrong file is caught by the check at the end, not by its own."""
    real = from_sklearn.convert

    def broken(source: Source, work: Path) -> object:
        other = LinearRegression().fit(diabetes[0], diabetes[1] * 1.001)
        wrong = real(Source("m", object=other), work)
        right = real(source, work / "..")
        right.files = wrong.files
        return right

    monkeypatch.setattr(from_sklearn, "convert", broken)
    source = Source("m", object=LinearRegression().fit(*diabetes))
    (tmp_path / "work").mkdir()
    with pytest.raises(VerificationFailed) as caught:
        pack.pack(source, tmp_path / "work" / "out")
    text = caught.value.message
    assert "package 'm'" in text and "output 'variable'" in text and "row" in text
    assert list((tmp_path / "work").iterdir()) == []
    loose = replace(source, limits=Limits(rtol=0.01))
    parity = pack.pack(loose, tmp_path / "work" / "out").manifest.parity
    assert parity is not None and parity.loosened == ("rtol 0.0001 -> 0.01",) and 1e-4 < parity.max_rel_error < 0.01


def test_an_interruption_leaves_nothing(tmp_path: Path, diabetes: XY, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pack, "seal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack.pack(Source("m", object=LinearRegression().fit(*diabetes)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(tmp_path: Path, diabetes: XY, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(UsageError, match=r"needs skl2onnx: pip install 'gantline\[build\]'"):
        pack.pack(Source("m", object=LinearRegression().fit(*diabetes)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_max_batch_size(tmp_path: Path, diabetes: XY) -> None:
    source = Source("m", object=LinearRegression().fit(*diabetes))
    made = pack.pack(source, tmp_path / "a", Choices(max_batch_size=7))
    assert made.manifest.batching.max_batch_size == 7
    assert pack.pack(source, tmp_path / "b", Choices(max_batch_size=0)).manifest.batching.max_batch_size == 0
    assert pack.pack(source, tmp_path / "c").manifest.batching.max_batch_size == pack.MAX_BATCH


def test_a_tampered_file_does_not_replay(tmp_path: Path, diabetes: XY) -> None:
    made = pack.pack(Source("m", object=LinearRegression().fit(*diabetes)), tmp_path / "out")
    for path in sorted(f.path for f in made.manifest.files):
        target = tmp_path / "out" / path
        whole = target.read_bytes()
        target.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(VerificationFailed, match=path.rpartition("/")[2]):
            made.verify_files()
        target.write_bytes(whole)
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_bytes())
    manifest["golden"][0]["rtol"] = 1.0
    (tmp_path / "out" / MANIFEST).write_text(json.dumps(manifest))
    assert Package.open(tmp_path / "out").digest != made.digest


def test_engines_that_fail_on_the_users_rows_say_so(
    tmp_path: Path, diabetes: XY, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: object, **kwargs: object) -> list[Array]:
        raise EngineFailed("out of memory")

    monkeypatch.setattr(Session, "run", failing)
    source = Source("m", object=LinearRegression().fit(*diabetes), sample={"": np.ones((3, 10))})
    with pytest.raises(EngineFailed):
        pack.pack(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
