"""Bootstrap: how to make a base without a registry, in debootstrap's words, as documents and errors print it."""

from __future__ import annotations

DEBIAN, UBUNTU = "http://deb.debian.org/debian", "http://archive.ubuntu.com/ubuntu"
PORTS = "http://ports.ubuntu.com/ubuntu-ports"  # Ubuntu for processors other than amd64 and i386
# Python -> the release whose own Python that is, and where it lies
_RELEASES = {
    (3, 10): ("jammy", UBUNTU),
    (3, 11): ("bookworm", DEBIAN),
    (3, 12): ("noble", UBUNTU),
    (3, 13): ("trixie", DEBIAN),
}


def commands(python: tuple[int, int], root: str = "rootfs", tar: str = "rootfs.tar") -> list[list[str]]:
    """The words of two commands, which need root: a minimal system with that Python, and one tar of it.

    Empty where no release has that Python.
    """
    if python not in _RELEASES:
        return []
    release, mirror = _RELEASES[python]
    version = f"{python[0]}.{python[1]}"
    wanted = f"python{version}-minimal,libpython{version}-stdlib,ca-certificates"
    universe = ["--components=main,universe"] if mirror == UBUNTU else []
    script = ["gutsy"] if mirror == UBUNTU else []  # all of Ubuntu's since 2007, new ones that it does not know by name
    return [
        ["debootstrap", "--variant=minbase", *universe, f"--include={wanted}", release, root, mirror, *script],
        ["tar", "-C", root, "-cf", tar, "."],
    ]


def advice(python: tuple[int, int]) -> str:
    """One line for an error: how to get a base where no registry is."""
    made = commands(python)
    if not made:
        return "give --base a tar of a root file system that has it"
    lines = " && ".join(" ".join(["sudo", *words]) for words in made)
    return f"without a registry, make a base by `{lines}` and give --base rootfs.tar"
