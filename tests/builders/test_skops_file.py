"""Reading .skops files by their audit, in a trial process first; writing them the same twice."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from gantline.builders.skops_file import KNOWN, load_skops, save_skops, trusted_in
from sklearn.cluster import Birch
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from gantline.errors import BadArtefact, Unsupported

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def rewritten(data: bytes, change: Any) -> bytes:
    """A .skops archive with each of its arrays passed through `change`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(".npy"):
                array = change(np.load(io.BytesIO(content), allow_pickle=False))
                buffer = io.BytesIO()
                np.save(buffer, array)
                content = buffer.getvalue()
            new.writestr(name, content)
    return out.getvalue()


def far_child(array: Any) -> Any:
    if array.dtype.names and "left_child" in array.dtype.names:
        array["left_child"][0] = 10**9
    return array


def test_a_forest_is_read_without_a_word_of_trust(tmp_path: Path) -> None:
    path = tmp_path / "forest.skops"
    model = RandomForestClassifier(3, random_state=0).fit(X, Y)
    skops.io.dump(model, path)
    loaded = load_skops(path, ())
    assert loaded.predict(X).tolist() == model.predict(X).tolist()
    assert trusted_in(path, ()) == ["sklearn.tree._tree.Tree"]


@pytest.mark.slow
def test_an_index_outside_the_tree_does_not_crash_us(tmp_path: Path) -> None:
    path = tmp_path / "evil.skops"
    path.write_bytes(rewritten(skops.io.dumps(RandomForestClassifier(1).fit(X, Y)), far_child))
    with pytest.raises(BadArtefact, match=r"evil\.skops: .*a node's child is outside the tree"):
        load_skops(path, ())


def test_a_file_that_crashes_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real child that really dies of SIGSEGV, as compiled code does on a bad index."""
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))
    path = tmp_path / "m.skops"
    skops.io.dump(KNeighborsClassifier().fit(X, Y), path)
    with pytest.raises(BadArtefact, match=r"loading it crashed a trial process \(signal 11\)"):
        load_skops(path, ())


def test_unknown_types_are_listed_with_the_flag_that_trusts_them(tmp_path: Path) -> None:
    path = tmp_path / "own.skops"
    skops.io.dump(FunctionTransformer(np.savetxt).fit(X), path)
    with pytest.raises(BadArtefact) as caught:
        load_skops(path, ())
    assert "numpy.savetxt; to load them: --trust numpy.savetxt" in caught.value.message
    assert trusted_in(path, ("numpy.savetxt",)) == ["numpy.savetxt"] and trusted_in(path, ()) == []
    assert "numpy.savetxt" not in KNOWN


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "found an empty file"),
        (b"just some text\n", "found text ('just some te'..."),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "found a PNG image"),
        (b"\x80\x04\x95" + bytes(30), "found a pickle"),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "m.skops"
    path.write_bytes(content)
    with pytest.raises(BadArtefact) as caught:
        load_skops(path, ())
    assert f"{path}: expected a .skops file, {found}" in caught.value.message


def test_archives_that_are_cut_or_others(tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    whole = skops.io.dumps(KNeighborsClassifier().fit(X, Y))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadArtefact, match="a zip archive that is damaged or cut off"):
        load_skops(path, ())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(BadArtefact, match=r"a zip archive without schema\.json"):
        load_skops(path, ())
    with pytest.raises(BadArtefact, match="found a directory"):
        load_skops(tmp_path, ())
    with pytest.raises(BadArtefact, match="no such file"):
        load_skops(tmp_path / "gone.skops", ())
    path.write_bytes(rewritten(whole, lambda array: array.reshape(-1)[:1]))
    with pytest.raises(BadArtefact, match=r"m\.skops: cannot be loaded by skops"):
        load_skops(path, ())


def test_the_same_content_has_the_same_bytes(tmp_path: Path) -> None:
    words = {"film", "the", "of", "a", "and"}
    models = [make_pipeline(CountVectorizer(stop_words=list(words)), KNeighborsClassifier(1)) for _ in range(2)]
    written, trusted = [], [""]
    for at, model in enumerate(models):
        model.fit(["good film", "bad film"], [1, 0])
        trusted = save_skops(model, tmp_path / f"{at}.skops")
        written.append((tmp_path / f"{at}.skops").read_bytes())
    assert written[0] == written[1]
    loaded = skops.io.load(tmp_path / "0.skops", trusted=trusted)
    assert loaded.predict(["a good one"]).tolist() == [1]


def test_shared_parts_stay_shared_and_arrays_whole(tmp_path: Path) -> None:
    model = RandomForestClassifier(4, random_state=1).fit(X, Y)
    trusted = save_skops(model, tmp_path / "m.skops")
    loaded = skops.io.load(tmp_path / "m.skops", trusted=trusted)
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with zipfile.ZipFile(tmp_path / "m.skops") as archive:
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_skops_cannot_save(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"<lambda> cannot be found again by its name"):
        save_skops(FunctionTransformer(lambda x: x).fit(X), tmp_path / "m.skops")
    with pytest.raises(Unsupported, match="skops cannot save it"):
        save_skops(Birch(n_clusters=2).fit(X), tmp_path / "m.skops")
