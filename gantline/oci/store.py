"""Store: blobs by digest and names for some of them, in a directory that is an OCI image layout.

So other tools read it as it is (`skopeo inspect oci:~/.gantline/store:iris`). A blob is there whole or not at all;
names change under a lock, by replacing index.json.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from ..blobs import canonical_json, sha256_file
from ..errors import BadArtefact, NotFound, Unavailable, UsageError, VerificationFailed
from ..file_lock import only_one
from ..home import home
from .descriptor import INDEX, REF_NAME, Descriptor, check_digest

LAYOUT = "oci-layout"
_LAYOUT_TEXT = b'{"imageLayoutVersion":"1.0.0"}'
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 1 << 20
INCOMING = ".incoming."  # begins the name of a blob that is being written
ASIDE = ".damaged."
WRITING = ".index."
DOCUMENT = 16 << 20  # the longest manifest, index or config that is read whole; registries allow 4 MiB


class Incoming:
    """A blob while it is written: its bytes go to a file of no name that anybody looks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Add bytes; OSError when there is no room."""
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def take_in(self) -> None:
        """Go on behind what is in the file already."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            self._hash.update(chunk)
            self.size += len(chunk)

    def restart(self) -> None:
        """Forget all that was written."""
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.size = 0

    def flush(self) -> None:
        """For whoever takes this for a file: nothing is promised before the end."""

    @property
    def digest(self) -> str:
        """Of what has been written so far."""
        return "sha256:" + self._hash.hexdigest()


class Reading:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        data = self._file.read(size)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        """Of what was read so far."""
        return "sha256:" + self._hash.hexdigest()


class Store:
    """The blobs and names under one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def of_user(cls) -> Store:
        """The store of this user, made if need be."""
        return cls(home() / "store").prepared()

    def prepared(self) -> Store:
        """The same store, with its directories. UsageError where they cannot be made."""
        try:
            (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            if not (self.root / LAYOUT).exists():
                (self.root / LAYOUT).write_bytes(_LAYOUT_TEXT)
        except OSError as e:
            raise UsageError(f"{self.root}: cannot be written: {e.strerror}; set GANTLINE_HOME to another place") from e
        return self

    # blobs

    def path(self, digest: str) -> Path:
        """Where a blob lies, or would lie. BadArtefact for what is no digest."""
        return self.root / "blobs" / "sha256" / check_digest(digest, str(self.root)).removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        """Whether a blob is there; one that was asked for is left by garbage collection for a day."""
        path = self.path(digest)
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        except OSError:  # of somebody else, or read only
            return path.is_file()
        return True

    def holds(self, descriptor: Descriptor) -> bool:
        """Whether a blob is there and, if that costs little, what its digest says: it is hashed if it is no longer
        than a document, or not as long as it should be. One that is damaged is set aside, to be got or made anew.
        """
        if not self.has(descriptor.digest):
            return False
        path = self.path(descriptor.digest)
        try:
            if path.stat().st_size == descriptor.size > DOCUMENT or sha256_file(path) == descriptor.digest:
                return True
        except FileNotFoundError:
            return False
        set_aside(path)
        return False

    def check(self, digest: str) -> None:
        """Hash a blob of any length. VerificationFailed, and it is set aside, if it is damaged."""
        path = self.path(digest)
        if sha256_file(path) != digest:
            raise damaged(path)

    @contextmanager
    def reading(self, digest: str) -> Iterator[Reading]:
        """A blob to be read to its end within the block; when that ends well, VerificationFailed if it is damaged."""
        path = self.path(digest)
        with path.open("rb") as file:
            reading = Reading(file)
            yield reading
        if reading.digest != digest:
            raise damaged(path)

    @contextmanager
    def receive(self, expected: str = "") -> Iterator[Incoming]:
        """Write a blob; it is there when the block ends well, and nothing is left otherwise.

        VerificationFailed if it is not the one `expected`, Unavailable when the disk is full, UsageError where nothing
        may be written.
        """
        try:
            handle, name = tempfile.mkstemp(prefix=INCOMING, dir=self.root / "blobs" / "sha256")
        except OSError as e:
            raise self.unwritable(e) from e
        try:
            with os.fdopen(handle, "wb") as f:
                incoming = Incoming(f)
                yield incoming
                f.flush()
                os.fsync(f.fileno())
            if expected and incoming.digest != expected:
                raise VerificationFailed(f"digest {incoming.digest} of {incoming.size} bytes, expected {expected}")
            os.chmod(name, 0o644)
            os.replace(name, self.path(incoming.digest))
        except OSError as e:
            if e.errno in _FULL:
                raise self.unwritable(e) from e
            raise
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    def unwritable(self, error: OSError) -> Unavailable | UsageError:
        """What to tell a person of a write that failed."""
        if error.errno in _FULL:
            return Unavailable(f"{self.root}: no space left on its disk; free some, or set GANTLINE_HOME to another")
        return UsageError(f"{self.root}: cannot be written: {error.strerror}; set GANTLINE_HOME to another place")

    def add(self, data: bytes, media_type: str) -> Descriptor:
        """Keep some bytes."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        described = Descriptor(media_type, digest, len(data))
        if not self.holds(described):
            with self.receive(digest) as out:
                out.write(data)
        return described

    def add_file(self, path: Path, media_type: str) -> Descriptor:
        """Keep a copy of a file, which is read once and never whole."""
        with path.open("rb") as f, self.receive() as out:
            while chunk := f.read(_CHUNK):
                out.write(chunk)
        return Descriptor(media_type, out.digest, out.size)

    def read(self, descriptor: Descriptor) -> bytes:
        """A blob whole, checked: manifests, configs and the like. NotFound, VerificationFailed, BadArtefact if long."""
        path = self.path(descriptor.digest)
        if descriptor.size > DOCUMENT:
            raise BadArtefact(f"{path}: {descriptor.size} bytes are too long for a document; at most {DOCUMENT}")
        try:
            data = path.read_bytes()
        except FileNotFoundError as e:
            raise NotFound(f"{self.root}: has no blob {descriptor.digest}") from e
        if "sha256:" + hashlib.sha256(data).hexdigest() != descriptor.digest:
            raise damaged(path)
        return data

    def read_json(self, descriptor: Descriptor) -> dict[str, Any]:
        """A blob that is a JSON object."""
        return json_object(self.read(descriptor), str(self.path(descriptor.digest)))

    # names

    def names(self) -> dict[str, Descriptor]:
        """Everything that has a name."""
        return {d.annotations[REF_NAME]: d for d in self.listed() if d.annotations.get(REF_NAME)}

    def listed(self) -> list[Descriptor]:
        """Everything in the index, with a name or without: what is kept, and all that it refers to."""
        return [Descriptor.from_json(m, str(self.root / "index.json")) for m in self._index()["manifests"]]

    def find(self, name: str) -> Descriptor | None:
        """What a name stands for."""
        return self.names().get(name)

    def name(self, name: str, descriptor: Descriptor) -> Descriptor | None:
        """Let a name stand for a blob that is here; what it stood for before."""
        if not self.has(descriptor.digest):
            raise NotFound(f"{self.root}: has no blob {descriptor.digest} to be called {name!r}")
        return self._change(name, descriptor)

    def unname(self, name: str) -> Descriptor | None:
        """Forget a name, not its blob; what it stood for."""
        return self._change(name, None)

    def unname_all(self, going: Callable[[str, Descriptor], bool]) -> None:
        """Forget all names of which that is true; it is asked when nobody else can change a name."""
        with self._changing() as listed:
            listed[:] = [d for d in listed if not ((name := d.annotations.get(REF_NAME)) and going(name, d))]

    def _change(self, name: str, descriptor: Descriptor | None) -> Descriptor | None:
        with self._changing() as listed:
            before = next((d for d in listed if d.annotations.get(REF_NAME) == name), None)
            listed[:] = [d for d in listed if d.annotations.get(REF_NAME) != name]
            if descriptor is not None:
                listed.append(replace(descriptor, annotations={**descriptor.annotations, REF_NAME: name}))
        return before

    @contextmanager
    def _changing(self) -> Iterator[list[Descriptor]]:
        """What the index lists; as it is when the block ends well it is written."""
        try:
            with only_one(self.root / ".lock"):
                index = self._index()
                listed = [Descriptor.from_json(m, str(self.root / "index.json")) for m in index["manifests"]]
                yield listed
                self._write_index({**index, "manifests": [d.to_json() for d in listed]})
        except OSError as e:
            raise self.unwritable(e) from e

    def _index(self) -> dict[str, Any]:
        path = self.root / "index.json"
        try:
            found = json_object(path.read_bytes(), str(path))
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        if not isinstance(found.get("manifests"), list):
            raise BadArtefact(f"{path}: has no list of manifests; not an OCI image layout")
        return found

    def _write_index(self, index: dict[str, Any]) -> None:
        handle, name = tempfile.mkstemp(prefix=WRITING, dir=self.root)
        try:
            with os.fdopen(handle, "wb") as f:
                f.write(canonical_json(index))
                f.flush()
                os.fsync(f.fileno())
            os.chmod(name, 0o644)
            os.replace(name, self.root / "index.json")
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)


def damaged(path: Path) -> VerificationFailed:
    """Set a blob aside whose bytes are wrong; what to tell of it."""
    gone = set_aside(path)
    way = "it is set aside; get or build it again" if gone else "remove it, and get or build it again"
    return VerificationFailed(f"{path}: not the bytes that its name says; {way}")


def set_aside(path: Path) -> bool:
    """Take a damaged blob out of the way, under a name that garbage collection removes a day later; whether it went."""
    try:
        os.replace(path, path.with_name(ASIDE + path.name))
    except OSError:  # of somebody else, or read only
        return False
    return True


def json_object(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object, or BadArtefact (naming `where`)."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise BadArtefact(f"{where}: not JSON ({e})") from e
    if not isinstance(found, dict):
        raise BadArtefact(f"{where}: expected a JSON object, found {type(found).__name__}")
    return found
