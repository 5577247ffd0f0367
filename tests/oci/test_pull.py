"""Pull: what is not there comes, checked; gone on with after a cut; nothing is named before all is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gantline.errors import BadArtefact, GantlineError, NotFound, Unavailable, Unreachable, VerificationFailed
from gantline.oci.descriptor import INDEX, Descriptor
from gantline.oci.image import Image, write_index
from gantline.oci.patience import Patience
from gantline.oci.platforms import Platform
from gantline.oci.pull import Pulled, pull
from gantline.oci.push import push
from gantline.oci.reference import Reference
from gantline.oci.referrers import referrers
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import Answer, Registry, digest_of
from tests.oci.test_push import about, noise

QUICK = Patience(tries=4, first_s=0.01, longest_s=0.02, most_s=5)
ARM = Platform.parse("linux/arm64")


@contextmanager
def remote_of(registry: Registry, to: str) -> Iterator[tuple[Remote, Reference]]:
    reference = Reference.parse(f"oci://{registry.host}/{to}")
    with Transport(reference.host, reference.api_host, patience=QUICK) as transport:
        yield Remote.of(transport, reference), reference


def put(registry: Registry, store: Store, descriptor: Descriptor, to: str = "iris:1") -> None:
    with remote_of(registry, to) as (remote, reference):
        push(store, descriptor, remote, reference)


def get(registry: Registry, mine: Store, to: str = "iris:1", platform: Platform | None = None) -> Pulled:
    with remote_of(registry, to) as (remote, reference):
        return pull(remote, reference, mine, platform)


def is_whole(mine: Store, image: Image) -> bool:
    got = Image.open(mine, image.descriptor)
    return all(digest_of(mine.path(b.digest).read_bytes()) == b.digest for b in (got.config_descriptor, *got.layers))


def test_an_image_arrives_under_its_name(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", b"a", noise(900_000))
    put(registry, store, image.descriptor)
    done = get(registry, mine)
    assert is_whole(mine, image) and done.descriptor.digest == image.descriptor.digest
    assert done.wire == sum(b.size for b in (image.config_descriptor, *image.layers))
    found = mine.find(f"{registry.host}/iris:1")
    assert found is not None and found.digest == image.descriptor.digest
    blobs = registry.count("GET", "/blobs/")
    again = get(registry, mine)
    assert (again.new, again.wire) == (0, 0) and registry.count("GET", "/blobs/") == blobs
    by_digest = get(registry, mine, f"iris@{image.descriptor.digest}")
    assert by_digest.descriptor.digest == image.descriptor.digest


def test_after_a_cut_only_the_rest_comes(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", b"x", noise(2_000_000))
    put(registry, store, image.descriptor)
    registry.cut_blobs = [0, 100, 300_000, 700_001]
    done = get(registry, mine)
    assert is_whole(mine, image) and registry.cut_blobs == []
    assert done.wire == image.config_descriptor.size + sum(layer.size for layer in image.layers)


def test_a_registry_without_ranges_sends_all_again(
    registry: Registry, store: Store, mine: Store, make_image: MakeImage
) -> None:
    image = make_image("linux/amd64", b"x", noise(1_000_000))
    put(registry, store, image.descriptor)
    registry.cut_blobs, registry.ignores_ranges = [600_000, 600_000, 600_000], True
    get(registry, mine)
    assert is_whole(mine, image)


def test_one_platform_or_all(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    amd, arm = make_image("linux/amd64", b"a", b"same"), make_image("linux/arm64/v8", b"b", b"same")
    index = write_index(store, (amd, arm), {})
    put(registry, store, index)
    one = get(registry, mine, platform=ARM)
    assert one.descriptor.digest == arm.descriptor.digest and not mine.has(amd.descriptor.digest)
    with pytest.raises(NotFound, match=r"has no image for linux/s390x; there is linux/amd64, linux/arm64/v8"):
        get(registry, mine, platform=Platform.parse("linux/s390x"))
    every = get(registry, mine)
    assert every.descriptor.media_type == INDEX and is_whole(mine, amd) and is_whole(mine, arm)


def test_what_is_about_it_comes_along(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image()
    put(registry, store, image.descriptor)
    signed = about(store, image, "signed")
    put(registry, store, image.descriptor)
    done = get(registry, mine)
    assert done.referrers == 1
    assert [d.digest for d in referrers(mine, image.descriptor.digest)] == [signed.digest]
    assert mine.read(signed) == store.read(signed)


def test_one_about_it_that_was_deleted(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image()
    signed, other = about(store, image, "signed"), about(store, image, "other")
    registry.has_referrers = False  # as in docker-registry, where the list is a tag of its own
    put(registry, store, image.descriptor)
    del registry.manifests["iris", signed.digest]
    assert get(registry, mine).referrers == 1
    assert [d.digest for d in referrers(mine, image.descriptor.digest)] == [other.digest]


def test_blobs_that_are_elsewhere(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image()
    put(registry, store, image.descriptor)
    with Registry(blobs=registry.blobs).serving() as elsewhere:
        registry.blobs_elsewhere = elsewhere.base
        get(registry, mine)
        assert is_whole(mine, image) and elsewhere.count("GET", "/elsewhere/") == 2


def failed(kind: type[GantlineError], words: str, registry: Registry, mine: Store) -> None:
    """A pull fails so, and leaves neither a name nor a file that is not whole."""
    with pytest.raises(kind, match=words):
        get(registry, mine)
    assert mine.names() == {}
    for path in (mine.root / "blobs" / "sha256").iterdir():
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"


def test_a_wrong_digest(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", b"a" * 1000)
    put(registry, store, image.descriptor)
    blob = image.layers[0]
    registry.changed = {blob.digest: bytes(blob.size)}
    failed(VerificationFailed, "came as sha256:.*changed it; nothing was kept", registry, mine)
    registry.changed = {blob.digest: bytes(blob.size + 1)}
    failed(VerificationFailed, "longer than", registry, mine)
    registry.changed = {image.descriptor.digest: b"{}"}
    failed(VerificationFailed, "iris:1: digest sha256:", registry, mine)
    registry.changed = {}
    get(registry, mine)


def test_what_is_damaged_here_comes_again(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", noise(2000))
    put(registry, store, image.descriptor)
    get(registry, mine)
    for descriptor in (image.layers[0], image.config_descriptor, image.descriptor):
        path = mine.path(descriptor.digest)
        path.write_bytes(bytes(path.stat().st_size))
    get(registry, mine)
    assert is_whole(mine, image)


def test_what_is_not_there(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    failed(NotFound, r"127.0.0.1:\d+/iris:1: the registry has no such image", registry, mine)
    image = make_image()
    put(registry, store, image.descriptor)
    del registry.blobs["iris", image.layers[0].digest]
    failed(NotFound, "the registry lost blob sha256:", registry, mine)


def test_a_registry_that_has_no_time(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image()
    put(registry, store, image.descriptor)
    registry.answers = [Answer("GET", "/blobs/", 429, {"Retry-After": "0"}, times=2)]
    get(registry, mine)
    other = make_image("linux/amd64", b"other")
    put(registry, store, other.descriptor)
    registry.answers = [Answer("GET", "/blobs/", 503, times=99)]
    with pytest.raises(Unavailable, match="answers 503; try again later"):
        get(registry, mine)
    registry.answers = [Answer("GET", "/blobs/", 429, {"Retry-After": "3600"}, times=9)]
    with pytest.raises(Unavailable, match="too many requests; try again in 3600 s"):
        get(registry, mine)


def test_a_registry_that_dies(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    put(registry, store, make_image("linux/amd64", noise(500_000)).descriptor)
    registry.cut_blobs = [0] * 30
    failed(Unreachable, "the connection ended after 0 of|it closed", registry, mine)


def test_more_than_the_disk_holds(registry: Registry, store: Store, mine: Store, make_image: MakeImage) -> None:
    """Found out before the first byte comes."""
    put(registry, store, make_image("linux/amd64", b"a").descriptor)
    kind, data = registry.manifests["iris", "1"]
    tree = json.loads(data)
    tree["layers"].append({**tree["layers"][0], "digest": "sha256:" + "0" * 64, "size": 1 << 49})
    registry.manifests["iris", "1"] = kind, json.dumps(tree).encode()
    failed(
        Unavailable,
        r"536870\d+ MiB to get, and \d+ MiB free on its disk; free some, or set GANTLINE_HOME",
        registry,
        mine,
    )
    assert registry.count("GET", "/blobs/") == 0


def test_manifests_that_are_none(registry: Registry, mine: Store) -> None:
    for data, words in (
        (b"[]", "expected a JSON object"),
        (b"{", "not JSON"),
        (b'{"schemaVersion": 1}', "schema 1"),
        (b'{"mediaType": "text/plain"}', "neither a manifest nor an index"),
        (b'{"mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}', "not a descriptor"),
        (b'{"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": {}}', "no list"),
    ):
        registry.manifests["iris", "1"] = ("application/json", data)
        failed(BadArtefact, words, registry, mine)
