"""YAML files of others, read so that none of them does harm: no tags that make objects, no aliases that multiply.

YAML's aliases let a file of 1 kB stand for more values than memory holds, as soon as somebody walks or prints them; so
what they come to is counted before anything is made of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import BadArtefact, UsageError

LARGEST = 4 << 20  # bytes: PyYAML takes a minute for as many
MOST = 1_000_000  # values, where an alias counts as all that it stands for


class SpelledInt(int):
    """A number that is written otherwise than it is printed: 0123, or 22:30."""

    text: str


class SpelledFloat(float):
    """The same: 1.10."""

    text: str


def spelling(value: float | str) -> str:
    """As it stands in the file, where that was read carefully."""
    return str(getattr(value, "text", value))


def read_yaml(path: Path, careful: bool = False) -> Any:
    """What a file holds. BadArtefact, with the line where one is known, for what is not YAML, too large or a bomb.

    `careful`: a key that is there twice is an error too, and numbers keep their spelling.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise BadArtefact(f"{path}: {path.stat().st_size} bytes; YAML of more than {LARGEST} is not read")
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as e:
        raise BadArtefact(f"{path}: not YAML (byte {e.start} is not UTF-8)") from e
    except OSError as e:
        raise BadArtefact(f"{path}: cannot be read ({e.strerror})") from e
    return parse_yaml(text, str(path), careful)


def parse_yaml(text: str, where: str, careful: bool = False) -> Any:
    """The same for text that has been read from `where`."""
    try:
        import yaml
    except ImportError as e:
        raise UsageError(f"{where}: reading it needs PyYAML: pip install 'gantline[build]'") from e
    try:
        loader = (_careful(yaml) if careful else yaml.SafeLoader)(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _size(node, {}) > MOST:
                raise BadArtefact(f"{where}: its aliases stand for more than {MOST} values")
            if careful and (twice := _twice(node, set())) is not None:
                line = twice.start_mark.line + 1
                raise BadArtefact(f"{where}: line {line}: {twice.value!r:.100} is there twice")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as e:  # ValueError: the 40th of a month, say
        mark = getattr(e, "problem_mark", None)
        line = f": line {mark.line + 1}" if mark is not None else ""
        what = getattr(e, "problem", None) or str(e)
        raise BadArtefact(f"{where}{line}: not YAML ({' '.join(str(what).split())[:200]})") from e


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for. One that holds itself has no end, and counts as too many."""
    found = known.get(id(node))
    if found is not None:
        return found
    known[id(node)] = MOST + 1
    inner = node.value if isinstance(node.value, list) else ()
    parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
    size = known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return size


def _twice(node: Any, seen: set[int]) -> Any:
    """The first key that its mapping has already."""
    if id(node) in seen or not isinstance(node.value, list):
        return None
    seen.add(id(node))
    there = set()
    for item in node.value:
        if isinstance(item, tuple) and isinstance(item[0].value, str):
            if item[0].value in there:
                return item[0]
            there.add(item[0].value)
        for part in item if isinstance(item, tuple) else (item,):
            if (found := _twice(part, seen)) is not None:
                return found
    return None


def _careful(yaml: Any) -> Any:
    """A loader whose numbers know how they were written."""

    class Careful(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
        def construct_yaml_int(self, node: Any) -> Any:
            return _spelled(SpelledInt, super().construct_yaml_int(node), node.value)

        def construct_yaml_float(self, node: Any) -> Any:
            return _spelled(SpelledFloat, super().construct_yaml_float(node), node.value)

    Careful.add_constructor("tag:yaml.org,2002:int", Careful.construct_yaml_int)
    Careful.add_constructor("tag:yaml.org,2002:float", Careful.construct_yaml_float)
    return Careful


def _spelled(kind: Any, value: Any, text: str) -> Any:
    if str(value) == text:
        return value
    made = kind(value)
    made.text = text
    return made
