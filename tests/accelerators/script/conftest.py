"""Script hosts for tests: real processes, one for each script text."""

from __future__ import annotations

import asyncio
import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from gantline.accelerators.engine import EngineOptions
from gantline.accelerators.script import channel as ch
from gantline.accelerators.script.engine import ScriptEngine, load
from gantline.accelerators.script.link import FINAL, Call
from gantline.accelerators.script.ring import Message

from gantline.manifest import Manifest, ScriptInfo
from gantline.packages import Package
from gantline.signature import Signature

Start = Callable[..., ScriptEngine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(text, timeout_s=, memory_limit=, signature=, contract=, files={}) -> a loaded engine; closed afterwards."""
    engines: list[ScriptEngine] = []

    def starting(
        text: str,
        *,
        contract: str = "azure",
        signature: Signature | None = None,
        files: dict[str, str] | None = None,
        options: EngineOptions | None = None,
        **script: Any,
    ) -> ScriptEngine:
        root = tmp_path / f"package{len(list(tmp_path.iterdir()))}"
        (root / "code").mkdir(parents=True)
        (root / "code" / "score.py").write_text(textwrap.dedent(text))
        for name, content in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        info = ScriptInfo("score.py", contract=contract, **script)
        manifest = Manifest(name="scripted", engine="script", script=info, signature=signature)
        engine = load(Package(root, manifest, None), options or EngineOptions())
        engines.append(engine)
        return engine

    yield starting
    for engine in engines:
        engine.close()


def open_files() -> set[tuple[str, str]]:
    """Files of this process, by number and what they are; servers on threads of other tests may close theirs."""
    found = set()
    for file in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that lists them
            found.add((file, os.readlink(f"/proc/self/fd/{file}")))
    return found


def call(body: bytes = b"", status: int = 0, meta: bytes = b"") -> tuple[Call, list[Message]]:
    """A call for run() of a host, and the list that its messages go to."""
    found: list[Message] = []
    return Call(ch.SCORE, body, found.append, status, meta, direct=True), found


def ask(engine: ScriptEngine, *bodies: bytes) -> list[Message]:
    """The final message for each body, asked for together."""
    pairs = [call(b) for b in bodies]
    engine.host.run([c for c, _ in pairs])
    return [found[-1] for _, found in pairs]


MOST = 100_000  # messages of one call: what does not end would else take all memory


class Talk:
    """One call from an event loop, with its messages as they come."""

    def __init__(self, engine: ScriptEngine, body: bytes) -> None:
        self.engine = engine
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.call = Call(ch.SCORE, body, self.messages.put_nowait)
        engine.host.attach(asyncio.get_running_loop())
        engine.host.submit(self.call)

    async def rest(self) -> list[Message]:
        """All messages from here to the final one; chunks are paid for."""
        out: list[Message] = []
        while not out or out[-1].kind not in FINAL:
            out.append(await self.next())
            assert len(out) < MOST, "it does not end"
        return out

    async def next(self) -> Message:
        message = await asyncio.wait_for(self.messages.get(), 20)
        if message.kind == ch.CHUNK:
            self.engine.host.allow(self.call, len(message.body))
        return message
