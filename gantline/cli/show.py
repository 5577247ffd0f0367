"""What the commands about packages print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..manifest import Manifest
from ..signature import TensorSpec

# control characters, and those that have text run the other way
_ACTED_ON = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def write(text: str) -> None:
    """Plain text to standard output."""
    sys.stdout.write(text)


def plain(text: str) -> str:
    """The text without what a terminal would act on: names and notes come from files of others."""
    return _ACTED_ON.sub("\ufffd", text)


def print_json(tree: Any) -> None:
    """One JSON document, readable and with sorted keys."""
    write(json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def table(rows: Iterable[tuple[str, str]]) -> None:
    """Two columns: what, and its value. On a terminal values are folded; in a file or pipe a row is one line."""
    shown = []
    last = ""
    for what, value in rows:
        shown.append(("" if what == last else what, plain(value)))
        last = what
    if sys.stdout.isatty():
        _fold(shown)
        return
    width = max(len(what) for what, _ in shown)
    write("".join(f"{what:<{width}}  {value}\n" for what, value in shown))


def _fold(rows: Iterable[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for what, value in rows:
        grid.add_row(Text(what), Text(value))
    Console(highlight=False).print(grid)


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table under a header; without rows, the header alone. A pipe gets plain text, a row a line."""
    lines = [tuple(header), *(tuple(map(plain, row)) for row in rows)]
    if sys.stdout.isatty():
        _ruled(lines)
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text = ("  ".join(f"{v:<{w}}" for v, w in zip(line, widths, strict=True)).rstrip() for line in lines)
    write("".join(line + "\n" for line in text))


def _ruled(lines: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for word in lines[0]:
        grid.add_column(word, overflow="fold")
    for line in lines[1:]:
        grid.add_row(*map(Text, line))
    Console(highlight=False).print(grid)


def parity_line(manifest: Manifest) -> str:
    """A person's summary of the parity report."""
    p = manifest.parity
    if p is None:
        return "not checked: there is nothing to compare with"
    probes = f" and {p.near_threshold_probes} probes next to tree thresholds" if p.near_threshold_probes else ""
    line = (
        f"on {p.rows} {p.sample} rows{probes}: max relative error {p.max_rel_error:.2g} "
        f"(absolute {p.max_abs_error:.2g}), {p.label_flips} label flips"
    )
    return line + (f"; limits loosened: {', '.join(p.loosened)}" if p.loosened else "")


def tensor_line(spec: TensorSpec) -> str:
    """`X FP32 [-1,4]`, with what else there is to know."""
    line = f"{spec.name} {spec.datatype} [{','.join(map(str, spec.shape))}]"
    if spec.optional:
        line += " (optional)"
    if spec.labels:
        shown = ", ".join(spec.labels[:8]) + (", ..." if len(spec.labels) > 8 else "")
        line += f" labels: {shown}"
    return line


def size(count: float) -> str:
    """A number of bytes for a person."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
