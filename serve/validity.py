"""Validity: from when until when a certificate may be used, read from its DER form (RFC 5280, 4.1). Pure.

The ssl module tells this of a peer's certificate, and of none that a server shows.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

SOON = timedelta(days=1)
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _VERSION, _UTC_TIME, _TIME = 0x30, 0xA0, 0x17, 0x18


def validity(chain: bytes) -> tuple[datetime, datetime] | None:
    """Of the first certificate in a PEM file, which is the one that the server shows; None if it cannot be read."""
    text = chain.decode("ascii", "replace")
    begin, end = text.find(_BEGIN), text.find(_END)
    if not 0 <= begin < end:
        return None
    try:
        body, _ = _value(ssl.PEM_cert_to_DER_cert(text[begin : end + len(_END)]), _SEQUENCE)
        fields, _ = _value(body, _SEQUENCE)
        if fields[0] == _VERSION:
            _, fields = _value(fields, _VERSION)
        for _field in ("serial number", "signature algorithm", "issuer"):
            _, fields = _value(fields, fields[0])
        times, _ = _value(fields, _SEQUENCE)
        first, rest = _value(times, times[0])
        last, _ = _value(rest, rest[0])
        return _time(first, times[0]), _time(last, rest[0])
    except (ValueError, IndexError):
        return None


def complaint(chain: bytes, now: datetime) -> str:
    """What clients that look at the time will not like, or soon will not; empty when there is nothing."""
    found = validity(chain)
    if found is None:
        return ""
    first, last = found
    if now < first:
        return f"is not valid before {first:%Y-%m-%d %H:%M} UTC: clients will refuse it until then"
    if now > last:
        return f"expired on {last:%Y-%m-%d %H:%M} UTC: clients will refuse it"
    if now > last - SOON:
        return f"expires on {last:%Y-%m-%d %H:%M} UTC"
    return ""


def _value(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The contents of what comes first, which must have this tag, and what comes after it."""
    if der[0] != tag:
        raise ValueError(f"tag {der[0]:#x} where {tag:#x} was expected")
    length, at = der[1], 2
    if length & 0x80:
        many = length & 0x7F
        length, at = int.from_bytes(der[2 : 2 + many], "big"), 2 + many
    if at + length > len(der):
        raise ValueError("cut off")
    return der[at : at + length], der[at + length :]


def _time(text: bytes, tag: int) -> datetime:
    if tag == _TIME:
        return datetime.strptime(text.decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    if tag != _UTC_TIME:
        raise ValueError(f"tag {tag:#x} is no time")
    year = int(text[:2])
    century = "19" if year >= 50 else "20"  # RFC 5280, 4.1.2.5.1
    return datetime.strptime(century + text.decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
