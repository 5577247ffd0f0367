"""Documents: YAML as targets write it, the same bytes for the same trees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Tree: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What a target makes: documents by file name, in the order in which they are applied, and what it left out."""

    documents: dict[str, Tree]
    notes: tuple[str, ...] = ()  # NAME: KEY is not applied: WHY
    next: str = ""  # the command to type next; {path} is where all lies, {file} the first
    apart: bool = field(default=False)  # whether they have to be applied one after the other


def to_yaml(trees: Iterable[Tree]) -> str:
    """YAML 1.1 with a line `---` between documents; no aliases, which read badly."""
    import yaml

    class Plain(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML ships no types
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return "---\n".join(
        yaml.dump(tree, Dumper=Plain, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
        for tree in trees
    )
