"""The distribution protocol's routes: one function for what is asked of each kind of address."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gantline.errors import GantlineError, Unavailable, UsageError, VerificationFailed
from gantline.oci.descriptor import INDEX
from gantline.oci.store import Store

from .guard import Guard
from .refusal import Refusal
from .shelves import LONGEST, REPOSITORY, Shelves
from .uploads import Uploads

VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
_NAME = rf"(?P<name>{REPOSITORY})"
_DIGEST = r"(?P<digest>sha256:[0-9a-f]{64})"
_SHA256 = "sha256:<64 hexadecimal digits>"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_LONGEST_NAME = 255
_MOST = 1000  # names in one answer
Answer = Callable[[Request, dict[str, str]], Awaitable[Response]]


class Distribution:
    """The registry as an ASGI application, and what answers each address."""

    def __init__(self, store: Store, guard: Guard) -> None:
        self._shelves = Shelves(store)
        self._store = store
        self._uploads = Uploads(store)
        self._guard = guard
        self._changing = asyncio.Lock()  # manifests: a tag and an index of referrers are read, changed and written
        table: list[tuple[str, dict[str, Answer]]] = [
            (r"", {"GET": self._ping}),
            (r"_catalog", {"GET": self._catalogue}),
            (rf"{_NAME}/tags/list", {"GET": self._tags}),
            (rf"{_NAME}/manifests/(?P<reference>[^/]+)",
             {"GET": self._manifest, "PUT": self._put_manifest, "DELETE": self._delete_manifest}),
            (rf"{_NAME}/referrers/{_DIGEST}", {"GET": self._referrers}),
            (rf"{_NAME}/blobs/uploads/?", {"POST": self._begin}),
            (rf"{_NAME}/blobs/(?P<digest>[^/]+)", {"GET": self._blob}),
            (rf"{_NAME}/blobs/uploads/(?P<upload>[0-9a-f-]{{36}})",
             {"GET": self._progress, "PATCH": self._append, "PUT": self._finish, "DELETE": self._cancel}),
        ]  # fmt: skip
        self._table = [(re.compile(pattern), answers) for pattern, answers in table]
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        self.app = Starlette(
            routes=[
                Route("/", lambda _: RedirectResponse("/v2/"), methods=["GET"]),
                Route("/v2", lambda _: RedirectResponse("/v2/"), methods=["GET"]),
                Route("/v2/{rest:path}", self._answer, methods=methods),
            ]
        )

    async def _answer(self, request: Request) -> Response:
        try:
            answer = await self._routed(request)
        except Refusal as e:
            answer = e.answer()
        except Unavailable as e:
            answer = Refusal(507, "UNKNOWN", e.message).answer()
        except (UsageError, VerificationFailed) as e:  # what is here is damaged, or may not be written
            answer = Refusal(500, "UNKNOWN", e.message).answer()
        except GantlineError as e:  # what a client sent is damaged
            answer = Refusal(400, "MANIFEST_INVALID", e.message).answer()
        except ClientDisconnect:
            return Response(status_code=499)
        answer.headers.update(VERSION)
        return answer

    async def _routed(self, request: Request) -> Response:
        rest = request.path_params["rest"]
        for pattern, answers in self._table:
            match = pattern.fullmatch(rest)
            if match is None:
                continue
            words = {key: value for key, value in match.groupdict().items() if value is not None}
            if len(words.get("name", "")) > _LONGEST_NAME:
                raise Refusal(400, "NAME_INVALID", f"a repository's name has {_LONGEST_NAME} characters at most")
            method = "GET" if request.method == "HEAD" else request.method
            self._guard.admit(request, method, words.get("name"))
            if method not in answers:
                allowed = ", ".join(sorted(answers))
                raise Refusal(405, "UNSUPPORTED", f"{method} is not for this address", {"Allow": allowed})
            return await answers[method](request, words)
        self._guard.admit(request, "GET", None)
        raise Refusal(404, "NAME_INVALID", "no such address; repositories have lower case names")

    # what there is

    async def _ping(self, request: Request, words: dict[str, str]) -> Response:
        return JSONResponse({})

    async def _catalogue(self, request: Request, words: dict[str, str]) -> Response:
        found = [name for name in self._shelves.repositories() if self._guard.shows(request, name)]
        return _page(request, "repositories", found, {})

    async def _tags(self, request: Request, words: dict[str, str]) -> Response:
        return _page(request, "tags", self._shelves.tags(words["name"]), {"name": words["name"]})

    async def _manifest(self, request: Request, words: dict[str, str]) -> Response:
        if not re.fullmatch(f"{_TAG}|{_DIGEST}", words["reference"]):
            raise Refusal(404, "MANIFEST_UNKNOWN", f"neither a tag nor {_SHA256}")
        found = self._shelves.manifest(words["name"], words["reference"])
        data = b"" if request.method == "HEAD" else self._store.read(found)
        headers = {
            "Docker-Content-Digest": found.digest,
            "Content-Length": str(found.size),
            "ETag": f'"{found.digest}"',
        }
        return Response(data, media_type=found.media_type, headers=headers)

    async def _referrers(self, request: Request, words: dict[str, str]) -> Response:
        index = self._shelves.referrers(words["name"], words["digest"])
        headers = {}
        if kind := request.query_params.get("artifactType"):
            index = {**index, "manifests": [m for m in index["manifests"] if m.get("artifactType") == kind]}
            headers["OCI-Filters-Applied"] = "artifactType"
        return JSONResponse(index, media_type=INDEX, headers=headers)

    async def _blob(self, request: Request, words: dict[str, str]) -> Response:
        digest = words["digest"]
        if not re.fullmatch(_DIGEST, digest):
            raise Refusal(404, "BLOB_UNKNOWN", f"not {_SHA256}")
        path = self._store.path(digest)
        if not self._store.has(digest):  # which keeps it for a day: a client that sees it does not send it
            raise Refusal(404, "BLOB_UNKNOWN", f"no blob {digest}")
        headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        _keep_one_range(request, path.stat().st_size)
        return FileResponse(path, headers=headers, media_type="application/octet-stream")

    # what comes

    async def _begin(self, request: Request, words: dict[str, str]) -> Response:
        query, name = request.query_params, words["name"]
        mount = query.get("mount", "")
        if re.fullmatch(_DIGEST, mount) and self._store.has(mount):
            return _created(f"/v2/{name}/blobs/{mount}", mount)
        digest = query.get("digest")
        if digest is not None:
            _checked(digest)
        upload = self._uploads.begin()
        if digest is not None:
            try:
                await self._uploads.append(upload, request.stream(), None)
            except (Refusal, ClientDisconnect):  # nobody was told its name: it cannot be gone on with
                self._uploads.cancel(upload)
                raise
            return await self._whole(name, upload, digest)
        return self._going_on(name, upload, 0)

    async def _append(self, request: Request, words: dict[str, str]) -> Response:
        size = await self._uploads.append(words["upload"], request.stream(), _start(request))
        return self._going_on(words["name"], words["upload"], size)

    async def _finish(self, request: Request, words: dict[str, str]) -> Response:
        digest = request.query_params.get("digest", "")
        _checked(digest)
        await self._uploads.append(words["upload"], request.stream(), _start(request))
        return await self._whole(words["name"], words["upload"], digest)

    async def _whole(self, name: str, upload: str, digest: str) -> Response:
        _checked(digest)
        await self._uploads.finish(upload, digest)
        return _created(f"/v2/{name}/blobs/{digest}", digest)

    async def _progress(self, request: Request, words: dict[str, str]) -> Response:
        answer = self._going_on(words["name"], words["upload"], await self._uploads.settled(words["upload"]))
        answer.status_code = 204
        return answer

    async def _cancel(self, request: Request, words: dict[str, str]) -> Response:
        self._uploads.cancel(words["upload"])
        return Response(status_code=204)

    def _going_on(self, name: str, upload: str, size: int) -> Response:
        headers = {"Location": f"/v2/{name}/blobs/uploads/{upload}", "Docker-Upload-UUID": upload}
        return Response(status_code=202, headers={**headers, "Range": f"0-{max(size - 1, 0)}"})

    async def _put_manifest(self, request: Request, words: dict[str, str]) -> Response:
        if ":" in words["reference"]:
            _checked(words["reference"])
        elif not re.fullmatch(_TAG, words["reference"]):
            raise Refusal(400, "MANIFEST_INVALID", "a tag has 1 to 128 letters, digits, '_', '.' or '-'")
        data = b""
        async for chunk in request.stream():
            data += chunk
            if len(data) > LONGEST:
                raise Refusal(413, "SIZE_INVALID", f"a manifest has {LONGEST} bytes at most")
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        async with self._changing:
            found, subject = self._shelves.put(words["name"], words["reference"], data, kind)
        answer = _created(f"/v2/{words['name']}/manifests/{found.digest}", found.digest)
        if subject:
            answer.headers["OCI-Subject"] = subject
        return answer

    async def _delete_manifest(self, request: Request, words: dict[str, str]) -> Response:
        async with self._changing:
            self._shelves.remove(words["name"], words["reference"])
        return Response(status_code=202)


def _created(location: str, digest: str) -> Response:
    return Response(status_code=201, headers={"Location": location, "Docker-Content-Digest": digest})


def _checked(digest: str) -> None:
    if not re.fullmatch(_DIGEST, digest):
        raise Refusal(400, "DIGEST_INVALID", f"the digest is not {_SHA256}, the one algorithm that is kept here")


def _keep_one_range(request: Request, size: int) -> None:
    """What RFC 9110 lets a server ignore is taken for not asked: several ranges, and what is no range of bytes."""
    asked = request.headers.get("range")
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", asked or "")
    if match is not None and all(match.groups()) and int(match[1]) > int(match[2]) and request.method == "GET":
        raise Refusal(416, "SIZE_INVALID", f"{asked}: ends before it begins", {"Content-Range": f"bytes */{size}"})
    if match is None or not any(match.groups()) or request.method == "HEAD":
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]


def _start(request: Request) -> int | None:
    """Where a piece begins, if the client says so: `0-99`, or `bytes 0-99/*` as some have it."""
    match = re.match(r"(?:bytes )?(\d{1,18})-\d+", request.headers.get("content-range", ""))
    return int(match[1]) if match else None


def _page(request: Request, key: str, names: list[str], more: dict[str, Any]) -> Response:
    """Up to `n` names after `last`, and a link to the next ones."""
    text = request.query_params.get("n", "")
    most = min(int(text), _MOST) if text.isdecimal() and len(text) < 10 else _MOST
    last = request.query_params.get("last", "")
    rest = [name for name in names if name > last]
    shown = rest[:most]
    headers = {}
    if len(rest) > len(shown) and shown:
        headers["Link"] = f'<{request.url.path}?n={most}&last={shown[-1]}>; rel="next"'
    return JSONResponse({**more, key: shown}, headers=headers)
