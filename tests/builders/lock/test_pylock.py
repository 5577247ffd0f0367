"""The file: standard, the same bytes for the same lock, and nothing damaged is read."""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.image.deb import Deb
from gantline.builders.lock.asked import Asked
from gantline.builders.lock.pylock import Lock, Locked
from gantline.builders.lock.solver import Offer, uv
from gantline.builders.lock.target import Target
from packaging.pylock import Pylock

from gantline.errors import BadArtefact, UsageError
from gantline.oci.platforms import Platform

from .tiny import wheel

TARGET = Target(Platform.parse("linux/arm64"), (3, 12), (2, 41))
ONE = Locked("a", "1.0", "a-1.0-py3-none-any.whl", "sha256:" + "0" * 64, 7, "https://x.invalid/a-1.0-py3-none-any.whl")
TWO = Locked(
    "b", "2.0+cpu", "b-2.0+cpu-py3-none-any.whl", "sha256:" + "1" * 64, 9, groups=("script",), asked=('b; x == "y"',)
)
ASKED = (Asked("a", "gantline"), Asked('b; x == "y"', "naïve\tscore.py:3", "script", ("sha256:" + "1" * 64,)))
LOCK = Lock(TARGET, (ONE, TWO), ASKED, ("https://x.invalid/simple",), apart=True)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "pylock.toml").write_bytes(LOCK.to_bytes())
    assert Lock.read(tmp_path / "pylock.toml") == LOCK
    tree = tomllib.loads(LOCK.to_bytes().decode())
    assert tree["lock-version"] == "1.0" and tree["requires-python"] == "==3.12.*"
    assert tree["packages"][1]["wheels"] == [
        {"name": TWO.file, "path": TWO.file, "size": 9, "hashes": {"sha256": "1" * 64}}
    ]
    Pylock.from_dict(tree)  # the standard's own reader has nothing against it
    assert tree["dependency-groups"] == ["runtime", "script"] and tree["default-groups"] == ["runtime"]


def test_what_a_wheel_was_built_of() -> None:
    """An address where there is one; no path of the machine that built it."""
    for url in ("https://x.invalid/b-2.0.tar.gz", ""):
        source = Offer("b-2.0.tar.gz", url, "sha256:" + "3" * 64, 11)
        lock = replace(LOCK, packages=(ONE, replace(TWO, source=source)))
        assert Lock.from_bytes(lock.to_bytes(), "x") == lock
        tree = tomllib.loads(lock.to_bytes().decode())
        expected = {"name": source.file, "size": 11, "hashes": {"sha256": "3" * 64}} | ({"url": url} if url else {})
        told = [one["tool"]["gantline"].get("built-from") for one in tree["packages"]]
        assert told == [None, expected]
        Pylock.from_dict(tree)
    with pytest.raises(BadArtefact, match="damaged"):
        Lock.from_bytes(lock.to_bytes().replace(b'hashes = {sha256 = "333', b'hash = {sha256 = "333'), "x")


def test_debian_packages() -> None:
    one = Deb("libgomp1", "12.2.0-14", "amd64", "https://x.invalid/libgomp1.deb", "sha256:" + "2" * 64, 115772)
    for debs in ((one, replace(one, name="zlib1g")), (), None):
        lock = replace(LOCK, debs=debs)
        assert Lock.from_bytes(lock.to_bytes(), "x") == lock
    allowing = replace(LOCK, allowed=("libtk8.6.so",))
    assert Lock.from_bytes(allowing.to_bytes(), "x") == allowing and b"allow-missing" not in LOCK.to_bytes()
    with pytest.raises(BadArtefact, match="libgomp1"):
        Lock.from_bytes(replace(LOCK, debs=(one,)).to_bytes().replace(b"2" * 64, b"x"), "x")


def test_its_environments() -> None:
    assert [p.name for p in LOCK.only("runtime").packages] == ["a"]
    assert [p.name for p in LOCK.only("script").packages] == ["b"]
    whole = Lock(TARGET, (ONE,))
    assert whole.only("script") is whole


def test_another_program_installs_from_it(tmp_path: Path) -> None:
    """uv takes the file as the standard has it: it finds the wheel, and checks its digest."""
    made = wheel(tmp_path, "forest", "1.0")
    from gantline.blobs import sha256_file

    target = Target(Platform.parse("linux/amd64"), (3, 11))
    lock = Lock(target, (Locked("forest", "1.0", made.name, sha256_file(made), made.stat().st_size),))
    path = tmp_path / "pylock.toml"

    def install(text: bytes) -> subprocess.CompletedProcess[str]:
        path.write_bytes(text)
        words = [uv(), "pip", "install", "--preview", "--no-index", "--target", str(tmp_path / "t"), "-r", str(path)]
        return subprocess.run([*words, "--python-platform", target.triple], capture_output=True, text=True, check=False)

    good = install(lock.to_bytes())
    assert good.returncode == 0, good.stderr
    assert (tmp_path / "t" / "forest" / "__init__.py").exists()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'lock-version = "1.0"', b'lock-version = "2.0"', "not a pylock.toml of version 1"),
        (b"[tool.gantline]\nformat = 1", b"[tool.gantline]\nformat = 2", "format 2; this Gantline reads 1"),
        (b"tool.gantline", b"tool.gantle", "made by gantline, and does not say"),
        (b'sha256 = "0000', b'sha256 = "../0', "damaged"),
        (b'name = "a-1.0-py3-none-any.whl"', b'name = "../a.whl"', "damaged"),
        (b"size = 7", b'size = "x"', "damaged"),
        (b'platform = "linux/arm64"', b'platform = "nonsense"', "^pylock.toml: platform 'nonsense'"),
        (b"packages]]", b"packages]", "not TOML"),
    ],
)
def test_damage(old: bytes, new: bytes, why: str) -> None:
    text = LOCK.to_bytes()
    assert old in text
    with pytest.raises((BadArtefact, UsageError), match=why):
        Lock.from_bytes(text.replace(old, new, -1 if old == b"tool.gantline" else 1), "pylock.toml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make a lock with `gantline lock`"):
        Lock.read(tmp_path / "pylock.toml")
