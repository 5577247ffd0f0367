"""What an image starts: `gantline serve`, with what container platforms say by variables; and its health check.

`python -m gantline.cli.contained REF ...`, `python -m gantline.cli.contained --healthy`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, MutableMapping, Sequence

PORT = "PORT"  # Cloud Run, Knative, Heroku and others say so where they send requests
HTTP_PORT = "GANTLINE_HTTP_PORT"
_TIMEOUT_S = 4.0
_SHARED_MEMORY = "/dev/shm"


def main(argv: Sequence[str], variables: MutableMapping[str, str]) -> int:
    """Serve until told to stop, or ask the server in this container whether it is ready; an exit code."""
    if list(argv) == ["--healthy"]:
        return 0 if healthy(variables) else 1
    translate(variables)
    find_room(variables)
    from . import main as gantline

    return gantline(["serve", *argv])


def translate(variables: MutableMapping[str, str]) -> None:
    """PORT becomes the HTTP port, unless a setting of ours says another."""
    if variables.get(PORT) and not variables.get(HTTP_PORT):
        variables[HTTP_PORT] = variables[PORT]


def find_room(variables: MutableMapping[str, str]) -> None:
    """On a root that is read-only: files that last for a while go to shared memory, which containers have."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        variables["TMPDIR"] = _SHARED_MEMORY
        tempfile.tempdir = None  # it is looked for once more


def healthy(variables: Mapping[str, str]) -> bool:
    """Whether the server is ready: all models loaded, golden samples answered, and not about to stop."""
    import http.client  # with ssl and email 20 ms that a server need not wait for
    import ssl

    port = int(variables.get(HTTP_PORT) or variables.get(PORT) or 8000)
    connection: http.client.HTTPConnection
    if variables.get("GANTLINE_TLS_CERTIFICATE"):
        # the certificate is for the name that clients use: this asks the process next door, not who it is
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
