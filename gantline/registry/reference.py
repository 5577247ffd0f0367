"""Reference: registry://NAME[:VERSION], registry://NAME@ALIAS or registry://NAME@sha256:..., taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import UsageError
from ..packages import check_name

SCHEME = "registry://"
LATEST = "latest"  # may be asked for like an alias, and never set
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_EXPECTED = "expected NAME, NAME:VERSION, NAME@ALIAS or NAME@sha256:DIGEST"


@dataclass(frozen=True, slots=True)
class Reference:
    """Which version of a model is meant; its newest, where neither version, alias nor digest is said."""

    name: str
    version: int = 0
    alias: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """With or without the scheme. UsageError says what is expected."""
        whole = text.removeprefix(SCHEME)
        name, at, word = whole.partition("@")
        if at and _DIGEST.fullmatch(word):
            return cls(check_name(name), digest=word)
        if at:
            if not word or ":" in word or ":" in name:
                raise UsageError(f"{text}: {_EXPECTED}")
            return cls(check_name(name), alias="" if word == LATEST else check_alias(word))
        name, colon, number = whole.partition(":")
        if not colon:
            return cls(check_name(name))
        return cls(check_name(name), version=version_number(number, text))

    def __str__(self) -> str:
        end = (
            f":{self.version}" if self.version else f"@{self.alias or self.digest}" if self.alias or self.digest else ""
        )
        return SCHEME + self.name + end


def version_number(text: str, where: str) -> int:
    """A version as people write it, or UsageError."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 2**31:
        raise UsageError(f"{where}: version {text!r:.40} is not a whole number above 0; {_EXPECTED}")
    return int(text)


def check_alias(alias: str) -> str:
    """The alias, or UsageError: a name that is not taken for a version, nor for the newest one."""
    try:
        check_name(alias)
    except UsageError as e:
        raise UsageError("alias " + e.message.removeprefix("name ")) from e
    if alias.isdigit():
        raise UsageError(f"alias {alias!r}: looks like a version; choose a word")
    if alias == LATEST:
        raise UsageError(f"alias {alias!r}: always stands for the newest version; choose another word")
    return alias
