"""Http2: one HTTP/2 connection. zttp reads and writes its frames; streams answer; here is what they share, and its end.

A connection ends in three steps, so that no call is lost: GOAWAY that takes all streams, with a PING; GOAWAY with the
last stream when the PING has come back, for by then the client has stopped; and the close, after the last answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import zttp
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from .h2_budget import Age, Inflow, Valve
from .h2_grpc import Rpc
from .h2_request import begin
from .h2_stream import Stream
from .hot import Front

_ALL_STREAMS = (1 << 31) - 1
_PING = b"\0\0\x08\x06\0\0\0\0\0gantline"
_PING_S = 2.0  # how long its answer is waited for
_LINGER_S = 2.0  # after the last answer: how long the client may take to close
_log = logging.getLogger("gantline.http")


class Http2(asyncio.Protocol):
    """Reads events and hands them to streams; one write for all that a turn of the loop has to say."""

    def __init__(
        self,
        front: Front,
        rpc: Rpc,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.front = front
        self.rpc = rpc
        self.config = config
        self.server_state = server_state
        self.app_state = app_state
        self.loop = _loop or asyncio.get_running_loop()
        self.connections = server_state.connections
        self.conn: zttp.H2Connection = zttp.Connection(zttp.SERVER, zttp.HTTP2)
        self.transport: asyncio.Transport
        self.flow: FlowControl
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int | None] | None = None
        self.secure = False
        self.streams: dict[int, Stream] = {}  # whose answer has not been sent whole
        self.since = self.loop.time()  # of the last bytes read
        self.age = Age(self.since)
        self.inflow = Inflow(front.max_body_bytes)
        self.deaf = False  # nothing more is read
        self._valve = Valve()
        self._heard = 0.0  # when the last event came: bytes that make none keep nothing alive
        self._roomy = False  # the client has made room, and streams have not been told
        self._going = 0.0  # since when the client has been told to go; 0: it may stay
        self._final = False  # new streams are refused
        self._ended = False
        self._extra = b""  # frames of our own
        self._due = False  # a write is on its way: at the end of the read, or of the loop's turn
        self._unsent = 0
        self._room: asyncio.Future[None] | None = None

    # -- the transport's callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.connections.add(self)  # type: ignore[arg-type]  # uvicorn's own are of other classes
        self.transport = transport
        self.flow = FlowControl(transport)
        self.client = get_remote_addr(transport)
        self.server = get_local_addr(transport)
        self.secure = is_ssl(transport)
        self.conn.initiate_connection()
        if self.front.full(len(self.connections)):
            self.conn.close(zttp.H2ErrorCode.ENHANCE_YOUR_CALM, 0)
            self._write()
            self._end()
        else:
            self.touch()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        self.deaf = True
        for stream in list(self.streams.values()):
            stream.lost()
        self.streams.clear()
        self.flow.resume_writing()
        self.wake()

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        if not self.deaf:
            self.flow.pause_reading()  # whoever does not read answers may not ask on

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        self.flow.resume_reading()
        self._pump()

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        self.since = self.loop.time()
        conn, streams = self.conn, self.streams
        self._due, before = True, self._due
        event: Any = zttp.NEED_DATA
        heard = False
        try:
            conn.receive_data(data)
            while (event := conn.next_event()) is not zttp.NEED_DATA:
                heard = True
                kind = type(event)
                if kind is zttp.Data:
                    stream = streams.get(event.stream_id)
                    if stream is not None:
                        stream.since = self.since
                        stream.take(event.data)
                elif kind is zttp.Request:
                    self._request(event)
                elif kind is zttp.EndOfMessage:
                    stream = streams.get(event.stream_id)
                    if stream is not None:
                        self._whole(stream)
                else:
                    self._control(event)
        except zttp.RemoteProtocolError as e:
            _log.debug("%s: %s", self.client, e)
            self._fail()
            return
        except Exception:
            _log.exception("%s", event)
            conn.close(zttp.H2ErrorCode.INTERNAL_ERROR)
            self._fail()
            return
        if heard:
            self._heard = self.since
        if self._roomy:
            self._pump()
        self._due = before
        if self.age.old or (self.front.draining and self.age.streams):
            self.leave()
        if not before:
            self._write()

    # -- events

    def _request(self, event: zttp.Request) -> None:
        if self._final:
            self.conn.stream(event.stream_id).reset(zttp.H2ErrorCode.REFUSED_STREAM)
            return
        self.age.streams += 1
        stream = begin(self, event)
        if event.end_stream:
            self._whole(stream)

    def _whole(self, stream: Stream) -> None:
        stream.whole = True
        stream.since = self.since
        if not stream.answered:
            stream.complete()
        elif not stream.waiting():
            self._settle(stream)

    def _control(self, event: Any) -> None:
        kind = type(event)
        if kind is zttp.WindowUpdate:
            self._roomy = True
        elif kind is zttp.RstStream:
            self.age.resets += 1
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                self.done(stream)
                stream.lost()
        elif kind is zttp.GoAway:
            self.leave()
        elif kind is zttp.Ping and event.ack:
            if self._going and not self._final:
                self._last_call()
        elif not self.age.control(self.since):
            _log.debug("%s: too many PING or SETTINGS frames", self.client)
            self.conn.close(zttp.H2ErrorCode.ENHANCE_YOUR_CALM)
            self._fail()
        else:
            self._roomy = True  # SETTINGS may have opened the windows

    # -- what streams ask for

    def touch(self) -> None:
        """There is something to send."""
        if not self._due:
            self._due = True
            self.loop.call_soon(self._flush)

    def keeps(self, stream: Stream, size: int) -> None:
        """So much of a body is kept until the rest has come."""
        self.age.useful()
        self.inflow.keeps(stream.id, size)
        if self._valve:
            self._release()

    def pause(self, stream: Stream, paused: bool) -> None:
        """A stream's reader wants no more for now, or wants to go on."""
        self.inflow.pause(stream.id, paused)
        if self._valve:
            self._release()

    def again(self, stream: Stream) -> None:
        """Go on with a large body in the next turn of the loop."""
        self.touch()
        self.loop.call_soon(stream.pump)

    async def room(self) -> None:
        """Until the client has taken something."""
        if self._room is None:
            self._room = self.loop.create_future()
        await asyncio.shield(self._room)

    def answered(self, stream: Stream) -> None:
        """The end of a stream's answer has been given."""
        self.server_state.total_requests += 1
        self._settle(stream)
        self.touch()

    def done(self, stream: Stream) -> None:
        """A stream has ended, well or not."""
        if self.streams.pop(stream.id, None) is None:
            return
        self.inflow.forget(stream.id)
        if self._valve:
            self._valve.forget(stream.id)
            self._release()
        if self._final and not self.streams:
            self._end()
        else:
            self.touch()

    def _settle(self, stream: Stream) -> None:
        """Let go of a stream whose answer has been sent."""
        if stream.handle.pending_bytes:
            return  # looked at again when the client has made room
        if not stream.whole and not stream.closed:
            stream.handle.reset(zttp.H2ErrorCode.NO_ERROR)  # the answer is whole: nobody reads the rest of the request
        self.done(stream)

    # -- sending

    def _flush(self) -> None:
        self._due = False
        self._write()

    def _write(self) -> None:
        if self._ended:
            return
        data = self.conn.data_to_send()
        if self.inflow.held:
            data = self._valve.strain(data, self.inflow.held)
        if self._extra:
            data, self._extra = data + self._extra, b""
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def _release(self) -> None:
        due = self._valve.released(self.inflow.held)
        if due:
            self._extra += due
            self.touch()

    def _pump(self) -> None:
        """The client has made room: send on, and let go of what has been sent whole."""
        self._roomy = False
        for stream in list(self.streams.values()):
            stream.pump()
            if stream.answered and not stream.waiting():
                self._settle(stream)
        self.wake()
        self.touch()

    def wake(self) -> None:
        """Whoever waits for room may look again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    # -- ends

    def busy(self) -> bool:
        """Whether a request is being answered, or read to be answered."""
        return bool(self.streams)

    def shutdown(self) -> None:
        """Called when the server stops listening."""
        self.leave()

    def leave(self) -> None:
        """Ask the client to go elsewhere with what is new; what has begun is finished."""
        if self._going or self._ended:
            return
        self._going = self.loop.time()
        self.conn.close(zttp.H2ErrorCode.NO_ERROR, _ALL_STREAMS)
        self._extra += _PING
        self.touch()

    def _last_call(self) -> None:
        self._final = True
        self.conn.close(zttp.H2ErrorCode.NO_ERROR)
        if self.streams:
            self.touch()
        else:
            self._end()

    def _fail(self) -> None:
        """The client's frames cannot be read on; what zttp has to say about it is sent."""
        for stream in list(self.streams.values()):
            stream.lost()
        self.streams.clear()
        self._end()

    def _end(self) -> None:
        """The last word; the client closes, or is cut off after a while."""
        if self._ended:
            return
        self.deaf = self._final = True
        self._write()
        self._ended = True
        self.since = self.loop.time()
        # an immediate close would reset the connection, and answers be lost, if the client is still sending
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def check(self, now: float) -> None:
        """Called once a second: closes what has been idle, or slow, beyond its limit."""
        front, idle = self.front, now - self.since
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if unsent != self._unsent:
                self._unsent, self.since = unsent, now
            elif 0 < front.body_timeout_s < idle:
                self.transport.abort()  # close() would wait for the client to read
                return
        if self._ended:
            if idle > _LINGER_S and not unsent:
                self.transport.abort()
            return
        for stream in list(self.streams.values()):
            stream.check(now)
        if self._ended:
            return
        if self._going:
            if not self._final and now - self._going > _PING_S:
                self._last_call()
        elif front.draining:
            self.leave()
        elif not self._heard:
            if 0 < front.header_timeout_s < idle:
                self._fail()  # not even the preface has come
        elif not self.streams and now - self._heard > front.keep_alive_s:
            self.leave()
