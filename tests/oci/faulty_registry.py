"""A registry by the distribution specification 1.1, in memory, that goes wrong when told to and counts what it got."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PIECE = 1 << 16
_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+?)/(?P<what>blobs/uploads|blobs|manifests|tags|referrers)/(?P<rest>.*)")


@dataclass
class Answer:
    """Given instead of the right one, `times` times, to requests of a method whose path has `path` in it."""

    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    times: int = 1
    lost: int = 0  # bytes behind the body that are promised, and cut


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Registry:
    """What it holds, what it is to do wrong, and what has come."""

    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)  # by repository and digest
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)  # by repository and tag or digest
    uploads: dict[str, bytearray] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    received: int = 0  # bytes of blobs
    # faults
    answers: list[Answer] = field(default_factory=list)
    cut_uploads: list[int] = field(default_factory=list)  # cut when an upload has so many bytes; each once
    dies_at: int = 0  # having received so much it cuts whatever comes
    cut_after_upload: int = 0  # so many closing answers get lost, though all was kept
    cut_blobs: list[int] = field(default_factory=list)  # cut a blob's answer after so many bytes; each once
    stall: threading.Event | None = None  # in the middle of a blob, until this is set
    stalled: threading.Event = field(default_factory=threading.Event)
    forgets_cut_uploads: bool = False  # as docker-registry does
    changed: dict[str, bytes] = field(default_factory=dict)  # digest -> what is sent instead
    takes_chunks: bool = True
    ignores_ranges: bool = False
    has_referrers: bool = True
    blobs_elsewhere: str = ""  # redirect blobs there
    # who may
    scheme: str = ""  # "", "basic" or "bearer"
    user: str = "ann"
    password: str = "s3cret"
    identity_token: str = ""
    tokens: dict[str, tuple[float, str]] = field(default_factory=dict)  # end, scopes
    token_life_s: float = 300.0
    realm: str = ""
    base: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        return self.base.partition("://")[2]

    def count(self, method: str, path: str = "") -> int:
        """How many requests of a method have come for such a path."""
        return sum(s.method == method and path in s.path for s in self.seen)

    @contextmanager
    def serving(self, tls: ssl.SSLContext | None = None) -> Iterator[Registry]:
        handler = type("Handler", (_Handler,), {"registry": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Cut(Exception): ...


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (_Cut, ConnectionError, ssl.SSLError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        r = self.registry
        with r.lock:
            if r.dies_at and r.received >= r.dies_at:
                raise _Cut
            r.seen.append(Seen(self.command, self.path, dict(self.headers)))
            canned = next((a for a in r.answers if a.method == self.command and a.path in self.path and a.times), None)
            if canned is not None:
                canned.times -= 1
        if canned is not None:
            self._drain()
            self._answer(canned.status, canned.headers, canned.body, canned.lost)
        elif self.path.startswith("/token"):
            self._token()
        elif self.path.startswith("/elsewhere/"):
            self._blob(next(d for (_, d) in r.blobs if d in self.path))
        elif self._may():
            self._route()

    def _route(self) -> None:
        parts = urlsplit(self.path)
        match = _PATH.fullmatch(parts.path)
        if match is None:
            self._answer(200 if parts.path == "/v2/" else 404)
            return
        self.name, rest = match["name"], match["rest"]
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        if match["what"] == "blobs/uploads":
            self._upload(rest, query)
        elif match["what"] == "blobs":
            self._blob(rest)
        elif match["what"] == "manifests":
            self._manifest(rest)
        elif match["what"] == "tags":
            self._tags(query)
        else:
            self._referrers(rest)

    # blobs

    def _blob(self, digest: str) -> None:
        r = self.registry
        data = r.blobs.get((getattr(self, "name", ""), digest))
        if self.path.startswith("/elsewhere/"):
            data = next(v for (_, d), v in r.blobs.items() if d == digest)
        if data is None:
            self._error(404, "BLOB_UNKNOWN", "blob unknown to registry")
            return
        if r.blobs_elsewhere and self.command == "GET" and not self.path.startswith("/elsewhere/"):
            self._answer(307, {"Location": f"{r.blobs_elsewhere}/elsewhere/{digest}"})
            return
        data = r.changed.get(digest, data)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and not r.ignores_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if r.stall is not None:
            self.wfile.write(data[start : start + len(data) // 2])
            r.stalled.set()
            r.stall.wait(60)
            raise _Cut
        with r.lock:
            cut = r.cut_blobs.pop(0) if r.cut_blobs else None
        self.wfile.write(data[start : None if cut is None else start + cut])
        if cut is not None:
            raise _Cut

    def _upload(self, session: str, query: dict[str, str]) -> None:
        r = self.registry
        if self.command == "POST":
            self._begin(query)
            return
        kept = r.uploads.get(session)
        if kept is None:
            self._drain()
            self._error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
        elif self.command == "GET":
            self._stands(204, session, kept)
        elif self.command == "DELETE":
            del r.uploads[session]
            self._answer(204)
        elif self.command == "PATCH":
            self._patch(session, kept)
        elif self.command == "PUT":
            self._receive(session, kept)
            self._close(session, kept, query["digest"])

    def _begin(self, query: dict[str, str]) -> None:
        r = self.registry
        data = r.blobs.get((query.get("from", ""), query.get("mount", "")))
        if data is not None:
            r.blobs[self.name, query["mount"]] = data
            self._answer(201, {"Location": f"/v2/{self.name}/blobs/{query['mount']}"})
            return
        session = uuid.uuid4().hex
        r.uploads[session] = bytearray()
        self._answer(202, {"Location": f"/v2/{self.name}/blobs/uploads/{session}?state=1"})

    def _patch(self, session: str, kept: bytearray) -> None:
        begins = re.match(r"(\d+)-", self.headers.get("Content-Range", ""))
        if not self.registry.takes_chunks:
            self._drain()
            self._error(405, "UNSUPPORTED", "no chunks here")
        elif begins is not None and int(begins[1]) != len(kept):
            self._drain()
            self._error(416, "RANGE_INVALID", "not where it ended")
        else:
            self._receive(session, kept)
            self._stands(202, session, kept)

    def _stands(self, status: int, session: str, kept: bytearray) -> None:
        location = f"/v2/{self.name}/blobs/uploads/{session}?state={len(kept)}"
        self._answer(status, {"Location": location, "Range": f"0-{max(0, len(kept) - 1)}"})

    def _receive(self, session: str, kept: bytearray) -> None:
        r = self.registry
        left = int(self.headers.get("Content-Length", 0))
        if r.stall is not None and left:
            kept += self.rfile.read(left // 2)
            r.stalled.set()
            r.stall.wait(60)
            raise _Cut
        while left:
            with r.lock:
                cut = min((at for at in r.cut_uploads if at > len(kept)), default=None)
            most = min(left, _PIECE, cut - len(kept) if cut is not None else _PIECE)
            piece = self.rfile.read(most)
            if not piece:
                raise _Cut
            kept += piece
            left -= len(piece)
            with r.lock:
                r.received += len(piece)
                if cut is not None and len(kept) == cut:
                    r.cut_uploads.remove(cut)
                    if r.forgets_cut_uploads:
                        del r.uploads[session]
                    raise _Cut

    def _close(self, session: str, kept: bytearray, digest: str) -> None:
        r = self.registry
        del r.uploads[session]
        if digest != digest_of(bytes(kept)):
            self._error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            return
        r.blobs[self.name, digest] = bytes(kept)
        if r.cut_after_upload:
            r.cut_after_upload -= 1
            raise _Cut
        self._answer(201, {"Location": f"/v2/{self.name}/blobs/{digest}", "Docker-Content-Digest": digest})

    # manifests

    def _manifest(self, target: str) -> None:
        r = self.registry
        if self.command == "PUT":
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self._keep(target, data)
            return
        found = r.manifests.get((self.name, target))
        if found is None:
            self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        kind, data = found
        data = r.changed.get(digest_of(data), data)
        self._answer(200, {"Content-Type": kind, "Docker-Content-Digest": digest_of(found[1])}, data)

    def _keep(self, target: str, data: bytes) -> None:
        r = self.registry
        tree = json.loads(data)
        digest = digest_of(data)
        for part in tree.get("manifests", []):
            if (self.name, part["digest"]) not in r.manifests:
                self._error(400, "MANIFEST_BLOB_UNKNOWN", f"{part['digest']} is not here")
                return
        for part in [*tree.get("layers", []), *([tree["config"]] if "config" in tree else [])]:
            if (self.name, part["digest"]) not in r.blobs:
                self._error(400, "MANIFEST_BLOB_UNKNOWN", f"{part['digest']} is not here")
                return
        headers = {"Docker-Content-Digest": digest}
        if "subject" in tree and r.has_referrers:
            headers["OCI-Subject"] = tree["subject"]["digest"]
        for name in (target, digest):
            r.manifests[self.name, name] = (self.headers["Content-Type"], data)
        self._answer(201, headers)

    def _tags(self, query: dict[str, str]) -> None:
        tags = sorted(t for n, t in self.registry.manifests if n == self.name and ":" not in t)
        left = [t for t in tags if t > query.get("last", "")]
        page = left[:2]
        link = f'</v2/{self.name}/tags/list?n=2&last={page[-1]}>; rel="next"' if len(left) > 2 else ""
        body = json.dumps({"name": self.name, "tags": page}).encode()
        self._answer(200, {"Link": link} if link else {}, body)

    def _referrers(self, digest: str) -> None:
        r = self.registry
        if not r.has_referrers:
            self._answer(404)
            return
        listed = {}
        for (name, _), (kind, data) in r.manifests.items():
            tree = json.loads(data)
            if name == self.name and tree.get("subject", {}).get("digest") == digest:
                one = {"mediaType": kind, "digest": digest_of(data), "size": len(data)}
                listed[one["digest"]] = {**one, "artifactType": tree.get("artifactType", "")}
        body = json.dumps({"schemaVersion": 2, "manifests": list(listed.values())}).encode()
        self._answer(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, body)

    # who may

    def _may(self) -> bool:
        r = self.registry
        said = self.headers.get("Authorization", "")
        if not r.scheme or (r.scheme == "basic" and said == self._basic()):
            return True
        if r.scheme == "bearer":
            until, scopes = r.tokens.get(said.removeprefix("Bearer "), (0.0, ""))
            writes = self.command not in ("GET", "HEAD")
            if time.monotonic() < until and (not writes or "push" in scopes):
                return True
        self._drain()
        realm = r.realm or f"{r.base}/token"
        challenge = f'Bearer realm="{realm}",service="reg, istry"' if r.scheme == "bearer" else 'Basic realm="x"'
        self._error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})
        return False

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.registry.user}:{self.registry.password}".encode()).decode()

    def _token(self) -> None:
        r = self.registry
        if self.command == "POST":
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            known = form["refresh_token"] == [r.identity_token] and form["grant_type"] == ["refresh_token"]
            scopes = form["scope"][0]
        else:
            known = self.headers.get("Authorization") == self._basic()
            scopes = " ".join(parse_qs(urlsplit(self.path).query).get("scope", []))
        if not known:
            self._error(401, "UNAUTHORIZED", "no such user")
            return
        token = uuid.uuid4().hex
        r.tokens[token] = (time.monotonic() + r.token_life_s, scopes)
        self._answer(200, {}, json.dumps({"token": token, "expires_in": 300}).encode())

    # answers

    def _drain(self) -> None:
        left = int(self.headers.get("Content-Length", 0))
        while left:
            left -= len(self.rfile.read(min(left, _PIECE)))

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self._answer(status, headers or {}, body)

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", lost: int = 0) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + lost))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")
        if lost:
            raise _Cut


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
