"""Raw: the request and response objects of `@rawhttp` scripts where neither Flask nor Werkzeug is installed.

They offer what scoring scripts use of Flask's; forms and files need Werkzeug, and say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl


class MultiDict(dict[str, Any]):
    """The first value by key; all of them by getlist()."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        self._all: dict[str, list[str]] = {}
        for key, value in pairs:
            self._all.setdefault(key, []).append(value)
            self.setdefault(key, value)

    def getlist(self, key: str) -> list[str]:
        return list(self._all.get(key, ()))

    def to_dict(self, flat: bool = True) -> dict[str, Any]:
        return dict(self) if flat else {k: list(v) for k, v in self._all.items()}


class Headers:
    """Headers by name in any case, several values for a name kept."""

    def __init__(self, pairs: list[tuple[str, str]] | None = None) -> None:
        self._pairs = list(pairs or ())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(list(self._pairs))

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __getitem__(self, name: str) -> str:
        value: str | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.remove(name)
        self.add(name, value)

    def __delitem__(self, name: str) -> None:
        self.remove(name)

    def get(self, name: str, default: Any = None) -> Any:
        return next((v for k, v in self._pairs if k.lower() == name.lower()), default)

    def getlist(self, name: str) -> list[str]:
        return [v for k, v in self._pairs if k.lower() == name.lower()]

    def items(self) -> Iterator[tuple[str, str]]:
        return iter(list(self._pairs))

    def keys(self) -> Iterator[str]:
        return (k for k, _ in list(self._pairs))

    def add(self, name: str, value: Any) -> None:
        self._pairs.append((name, str(value)))

    add_header = add
    set = __setitem__

    def remove(self, name: str) -> None:
        self._pairs = [(k, v) for k, v in self._pairs if k.lower() != name.lower()]


class Request:
    """An HTTP request, read whole."""

    def __init__(self, method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.method = method
        self.path = path
        self.query_string = query.encode("latin-1")
        self.args = MultiDict(parse_qsl(query, keep_blank_values=True, errors="replace"))
        self.headers = Headers(headers)
        self.data = body
        self.content_type: str | None = self.headers.get("Content-Type")
        self.mimetype = (self.content_type or "").partition(";")[0].strip().lower()
        self.content_length = len(body)
        self.is_json = is_json(self.mimetype)
        self.host: str = self.headers.get("Host", "")
        self.full_path = f"{path}?{query}"
        self.url = f"http://{self.host}{path}" + (f"?{query}" if query else "")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this request has no {name!r}: add werkzeug to the package's requirements for all of it")

    def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        return self.data.decode() if as_text else self.data

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        if not (force or self.is_json):
            if silent:
                return None
            raise ValueError("Content-Type was not 'application/json'")
        try:
            return json.loads(self.data)
        except ValueError:
            if silent:
                return None
            raise

    @property
    def json(self) -> Any:
        return self.get_json()


class Response:
    """An HTTP answer."""

    def __init__(
        self, response: Any = None, status: int = 200, headers: Mapping[str, str] | None = None,
        mimetype: str | None = None, content_type: str | None = None,
    ) -> None:  # fmt: skip
        self._body = b""
        self.status_code = int(status)
        self.headers = Headers(list((headers or {}).items()))
        if content_type is None:
            content_type = mimetype or "text/html"
            if content_type.startswith("text/"):
                content_type += "; charset=utf-8"
        if "Content-Type" not in self.headers:
            self.headers["Content-Type"] = content_type
        if response is not None:
            whole = isinstance(response, str | bytes | bytearray)
            self.set_data(response if whole else b"".join(map(_bytes, response)))

    @property
    def content_type(self) -> str | None:
        value: str | None = self.headers.get("Content-Type")
        return value

    @content_type.setter
    def content_type(self, value: str) -> None:
        self.headers["Content-Type"] = value

    def get_data(self, as_text: bool = False) -> Any:
        return self._body.decode() if as_text else self._body

    def set_data(self, value: str | bytes | bytearray) -> None:
        self._body = _bytes(value)

    data = property(get_data, set_data)


def is_json(mimetype: str) -> bool:
    """Whether a media type (without parameters) says JSON."""
    return mimetype == "application/json" or (mimetype.startswith("application/") and mimetype.endswith("+json"))


def request_of(method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes) -> Any:
    """Flask's or Werkzeug's own request where installed, else ours."""
    try:
        from werkzeug.wrappers import Request as Full
    except ImportError:
        return Request(method, path, query, headers, body)
    import io

    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(),
        "wsgi.input_terminated": True, "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    for name, value in headers:
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value
        elif key != "CONTENT_LENGTH":
            key = "HTTP_" + key
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    return Full(environ)


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
