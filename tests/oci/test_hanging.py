"""What hangs on a manifest, whole or damaged."""

from __future__ import annotations

from gantline.blobs import canonical_json
from gantline.oci.descriptor import EMPTY, LAYER, MANIFEST, Descriptor
from gantline.oci.hanging import hanging, tree_of
from gantline.oci.image import write_index
from gantline.oci.store import Store
from tests.oci.conftest import MakeImage


def test_all_below_and_no_subject(store: Store, make_image: MakeImage) -> None:
    one, two = make_image("linux/amd64", b"1"), make_image("linux/arm64", b"1", b"2")
    index = write_index(store, (one, two), {})
    layers = {d.digest for image in (one, two) for d in image.layers}
    assert hanging(store, [index]) == {
        index.digest, one.descriptor.digest, two.descriptor.digest, one.id, two.id, *layers,
    }  # fmt: skip
    empty = store.add(b"{}", EMPTY)
    about = {"schemaVersion": 2, "config": empty.to_json(), "layers": [], "subject": one.descriptor.to_json()}
    signature = store.add(canonical_json(about), MANIFEST)
    assert hanging(store, [signature]) == {signature.digest, empty.digest}


def test_what_is_damaged_ends_there(store: Store, make_image: MakeImage) -> None:
    image = make_image()
    store.path(image.descriptor.digest).write_bytes(b"{}")
    assert hanging(store, [image.descriptor]) == {image.descriptor.digest}
    odd = store.add(canonical_json({"config": 3, "layers": [{"digest": "no"}, None], "manifests": "no"}), MANIFEST)
    assert hanging(store, [odd]) == {odd.digest} and tree_of(store, odd)["config"] == 3
    assert tree_of(store, store.add(b"{}", LAYER)) == {}
    assert tree_of(store, Descriptor(MANIFEST, "sha256:" + "0" * 64, 1)) == {}
