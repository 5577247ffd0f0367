"""Unfinished: what a registry had got of a blob before the sender was killed is not sent again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gantline.errors import Unavailable
from gantline.oci.image import Image
from gantline.oci.store import Store
from gantline.oci.unfinished import KEPT_S, sweep, unfinished
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import Answer, Registry
from tests.oci.test_push import CHUNK, noise, pushed

# push, and be killed when so many bytes of a blob are on their way
KILLED = """
import os, signal, sys
from pathlib import Path
from gantline.oci.push import push
from gantline.oci.reference import Reference
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport

store, reference = Store(Path(sys.argv[1])), Reference.parse(sys.argv[2])

def told(step):
    if step.at > int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

with Transport.of(reference) as transport:
    push(store, store.find("big"), Remote.of(transport, reference), reference, told, 1, int(sys.argv[3]))
"""


@pytest.fixture
def big(store: Store, make_image: MakeImage) -> Image:
    """Its layer is several chunks long."""
    image = make_image("linux/amd64", b"x", noise(8 * CHUNK))
    store.name("big", image.descriptor)
    return image


def size_of(image: Image) -> int:
    return image.config_descriptor.size + sum(layer.size for layer in image.layers)


def left(store: Store) -> list[Path]:
    return list((store.root / "unfinished").iterdir())


@pytest.mark.parametrize("at", [5 * CHUNK - 1, 6 * CHUNK, 7 * CHUNK + 1000])
def test_a_push_that_is_killed_is_gone_on_with(registry: Registry, store: Store, big: Image, at: int) -> None:
    reference = f"oci://{registry.host}/team/iris:1"
    words = [sys.executable, "-c", KILLED, str(store.root), reference, str(CHUNK), str(at)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == -9, done.stderr
    assert registry.received > at - 2 * CHUNK and len(left(store)) == 2
    assert pushed(registry, store, big.descriptor).wire < size_of(big) - at + CHUNK
    assert size_of(big) <= registry.received <= size_of(big) + CHUNK
    assert left(store) == [] and registry.uploads == {}


def test_a_push_whose_registry_was_away_too_long(registry: Registry, store: Store, big: Image) -> None:
    registry.answers = [Answer("PATCH", "state=524288", 503, times=99)]
    with pytest.raises(Unavailable, match="503"):
        pushed(registry, store, big.descriptor)
    assert len(registry.uploads) == 1 and registry.count("DELETE") == 0
    registry.answers = []
    pushed(registry, store, big.descriptor)
    assert registry.received == size_of(big) and left(store) == []


@pytest.mark.parametrize("location", ["{base}/v2/team/iris/blobs/uploads/gone", "http://127.0.0.1:1/x", "nonsense"])
def test_what_is_no_longer_there_costs_sending_again(
    registry: Registry, store: Store, big: Image, location: str
) -> None:
    digest = max(big.layers, key=lambda layer: layer.size).digest
    with unfinished(store, digest, f"{registry.host}/team/iris") as memory:
        memory.at(location.format(base=registry.base))
    pushed(registry, store, big.descriptor)
    assert registry.received == size_of(big) and left(store) == []


def test_one_process_remembers(store: Store) -> None:
    with unfinished(store, "sha256:1", "h/a") as first, unfinished(store, "sha256:1", "h/a") as second:
        first.at("http://h/1")
        second.at("http://h/2")
        assert (first.location, second.location) == ("http://h/1", "")
        with unfinished(store, "sha256:1", "h/b") as other:
            assert other.location == ""
    with unfinished(store, "sha256:1", "h/a") as later:
        assert later.location == "http://h/1"
        (path,) = (p for p in left(store) if not p.suffix)
        if os.name == "posix":
            assert path.stat().st_mode & 0o777 == 0o600
        later.over()
    assert left(store) == []


def test_what_nobody_goes_on_with_is_forgotten(store: Store) -> None:
    with unfinished(store, "sha256:1", "h/a") as memory:
        memory.at("http://h/1")
    sweep(store)
    assert len(left(store)) == 2
    (path,) = (p for p in left(store) if not p.suffix)
    sweep(store, path.stat().st_mtime + KEPT_S + 1)
    assert left(store) == []
