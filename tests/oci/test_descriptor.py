"""Descriptors from and to JSON."""

from __future__ import annotations

from typing import Any

import pytest

from gantline.errors import BadArtefact
from gantline.oci.descriptor import LAYER, MANIFEST, Descriptor, check_digest
from gantline.oci.platforms import Platform

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    "descriptor",
    [
        Descriptor(LAYER, DIGEST, 0),
        Descriptor(MANIFEST, DIGEST, 7, Platform("linux", "arm64", "v8"), "application/x", {"a": "b"}),
    ],
)
def test_there_and_back(descriptor: Descriptor) -> None:
    assert Descriptor.from_json(descriptor.to_json(), "here") == descriptor


def test_what_is_empty_is_left_out() -> None:
    assert Descriptor(LAYER, DIGEST, 5).to_json() == {"mediaType": LAYER, "digest": DIGEST, "size": 5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mediaType": 3}, "mediaType"),
        ({"size": -1}, "size -1"),
        ({"size": True}, "size True"),
        ({"size": 1 << 60}, "number of bytes"),
        ({"digest": "sha512:00"}, "digest 'sha512:00'"),
        ({"digest": "sha256:" + "A" * 64}, "64 hexadecimal"),
        ({"digest": None}, "digest None"),
        ({"annotations": {"a": 1}}, "annotations"),
        ({"annotations": "a"}, "annotations"),
        ({"platform": {"os": "linux"}}, "os and architecture"),
        ({"platform": "linux"}, "os and architecture"),
    ],
)
def test_what_is_none(change: dict[str, Any], message: str) -> None:
    tree = {"mediaType": LAYER, "digest": DIGEST, "size": 5, **change}
    with pytest.raises(BadArtefact, match=message) as e:
        Descriptor.from_json(tree, "index.json")
    assert str(e.value).startswith("index.json: ")


@pytest.mark.parametrize("tree", [None, [], "x", 1])
def test_no_object(tree: object) -> None:
    with pytest.raises(BadArtefact, match="not a descriptor"):
        Descriptor.from_json(tree, "here")


def test_a_digest_that_leaves_the_folder_is_none() -> None:
    with pytest.raises(BadArtefact):
        check_digest("sha256:../../../../etc/passwd", "here")
