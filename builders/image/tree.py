"""Tree: the names of a file system as layers make it, without the files: what is where, where links lead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gantline.errors import BadArtefact

from .elf import Elf

FILE, FOLDER, LINK, HARD, OTHER = "file", "folder", "link", "hard", "other"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MOST_HOPS = 40  # from link to link, as Linux has it
_DEEPEST = 256  # folders in folders


@dataclass(slots=True)
class Node:
    """One name. `text` and `elf` are what was found in a file that is worth a look; only folders have `children`."""

    kind: str
    size: int = 0
    link: str = ""
    elf: Elf | None = None
    text: str | None = None
    children: dict[str, Node] | None = None


class Tree:
    """Paths are relative to the root and without dots at the start: `usr/bin/python3.11`."""

    def __init__(self) -> None:
        self.root = Node(FOLDER, children={})

    # looking

    def resolve(self, path: str) -> str | None:
        """Where a path leads through links, all within this tree; None where there is nothing."""
        todo = path.split("/")[::-1]
        names: list[str] = []
        nodes = [self.root]
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if names:
                    names.pop()
                    nodes.pop()
                continue
            child = (nodes[-1].children or {}).get(part)
            if child is None:
                return None
            if child.kind == LINK:
                hops += 1
                if hops > _MOST_HOPS:
                    return None
                if child.link.startswith("/"):
                    names, nodes = [], [self.root]
                todo.extend(child.link.split("/")[::-1])
                continue
            names.append(part)
            nodes.append(child)
        return "/".join(names)

    def find(self, path: str) -> Node | None:
        """What a path leads to, through links."""
        real = self.resolve(path)
        return None if real is None else self.exact(real)

    def exact(self, path: str) -> Node | None:
        """What has this very name; a link itself, not what it leads to."""
        node: Node | None = self.root
        for part in filter(None, path.split("/")):
            node = ((node and node.children) or {}).get(part)
        return node

    def names(self, folder: str) -> tuple[str, ...]:
        """What a folder holds, sorted; nothing where there is none."""
        node = self.find(folder)
        return tuple(sorted((node and node.children) or ()))

    def walk(self) -> Iterator[tuple[str, Node]]:
        """All names, each folder before what it holds."""
        waiting = [("", self.root)]
        while waiting:
            prefix, node = waiting.pop()
            for name, child in (node.children or {}).items():
                yield prefix + name, child
                if child.children is not None:
                    waiting.append((f"{prefix}{name}/", child))

    def place(self, path: str) -> str:
        """Where a new file of this path comes to lie: `lib/x` is `usr/lib/x` where `lib` is a link.

        A layer that had a folder of a link's name would hide all that the link leads to: not every engine follows it.
        """
        parts = path.split("/")
        for depth in range(len(parts) - 1, 0, -1):
            real = self.resolve("/".join(parts[:depth]))
            if real is not None:
                return "/".join(filter(None, (real, *parts[depth:])))
        return path

    # laying

    def lay(self, members: Iterable[tuple[str, Node]]) -> None:
        """Put a layer upon what is there: whiteouts hide what is below, never what the layer itself brings."""
        added = []
        for path, node in members:
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                self._empty(folder)
            elif name.startswith(_WHITEOUT):
                self._remove(f"{folder}/{name.removeprefix(_WHITEOUT)}")
            else:
                added.append((path, node))
        for path, node in added:
            self._put(path, node)

    def _empty(self, folder: str) -> None:
        found = self.find(folder)
        if found is not None and found.children:
            found.children.clear()

    def _remove(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        found = self.find(folder)
        if found is not None and found.children:
            found.children.pop(name, None)

    def _put(self, path: str, node: Node) -> None:
        folder, _, name = path.rpartition("/")
        children = self._folder(folder)
        before = children.get(name)
        if node.kind == HARD:
            target = self.exact(node.link)
            children[name] = target if target is not None and target.children is None else Node(OTHER)
        elif node.kind == FOLDER:
            if before is None or before.children is None:
                children[name] = Node(FOLDER, children={})
        else:
            children[name] = node

    def _folder(self, path: str) -> dict[str, Node]:
        """What the folder at a path holds; it is made if need be, and links on the way are followed."""
        parts = list(filter(None, path.split("/")))
        if len(parts) > _DEEPEST:
            raise BadArtefact(f"{path:.80}...: {len(parts)} folders deep")
        children = self.root.children
        assert children is not None
        for depth, part in enumerate(parts):
            child = children.get(part)
            if child is not None and child.kind == LINK:
                child = self.find("/".join(parts[: depth + 1]))
            if child is None or child.children is None:
                child = children[part] = Node(FOLDER, children={})
            assert child.children is not None
            children = child.children
        return children

    # keeping

    def to_json(self) -> list[list[Any]]:
        """All of it, to be remembered."""
        return [
            [path, n.kind, n.size, n.link, n.elf.to_json() if n.elf else None, n.text] for path, n in self.walk()
        ]  # fmt: skip

    @classmethod
    def from_json(cls, rows: list[list[Any]]) -> Tree:
        tree = cls()
        folders = {"": tree.root}
        for path, kind, size, link, elf, text in rows:
            node = Node(kind, size, link, Elf.from_json(elf) if elf else None, text)
            if kind == FOLDER:
                node.children = {}
                folders[path] = node
            parent, _, name = path.rpartition("/")
            children = folders[parent].children
            assert children is not None
            children[name] = node
        return tree
