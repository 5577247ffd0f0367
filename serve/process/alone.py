"""Alone: the whole server in this one process, without a supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from gantline.settings import Resolved, ServeSettings

from ..app import build_stack
from ..repository import Slot
from .announcement import Announcement, report
from .listener import bind, port_of, reserve
from .server import Server, look, run, run_to_end


def serve(resolved: Resolved[ServeSettings], refs: Sequence[str], as_json: bool) -> int:
    """Serve what lies at `refs` until told to stop; the exit code."""
    entries, shelf = look(resolved, refs)
    with bind(resolved.settings) as listener, reserve(resolved) or nullcontext() as holder:
        grpc_port = port_of(holder)
        announcement = Announcement(resolved.settings, port_of(listener), as_json, grpc_port)

        async def main() -> bool:
            stack = build_stack(resolved, entries, shelf)

            async def ready(failed: list[Slot]) -> None:
                announcement.ready(report(stack, failed, announcement.url))

            return await run(Server(stack, grpc_port=grpc_port), listener, announcement.progress, ready)

        return run_to_end(main())
