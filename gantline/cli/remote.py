"""Remote: the flags by which commands reach a running server, and the client that they make."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import BadArtefact


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which server, with whose key, and how long its answer may take."""
    parser.add_argument("--url", help="the server (default: GANTLINE_URL, then http://127.0.0.1:8000)")
    asking(parser)


def asking(parser: argparse.ArgumentParser) -> None:
    """With whose key, and how long its answer may take."""
    add = parser.add_argument
    add("--key-file", type=Path, metavar="FILE", help="file that holds an API key (default: the key in GANTLINE_KEY)")
    add("--timeout", type=float, default=60.0, metavar="S", help="seconds that the call may take (default 60)")


def key_of(file: Path | None) -> str | None:
    """The key to send: whoever types a command with GANTLINE_KEY set means the server that it names."""
    if file is None:
        from ..client.exchange import KEY_VARIABLE

        return os.environ.get(KEY_VARIABLE)
    try:
        return file.read_text("ascii").strip()
    except OSError as e:
        raise BadArtefact(f"--key-file {file}: cannot be read: {e.strerror}") from e
    except UnicodeDecodeError:
        raise BadArtefact(f"--key-file {file}: not a key: it is not ASCII text") from None
