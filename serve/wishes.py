"""Wishes: how a client wants its request treated: by when, how urgently, for whom, in which sequence.

The one place where these names are given. As headers, and as gRPC metadata alike:

- `x-gantline-timeout-ms`: time for the whole request in milliseconds, 2.5 say (`grpc-timeout` counts too)
- `x-gantline-priority`: 1 (most urgent) to the model's number of levels; 0 or nothing: its default level
- `x-gantline-tenant`: who shares the model's time by weight; any text of at most 128 bytes. An API key that has
  a tenant decides instead: whoever asks may not take another's share

As V2 parameters of the request: `timeout` (microseconds), `priority`, `sequence_id`, `sequence_start`, `sequence_end`.
Of several time-outs the shortest counts.
"""

from __future__ import annotations

from typing import NamedTuple

from gantline.errors import BadRequest, DeadlineExceeded
from gantline.request import Parameter, Request
from gantline.wire.cloud_events import mode_of

from .exchange import Head
from .policy import QueuePolicy

TIMEOUT = b"x-gantline-timeout-ms"
PRIORITY = b"x-gantline-priority"
TENANT = b"x-gantline-tenant"
MAX_TENANT = 128  # bytes
# parameters that say how a request is treated and not what is computed: they keep nobody from sharing a batch
TREATMENT = frozenset(
    ("timeout", "priority", "sequence_id", "sequence_start", "sequence_end", "binary_data_output", "headers")
)
_MAX_MS = 86_400_000.0


class Wishes(NamedTuple):
    """What a head says. `length`: of the JSON before binary tensors; `coding`: of the body; None where it is absent.

    `event`: how the body comes in a CloudEvent, empty if it does not; see gantline.wire.cloud_events.
    """

    length: int | None = None
    coding: bytes | None = None
    timeout_ns: int = 0
    priority: int = 0
    tenant: bytes = b""
    urgent: bool = False  # whether anything but the framing is asked for
    event: str = ""


def wishes_of(head: Head) -> Wishes:
    """A head's wishes, read once for each head. BadRequest names a header that cannot be understood."""
    found = head.wishes
    if found is None:
        found = head.wishes = _read(head)
    return found  # type: ignore[no-any-return]  # the slot is Any so that exchange need not know us


def settle(request: Request, wishes: Wishes, policy: QueuePolicy) -> None:
    """Set a request's deadline, priority, tenant and sequence. `arrived` is set; so may be a deadline, from gRPC.

    BadRequest for a parameter that cannot be understood, DeadlineExceeded for a deadline that has passed already.
    """
    request.tenant, request.priority = wishes.tenant, wishes.priority
    timeout = wishes.timeout_ns
    own = _parameters(request, request.parameters) if request.parameters else 0
    rule = policy.at(request.priority)
    if own and rule.timeout_override:
        timeout = min(timeout, own) if timeout else own
    if not timeout and not request.deadline and not rule.demote:
        timeout = rule.timeout_ns
    if timeout:
        deadline = request.arrived + timeout
        request.deadline = min(request.deadline, deadline) if request.deadline else deadline
    if request.deadline and request.deadline <= request.queued:
        raise DeadlineExceeded(f"model '{request.model}': the deadline had passed when the request was read")


def _read(head: Head) -> Wishes:
    length: int | None = None
    coding: bytes | None = None
    timeout, priority, tenant, kind = 0, 0, b"", b""
    attributes: set[bytes] = set()
    for name, value in head.headers:
        if name == b"inference-header-content-length":
            if not value.isdigit() or len(value) > 18:
                raise BadRequest(f"Inference-Header-Content-Length is {_text(value)}, expected a whole number")
            length = int(value)
        elif name == b"content-type":
            kind = value
        elif name == b"content-encoding":
            coding = value
        elif name == TIMEOUT:
            said = _milliseconds(value)
            timeout = min(timeout, said) if timeout else said  # a proxy may add one of its own
        elif name == PRIORITY:
            if not value.isdigit() or len(value) > 9:
                raise BadRequest(f"{PRIORITY.decode()} is {_text(value)}, expected a whole number, 1 the most urgent")
            priority = int(value)
        elif name == TENANT:
            if len(value) > MAX_TENANT:
                raise BadRequest(f"{TENANT.decode()} has {len(value)} bytes, expected at most {MAX_TENANT}")
            tenant = value
        elif name.startswith(b"ce-"):
            attributes.add(name)
    if head.key is not None and head.key.tenant:
        tenant = head.key.tenant
    urgent, event = bool(timeout or priority or tenant), mode_of(kind, attributes)
    return Wishes(length, coding, timeout, priority, tenant, urgent, event)


def _milliseconds(value: bytes) -> int:
    try:
        found = -1.0 if b"_" in value else float(value)
    except ValueError:
        found = -1.0
    if not 0 < found <= _MAX_MS:  # nan, too
        raise BadRequest(f"{TIMEOUT.decode()} is {_text(value)}, expected milliseconds above 0, of at most a day")
    return int(found * 1e6)


def _parameters(request: Request, given: dict[str, Parameter]) -> int:
    """Take the parameters that say how to treat a request; the time-out among them in ns, 0 for none."""
    timeout = _whole(given, "timeout")
    request.priority = _whole(given, "priority") or request.priority
    sequence = given.get("sequence_id", 0)
    if type(sequence) not in (int, str) or (type(sequence) is int and sequence < 0):
        raise BadRequest(f"parameter 'sequence_id' is {sequence!r:.80}, expected a whole number or text")
    request.sequence = sequence or 0  # type: ignore[assignment]  # looked at above
    request.sequence_start = _flag(given, "sequence_start")
    request.sequence_end = _flag(given, "sequence_end")
    return min(timeout * 1000, int(_MAX_MS * 1e6))


def _whole(given: dict[str, Parameter], name: str) -> int:
    value = given.get(name, 0)
    if type(value) is not int or value < 0:
        raise BadRequest(f"parameter '{name}' is {value!r:.80}, expected a whole number from 0 up")
    return value


def _flag(given: dict[str, Parameter], name: str) -> bool:
    value = given.get(name, False)
    if type(value) is not bool:
        raise BadRequest(f"parameter '{name}' is {value!r:.80}, expected true or false")
    return value


def _text(value: bytes) -> str:
    return repr(value.decode("latin-1"))[:80]
