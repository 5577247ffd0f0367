"""What `kubectl port-forward` prints, and what it prints where it cannot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gantline.builders.deploy.forwarding import forwarded

from gantline.errors import Unavailable


def test_the_port() -> None:
    assert forwarded([b"Forwarding from 127.0.0.1:40123 -> 8000\n"], "it") == "http://127.0.0.1:40123"
    with pytest.raises(Unavailable, match="it: kubectl forwarded no port"):
        forwarded([], "it")


def test_its_last_words() -> None:
    def lines() -> Iterator[bytes]:
        yield b"error: pod is not running\n"
        raise Unavailable("exit code 1")

    with pytest.raises(Unavailable, match="it: exit code 1: error: pod is not running"):
        forwarded(lines(), "it")
