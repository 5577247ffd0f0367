"""Health: grpc.health.v1, which probes and load balancers ask. It says what readiness says."""

from __future__ import annotations

import asyncio
from typing import Any

from gantline.errors import GantlineError, NotFound
from gantline.pb import message

from ..readiness import Readiness
from .answering import Answer, parse, refuse
from .call import Call
from .gate import HEALTH_SERVICE, SERVICE

SERVICES = ("", SERVICE, HEALTH_SERVICE)  # "": the server as a whole
LOOK_S = 0.25  # seconds from one look at readiness to the next
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


class Health:
    """Check, List and Watch. Readiness is an answer to a question, so while somebody watches, it is asked."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._watches: set[Watch] = set()
        self._looking: asyncio.Task[None] | None = None

    def answers(self) -> dict[str, Answer]:
        """By the method's name; Watch is beside them."""
        return {"Check": self.check, "List": self.list}

    def status(self, service: str) -> int:
        """The ServingStatus of a service."""
        if service not in SERVICES:
            return SERVICE_UNKNOWN
        return SERVING if self._readiness else NOT_SERVING

    async def check(self, request: Any) -> Any:
        status = self.status(request.service)
        if status == SERVICE_UNKNOWN:
            raise NotFound(f"unknown service '{request.service}'; there are {', '.join(filter(None, SERVICES))}")
        return _answer(status)

    async def list(self, request: Any) -> Any:
        return message("grpc.health.v1.HealthListResponse")(statuses={s: _answer(self.status(s)) for s in SERVICES})

    def watch(self, call: Call) -> Watch:
        """A stream that tells the status now, and each time it changes."""
        watch = Watch(call, self)
        self._watches.add(watch)
        call.on_close(lambda: self.forget(watch))
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
        return watch

    def stop(self) -> None:
        """End all watches: they would never end by themselves."""
        for watch in list(self._watches):
            watch.tell()
            watch.end()
            self.forget(watch)

    def forget(self, watch: Watch) -> None:
        """Done with a watch."""
        self._watches.discard(watch)

    async def _look(self) -> None:
        while self._watches:
            await asyncio.sleep(LOOK_S)
            for watch in self._watches:
                watch.tell()
        self._looking = None


class Watch:
    """One Watch call (a Receiver)."""

    def __init__(self, call: Call, health: Health) -> None:
        self._call = call
        self._health = health
        self._service: str | None = None
        self._told = -1

    def message(self, data: bytes) -> None:
        if self._service is not None:
            return  # one request is all that there may be
        try:
            self._service = parse("grpc.health.v1.HealthCheckRequest", data).service
        except GantlineError as e:
            refuse(self._call, e)
            self._health.forget(self)
            return
        self.tell()

    def half_close(self) -> None:
        """Nothing more was to come; the answers go on."""

    def tell(self) -> None:
        """The status, unless it was told already."""
        if self._service is None:
            return
        status = self._health.status(self._service)
        if status != self._told:
            self._told = status
            self._call.send(_answer(status).SerializeToString())

    def end(self) -> None:
        """The server stops."""
        self._call.finish()


def _answer(status: int) -> Any:
    return message("grpc.health.v1.HealthCheckResponse")(status=status)
