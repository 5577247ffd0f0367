"""Pickles are read without being loaded: every protocol, every compression of joblib's, and damage."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from gantline.builders import pickle_scan
from gantline.builders.pickle_scan import Name, scan

from gantline.errors import BadArtefact, GantlineError, Unsupported


class Point:
    """An object of a foreign class."""

    def __init__(self) -> None:
        self.x = np.arange(3)


@pytest.fixture(scope="module")
def forest() -> Any:
    sklearn = pytest.importorskip("sklearn.ensemble")
    random = np.random.default_rng(0)
    return sklearn.RandomForestClassifier(4, random_state=0).fit(random.standard_normal((40, 3)), np.arange(40) % 2)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(tmp_path: Path, forest: Any, protocol: int) -> None:
    import sklearn

    (tmp_path / "m.pkl").write_bytes(pickle.dumps(forest, protocol=protocol))
    found = scan(tmp_path / "m.pkl")
    assert found.root_class == Name("sklearn.ensemble._forest", "RandomForestClassifier")
    assert {v for _, v in found.versions} == {sklearn.__version__}
    assert Name("sklearn.tree._tree", "Tree") in found.names


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_every_compression_of_joblib(tmp_path: Path, forest: Any, compress: Any) -> None:
    joblib.dump(forest, tmp_path / "m.joblib", compress=compress)
    found = scan(tmp_path / "m.joblib")
    assert found.root_class == Name("sklearn.ensemble._forest", "RandomForestClassifier")
    assert Name("sklearn.tree._tree", "Tree") in found.names


def test_arrays_in_the_stream_are_stepped_over(tmp_path: Path) -> None:
    arrays = [
        np.arange(1000.0).reshape(10, 100).T,
        np.zeros(3, [("a", "<i8"), ("b", "<f4", (2,))]),
        np.array(["text", None, Point()], object),
        np.array(["fixed", "width"]),
        np.zeros((0, 4), np.float32),
        np.array(7, np.int8),
    ]
    joblib.dump([*arrays, Point(), "the end"], tmp_path / "m.joblib")
    root = scan(tmp_path / "m.joblib").root
    assert root[-1] == "the end"
    assert len(root) == len(arrays) + 2


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": 1}, "a dict"),
        ([1, 2], "a list"),
        (print, "the function or class builtins.print"),
        (None, "None"),
        ("text", "a str"),
        (np.ones(2), "a numpy array or number"),
        (Point(), f"an object of class {Point.__module__}.Point"),
    ],
)
def test_what_was_found_in_words(tmp_path: Path, value: Any, says: str) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(value))
    assert scan(tmp_path / "m.pkl").described == says


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_nothing_is_called(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"model": Evil(tmp_path / "canary")}))
    found = scan(tmp_path / "m.pkl")
    assert not (tmp_path / "canary").exists()
    assert "getattr" in {n.name for n in found.names} or any(n.module.startswith("pathlib") for n in found.names)
    (tmp_path / "m.pkl").write_bytes(b"cposix\nsystem\n(S'touch " + str(tmp_path / "canary").encode() + b"'\ntR.")
    assert scan(tmp_path / "m.pkl").described == "the result of calling posix.system"
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "packed.joblib"])
def test_damage_is_one_line(tmp_path: Path, forest: Any, name: str) -> None:
    """Every cut and many bent bytes: an answer or one line, never another exception."""
    path = tmp_path / name
    if name == "m.pkl":
        path.write_bytes(pickle.dumps(forest))
    else:
        joblib.dump(forest, path, compress=3 if name.startswith("packed") else 0)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for at in (0, 1, 2, 10, *random.integers(11, len(whole) - 1, 60).tolist()):
        path.write_bytes(whole[:at])
        with pytest.raises(BadArtefact, match=f"{name}: not a whole pickle") as e:
            scan(path)
        assert "\n" not in e.value.message
    for at in random.integers(0, len(whole), 150).tolist():
        path.write_bytes(whole[:at] + bytes([int(random.integers(256))]) + whole[at + 1 :])
        try:
            scan(path)
        except GantlineError as error:
            assert "\n" not in error.message


def test_foreign_files(tmp_path: Path) -> None:
    for content in (
        b"not a pickle at all",
        b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x02.",
        b"\x1f\x8bxx",
    ):
        (tmp_path / "m.pkl").write_bytes(content)
        with pytest.raises(BadArtefact, match=r"m\.pkl: not a whole pickle"):
            scan(tmp_path / "m.pkl")
    (tmp_path / "m.pkl").write_bytes(b"ZF0x10")
    with pytest.raises(Unsupported, match=r"before 0\.10"):
        scan(tmp_path / "m.pkl")
    with pytest.raises(BadArtefact, match="no such file"):
        scan(tmp_path / "none.pkl")


def test_a_decompression_bomb_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joblib.dump(np.zeros(4_000_000), tmp_path / "bomb.joblib", compress=9)
    assert (tmp_path / "bomb.joblib").stat().st_size < 200_000
    monkeypatch.setattr(pickle_scan, "LARGEST", 1 << 20)
    with pytest.raises(BadArtefact, match="decompresses to more than"):
        scan(tmp_path / "bomb.joblib")
