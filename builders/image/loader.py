"""Loader: where the dynamic loader of an image looks for libraries, as ld.so(8) has it, without running anything."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping

from .elf import Elf
from .tree import Tree

_TRIPLETS = {
    "amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf", "386": "i386-linux-gnu",
    "ppc64le": "powerpc64le-linux-gnu", "s390x": "s390x-linux-gnu", "riscv64": "riscv64-linux-gnu",
}  # fmt: skip
_DEEPEST = 8  # includes in includes of ld.so.conf


def triplet(architecture: str) -> str:
    """What Debian calls the folder of an architecture's libraries; empty if it has none."""
    return _TRIPLETS.get(architecture, "")


def library_folders(tree: Tree, architecture: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Where every program looks, in order: LD_LIBRARY_PATH, ld.so.conf, and what the loader has built in."""
    named = triplet(architecture)
    built_in = [f"{root}/{named}" for root in ("lib", "usr/lib") if named] + ["lib64", "usr/lib64", "lib", "usr/lib"]
    told = [p.strip("/") for p in variables.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":") if p.strip("/")]
    return tuple(dict.fromkeys([*told, *_configured(tree, "etc/ld.so.conf", 0), *built_in]))


def _configured(tree: Tree, path: str, depth: int) -> Iterator[str]:
    node = tree.find(path)
    if node is None or node.text is None or depth > _DEEPEST:
        return
    for line in node.text.splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                yield from _included(tree, pattern, path, depth)
        elif words and words[0] != "hwcap":
            yield words[0].strip("/")


def _included(tree: Tree, pattern: str, beside: str, depth: int) -> Iterator[str]:
    at = pattern.lstrip("/") if pattern.startswith("/") else f"{beside.rpartition('/')[0]}/{pattern}"
    folder, _, name = at.rpartition("/")
    for found in fnmatch.filter(tree.names(folder), name):
        yield from _configured(tree, f"{folder}/{found}", depth + 1)


def own_folders(elf: Elf, path: str, architecture: str) -> Iterator[str]:
    """Where a file itself says that its libraries are: RUNPATH, or else RPATH. `path` is that of the file."""
    origin = path.rpartition("/")[0]
    for told in elf.runpath or elf.rpath:
        folder = told
        for word, value in (
            ("ORIGIN", "/" + origin),
            ("LIB", f"lib/{triplet(architecture)}"),
            ("PLATFORM", {"amd64": "x86_64", "arm64": "aarch64"}.get(architecture, architecture)),
        ):
            folder = folder.replace(f"${{{word}}}", value).replace(f"${word}", value)
        if folder.startswith("/"):
            yield flat(folder)


def flat(path: str) -> str:
    """A path without dots, relative to the root; `..` at the root stays there."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
