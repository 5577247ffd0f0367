"""Debian files: which Debian package a file of an image is of, by dpkg's own lists, or by the packages of a lock."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gantline.errors import GantlineError
from gantline.home import home

from ..image import deb
from ..image.control import stanzas
from ..image.deb import Deb
from ..image.debian import fetch
from ..image.download import Downloads
from .contents import Contents

_LISTS = re.compile(r"var/lib/dpkg/(info/(?P<name>[^/:]+)(:[^/]+)?\.list|status\.d/(?P<bare>[^/]+)\.md5sums)")
_STATUS = re.compile(r"var/lib/dpkg/(status|status\.d/(?P<bare>[^/.]+))")


def owners_in_base(contents: Contents, at: str, below: int) -> list[str]:
    """`name version` of the packages that a path of the lowest `below` layers is of: of a folder there may be many."""
    spelled = {at, at.removeprefix("usr/")}  # packages still list /lib, where that is a link to /usr/lib
    names = []
    for layer in range(below):
        lists = {p: m for p, h in contents.paths.items() if h.layer == layer and (m := _LISTS.fullmatch(p))}
        for path, text in (contents.read(layer, lists) if lists else {}).items():
            lines = text.decode("utf-8", "replace").splitlines()
            bare = lists[path]["bare"]
            listed = {line[34:] for line in lines} if bare else {line.lstrip("/") for line in lines}
            if not spelled.isdisjoint(listed):
                names.append(bare or lists[path]["name"])
    versions = _versions(contents, below) if names else {}
    return [f"{name} {versions.get(name, '')}".strip() for name in dict.fromkeys(names)]


def _versions(contents: Contents, below: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for layer in range(below):
        wanted = [p for p, h in contents.paths.items() if h.layer == layer and _STATUS.fullmatch(p)]
        for text in (contents.read(layer, wanted) if wanted else {}).values():
            for one in stanzas(text.decode("utf-8", "replace")):
                found[one.get("Package", "")] = one.get("Version", "")
    return found


def owner_in_debs(debs: Sequence[Deb], at: str) -> str:
    """The one of a lock's packages that a path is of, in a line; empty where the files are not on this machine."""
    if len(debs) == 1:
        return _line(debs[0])
    downloads = Downloads(home() / "debian", offline=True)
    spelled = {at, at.removeprefix("usr/")}
    for one in debs:
        try:
            content = deb.read_deb(fetch(one, downloads), lambda path: path)
        except GantlineError:
            continue  # not here, and to look it up is not worth a download
        if not spelled.isdisjoint(entry.path for entry in content.entries):
            return _line(one)
    return ""


def _line(one: Deb) -> str:
    return f"Debian package {one.name} {one.version}"
