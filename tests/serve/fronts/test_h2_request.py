"""What becomes of a request on HTTP/2, and who is refused before the body comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gantline.serve.keys import hashed, new_secret

if TYPE_CHECKING:
    from tests.serve.conftest import Running
    from tests.serve.fronts.conftest import Frames, Rpcs

PATH = "/v2/models/double/infer"
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()


def test_the_content_type_decides_what_is_grpc(frames: Frames, rpcs: Rpcs) -> None:
    message = frames.message(b"a")
    for stream, kind in enumerate(("application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8")):
        frames.send(frames.head(1 + 2 * stream, "/test/Echo", ("content-type", kind)))
        frames.send(frames.data(1 + 2 * stream, message, True))
        reply = frames.reply(1 + 2 * stream)
        assert (reply.body, reply.headers, reply.trailers) == (
            message, {"content-type": "application/grpc"}, {"grpc-status": "0"},
        )  # fmt: skip
    for stream, kind in enumerate(("application/grpc-web", "application/json", "")):
        frames.send(frames.head(11 + 2 * stream, "/test/Echo", ("content-type", kind)))
        reply = frames.reply(11 + 2 * stream)
        assert reply.status == 415 and b"application/grpc" in reply.body
    frames.send(frames.head(21, "/test/Echo", ("content-type", "application/grpc"), method="GET", end=True))
    assert frames.reply(21).status == 404


def test_heads_that_are_too_large(servers: Callable[..., Running], speak: Callable[..., Frames]) -> None:
    server = servers(front="h2", max_header_bytes=2000)
    frames = speak(server)
    long = ("x-long", "y" * 2000)
    frames.send(
        frames.head(1, PATH, long), frames.head(3, "/v2", long, method="GET", end=True), frames.rpc(5, "/a", long)
    )
    assert frames.reply(1).status == frames.reply(3).status == 431
    assert frames.reply(5).headers["grpc-status"] == "8" and "2000 bytes" in frames.reply(5).headers["grpc-message"]
    frames.send(frames.head(7, PATH), frames.data(7, BODY, True))
    assert frames.reply(7).status == 200


def test_keys(servers: Callable[..., Running], speak: Callable[..., Frames], tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    secret = new_secret()
    file.write_text(f'[key.scorer]\nrole = "score"\nprimary = "{hashed(secret)}"\n')
    file.chmod(0o600)
    frames = speak(servers(front="h2", keys=file))
    frames.send(frames.head(1, PATH), frames.head(3, "/v2", method="GET", end=True), frames.head(5, "/v2/none"))
    for stream in (1, 3, 5):
        assert frames.reply(stream).status == 401 and "www-authenticate" in frames.reply(stream).headers
    frames.send(frames.head(7, PATH, ("x-api-key", secret)), frames.data(7, BODY, True))
    frames.send(frames.head(9, "/v2/repository/models/double/load", ("authorization", f"Bearer {secret}"), end=True))
    assert frames.reply(7).status == 200 and frames.reply(9).status == 403
