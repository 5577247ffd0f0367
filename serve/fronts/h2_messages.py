"""gRPC's words on a stream of HTTP/2: messages in bytes, timeouts, details. No I/O, no HTTP/2.

Source: "gRPC over HTTP2" in grpc's doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from gantline.errors import BadRequest, TooLarge

PREFIX = 5  # bytes before a message: whether it is compressed, and its length
_UNITS = {72: 3600 * 10**9, 77: 60 * 10**9, 83: 10**9, 109: 10**6, 117: 10**3, 110: 1}  # H M S m u n, to ns
_MOST_DIGITS = 8
_MAX_DETAILS = 2000  # characters: they quote what a client sent, and travel as a header


class Messages:
    """Takes messages of at most `limit` bytes out of the pieces that a stream comes in."""

    __slots__ = ("_need", "_parts", "held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0  # bytes of a message that has not come whole
        self._parts: list[bytes] = []
        self._need = PREFIX  # bytes, until there is more to know

    def feed(self, data: bytes) -> list[tuple[bool, bytes]]:
        """Whole messages, each with whether it is compressed. TooLarge by its prefix, BadRequest for a prefix that is
        none."""
        if not self.held and len(data) >= PREFIX and len(data) == PREFIX + self._length(data, 0):
            return [(data[0] == 1, data[PREFIX:])]
        self._parts.append(data)
        self.held += len(data)
        if self.held < self._need:
            return []
        joined = b"".join(self._parts)
        found: list[tuple[bool, bytes]] = []
        at = 0
        while len(joined) - at >= PREFIX:
            end = at + PREFIX + self._length(joined, at)
            if end > len(joined):
                break
            found.append((joined[at] == 1, joined[at + PREFIX : end]))
            at = end
        else:
            end = at + PREFIX
        self._need = end - at
        self.held = len(joined) - at
        self._parts = [joined[at:]] if self.held else []
        return found

    def _length(self, data: bytes, at: int) -> int:
        length = int.from_bytes(data[at + 1 : at + PREFIX], "big")
        if data[at] > 1:
            raise BadRequest(f"a message begins with {data[at]}, expected 0 or 1 (compressed)")
        if length > self.limit:
            raise TooLarge(f"a message of {length} bytes is larger than {self.limit} bytes")
        return length


def timeout_ns(value: bytes) -> int:
    """The nanoseconds of a grpc-timeout such as b"100m". BadRequest for anything else."""
    digits, unit = value[:-1], value[-1:]
    if not digits.isdigit() or len(digits) > _MOST_DIGITS or ord(unit) not in _UNITS:
        raise BadRequest(f"grpc-timeout is {value.decode('latin-1')!r}, expected up to 8 digits and one of H M S m u n")
    return int(digits) * _UNITS[ord(unit)]


def percent_encoded(details: str) -> bytes:
    """What was wrong, as grpc-message carries it: what is not printable ASCII, and "%", as %XX of its UTF-8."""
    if len(details) > _MAX_DETAILS:
        details = details[:_MAX_DETAILS] + "..."
    if details.isascii() and details.isprintable() and "%" not in details and details.strip() == details:
        return details.encode()
    raw = details.encode("utf-8", "replace")
    ends = (0, len(raw) - 1)  # a header's value has no space there
    return b"".join(
        b"%%%02X" % byte if not 0x20 <= byte <= 0x7E or byte == 0x25 or (byte == 0x20 and i in ends) else bytes((byte,))
        for i, byte in enumerate(raw)
    )
