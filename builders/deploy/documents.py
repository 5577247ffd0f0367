"""Documents: YAML as targets write it, the same bytes for the same trees."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Tree: TypeAlias = dict[str, Any]
# words that some reader takes for a number or a truth value, and PyYAML, which writes them, does not: 1e5, 08, y
_ELSEWHERE = re.compile(r"[-+.0-9].*|y|n", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """What a target makes: documents by file name, in the order in which they are applied, and what it left out."""

    documents: dict[str, Tree]
    notes: tuple[str, ...] = ()  # NAME: KEY is not applied: WHY
    next: str = ""  # the command to type next; {path} is where all lies, {file} the first
    apart: bool = field(default=False)  # whether they have to be applied one after the other


def to_yaml(trees: Iterable[Tree]) -> str:
    """YAML of 1.1 and of 1.2, with a line `---` between documents; no aliases, which read badly."""
    import yaml

    class Plain(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML ships no types
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def quoted(self, text: str) -> Any:
            style = "'" if _ELSEWHERE.fullmatch(text) else None
            return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Plain.add_representer(str, Plain.quoted)
    return "---\n".join(
        yaml.dump(tree, Dumper=Plain, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
        for tree in trees
    )
