"""A Debian archive over HTTP: its suites, what vouches for them, its indexes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gantline.builders.image.base import Base
from gantline.builders.image.download import Downloads
from gantline.builders.image.mirror import KEYRING, Mirror, Suite, check_release, suites_of
from gantline.builders.image.tree import FILE, Node, Tree

from gantline.errors import NotFound, VerificationFailed
from gantline.oci.platforms import Platform

from .conftest import AMD64
from .tiny_deb import archive, served

DEBIAN = {"ID": "debian", "VERSION_CODENAME": "bookworm"}


def base(system: dict[str, str], texts: dict[str, str] | None = None, platform: Platform = AMD64) -> Base:
    tree = Tree()
    tree.lay([(path, Node(FILE, text=text)) for path, text in (texts or {}).items()])
    return Base("b", platform, (), (), "/usr/bin/python3.11", (3, 11), {}, tree, system=system)


def test_as_the_base_says() -> None:
    one_line = (
        "# deb http://no/debian bookworm main\n"
        "deb [signed-by=/x] http://deb.debian.org/debian bookworm main contrib # why\n"
        "deb-src http://deb.debian.org/debian bookworm main\ndeb http://other/x bullseye main\n"
    )
    several = (
        "Types: deb deb-src\nURIs: http://security.debian.org/debian-security\nSuites: bookworm-security nodistro\n"
        "Components: main\n\nTypes: deb\nURIs: http://off/\nSuites: bookworm\nComponents: main\nEnabled: no\n"
    )
    under = base(DEBIAN, {"etc/apt/sources.list": one_line, "etc/apt/sources.list.d/a.sources": several})
    security = Suite("http://security.debian.org/debian-security", "bookworm-security", ("main",))
    assert suites_of(under) == (Suite("https://deb.debian.org/debian", "bookworm", ("main", "contrib")), security)
    assert suites_of(under, "http://mine/debian/") == (
        Suite("http://mine/debian", "bookworm", ("main", "contrib")),
        Suite("http://mine/debian-security", "bookworm-security", ("main",)),
    )
    assert [s.url for s in suites_of(under, "http://mine/x")] == ["http://mine/x"]


def test_as_systems_have_it() -> None:
    assert [str(s) for s in suites_of(base(DEBIAN))] == [
        "https://deb.debian.org/debian bookworm",
        "https://deb.debian.org/debian bookworm-updates",
        "https://deb.debian.org/debian-security bookworm-security",
    ]
    ubuntu = {"ID": "ubuntu", "VERSION_CODENAME": "noble"}
    assert suites_of(base(ubuntu))[0] == Suite("http://archive.ubuntu.com/ubuntu", "noble", ("main", "universe"))
    assert "ports" in suites_of(base(ubuntu, platform=Platform("linux", "arm64")))[0].url
    assert suites_of(base({"ID": "fedora"})) == () == suites_of(base({"ID": "arch", "VERSION_CODENAME": "x"}))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    monkeypatch.setenv(KEYRING, "none")
    return Mirror([], "amd64", "debian", Downloads(tmp_path / "kept", pause=lambda _: None))


def test_its_packages_and_contents(mirror: Mirror, tmp_path: Path) -> None:
    contents = (
        "usr/lib/x86_64-linux-gnu/libx.so.1     libs/libx1,libs/libx1-other\n"
        "usr/lib/x86_64-linux-gnu/libx.so.10     libs/libx10\nusr/share/not-libx.so.1     doc/x\nlibx.so.1 odd/root\n"
    )
    archive(
        tmp_path / "a",
        {"x.deb": (b"deb", {"Package": "libx1", "Version": "1", "Description": "long\n text"})},
        contents,
    )
    with served(tmp_path / "a") as url:
        mirror.suites = [Suite(url, "bookworm", ("main",))]
        ((suite, record),) = mirror.packages()
        assert suite.url == url and record["Package"] == "libx1" and "Description" not in record
        assert record["Filename"] == "pool/x.deb" and record["Size"] == "3"
        place = "usr/lib/x86_64-linux-gnu/libx.so.1"
        assert mirror.holders("libx.so.1") == [("libx1", place), ("libx1-other", place), ("root", "libx.so.1")]
        (note,) = mirror.notes
        assert "signature not checked" in note
        mirror.suites = [Suite(url, "bookworm", ("contrib",))]
        with pytest.raises(NotFound, match="no index of contrib for amd64"):
            list(mirror.packages())
        assert mirror.holders("libx.so.1") == []
        mirror.suites = [Suite(url, "gone", ("main",))]
        with pytest.raises(NotFound, match="gone/InRelease"):
            list(mirror.packages())
        mirror.suites = [Suite(url, "bookworm", ("main",)), Suite(url, "gone", ("main",))]
        assert len(list(mirror.packages())) == 1 and mirror.notes[-1].endswith(
            "gone: there is none, so nothing is taken from it"
        )
        mirror.suites = [Suite(url, "../bookworm", ("main",))]
        with pytest.raises(NotFound, match="no suite's name"):
            list(mirror.packages())


def test_an_index_that_is_not_the_one_listed(mirror: Mirror, tmp_path: Path) -> None:
    archive(tmp_path / "a", {"x.deb": (b"deb", {"Package": "libx1", "Version": "1"})})
    file = next((tmp_path / "a/dists/bookworm/main/binary-amd64/by-hash/SHA256").iterdir())
    file.write_bytes(bytes(file.stat().st_size))
    with served(tmp_path / "a") as url:
        mirror.suites = [Suite(url, "bookworm", ("main",))]
        with pytest.raises(VerificationFailed, match="was expected"):
            list(mirror.packages())


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of GnuPG with one key, and its keyring as apt has it."""
    if not shutil.which("gpg") or not shutil.which("gpgv"):
        pytest.skip("gpg and gpgv, which sign and check, are not installed")
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    gpg(home, "--quick-generate-key", "archive@example.org", "ed25519", "sign")
    gpg(home, "--output", str(home / "keyring.gpg"), "--export")
    return home


def gpg(home: Path, *words: str, text: str = "") -> bytes:
    plain = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    return subprocess.run([*plain, *words], input=text.encode(), check=True, capture_output=True).stdout


def test_signatures(signer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Suite: bookworm\n- dashes: are escaped\nSHA256:\n 00 1 main/x\n"
    data = gpg(signer, "--clear-sign", text=text)
    monkeypatch.setenv(KEYRING, str(signer / "keyring.gpg"))
    assert check_release(data, "x", "debian") == (text, "")
    with pytest.raises(VerificationFailed, match=r"x: its Release is not signed by a key of .*BAD signature"):
        check_release(data.replace(b"00 1", b"00 2"), "x", "debian")
    with pytest.raises(VerificationFailed, match="not signed"):
        check_release(text.encode(), "x", "debian")
    monkeypatch.setenv(KEYRING, "none")
    assert check_release(data, "x", "debian")[0] == text.rstrip("\n"), "the text of the armour alone"
    monkeypatch.setenv(KEYRING, "/nowhere.gpg")
    assert "no /nowhere.gpg" in check_release(data, "x", "debian")[1]
    with pytest.raises(VerificationFailed, match=r"cannot be checked \(no /nowhere\.gpg\), and plain HTTP"):
        check_release(data, "http://x/debian bookworm", "debian")
    monkeypatch.setenv(KEYRING, str(signer / "keyring.gpg"))
    monkeypatch.setitem(os.environ, "PATH", "/nowhere")
    assert "gpgv is not installed" in check_release(data, "x", "debian")[1]
