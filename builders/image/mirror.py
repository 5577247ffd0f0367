"""Mirror: a Debian archive as it is served over HTTP: which suites a base is of, their indexes, each file by digest.

What a suite's Release file lists is pinned by SHA256, so only that file need be trusted: gpgv checks its signature
where it and the archive's keyring are installed; else HTTPS alone vouches for it, and that is said.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gantline.errors import NotFound, VerificationFailed

from .base import Base
from .bootstrap import DEBIAN, PORTS, UBUNTU
from .control import stanzas
from .download import Downloads
from .packed import plain

KEYRING = "GANTLINE_DEBIAN_KEYRING"  # the keyring of a mirror that signs with keys of its own, or `none`
_KEYRINGS = Path("/usr/share/keyrings")
_ENDINGS = (".xz", ".gz", "")
_HTTPS = "deb.debian.org"  # known to serve both ways, whatever sources.list says
_LINE = re.compile(r"deb\s+(\[[^\]]*\]\s+)?(?P<url>https?://\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")
FIELDS = frozenset(
    ("Package", "Version", "Architecture", "Depends", "Pre-Depends", "Provides", "Filename", "Size", "SHA256")
)
_SUITE = re.compile(r"[A-Za-z0-9._/-]+")
_RELEASE, _INDEX, _CONTENTS = 4 << 20, 256 << 20, 512 << 20  # bytes at most


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite of an archive: `https://deb.debian.org/debian`, `bookworm`, `main`."""

    url: str
    name: str
    components: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.url} {self.name}"


def suites_of(base: Base, mirror: str = "") -> tuple[Suite, ...]:
    """Where a base's packages come from, as its own sources say, or as its system has it by default.

    `mirror` takes the place of the archive itself; security updates then come from beside it, if it is `.../debian`.
    """
    codename = base.system.get("VERSION_CODENAME", "")
    found = [s for s in _told(base) if codename and s.name.partition("/")[0].split("-")[0] == codename]
    if not found and codename:
        found = _usual(base, codename)
    if mirror:
        mirror = mirror.rstrip("/")
        security = mirror + "-security" if mirror.endswith("/debian") else ""
        told = [(security if "security" in suite.url.rpartition("//")[2] else mirror, suite) for suite in found]
        found = [Suite(url, suite.name, suite.components) for url, suite in told if url]
    return tuple(dict.fromkeys(Suite(_secured(s.url.rstrip("/")), s.name, s.components) for s in found))


def _secured(url: str) -> str:
    return url.replace("http://", "https://", 1) if url.startswith(f"http://{_HTTPS}/") else url


def _told(base: Base) -> Iterator[Suite]:
    folder = "etc/apt/sources.list.d"
    for path in ("etc/apt/sources.list", *(f"{folder}/{name}" for name in base.tree.names(folder))):
        node = base.tree.find(path)
        text = (node.text or "") if node is not None else ""
        if path.endswith(".sources"):
            for one in stanzas(text):
                if "deb" in one.get("Types", "").split() and one.get("Enabled", "yes").lower() != "no":
                    for url in one.get("URIs", "").split():
                        for suite in one.get("Suites", "").split():
                            yield Suite(url, suite, tuple(one.get("Components", "").split()))
        else:
            for line in text.splitlines():
                if match := _LINE.fullmatch(line.partition("#")[0].strip()):
                    yield Suite(match["url"], match["suite"], tuple(match["components"].split()))


def _usual(base: Base, codename: str) -> list[Suite]:
    if base.system.get("ID") == "ubuntu":
        url = UBUNTU if base.platform.architecture in ("amd64", "386") else PORTS
        return [Suite(url, codename + end, ("main", "universe")) for end in ("", "-updates", "-security")]
    if base.system.get("ID") != "debian":
        return []
    security = Suite(DEBIAN + "-security", f"{codename}-security", ("main",))
    return [*(Suite(DEBIAN, codename + end, ("main",)) for end in ("", "-updates")), security]


@dataclass(slots=True)
class Mirror:
    """What suites offer for one architecture, read when asked for. `notes` say how far a Release file was checked."""

    suites: Sequence[Suite]
    architecture: str
    system: str  # debian, ubuntu: whose keyring is asked
    downloads: Downloads
    notes: list[str] = field(default_factory=list)
    _releases: dict[Suite, dict[str, tuple[str, int]]] = field(default_factory=dict)

    def packages(self) -> Iterator[tuple[Suite, dict[str, str]]]:
        """The records of all packages, with the suite that each is in."""
        for suite in self.suites:
            for component in suite.components:
                path = f"{component}/binary-{self.architecture}/Packages"
                if (found := self._file(suite, path, _INDEX)) is None:
                    if not self._release(suite):
                        break
                    raise NotFound(f"{suite}: has no index of {component} for {self.architecture}")
                with found.open("rb") as f, plain(f, f"{suite}: {path}") as stream:
                    lines = io.TextIOWrapper(stream, "utf-8", "replace", newline="\n")
                    for record in stanzas(lines, FIELDS):
                        yield suite, record

    def holders(self, name: str) -> list[tuple[str, str]]:
        """Which packages hold a file of that name, and where, as the archive's list of contents says."""
        pattern = re.compile(rb"((?:[^ ]*/)?" + re.escape(name.encode()) + rb")\s+(\S+)\s*")
        found = []
        for suite in self.suites:
            for component in suite.components:
                paths = [f"{component}/Contents-{self.architecture}", f"Contents-{self.architecture}"]
                file = next((f for path in paths if (f := self._file(suite, path, _CONTENTS)) is not None), None)
                if file is None:
                    continue
                with file.open("rb") as raw, plain(raw, f"{suite}: contents") as stream:
                    for line in stream:
                        if name.encode() in line and (match := pattern.fullmatch(line)):
                            for holder in match[2].decode("ascii", "replace").split(","):
                                found.append((holder.rpartition("/")[2], match[1].decode("utf-8", "replace")))
        return found

    def _file(self, suite: Suite, path: str, limit: int) -> Path | None:
        """A file that a suite's Release lists, in whichever form it is there; None if in none."""
        listed = self._release(suite)
        for ending in _ENDINGS:
            if path + ending in listed:
                digest, size = listed[path + ending]
                folder = f"{suite.url}/dists/{suite.name}"
                # by digest, since the archive may change between one request and the next
                by_hash = f"{folder}/{path.rpartition('/')[0]}/by-hash/SHA256/{digest}".replace("//by-hash", "/by-hash")
                urls = (by_hash, f"{folder}/{path}{ending}")
                return self.downloads.get(urls, "sha256:" + digest, size, limit)
        return None

    def _release(self, suite: Suite) -> dict[str, tuple[str, int]]:
        if suite not in self._releases:
            if not _SUITE.fullmatch(suite.name) or ".." in suite.name:
                raise NotFound(f"{suite}: is no suite's name")
            folder = f"{suite.url}/dists/{suite.name}"
            try:
                data = self.downloads.read((f"{folder}/InRelease",), _RELEASE)
            except NotFound:
                if suite == self.suites[0]:
                    raise
                self.notes.append(f"{suite}: there is none, so nothing is taken from it")
                self._releases[suite] = {}
                return {}
            text, note = check_release(data, str(suite), self.system)
            if note and note not in self.notes:
                self.notes.append(note)
            fields = next(stanzas(text), {})
            rows = (line.split() for line in fields.get("SHA256", "").splitlines())
            self._releases[suite] = {r[2]: (r[0], int(r[1])) for r in rows if len(r) == 3 and _is_row(r)}
        return self._releases[suite]


def _is_row(row: list[str]) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{64}", row[0])) and row[1].isdecimal() and ".." not in row[2]


def check_release(data: bytes, where: str, system: str) -> tuple[str, str]:
    """The text of an InRelease file as it was signed, and what there is to say of that.

    VerificationFailed where the signature is of none of the archive's keys, or unchecked and came by plain HTTP.
    """
    told = os.environ.get(KEYRING, "")
    keyring = Path(told) if told else _KEYRINGS / f"{system}-archive-keyring.gpg"
    program = shutil.which("gpgv")
    if told == "none" or program is None or not keyring.is_file():
        why = f"{KEYRING}=none" if told == "none" else "gpgv is not installed" if program is None else f"no {keyring}"
        if where.startswith("http://") and told != "none":
            raise VerificationFailed(
                f"{where}: its signature cannot be checked ({why}), and plain HTTP vouches for nothing; give "
                f"--debian-mirror https://..., or set {KEYRING} to its keyring (or to `none`)"
            )
        return _signed_text(data), f"{where}: signature not checked ({why}); trusted as it came"
    with tempfile.TemporaryDirectory() as work:
        Path(work, "InRelease").write_bytes(data)
        words = [program, "--keyring", str(keyring), "--output", f"{work}/text", f"{work}/InRelease"]
        done = subprocess.run(words, check=False, capture_output=True, timeout=60)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no signature"]
            raise VerificationFailed(
                f"{where}: its Release is not signed by a key of {keyring} ({said[0]:.120}); choose another mirror, or "
                f"set {KEYRING} to the keyring of this one (or to `none`)"
            )
        return Path(work, "text").read_text("utf-8", "replace"), ""


def _signed_text(data: bytes) -> str:
    """What is within the armour, or all of it where there is none."""
    text = data.decode("utf-8", "replace")
    if not text.startswith("-----BEGIN PGP SIGNED MESSAGE-----"):
        return text
    inner = text.partition("\n\n")[2].partition("\n-----BEGIN PGP SIGNATURE-----")[0]
    return "\n".join(line.removeprefix("- ") for line in inner.splitlines())
