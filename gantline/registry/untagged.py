"""Untagged: manifests that were pushed to this store's repositories, and that nobody would miss.

`registry serve` keeps each manifest of a push under its digest, `iris@sha256:...`. When a tag has moved on, those stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ..oci.artifact import PACKAGE
from ..oci.descriptor import Descriptor
from ..oci.hanging import hanging, tree_of
from ..oci.reference import has_host
from ..oci.store import Store

_BY_DIGEST = re.compile(r"(.+)@sha256:[0-9a-f]{64}")
_LIST = re.compile(r"(.+):sha256-([0-9a-f]{64})")  # of what is about the manifest of that digest
Names = dict[str, Descriptor]


def untagged(store: Store, used: set[str], keep: Iterable[Descriptor], before: int) -> Names:
    """The names that may go: no tag leads to what they stand for, it is about nothing that stays, and nobody uses it.

    `used`: digests of packages, images and image IDs; `keep`: more that stays; `before`: what was asked for since
    (microseconds of UTC) stays, too. Names with a host in front are pulls from elsewhere, and stay.
    """
    names = store.names()
    loose = {name: d for name, d in names.items() if _loose(name)}
    roots = [d for name, d in names.items() if name not in loose]
    stays = hanging(store, [*roots, *keep])
    while kept := [name for name, d in loose.items() if _stays(store, name, d, stays, used, before)]:
        stays |= hanging(store, [loose.pop(name) for name in kept])
    return loose


def forget(store: Store, gone: Names, before: int) -> None:
    """Take names away, unless what they stand for has changed or was asked for meanwhile."""
    if gone:
        store.unname_all(lambda name, d: name in gone and gone[name].digest == d.digest and _old(store, d, before))


def _loose(name: str) -> bool:
    match = _BY_DIGEST.fullmatch(name) or _LIST.fullmatch(name)
    return match is not None and not has_host(match[1])


def _stays(store: Store, name: str, one: Descriptor, stays: set[str], used: set[str], before: int) -> bool:
    if one.digest in stays or not _old(store, one, before):
        return True
    if match := _LIST.fullmatch(name):
        return f"sha256:{match[2]}" in stays
    tree = tree_of(store, one)
    notes = tree.get("annotations")
    package = str(notes.get(PACKAGE)) if isinstance(notes, dict) else ""
    about = {one.digest, _digest(tree.get("config")), package}
    return bool(about & used) or _digest(tree.get("subject")) in stays


def _old(store: Store, one: Descriptor, before: int) -> bool:
    with suppress(FileNotFoundError):
        return store.path(one.digest).stat().st_mtime_ns // 1000 < before
    return True


def _digest(part: Any) -> str:
    return str(part.get("digest")) if isinstance(part, dict) else ""
