"""A plain uvicorn raw-ASGI echo: the ceiling of uvicorn's workers. `python echo_server.py PORT [WORKERS]`"""

from __future__ import annotations

import sys

import uvicorn
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    uvicorn.run(
        app if workers == 1 else "echo_server:app", port=int(sys.argv[1]), workers=workers, loop="uvloop",
        http="httptools", access_log=False, log_level="warning", lifespan="off",
    )  # fmt: skip
