"""Host: the child process that loads a scoring script and answers requests, in order, on its main thread.

Started by process.py with the interpreter of the package's environment, which need not have Gantline: everything
here and below imports the standard library only (and numpy, when tensors travel). `async def run` is served by
concurrent.py, run_batch() by batch.py.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import socket
import sys
import traceback
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from . import channel as ch
from .answers import chunk_of, head_of_response, header_block, is_response, of_response, to_json
from .channel import WINDOW, Channel, Gone
from .contract import ContractError, Refused, Script
from .ring import Message
from .watch import Alarm, NobodyWaits, OutOfTime, die_with_parent, heed_no_signal, limit_memory

if TYPE_CHECKING:
    from .promise import Promise

IMPORTING = 100_000  # new objects before rubbish is looked for, while a script is loaded: imports leave little of it
BELL_EVERY_NS = 100_000  # while there is more to do, finished answers wait this long for one common bell


class Answerer:
    """Runs the script for one request at a time and sends what comes of it."""

    def __init__(self, script: Script, channel: Channel, timeout_s: float) -> None:
        self.script = script
        self.channel = channel
        self.timeout_s = timeout_s
        self.alarm = Alarm(timeout_s)
        self.alarm.unwanted = self.unwanted
        self.current: tuple[int, ...] = ()  # the requests that the script is at
        self.pid = os.getpid()

    def unwanted(self) -> bool:
        """Whether nobody waits any longer for what the script is at. Not while the channel is in use."""
        self.channel.told()
        return bool(self.current) and all(id in self.channel.cancelled for id in self.current)

    def cancelled(self, id: int) -> bool:
        """Answer a request that nobody waits for any longer, whether begun or not; False for any other."""
        if id not in self.channel.cancelled:
            return False
        self.channel.cancelled.discard(id)
        self.send(ch.REPLY, id, ch.CANCELLED)
        return True

    def serve(self) -> None:
        """Answer until the server closes its end."""
        channel = self.channel
        rang = 0
        while True:
            message = channel.take()
            if message is None:
                channel.wake()
                if channel.may_sleep():
                    channel.read_records()
                    channel.awake()
                continue
            self.answer(message)
            now = perf_counter_ns()
            if now - rang > BELL_EVERY_NS:
                channel.wake()
                rang = now

    def answer(self, message: Message) -> None:
        """One request, one final message; nothing that the script does gets out of here but the process's end."""
        self.channel.told()
        if self.cancelled(message.id):
            return
        self.current = (message.id,)
        started = perf_counter_ns()
        try:
            arguments = self.script.arguments(message)
            started = perf_counter_ns()
            with self.alarm:
                result = self.script.run(**arguments)
                if inspect.isawaitable(result):
                    result = wait_for(result)
        except BaseException as e:
            self.own_process()
            self.failed(message.id, e)
            return
        self.own_process()
        took = perf_counter_ns() - started
        if inspect.isgenerator(result) or getattr(result, "is_streamed", False) is True:
            self.stream(message.id, result)
        else:
            self.finish(message.id, result, took)

    def own_process(self) -> None:
        """A script may fork; the copy must not answer as well."""
        if os.getpid() != self.pid:
            os._exit(0)

    def finish(self, id: int, result: Any, took: int) -> None:
        """Send a returned value."""
        try:
            if is_response(result):
                flags, status, meta, body = of_response(result)
                self.send(ch.REPLY, id, flags | ch.RAN, status, took, meta, body)
            else:
                self.send(ch.REPLY, id, ch.RAN, 200, took, b"", to_json(result))
        except Exception as e:
            traceback.print_exc()
            self.send(ch.REPLY, id, ch.NOT_MINE, 500, body=line_of(e))

    def failed(self, id: int, error: BaseException) -> None:
        """Send an error: the request's own (its text), or the script's (whose text is not for clients)."""
        if isinstance(error, NobodyWaits) and self.cancelled(id):
            return
        if isinstance(error, Refused):
            if error.status >= 500:
                report(error)  # the script's fault: its author wants to see where
            self.send(ch.REPLY, id, 0, error.status, body=error.message.encode())
        elif isinstance(error, OutOfTime):
            report(error)  # where it was when its time ran out
            self.send(ch.REPLY, id, ch.RUN_FAILED | ch.TIMED_OUT, 500)
        else:
            report(error)
            self.send(ch.REPLY, id, ch.RUN_FAILED, 500, body=line_of(error))

    def stream(self, id: int, result: Any) -> None:
        """Send what a generator yields (or a streamed response object), as fast as the client takes it."""
        response = result if not inspect.isgenerator(result) else None
        items = iter(response.iter_encoded() if response is not None else result)
        credit = self.channel.credit
        credit[id] = WINDOW
        begun = False
        try:
            while True:
                with self.alarm:
                    item = next(items, _DONE)
                kind, data = chunk_of(b"" if item is _DONE else item)
                if not begun:
                    status, meta = _head(response, kind)
                    self.send(ch.START, id, ch.OWN_HEADERS, status, meta=meta)
                    begun = True
                if item is _DONE:
                    self.send(ch.END, id)
                    return
                if not self.allowed(id):
                    self.send(ch.END, id, ch.CANCELLED)
                    return
                self.chunk(id, data)
        except Exception as e:
            self.own_process()
            if begun:
                report(e)
                self.send(ch.BROKEN, id, ch.RUN_FAILED)
            else:
                self.failed(id, e)
        except OutOfTime as e:
            self.send(ch.BROKEN, id, ch.TIMED_OUT) if begun else self.failed(id, e)
        except NobodyWaits as e:
            self.send(ch.END, id, ch.CANCELLED) if begun else self.failed(id, e)
        finally:
            credit.pop(id, None)
            self.channel.cancelled.discard(id)
            self.current = ()
            _close(items)

    def chunk(self, id: int, data: bytes) -> None:
        """Send a piece at once: streams are for those who want each piece as it comes."""
        for at in range(0, len(data), WINDOW):
            piece = data[at : at + WINDOW]
            self.send(ch.CHUNK, id, body=piece)
            self.channel.credit[id] -= len(piece)
        self.channel.wake()

    def allowed(self, id: int) -> bool:
        """Wait until the client has taken enough; False if it has left."""
        channel = self.channel
        channel.told()
        while channel.credit[id] <= 0 and id not in channel.cancelled:
            channel.wake()
            channel.read_records()
        return id not in channel.cancelled

    def send(
        self, kind: int, id: int, flags: int = 0, status: int = 0, aux: int = 0, meta: bytes = b"", body: bytes = b""
    ) -> None:
        """Put a message into the ring, waiting for room."""
        while not self.channel.send(kind, id, flags, status, aux, meta, body):
            self.channel.wait_for_room()


class Tensors(Answerer):
    """Answers of a script whose contract is `infer(inputs) -> outputs`, all numpy arrays by name."""

    def __init__(self, script: Script, channel: Channel, timeout_s: float, promise: Promise) -> None:
        super().__init__(script, channel, timeout_s)
        self._promise = promise

    def answer(self, message: Message) -> None:
        from . import arrays

        self.channel.told()
        if self.cancelled(message.id):
            return
        self.current = (message.id,)
        started = perf_counter_ns()
        try:
            inputs = arrays.unpack(message.meta, message.body)
            with self.alarm:
                outputs = self.script.run(inputs)
                if inspect.isawaitable(outputs):
                    outputs = wait_for(outputs)
            self.own_process()
            took = perf_counter_ns() - started
            meta, body = self._promise.pack(outputs)
            self.send(ch.REPLY, message.id, ch.RAN, 200, took, meta, body)
        except BaseException as e:
            self.own_process()
            self.failed(message.id, e)


_DONE = object()


def main(config_json: str, socket_file: int, mapping_file: int) -> None:
    """Load the script, say so, answer. Exit status 0 when the server has closed, 3 when loading failed."""
    config = json.loads(config_json)
    for file in (socket_file, mapping_file):
        os.set_inheritable(file, False)
    die_with_parent(config["parent"])
    heed_no_signal()
    limit_memory(config["memory_limit"])
    sys.dont_write_bytecode = True  # a package is immutable
    sock = socket.socket(fileno=socket_file)
    channel = Channel(sock, ch.join_mapping(mapping_file), parent=False)
    os.close(mapping_file)
    os.register_at_fork(after_in_child=sock.close)  # the server must see our end, whatever the script forked
    usual = gc.get_threshold()
    gc.set_threshold(IMPORTING, *usual[1:])
    try:
        script = _start(config)
    except BaseException as e:
        _send_whole(channel, ch.FAILED, _what_failed(e, config["code"]))
        sys.exit(3)
    if gc.get_threshold()[0] == IMPORTING:  # else the script has a wish of its own
        gc.set_threshold(*usual)
    _send_whole(channel, ch.READY, script.describe())
    try:
        _answerer(script, channel, config["timeout_s"], config.get("outputs", {})).serve()
    except (Gone, ConnectionError):
        os._exit(0)  # threads that the script left behind must not keep a host without a server


def _answerer(script: Script, channel: Channel, timeout_s: float, outputs: dict[str, tuple[str, str]]) -> Any:
    if script.mode == "tensors":
        from .promise import Promise  # with numpy, which a script with run() may not have

        promise = Promise(outputs, "yielded" if script.decoupled else "returned")
        if not script.decoupled:
            return Tensors(script, channel, timeout_s, promise)
        from .yielding import AsyncYielding, Yielding

        return (AsyncYielding if script.concurrent else Yielding)(script, channel, timeout_s, promise)
    if script.batch is not None:
        from .batch import Batches

        return Batches(script, channel, timeout_s)
    if script.concurrent:
        from .concurrent import Concurrent

        return Concurrent(script, channel, timeout_s)
    return Answerer(script, channel, timeout_s)


def _start(config: dict[str, Any]) -> Script:
    from . import shims

    shims.install()
    entry = config["entry"]
    # as Azure's server: the application's root and the script's own directory
    sys.path[:0] = dict.fromkeys((config["code"], os.path.dirname(entry)))
    script = Script(entry, config["contract"])
    if script.init is not None:
        result = script.init()
        if inspect.isawaitable(result):
            wait_for(result)
    return script


def _send_whole(channel: Channel, kind: int, data: dict[str, Any]) -> None:
    body = json.dumps(data, default=str).encode()
    while not channel.send(kind, 0, body=body):
        channel.wait_for_room()
    channel.wake()


def _what_failed(error: BaseException, code: str) -> dict[str, Any]:
    """Type, text, the script's own line that failed, a missing module, and the traceback without our frames."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(code + os.sep)]
    at = own[-1] if own else None
    line: int | None = at.lineno if at else None
    file = at.filename if at else ""
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(code + os.sep):
        file, line = error.filename or "", error.lineno
    return {
        "type": type(error).__name__,
        "text": " ".join(str(error).split()),
        "contract": isinstance(error, ContractError),
        "file": os.path.relpath(file, code) if file else "",
        "line": line,
        "module": (error.name or "") if isinstance(error, ModuleNotFoundError) else "",
        "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
    }


def report(error: BaseException) -> None:
    """The traceback to standard error, which the server logs under the model's name."""
    traceback.print_exception(type(error), error, error.__traceback__)
    if isinstance(error, ModuleNotFoundError):
        sys.stderr.write(f"module {error.name!r} is not in the package's environment; add it to its requirements\n")
    sys.stderr.flush()


def line_of(error: BaseException) -> bytes:
    """An error in one line, for whoever packages the script; the server does not pass it on."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:300].rstrip(": ").encode("utf-8", "replace")


def _head(response: Any, kind: str) -> tuple[int, bytes]:
    if response is None:
        return 200, header_block([("Content-Type", kind)])
    return head_of_response(response)


def _close(items: Any) -> None:
    try:
        items.close()
    except AttributeError:
        pass
    except BaseException as e:
        report(e)


def wait_for(result: Any) -> Any:
    """Run what an `async def` gave back to its end."""
    import asyncio  # 40 ms that most scripts need not pay

    async def awaited() -> Any:
        return await result

    return asyncio.run(awaited())
