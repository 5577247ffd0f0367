"""Wheels of a few hundred bytes, written here, and an index that serves them over HTTP as it is told to."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from gantline.manifest import EnvironmentRequest, Manifest, ScriptInfo
from gantline.packages import Package, seal

# what the runtime asks for, at versions that its requirements take: pure Python, so that they do for any platform
RUNTIME = {
    "numpy": "2.4.6", "ml_dtypes": "0.5.4", "onnxruntime": "1.31.1", "starlette": "1.10.0", "uvicorn": "0.54.0",
    "httptools": "0.9.0", "uvloop": "0.23.0", "orjson": "3.13.0", "protobuf": "7.36.2", "grpcio": "1.85.1",
}  # fmt: skip
LINUX = {"amd64": "manylinux_2_28_x86_64", "arm64": "manylinux_2_28_aarch64"}
NATIVE = ("numpy", "onnxruntime")  # those that are told apart by platform


def wheel(
    folder: Path, name: str, version: str = "1.0", requires: Sequence[str] = (), tags: str = "py3-none-any",
    python: str = ">=3.8", filler: int = 0,
) -> Path:  # fmt: skip
    """Write one; the same arguments make the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Requires-Python: {python}"]
    lines += [f"Requires-Dist: {one}" for one in requires]
    files = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": "\n".join(lines) + "\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n",
    }
    if filler:
        files[f"{name}/filler.bin"] = "".join(hashlib.sha256(f"{i}".encode()).hexdigest() for i in range(filler // 64))
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{about}/RECORD"))
    path = folder / f"{name}-{version}-{tags}.whl"
    with zipfile.ZipFile(path, "w") as z:
        for inside, text in files.items():
            z.writestr(zipfile.ZipInfo(inside), text)
    return path


def runtime_wheels(folder: Path) -> Path:
    """All that the runtime asks for, with wheels of their own for each platform where the real ones have them."""
    for name, version in RUNTIME.items():
        requires = ["numpy>=1.21"] if name in ("ml_dtypes", "onnxruntime") else []
        tags = [f"cp311-cp311-{one}" for one in LINUX.values()] if name in NATIVE else ["py3-none-any"]
        for one in tags:
            wheel(folder, name, version, requires, one)
    return folder


def package(
    root: Path, requirements: Sequence[str] | None = (), engine: str = "script", python: str = "",
    code: dict[str, str] | None = None, pickles: tuple[str, ...] = (),
) -> Package:  # fmt: skip
    """A sealed package. `requirements` None: the environment `current`; an engine other than `script` has no script."""
    environment = EnvironmentRequest()
    if requirements is not None:
        environment = EnvironmentRequest("requirements", python, tuple(requirements))
    root.mkdir(parents=True)
    for path, text in (code or {"score.py": "def init(): ...\ndef run(data): return data\n"}).items():
        (root / "code" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "code" / path).write_text(text)
    script = ScriptInfo("score.py", pickles=pickles) if engine == "script" else None
    return seal(root, Manifest(root.stem, engine, script=script, environment=environment), {})


class Index:
    """A simple index (PEP 503) of a folder. `cut`: bytes after which a download's connection ends, once a file."""

    def __init__(self, folder: Path, login: str = "", cut: int = 0, hashes: bool = True, ranges: bool = True) -> None:
        self.folder, self.login, self.cut, self.hashes, self.ranges = folder, login, cut, hashes, ranges
        self.asked: list[str] = []
        self.sent: dict[str, int] = {}  # file -> bytes
        self.busy = 0  # so many answers of 503 before the next download
        self.lies: bytes | None = None  # sent instead of a file
        self.port = 0
        self.certificate: Path | None = None  # chain and key in one file: served over TLS then, as localhost
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http{'s://localhost' if self.certificate else '://127.0.0.1'}:{self.port}/simple"

    @property
    def with_login(self) -> str:
        return f"http://{self.login}@127.0.0.1:{self.port}/simple"

    def listing(self, name: str) -> bytes:
        rows = []
        for path in sorted(self.folder.glob("*")):
            if path.name.split("-")[0].lower().replace("_", "-") == name:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                rows.append(f'<a href="/files/{path.name}{f"#sha256={digest}" if self.hashes else ""}">{path.name}</a>')
        return f"<!DOCTYPE html><html><body>{'<br>'.join(rows)}</body></html>".encode() if rows else b""


class Handler(BaseHTTPRequestHandler):
    """Answers for the index that a subclass of it is given."""

    index: Index
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path)
        with self.index.guard:
            self.index.asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        wanted = "Basic " + base64.b64encode(unquote(self.index.login).encode()).decode()
        if self.index.login and self.headers.get("Authorization") != wanted:
            self._answer(401, b"", [("WWW-Authenticate", 'Basic realm="wheels"')])
        elif path.startswith("/simple/"):
            body = self.index.listing(path.split("/")[2])
            self._answer(200 if body else 404, body, [("Content-Type", "text/html")])
        else:
            self._file(self.index.folder / path.rpartition("/")[2])

    def _file(self, path: Path) -> None:
        if self.index.busy:
            self.index.busy -= 1
            return self._answer(503, b"", [("Retry-After", "0")])
        data = path.read_bytes() if self.index.lies is None else self.index.lies
        given = self.headers.get("Range", "") if self.index.ranges else ""
        start = int(given.removeprefix("bytes=").split("-")[0]) if given else 0
        end = int(given.split("-")[1] or len(data) - 1) if given else len(data) - 1
        heads = [("Content-Range", f"bytes {start}-{end}/{len(data)}")] if given else []
        if self.index.ranges:
            heads.append(("Accept-Ranges", "bytes"))
        self._answer(206 if given else 200, data[start : end + 1], heads, path.name)

    def _answer(self, status: int, body: bytes, heads: list[tuple[str, str]], file: str = "") -> None:
        self.send_response(status)
        for name, value in [*heads, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        short = bool(file) and 0 < self.index.cut < len(body) and file not in self.index.sent
        if short:
            body = body[: self.index.cut]
            self.close_connection = True
        with self.index.guard:
            if file:
                self.index.sent[file] = self.index.sent.get(file, 0) + len(body)
        with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has gone
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Says nothing of a client that does not trust it, and leaves."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def serving_index(index: Index) -> Iterator[Index]:
    """Serve it on a free port for a block."""
    handler = type("Handler", (Handler,), {"index": index})
    server = Server(("127.0.0.1", 0), handler)
    index.port = server.server_address[1]
    if index.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(index.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
