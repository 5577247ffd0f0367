"""Asked: one requirement line, and who asked for it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gantline.accelerators.script.request_file import CONSTRAINT

from gantline.errors import BadArtefact

from .sources import Sources
from .target import Target

RUNTIME = "runtime"  # what serves
SCRIPT = "script"  # what the package's own code needs
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_URL = re.compile(r"[a-z+]+://\S+")
_USER = re.compile(r"(?<=://)[^/\s]*@")
_WITH_VALUE = {
    "-i": "index", "--index-url": "index", "--pypi-url": "index", "--extra-index-url": "extra",
    "-f": "find_links", "--find-links": "find_links", "--trusted-host": "trusted",
}  # fmt: skip
_NEEDLESS = (
    "--only-binary",
    "--prefer-binary",
    "--require-hashes",
    "--use-feature",
)  # hold anyway, or say how pip works


@dataclass(frozen=True, slots=True)
class Asked:
    """`line` is a requirement as pip reads it, or `-c` and one; `origin` says where it stands; `hashes` are
    `sha256:<hex>`.
    """

    line: str
    origin: str
    group: str = RUNTIME
    hashes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The distribution, normalised; empty for a URL that does not say."""
        text = self.requirement
        if "://" in text.partition(" @ ")[0]:
            egg = re.search(r"#(?:.*&)?egg=([\w.-]+)", text)
            file = text.split("#")[0].rstrip("/").rpartition("/")[2]
            text = egg[1] if egg else file.split("-")[0] if file.endswith(".whl") else ""
        found = _NAME.match(text)
        return normalised(found[0]) if found else ""

    @property
    def bound(self) -> bool:
        """Whether it is a constraint: it says which version, should anybody ask for the distribution."""
        return self.line.startswith(CONSTRAINT)

    @property
    def requirement(self) -> str:
        """The line, without what makes it a constraint."""
        return self.line.removeprefix(CONSTRAINT)

    @property
    def address(self) -> str:
        """The URL that it names; empty for a line that names none."""
        found = _URL.search(self.line)
        return found[0] if found else ""

    @property
    def is_source(self) -> bool:
        """Whether it is a URL of source code: a repository, or an archive that is no wheel."""
        return bool(self.address) and not self.bound and not self.address.partition("#")[0].endswith(".whl")

    @property
    def buildable(self) -> bool:
        """Whether wheels are built of such a source: of an archive, and of a commit of git's."""
        return self.address.startswith("git+") or self.address.partition("#")[0].endswith((".tar.gz", ".zip"))

    def applies(self, target: Target) -> bool:
        """Whether its marker, if it has one, holds there."""
        from packaging.markers import InvalidMarker, Marker

        _, _, text = self.line.partition(" ;" if self.address else ";")
        try:
            return not text.strip() or Marker(text).evaluate(target.variables)
        except InvalidMarker:
            return True  # the resolver says what is wrong with it

    @property
    def shown(self) -> str:
        """The line without anybody's password."""
        return without_user(self.line)

    def __str__(self) -> str:
        return f"'{self.shown}' ({self.origin})"


def without_user(text: str) -> str:
    """A text without the names and passwords of the addresses in it, be they no addresses that can be read."""
    return _USER.sub("", text)


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lines(lines: Iterable[str], origin: str, group: str, sources: Sources) -> tuple[list[Asked], Sources]:
    """Requirements, and `sources` with what option lines among them add. BadArtefact for an unknown option."""
    found = []
    for line in lines:
        if line.startswith("-") and not line.startswith(CONSTRAINT):
            sources = _option(line, origin, sources)
        else:
            text, *hashes = re.split(r"\s+--hash[=\s]\s*", _filled(line) if "://" in line else line)
            digests = tuple(h.strip() for h in hashes if h.startswith("sha256:"))
            if hashes and not digests:
                raise BadArtefact(
                    f"'{without_user(line)[:80]}' ({origin}): has hashes, but none by sha256, which locks hold"
                )
            found.append(Asked(text.strip(), origin, group, digests))
    return found, sources


def _filled(text: str) -> str:
    """With its ${VARIABLES}, as pip has it, so that passwords can stay out of files."""
    return _VARIABLE.sub(lambda m: os.environ.get(m[1], m[0]), text)


def _option(line: str, origin: str, sources: Sources) -> Sources:
    try:
        word, *rest = shlex.split(line)
    except ValueError as e:
        raise BadArtefact(f"'{without_user(line)[:80]}' ({origin}): {e}") from e
    word, *rest = map(_filled, (word, *rest))
    name, given, value = word.partition("=")
    if re.match(r"-[if]\S", word):  # -fDIR
        name, given, value = word[:2], "=", word[2:]
    value = value if given else " ".join(rest)
    if name == "--pre":
        return replace(sources, prereleases=True)
    if name == "--no-index":
        return replace(sources, no_index=True)
    if name in _NEEDLESS:
        return sources
    if name not in _WITH_VALUE or not value:
        why = "images hold wheels" if name == "--no-binary" else "locking does not know this option"
        raise BadArtefact(f"'{without_user(line)[:80]}' ({origin}): {why}; take the line out")
    field = _WITH_VALUE[name]
    if field == "index":
        return replace(sources, index=value)
    if field == "extra":
        return replace(sources, extra=(*sources.extra, value))
    if field == "trusted":
        return replace(sources, trusted=(*sources.trusted, value))
    return replace(sources, find_links=(*sources.find_links, value))
