"""Envelope: bytes of a known type with signatures over both, as DSSE has them (https://github.com/secure-systems-lab/dsse).

Signatures are Ed25519. What is signed is the payload with its type, so that it cannot be taken for something else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gantline.errors import BadArtefact, UsageError, VerificationFailed

ENVELOPE = "application/vnd.dsse.envelope.v1+json"
_LONGEST = 1 << 16  # bytes of a key file
_MAKE = "make one with `gantline keys signing -o key.pem`"


def seal(payload: bytes, kind: str, key: Ed25519PrivateKey) -> dict[str, Any]:
    """The envelope of a payload, signed. The same payload and key make the same bytes."""
    signature = key.sign(_encoded(kind, payload))
    return {
        "payload": _base64(payload),
        "payloadType": kind,
        "signatures": [{"keyid": key_id(key.public_key()), "sig": _base64(signature)}],
    }


def unseal(envelope: dict[str, Any], kind: str, key: Ed25519PublicKey, where: str) -> bytes:
    """The payload, if one of the signatures is this key's and holds. BadArtefact for no envelope.

    VerificationFailed says whether the signature is wrong or another's.
    """
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [
            (str(s.get("keyid", "")), base64.b64decode(s["sig"], validate=True)) for s in envelope["signatures"]
        ]
    except (KeyError, TypeError, AttributeError, binascii.Error, ValueError) as e:
        raise BadArtefact(f"{where}: not a DSSE envelope ({type(e).__name__}: {e})") from e
    if envelope.get("payloadType") != kind:
        raise VerificationFailed(f"{where}: is about {envelope.get('payloadType')!r:.80}, not about {kind}")
    mine = key_id(key)
    for _, signature in signatures:
        try:
            key.verify(signature, _encoded(kind, payload))
        except InvalidSignature:
            continue
        return payload
    if any(name == mine for name, _ in signatures):
        raise VerificationFailed(f"{where}: the signature does not hold: what it is about was changed, or it was")
    others = ", ".join(name[:19] for name, _ in signatures) or "nobody"
    raise VerificationFailed(f"{where}: signed by {others}, not by {mine[:19]}")


def key_id(key: Ed25519PublicKey) -> str:
    """The digest of a public key (its SubjectPublicKeyInfo)."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return "sha256:" + hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def private_key(path: Path) -> Ed25519PrivateKey:
    """The private key of a PEM file. UsageError for anything else."""
    try:
        found = serialization.load_pem_private_key(_read(path), None)
    except TypeError as e:  # it has a passphrase
        raise UsageError(f"{path}: has a passphrase; give the key without: openssl pkey -in {path} -out key.pem") from e
    except (ValueError, UnsupportedAlgorithm) as e:
        raise UsageError(f"{path}: not a private key in PEM; {_MAKE}") from e
    if not isinstance(found, Ed25519PrivateKey):
        raise UsageError(f"{path}: not an Ed25519 key; {_MAKE}")
    return found


def public_key(path: Path) -> Ed25519PublicKey:
    """The public key of a PEM file, or the public half of a private one. UsageError for anything else."""
    data = _read(path)
    if b"PRIVATE KEY" in data:
        return private_key(path).public_key()
    try:
        found = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise UsageError(f"{path}: not a public key in PEM; `openssl pkey -in key.pem -pubout` writes one") from e
    if not isinstance(found, Ed25519PublicKey):
        raise UsageError(f"{path}: not an Ed25519 key; {_MAKE}")
    return found


def new_key() -> tuple[bytes, bytes, str]:
    """A new pair in PEM, private and public, and the ID of it."""
    key = Ed25519PrivateKey.generate()
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public, key_id(key.public_key())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as f:
            return f.read(_LONGEST)
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}; {_MAKE}") from e


def _encoded(kind: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
