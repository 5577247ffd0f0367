"""Alone: the whole server in this one process, without a supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from gantline.settings import Resolved, ServeSettings

from .. import memory
from ..head_start import HeadStart
from ..shelf import look
from .listener import bind, port_of, reserve

if TYPE_CHECKING:
    from gantline.registry.followed import Followed
    from gantline.registry.presence import Presence

    from ..control import Arguments, Effect
    from ..repository import Slot
    from .follower import Follower


def serve(
    resolved: Resolved[ServeSettings], refs: Sequence[str], as_json: bool, aliases: Sequence[Followed] = (),
    presence: Presence | None = None,
) -> int:  # fmt: skip
    """Serve what lies at `refs` until told to stop; the exit code. `aliases`, of that registry, are followed."""
    entries, shelf = look(resolved, refs, [one.at for one in aliases])
    memory.settle()
    with (
        bind(resolved.settings) as listener,
        reserve(resolved) or nullcontext() as holder,
        HeadStart(resolved) as head_start,
    ):
        head_start.begin(entries)
        # what answers is imported meanwhile
        from ..app import build_stack
        from .announcement import Announcement, report
        from .server import Server, run, run_to_end

        grpc_port = port_of(holder)
        announcement = Announcement(resolved.settings, port_of(listener), as_json, grpc_port)

        async def main() -> bool:
            stack = build_stack(resolved, entries, shelf, head_start)

            follower: Follower | None = None
            if aliases and presence is not None:
                from .follower import Follower

                async def act(verb: str, arguments: Arguments, _: Effect | None) -> list[Any]:
                    return [await stack.control.call(verb, **arguments)]

                follower = Follower(aliases, presence, resolved.settings.follow_s, act)
                stack.control.first = follower.asked

            async def ready(failed: list[Slot]) -> None:
                announcement.ready(report(stack, failed, announcement.url))

            server = Server(stack, grpc_port=grpc_port)
            return await run(server, listener, announcement.progress, ready, follower)

        return run_to_end(main())
