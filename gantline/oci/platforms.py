"""Platform: operating system, processor and its variant, as images name them: `linux/amd64`, `linux/arm/v7`."""

from __future__ import annotations

import platform as host
import re
from dataclasses import dataclass
from typing import Any

from ..errors import BadArtefact, UsageError

# what `uname -m` says -> architecture and variant; a variant is written only where there are several
_MACHINES = {
    "x86_64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
}
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7"}  # the one that is meant where none is said
_TEXT = re.compile(r"[a-z0-9_]+/[a-z0-9_]+(/v[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Platform:
    """`linux`, `arm64` and perhaps a variant such as `v8`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    @classmethod
    def parse(cls, text: str) -> Platform:
        """UsageError for anything but `OS/ARCHITECTURE[/VARIANT]`."""
        if not _TEXT.fullmatch(text):
            raise UsageError(f"platform {text!r:.60}: expected OS/ARCHITECTURE, linux/amd64 or linux/arm64 say")
        os_name, architecture, *rest = text.split("/")
        named, variant = _MACHINES.get(architecture, (architecture, ""))
        return cls(os_name, named, rest[0] if rest else variant)

    @classmethod
    def of_this_machine(cls) -> Platform:
        """What images for this machine are: Linux, whatever runs here, since that is what containers are."""
        machine = host.machine().lower()
        architecture, variant = _MACHINES.get(machine, (machine, ""))
        return cls("linux", architecture, variant)

    def serves(self, wanted: Platform) -> bool:
        """Whether an image of this platform is one of the platform wanted."""
        mine = self.variant or _DEFAULT_VARIANT.get(self.architecture, "")
        theirs = wanted.variant or _DEFAULT_VARIANT.get(wanted.architecture, "")
        return (self.os, self.architecture, mine) == (wanted.os, wanted.architecture, theirs)

    def to_json(self) -> dict[str, str]:
        """As it stands in an index; in a config the same keys stand beside others."""
        out = {"architecture": self.architecture, "os": self.os}
        return {**out, "variant": self.variant} if self.variant else out

    @classmethod
    def from_json(cls, tree: Any, where: str) -> Platform:
        """BadArtefact (naming `where`) where operating system or architecture is missing."""
        try:
            return cls(str(tree["os"]), str(tree["architecture"]), str(tree.get("variant") or ""))
        except (KeyError, TypeError, AttributeError) as e:
            raise BadArtefact(f"{where}: a platform needs os and architecture") from e
