"""What push and pull have in common: flags about the connection, and a bar on the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..references import OCI
from .show import size

if TYPE_CHECKING:
    from ..oci.progress import Step, Told
    from ..oci.wiring import Wiring


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags about connections, and what goes over them."""
    add = connection(parser)
    add("--jobs", type=_jobs, default=4, metavar="N", help="blobs at once, 1 to 32 (default 4)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def connection(parser: argparse.ArgumentParser) -> Callable[..., argparse.Action]:
    """The flags about connections; what adds more to their group."""
    group = parser.add_argument_group(
        "connection", "who you are is read from where `docker login` and `podman login` keep it, or from "
        "GANTLINE_REGISTRY_HOST, _USER and _PASSWORD",
    )  # fmt: skip
    add = group.add_argument
    add("--plain-http", action="store_true", help="speak HTTP without TLS (on this machine it is found out)")
    add("--ca-file", default="", metavar="FILE", help="PEM certificates to trust besides the system's")
    add("--client-cert", default="", metavar="FILE", help="PEM certificate to show to the registry")
    add("--client-key", default="", metavar="FILE", help="its key (default: in the same file)")
    return add


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 32:
        raise argparse.ArgumentTypeError(f"{text!r:.20} is not a number from 1 to 32")
    return int(text)


def wiring(args: argparse.Namespace) -> Wiring:
    """What the flags say."""
    from ..oci.wiring import Wiring

    return Wiring(args.plain_http, args.ca_file, args.client_cert, args.client_key)


def wiring_of(ref: str, args: argparse.Namespace) -> Wiring | None:
    """What the flags say, for a REF that is behind a connection."""
    return wiring(args) if ref.startswith(OCI) else None


@contextmanager
def bar(doing: str, quiet: bool) -> Iterator[Told]:
    """Something to tell steps to. On a terminal it shows them, on stderr; elsewhere, or if `quiet`, nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn(doing), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TextColumn("{task.fields[what]}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(doing, total=0, what="")
        tally = Tally()

        def told(step: Step) -> None:
            tally.add(step)
            shown.update(task, total=tally.total, completed=tally.at, what=tally.what[-40:])

        yield told


class Tally:
    """All blobs that move, as one: bytes to move, and bytes moved."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self.what = ""

    def add(self, step: Step) -> None:
        """A blob stands there now. What is there already, or comes from another repository, does not move."""
        if step.state in ("there", "mounted"):
            self._at.pop(step.digest, None)
            self._sizes.pop(step.digest, None)
            return
        self._at[step.digest] = step.at
        self._sizes[step.digest] = step.size
        self.what = step.title if step.state == "moving" else self.what

    @property
    def at(self) -> int:
        return sum(self._at.values())

    @property
    def total(self) -> int:
        return sum(self._sizes.values())


def amounts(new: int, reused: int, mounted: int = 0) -> str:
    """`1.2 MiB new, 38.0 MiB reused`."""
    words = f"{size(new)} new, {size(reused)} reused"
    return f"{words}, {size(mounted)} mounted from other repositories" if mounted else words
