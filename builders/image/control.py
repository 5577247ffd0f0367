"""Control: Debian's records: stanzas of fields, versions and how they compare, what a package depends on.

Pure text, as the policy has it (https://www.debian.org/doc/debian-policy/, chapters 5 and 7).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

_ONE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.-]*)(:(?P<any>[a-z0-9-]+))?\s*(\((?P<how><<|<=|=|>=|>>|<|>)\s*(?P<version>[^)\s]+)\s*\))?"
    r"\s*(\[[^\]]*\])?"
)


class _Any:
    def __contains__(self, name: object) -> bool:
        return True


ANY: Container[str] = _Any()
_PIECES = re.compile(r"([^0-9]*)([0-9]*)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One package that would do, perhaps in certain versions."""

    name: str
    how: str = ""
    version: str = ""

    def met_by(self, version: str) -> bool:
        """Whether a version of the package will do."""
        if not self.how:
            return True
        order = compare(version, self.version)
        return {
            "<<": order < 0, "<=": order <= 0, "<": order <= 0, "=": order == 0, ">=": order >= 0, ">": order >= 0,
            ">>": order > 0,
        }[self.how]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.name} ({self.how} {self.version})" if self.how else self.name


def stanzas(text: str | Iterable[str], only: Container[str] = ANY) -> Iterator[dict[str, str]]:
    """The records of a text or of its lines, with `only` those fields; a long field is joined by line ends."""
    found: dict[str, str] = {}
    name = ""
    for row in text.splitlines() if isinstance(text, str) else text:
        line = row.rstrip("\r\n")
        if not line.strip():
            if found:
                yield found
            found, name = {}, ""
        elif line[0] in " \t":
            if name:
                found[name] += "\n" + line.strip()
        elif line[0] != "#":
            name, colon, value = line.partition(":")
            if colon and name in only:
                found[name] = value.strip()
            else:
                name = ""
    if found:
        yield found


def wanted(field: str) -> list[list[Wanted]]:
    """What a field such as Depends asks for: of each list any one will do."""
    groups = []
    for group in field.replace("\n", " ").split(","):
        found = [match for one in group.split("|") if (match := _ONE.fullmatch(one.strip()))]
        if found:
            groups.append([Wanted(m["name"], m["how"] or "", m["version"] or "") for m in found])
    return groups


def compare(one: str, other: str) -> int:
    """Which version is newer, as dpkg has it: negative, zero or positive."""
    epoch, upstream, revision = _apart(one)
    other_epoch, other_upstream, other_revision = _apart(other)
    return _numbers(epoch, other_epoch) or _compare(upstream, other_upstream) or _compare(revision, other_revision)


def _numbers(one: str, other: str) -> int:
    """Which of two rows of digits is greater, however long they are."""
    mine, theirs = one.lstrip("0"), other.lstrip("0")
    return len(mine) - len(theirs) or (mine > theirs) - (mine < theirs)


def _apart(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon or not re.fullmatch("[0-9]+", epoch):
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return epoch, upstream if dash else rest, revision if dash else ""


def _compare(one: str, other: str) -> int:
    """Text and numbers in turn; in texts `~` is before everything, even the end, and letters before the rest."""
    for mine, theirs in zip_longest(_PIECES.findall(one), _PIECES.findall(other), fillvalue=("", "")):
        for a, b in zip_longest(map(_rank, mine[0]), map(_rank, theirs[0]), fillvalue=0):
            if a != b:
                return a - b
        if difference := _numbers(mine[1], theirs[1]):
            return difference
    return 0


def _rank(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
