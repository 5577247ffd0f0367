"""Push: what is not there is sent, once; gone on with after a cut; children before parents, the tag last."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gantline.blobs import canonical_json
from gantline.errors import GantlineError, NotFound, Unavailable, Unreachable, UsageError, VerificationFailed
from gantline.oci.descriptor import INDEX, MANIFEST, Descriptor
from gantline.oci.image import Image, write_index
from gantline.oci.patience import Patience
from gantline.oci.progress import Step
from gantline.oci.push import Pushed, push
from gantline.oci.reference import Reference
from gantline.oci.referrers import attach
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import Answer, Registry

CHUNK = 1 << 18
QUICK = Patience(tries=4, first_s=0.01, longest_s=0.02, most_s=5)


@contextmanager
def remote_of(reference: Reference) -> Iterator[Remote]:
    with Transport(reference.host, reference.api_host, patience=QUICK) as transport:
        yield Remote.of(transport, reference)


def pushed(registry: Registry, store: Store, descriptor: Descriptor, to: str = "team/iris:1") -> Pushed:
    reference = Reference.parse(f"oci://{registry.host}/{to}")
    with remote_of(reference) as remote:
        return push(store, descriptor, remote, reference, chunk=CHUNK)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_everything_arrives_once(registry: Registry, store: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", b"a", noise(1_000_000), b"c")
    blobs = [image.config_descriptor, *image.layers]
    first = pushed(registry, store, image.descriptor)
    assert first.digest == image.descriptor.digest
    assert first.new == sum(b.size for b in blobs) + image.descriptor.size and first.reused == 0
    assert registry.received == first.wire == sum(b.size for b in blobs)
    for blob in blobs:
        assert registry.blobs["team/iris", blob.digest] == store.path(blob.digest).read_bytes()
    assert registry.manifests["team/iris", "1"] == (MANIFEST, store.read(image.descriptor))
    again = pushed(registry, store, image.descriptor)
    assert (again.new, again.wire, again.manifests) == (0, 0, 0) and again.reused == first.new
    assert registry.received == first.wire


def test_one_new_layer_is_all_that_is_sent(registry: Registry, store: Store, make_image: MakeImage) -> None:
    pushed(registry, store, make_image("linux/amd64", noise(500_000), b"old").descriptor)
    before = registry.received
    image = make_image("linux/amd64", noise(500_000), b"new")
    done = pushed(registry, store, image.descriptor, "team/iris:2")
    assert registry.received - before == done.wire == image.layers[1].size + image.config_descriptor.size
    assert done.reused == image.layers[0].size


def test_a_cut_in_the_middle_sends_one_chunk_again_at_most(
    registry: Registry, store: Store, make_image: MakeImage
) -> None:
    image = make_image("linux/amd64", b"x", noise(10 * CHUNK))
    registry.cut_uploads = [3 * CHUNK + 1000, 3 * CHUNK + 2000, 7 * CHUNK + 5]
    done = pushed(registry, store, image.descriptor)
    sizes = image.config_descriptor.size + sum(layer.size for layer in image.layers)
    assert registry.cut_uploads == [] and registry.blobs["team/iris", image.layers[1].digest]
    # what the registry had of a chunk when it was cut is not sent again at all
    assert registry.received == sizes
    assert sizes <= done.wire <= sizes + 3 * CHUNK


def test_a_registry_that_forgets_cut_uploads_gets_that_blob_again(
    registry: Registry, store: Store, make_image: MakeImage
) -> None:
    image = make_image("linux/amd64", b"x", noise(4 * CHUNK))
    registry.cut_uploads, registry.forgets_cut_uploads = [2 * CHUNK + 10], True
    pushed(registry, store, image.descriptor)
    sizes = image.config_descriptor.size + sum(layer.size for layer in image.layers)
    assert registry.received == sizes + 2 * CHUNK + 10


def test_a_lost_last_answer_sends_nothing_again(registry: Registry, store: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", noise(2 * CHUNK))
    registry.cut_after_upload = 2
    pushed(registry, store, image.descriptor)
    assert registry.received == image.config_descriptor.size + image.layers[0].size


def test_a_registry_without_chunks(registry: Registry, store: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", b"x", noise(3 * CHUNK))
    registry.takes_chunks = False
    pushed(registry, store, image.descriptor)
    assert registry.blobs["team/iris", image.layers[1].digest]


def test_a_blob_of_another_repository_is_mounted(registry: Registry, store: Store, make_image: MakeImage) -> None:
    base = noise(700_000)
    pushed(registry, store, make_image("linux/amd64", base).descriptor, "bases/python:3.11")
    before = registry.received
    image = make_image("linux/amd64", base, b"mine")
    done = pushed(registry, store, image.descriptor, "team/iris:1")
    assert done.mounted == image.layers[0].size
    assert registry.received - before == image.layers[1].size + image.config_descriptor.size


def test_an_index_comes_after_its_images(registry: Registry, store: Store, make_image: MakeImage) -> None:
    images = make_image("linux/amd64", b"a"), make_image("linux/arm64", b"b")
    index = write_index(store, images, {})
    done = pushed(registry, store, index)
    puts = [s.path.rpartition("/")[2] for s in registry.seen if s.method == "PUT" and "/manifests/" in s.path]
    assert puts == [images[0].descriptor.digest, images[1].descriptor.digest, "1"] and done.manifests == 3
    assert registry.manifests["team/iris", "1"][0] == INDEX


def about(store: Store, image: Image, words: str) -> Descriptor:
    """A manifest about an image, kept with it."""
    config = store.add(b"{}", "application/vnd.oci.empty.v1+json")
    layer = store.add(words.encode(), "text/plain")
    tree = {
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "text/plain", "config": config.to_json(),
        "layers": [layer.to_json()], "subject": image.descriptor.to_json(),
    }  # fmt: skip
    kept = store.add(canonical_json(tree), MANIFEST)
    referrer = Descriptor(kept.media_type, kept.digest, kept.size, artifact_type="text/plain")
    attach(store, image.descriptor.digest, referrer)
    return referrer


@pytest.mark.parametrize("api", [True, False])
def test_what_is_about_an_image_goes_with_it(
    registry: Registry, store: Store, make_image: MakeImage, api: bool
) -> None:
    registry.has_referrers = api
    image = make_image()
    referrers = [about(store, image, words) for words in ("signed", "made here")]
    pushed(registry, store, image.descriptor)
    tag = image.descriptor.digest.replace(":", "-")
    assert all(("team/iris", r.digest) in registry.manifests for r in referrers)
    assert (("team/iris", tag) in registry.manifests) is not api
    if not api:  # those that others have listed stay
        before = json.loads(registry.manifests["team/iris", tag][1])["manifests"]
        assert [d["digest"] for d in before] == [r.digest for r in referrers]
        third = about(store, image, "scanned")
        pushed(registry, store, image.descriptor)
        after = json.loads(registry.manifests["team/iris", tag][1])["manifests"]
        assert [d["digest"] for d in after] == [*(r.digest for r in referrers), third.digest]


def test_steps_are_told(registry: Registry, store: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", b"a", noise(3 * CHUNK))
    reference = Reference.parse(f"oci://{registry.host}/iris:1")
    steps: list[Step] = []
    with remote_of(reference) as remote:
        push(store, image.descriptor, remote, reference, steps.append, chunk=CHUNK)
    of_one = [s for s in steps if s.digest == image.layers[1].digest]
    assert (of_one[0].state, of_one[-1].state, of_one[-1].at) == ("waiting", "done", image.layers[1].size)
    assert of_one[-1].title == "layer 1" and [s.at for s in of_one] == sorted(s.at for s in of_one)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [(503, Unavailable, "503"), (429, Unavailable, "too many requests"), (500, Unavailable, "500")],
)
def test_trouble_that_passes_and_that_does_not(
    registry: Registry, store: Store, make_image: MakeImage, status: int, kind: type[GantlineError], words: str
) -> None:
    image = make_image()
    registry.answers = [Answer("POST", "uploads", status, {"Retry-After": "0"}, times=3)]
    pushed(registry, store, image.descriptor)
    registry.answers = [Answer("POST", "uploads", status, {"Retry-After": "0"}, times=30)]
    with pytest.raises(kind, match=words):
        pushed(registry, store, make_image("linux/amd64", b"other").descriptor)


def test_a_registry_that_is_gone_in_the_middle(store: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", b"x", noise(6 * CHUNK))
    with Registry().serving() as registry:
        registry.dies_at, registry.cut_uploads = 2 * CHUNK, [2 * CHUNK + 7]
        with pytest.raises(Unreachable, match=r"registry 127\.0\.0\.1:\d+: it closed the connection"):
            pushed(registry, store, image.descriptor)
        assert ("team/iris", "1") not in registry.manifests


def test_what_cannot_be_pushed(registry: Registry, store: Store, make_image: MakeImage) -> None:
    image = make_image()
    with pytest.raises(UsageError, match="what is here has the digest sha256:"):
        pushed(registry, store, image.descriptor, "iris@sha256:" + "0" * 64)
    store.path(image.layers[0].digest).unlink()
    with pytest.raises(NotFound, match="has no blob sha256:"):
        pushed(registry, store, image.descriptor)
    assert registry.received == 0


@pytest.mark.parametrize("short", [True, False])
def test_a_damaged_blob_is_not_sent(registry: Registry, store: Store, make_image: MakeImage, short: bool) -> None:
    image = make_image("linux/amd64", noise(2000))
    path = store.path(image.layers[0].digest)
    path.write_bytes(bytes(path.stat().st_size - short))
    with pytest.raises(VerificationFailed, match="was damaged and is set aside; get or build it again"):
        pushed(registry, store, image.descriptor)
    assert not store.has(image.layers[0].digest)
