"""Delivery: documents as files at -o, where others' files stay, edits are kept, and what is gone is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantline.blobs import publish_directory, publish_file
from gantline.errors import BadArtefact, UsageError
from gantline.yaml_file import LARGEST, parse_yaml

from .documents import Tree, Written, to_yaml

_MARK = "# written by gantline deploy; edited since, unless this is the SHA-256 of what follows: "
EDITED = ".edited"  # what no platform's program reads
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Delivered:
    """`first`: the file that is applied first. `gone`: objects that are described no more, as kubectl names them."""

    first: Path
    gone: tuple[str, ...] = ()
    edited: tuple[Path, ...] = ()  # where what somebody had changed by hand is kept


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A file that was written before."""

    text: str
    edited: bool
    objects: frozenset[str]


def deliver(written: Written, path: Path, overwrite: bool) -> Delivered:
    """Into one file, by its suffix, or a directory with one for each document; all of them or, on an error, none.

    UsageError if something is there and `overwrite` is false, or where it is nothing that was written here.
    """
    texts = {name: signed(to_yaml([tree])) for name, tree in written.documents.items()}
    folder, first = path, path / next(iter(texts))
    if path.suffix in SUFFIXES:
        if written.apart:
            raise UsageError(f"-o: these {len(texts)} are applied one after the other; name a directory for them")
        folder, first, texts = path.parent, path, {path.name: signed(to_yaml(written.documents.values()))}
        before = {path.name: found} if overwrite and (found := _earlier(path, others=True)) else {}
    else:
        before = dict(_all_of(path)) if overwrite and path.is_dir() else {}
        if not before:
            _made(path, texts, overwrite)
            return Delivered(first)
    edited = {name: folder / f"{name}{EDITED}" for name, one in before.items() if one.edited}
    with ExitStack() as stack:  # each takes its place when all are written, the last one first
        for name, text in texts.items():
            _write(stack.enter_context(publish_file(folder / name, overwrite)), text)
        for name, place in edited.items():
            _write(stack.enter_context(publish_file(place, overwrite=True)), before[name].text)
    for name in before.keys() - texts.keys():
        (folder / name).unlink(missing_ok=True)
    there = frozenset[str]().union(*(one.objects for one in before.values()))
    gone = sorted(there - _objects(written.documents.values()))
    return Delivered(first, tuple(gone), tuple(edited.values()))


def rewritten(path: Path, changed: Callable[[Tree], Tree]) -> dict[Path, str]:
    """From each file there that was written here, and that changes, to its next text; edits of it stay edits."""
    paths = [path] if path.suffix in SUFFIXES else sorted(path.iterdir()) if path.is_dir() else []
    found = {}
    for one in (p for p in paths if p.suffix in SUFFIXES and (earlier := _earlier(p)) and earlier.objects):
        text = one.read_text("utf-8")
        head, _, body = text.partition("\n")
        trees = [parse_yaml(part, str(one)) for part in body.split("\n---\n")]
        after = [changed(tree) if isinstance(tree, dict) else tree for tree in trees]
        if after != trees:
            fresh = to_yaml(after)
            found[one] = signed(fresh) if signed(body) == text else f"{head}\n{fresh}"
    return found


def replaced(texts: Mapping[Path, str]) -> None:
    """Write these in the place of what is there, all of them or, on an error, none."""
    with ExitStack() as stack:
        for path, text in texts.items():
            _write(stack.enter_context(publish_file(path, overwrite=True)), text)


def signed(text: str) -> str:
    """With a line before it by which it is known whether somebody edits it."""
    return f"{_MARK}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def _made(path: Path, texts: Mapping[str, str], overwrite: bool) -> None:
    """A directory where none is, or an empty one."""
    if overwrite and path.is_dir() and any(path.iterdir()):
        raise UsageError(f"{path} exists and has nothing that gantline deploy wrote: name another -o")
    with publish_directory(path, overwrite) as folder:
        for name, text in texts.items():
            _write(folder / name, text)


def _all_of(folder: Path) -> Iterator[tuple[str, _Earlier]]:
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES and (found := _earlier(path)) is not None:
            yield path.name, found


def _earlier(path: Path, others: bool = False) -> _Earlier | None:
    """None for somebody else's file, unless `others` are meant too."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            return None
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    head, _, body = text.partition("\n")
    if not head.startswith(_MARK):
        return _Earlier(text, True, frozenset()) if others else None
    try:
        trees = [parse_yaml(part, str(path)) for part in body.split("\n---\n")]
    except BadArtefact:
        trees = []
    return _Earlier(text, signed(body) != text, _objects(tree for tree in trees if isinstance(tree, dict)))


def _objects(trees: Any) -> frozenset[str]:
    """Of Kubernetes' kind; a compose file has none."""
    named = ((tree.get("kind"), tree.get("metadata")) for tree in trees)
    return frozenset(
        f"{kind}/{of['name']}".lower() + (f" --namespace {of['namespace']}" if "namespace" in of else "")
        for kind, of in named
        if isinstance(kind, str) and isinstance(of, Mapping) and "name" in of
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8", newline="\n")
