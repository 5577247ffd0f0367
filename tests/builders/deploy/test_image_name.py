"""Names of images: by digest, or with the way to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.deploy.image_name import find

from gantline.errors import NotFound, UsageError
from gantline.oci.push import push
from gantline.oci.reference import Reference
from gantline.oci.remote import Remote
from gantline.oci.store import Store
from gantline.oci.transport import Transport
from gantline.oci.wiring import Wiring
from tests.oci.conftest import MakeImage, make_image, store
from tests.oci.faulty_registry import Registry

DIGEST = "sha256:" + "a" * 64


__all__ = ["make_image", "store"]  # fixtures


def test_a_digest_is_enough(store: Store) -> None:
    for ref in (f"oci://r.example/iris:1@{DIGEST}", f"r.example/iris@{DIGEST}"):
        assert find(ref, store, Wiring(), False).name == f"r.example/iris@{DIGEST}"


def test_as_it_is_called(store: Store) -> None:
    found = find("iris:1", store, Wiring(), True)
    assert found.name == "iris:1" and found.by_tag


def test_what_is_no_image(store: Store, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    for ref in ("registry://iris@champion", str(tmp_path)):
        with pytest.raises(UsageError, match="a package, not an image: `gantline build"):
            find(ref, store, Wiring(), True)
    with pytest.raises(UsageError, match="reference 'a b:1'"):
        find("a b:1", store, Wiring(), True)


def test_no_registry(store: Store) -> None:
    with pytest.raises(UsageError, match=r"iris:1: names no registry: `gantline push iris:1 HOST/iris:1`.*--by-tag"):
        find("iris:1", store, Wiring(), False)
    store.name("iris:1", store.add(b"{}", "application/vnd.oci.image.manifest.v1+json"))
    with pytest.raises(UsageError, match="it is in this user's store"):
        find("iris:1", store, Wiring(), False)


def test_a_tag_is_pinned_to_what_it_is_now(store: Store, make_image: MakeImage) -> None:
    with Registry().serving() as registry:
        image = make_image()
        name = f"{registry.host}/team/iris:1"
        reference = Reference.parse(name)
        with Transport.of(reference) as transport:
            push(store, image.descriptor, Remote.of(transport, reference), reference)
        found = find(name, store, Wiring(), False)
        assert found.name == f"{registry.host}/team/iris@{image.descriptor.digest}"
        with pytest.raises(NotFound, match=r"its registry has no such tag; push it: gantline push SRC"):
            find(f"{registry.host}/team/iris:2", store, Wiring(), False)
