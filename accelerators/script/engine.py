"""Engine: a package's scoring script behind the engine protocol, and behind /score for serve/routes/azure.py."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gantline.errors import (
    BadArtefact,
    BadRequest,
    DeadlineExceeded,
    GantlineError,
    ScriptFailed,
    Unavailable,
    Unsupported,
    UsageError,
)
from gantline.manifest import ScriptInfo
from gantline.packages import Package
from gantline.signature import Signature, TensorSpec
from gantline.tensors import DATATYPES, Array

from ..engine import EngineOptions
from . import arrays
from . import channel as ch
from .crew import Crew
from .environment import prepare
from .link import FINAL, Call, supported
from .process import ScriptHost
from .ring import Message
from .settings import Settings, read_settings
from .supervise import Launch

SCORE = Signature((TensorSpec("data", "BYTES", (-1,)),), (TensorSpec("result", "BYTES", (-1,)),))


class Scored(NamedTuple):
    """What a script answered to one body. `why`: what went wrong, in a line. `streamed`: its body is not kept."""

    status: int
    body: bytes = b""
    why: str = ""
    streamed: bool = False


class ScriptEngine:
    """A script in its host. For an `azure` script each element of `data` is one body sent to run(), answered by one
    element of `result`; a `tensors` script takes and gives the package's own inputs and outputs.
    """

    def __init__(self, package: Package, script: ScriptInfo, crew: Crew, settings: Settings) -> None:
        self.name = package.name
        self.crew = crew
        self.settings = settings
        self.contract = script.contract
        self.decoupled = script.decoupled
        self.wanted: Callable[[], bool] | None = None  # asked while run() waits: whether anybody does
        self.signature = package.manifest.signature or SCORE

    @property
    def host(self) -> ScriptHost:
        """The first host, which is the only one unless there are instances."""
        return self.crew.hosts[0]

    def __repr__(self) -> str:
        return f"<ScriptEngine {self.crew!r}>"

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Blocks until the host has answered. ScriptFailed, BadRequest, DeadlineExceeded or Unavailable if it fails."""
        if self.contract == "azure":
            return [self._score(inputs["data"])]
        if self.decoupled:
            raise Unsupported(f"model '{self.name}' gives any number of answers: it is asked by a stream")
        meta, body = arrays.pack(inputs.items())
        reply = self._ask([Call(ch.TENSORS, body, _nothing, meta=meta, direct=True)])[0]
        return self._outputs(reply, outputs)

    async def stream(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> AsyncGenerator[list[Array], None]:
        """The answers of a script that yields, on this event loop. The script goes on only as answers are taken, and
        its generator is closed when this one is. Errors as those of run().
        """
        meta, body = arrays.pack(inputs.items())
        import asyncio  # 25 ms that a script's start does not wait for

        messages: asyncio.Queue[Message] = asyncio.Queue()  # bounded by the host's window
        call = Call(ch.TENSORS, body, messages.put_nowait, meta=meta)
        self.crew.attach(asyncio.get_running_loop())
        self.crew.submit(call)
        over, taken = False, 0
        try:
            while True:
                message = await messages.get()
                if message.kind in FINAL:
                    over = True
                    if (error := error_of(message, self.name, self.settings.timeout_ms)) is not None:
                        raise error
                    return
                answer = self._outputs(message, outputs)
                call.waiting = True
                yield answer
                call.waiting = False
                taken += ch.cost(len(message.body))
                if taken >= ch.WINDOW // 4:  # not for each: the host is woken by it
                    self.crew.allow(call, taken)
                    taken = 0
        finally:
            if not over:
                self.crew.cancel(call)

    def _outputs(self, message: Message, outputs: Sequence[str]) -> list[Array]:
        try:
            found = arrays.unpack(message.meta, message.body)
            return [found[name] for name in outputs]
        except KeyError as e:
            raise ScriptFailed(f"model '{self.name}': infer() did not answer output {e.args[0]!r}") from e
        except ValueError as e:
            raise ScriptFailed(f"model '{self.name}': infer() answered what cannot be read: {e}") from e

    def score(self, body: bytes, content_type: str) -> Scored:
        """What POST /score answers; a script that fails answers too. Blocks. Unavailable when there is no process."""
        found: list[Message] = []

        def take(message: Message) -> None:
            found.append(message)
            if message.kind == ch.START:
                self.crew.cancel(call)  # what streams may never end

        meta = f"/score\n\ncontent-type:{content_type}\ncontent-length:{len(body)}".encode()
        call = Call(ch.SCORE, body, take, meta=meta, direct=True)
        self.crew.run([call])
        first, last = found[0], found[-1]
        if first.kind == ch.START:
            return Scored(first.status, streamed=True)
        if last.kind == ch.BROKEN and last.status == 503:
            raise Unavailable(last.body.decode())
        return Scored(last.status, last.body, "" if last.status == 200 else self._why(last))

    def _why(self, message: Message) -> str:
        if message.flags & ch.TIMED_OUT:
            return f"run() took more than {self.settings.timeout_ms} ms"
        if message.flags & ch.DIED:
            return "its script's process died while it answered; the log says how"
        return " ".join(message.body[:300].decode("utf-8", "replace").split())

    def close(self) -> None:
        self.crew.close()

    def _score(self, data: Array) -> Array:
        bodies = [e if isinstance(e, bytes) else str(e).encode() for e in data.ravel().tolist()]
        meta = b"\n\ncontent-type:application/json"
        replies = self._ask([Call(ch.SCORE, body, _nothing, meta=meta, direct=True) for body in bodies])
        out = np.empty(len(replies), object)
        out[:] = [r.body for r in replies]
        return out.reshape(data.shape)

    def _ask(self, calls: list[Call]) -> list[Message]:
        answers = [_Answer() for _ in calls]
        for call, answer in zip(calls, answers, strict=True):
            call.deliver = answer.add
        if self.wanted is not None and not self.wanted():
            raise Unavailable(f"model '{self.name}': the request was cancelled")  # a part of what was stopped
        self.crew.run(calls, self.wanted)
        return [answer.whole(self.name, self.settings.timeout_ms) for answer in answers]


class _Answer:
    """The messages of one call, a streamed answer's put together."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._last: Message | None = None

    def add(self, message: Message) -> None:
        if message.kind == ch.CHUNK:
            self._parts.append(message.body)
        else:
            self._last = message

    def whole(self, name: str, timeout_ms: int) -> Message:
        last = self._last
        assert last is not None
        error = error_of(last, name, timeout_ms)
        if error is not None:
            raise error
        return last._replace(body=b"".join(self._parts)) if self._parts else last


def error_of(message: Message, name: str, timeout_ms: int) -> GantlineError | None:
    """The error that a final message stands for, or None for an answer."""
    flags = message.flags
    if message.kind == ch.BROKEN and message.status == 503:
        return Unavailable(message.body.decode())
    if flags & ch.TIMED_OUT:
        return DeadlineExceeded(f"model '{name}': scoring timeout after {timeout_ms} ms")
    if flags & ch.DIED:
        return ScriptFailed(f"model '{name}': its script's process died while it answered; the log says how")
    if flags & (ch.RUN_FAILED | ch.NOT_MINE):
        return ScriptFailed(f"model '{name}': its scoring script failed; the log has the traceback")
    if message.status == 499 or flags & ch.CANCELLED:
        return Unavailable(f"model '{name}': the request was cancelled")
    if message.status >= 400:
        text = message.body.decode("utf-8", "replace")
        return (BadRequest if message.status < 500 else ScriptFailed)(f"model '{name}': {text[:500]}")
    return None


def load(package: Package, options: EngineOptions) -> ScriptEngine:
    """Start the package's script in its environment and wait for its init().

    ScriptFailed with the script's line when it fails, BadArtefact when it breaks the contract, UsageError when it may
    unpickle and that is not allowed.
    """
    script = package.manifest.script
    if script is None:
        raise BadArtefact(f"{package.path}: engine 'script' without a script in the manifest")
    if not supported():
        raise Unsupported("scoring scripts run on Linux and macOS; this is Windows")
    if script.pickles and not options.allow_pickle:
        raise UsageError(
            f"package '{package.name}' may unpickle {', '.join(script.pickles)}, which can run any code; "
            "serve it without --no-pickle if you trust where it came from"
        )
    if script.contract != "azure" and package.manifest.signature is None:
        raise BadArtefact(f"{package.path}: contract '{script.contract}' needs a signature in the manifest")
    code = (package.path / script.code).resolve()
    entry = code / script.entry
    if not entry.is_file():
        raise BadArtefact(f"{package.path}: the scoring script {script.code}/{script.entry} is missing")
    app_root = (package.path / script.app_root).resolve() if script.app_root else code
    settings = read_settings(app_root, entry.parent, options.timeout_s, script.timeout_s, script.variables)
    launch = _launch(package, script, options, settings, code, entry, app_root)
    launches = [launch.seated(i) for i in range(options.instances)]
    crew = Crew([ScriptHost(package.name, one, settings.timeout_ms / 1000) for one in launches])
    engine = ScriptEngine(package, script, crew, settings)
    engine.wanted = options.wanted if options.grace_s else None
    crew.start()
    if crew.info.get("decoupled", False) != script.decoupled:
        crew.close()
        said, found = ("yields", "does not") if script.decoupled else ("does not yield", "does")
        raise BadArtefact(
            f"{package.path}: the manifest says that infer() {said}, but it {found}; define it as a function in "
            f"{script.entry} itself, and package again"
        )
    return engine


def _launch(
    package: Package, script: ScriptInfo, options: EngineOptions, settings: Settings,
    code: Path, entry: Path, root: Path,
) -> Launch:  # fmt: skip
    environment = prepare(package.manifest.environment)
    # what the package says, where the operator says nothing
    variables = {**script.variables, **environment.variables(os.environ)}
    variables["PYTHONUNBUFFERED"] = "1"
    variables["AML_APP_ROOT"] = str(root)
    variables["AZUREML_ENTRY_SCRIPT"] = str(entry)
    if script.models:
        variables["AZUREML_MODEL_DIR"] = str((package.path / script.models).resolve())
    else:
        variables.setdefault("AZUREML_MODEL_DIR", str(root))
    threads = options.threads or (options.cores if options.instances > 1 else 0)  # several hosts share the cores
    if threads:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            variables.setdefault(name, str(threads))
    outputs = package.manifest.signature.outputs if package.manifest.signature is not None else ()
    config: dict[str, Any] = {
        "entry": str(entry),
        "code": str(code),
        "contract": script.contract,
        "timeout_s": settings.timeout_ms / 1000,
        "memory_limit": options.memory_limit,
        "parent": os.getpid(),
        "environment": package.manifest.environment.kind,
        "grace_s": options.grace_s,
        "outputs": {t.name: (t.datatype, DATATYPES[t.datatype].numpy) for t in outputs},
    }
    command = [str(environment.python), "-X", "faulthandler"]
    return Launch(command, config, variables, str(root), package.name, package.digest or "", options.shared)


def _nothing(message: Message) -> None:
    pass
