"""Target: the machine that a lock is for, in the words of resolvers and of wheels' names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from gantline.errors import Unsupported
from gantline.oci.platforms import Platform

# Debian 12's: what the default base has, and older than any base that is still looked after with a newer Python;
# a wheel for an older glibc runs on a newer one, so the lock holds there too
GLIBC = (2, 36)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # an image's word -> Python's
_OLDEST = {"x86_64": 5, "aarch64": 17}  # glibc 2.N: the first that wheels are named for
_LEVELS = (17, 28, *range(31, 41))  # glibc 2.N: those that the resolver has a name for
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True)
class Target:
    """Linux with glibc on one kind of processor, and a minor version of CPython."""

    platform: Platform
    python: tuple[int, int]
    glibc: tuple[int, int] = GLIBC

    def __post_init__(self) -> None:
        """Unsupported where there are no wheels to be had for it."""
        check_platform(self.platform)
        if self.glibc < (2, _LEVELS[0]):
            what = f"glibc {self.glibc[0]}.{self.glibc[1]}" if any(self.glibc) else "no glibc (musl, as Alpine has)"
            raise Unsupported(f"a base with {what}: wheels need glibc 2.17 or newer; take a Debian base (-slim)")

    def __str__(self) -> str:
        return f"{self.platform}, Python {self.version}, glibc {self.glibc[0]}.{self.glibc[1]}"

    @property
    def version(self) -> str:
        """Python's, as `3.11`."""
        return f"{self.python[0]}.{self.python[1]}"

    @property
    def machine(self) -> str:
        """The processor, as Python's `platform.machine()` says it."""
        return _MACHINES[self.platform.architecture]

    @property
    def triple(self) -> str:
        """What uv calls it; a level that uv does not name becomes the one below, whose wheels run too."""
        minor = self.glibc[1] if self.glibc[0] == 2 else _LEVELS[-1]
        return f"{self.machine}-manylinux_2_{max(level for level in _LEVELS if level <= minor)}"

    @property
    def marker(self) -> str:
        """PEP 508, for whoever else reads the lock."""
        return (
            f"sys_platform == 'linux' and platform_machine == '{self.machine}' "
            f"and implementation_name == 'cpython' and python_version == '{self.version}'"
        )

    @property
    def variables(self) -> dict[str, str]:
        """PEP 508's variables there, as far as it says them."""
        return {
            "implementation_name": "cpython", "os_name": "posix", "platform_machine": self.machine,
            "platform_python_implementation": "CPython", "platform_system": "Linux", "sys_platform": "linux",
            "python_full_version": f"{self.version}.0", "python_version": self.version, "extra": "",
        }  # fmt: skip

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Tags of the wheels that run there, `cp311-cp311-manylinux_2_28_x86_64` say: the lower, the better."""
        from packaging.tags import compatible_tags, cpython_tags

        platforms = list(self._platforms())
        name = f"cp{self.python[0]}{self.python[1]}"
        own = cpython_tags(self.python, abis=[name], platforms=platforms)
        others = compatible_tags(self.python, interpreter=name, platforms=platforms)
        ranks: dict[str, int] = {}
        for tag in (*own, *others):
            ranks.setdefault(str(tag), len(ranks))
        return ranks

    def _platforms(self) -> Iterator[str]:
        yield f"linux_{self.machine}"  # built on a machine like it: pip takes it before all others
        newest = self.glibc[1] if self.glibc[0] == 2 else _LEVELS[-1]
        for minor in range(newest, _OLDEST[self.machine] - 1, -1):
            yield f"manylinux_2_{minor}_{self.machine}"
            if minor in _OLD_NAMES:
                yield f"{_OLD_NAMES[minor]}_{self.machine}"


def check_platform(platform: Platform) -> None:
    """Unsupported where no wheels are to be had for it."""
    if platform.os != "linux" or platform.architecture not in _MACHINES:
        known = ", ".join(f"linux/{name}" for name in _MACHINES)
        raise Unsupported(f"platform {platform}: locks and images are made for {known}")
