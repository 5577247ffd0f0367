"""Obtain: what a digest names is not asked for twice; what a tag named last is there without its registry."""

from __future__ import annotations

import pytest

from gantline.errors import Unreachable
from gantline.oci.obtain import obtain
from gantline.oci.push import push
from gantline.oci.reference import Reference
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from tests.oci.conftest import MakeImage
from tests.oci.faulty_registry import Registry


def test_a_tag_is_asked_for_and_a_digest_is_not(store: Store, mine: Store, make_image: MakeImage) -> None:
    one, two = make_image("linux/amd64", b"1"), make_image("linux/amd64", b"2")
    with Registry().serving() as registry:
        tagged = Reference.parse(f"oci://{registry.host}/iris:1")
        for image in (one, two):  # the tag moves
            with Transport.of(tagged) as transport:
                push(store, image.descriptor, Remote.of(transport, tagged), tagged)
            assert obtain(tagged, mine).digest == image.descriptor.digest
        asked = len(registry.seen)
        for image in (one, two):
            pinned = Reference(tagged.host, tagged.repository, "", image.descriptor.digest)
            assert obtain(pinned, mine).digest == image.descriptor.digest
        assert len(registry.seen) == asked
    words = f"what it was last is here: name {tagged.name}@{two.descriptor.digest} to go on without it"
    with pytest.raises(Unreachable, match=words):
        obtain(tagged, mine)
    with pytest.raises(Unreachable, match=r"nothing listens there$"):
        obtain(Reference(tagged.host, "other", "1"), mine)


def test_a_digest_of_which_a_part_was_damaged(store: Store, mine: Store, make_image: MakeImage) -> None:
    image = make_image("linux/amd64", b"1")
    with Registry().serving() as registry:
        pinned = Reference(registry.host, "iris", "", image.descriptor.digest)
        with Transport.of(pinned) as transport:
            push(store, image.descriptor, Remote.of(transport, pinned), pinned)
        obtain(pinned, mine)
        mine.path(image.layers[0].digest).unlink()
        obtain(pinned, mine)
        assert mine.has(image.layers[0].digest)
