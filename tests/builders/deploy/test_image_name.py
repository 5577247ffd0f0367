"""Names of images: by digest, or with the way to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from gantline.builders.deploy.image_name import find

from gantline.errors import UsageError
from gantline.oci.store import Store
from gantline.oci.wiring import Wiring

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").prepared()


def test_a_digest_is_enough(store: Store) -> None:
    for ref in (f"oci://r.example/iris:1@{DIGEST}", f"r.example/iris@{DIGEST}"):
        assert find(ref, store, Wiring(), False).name == f"r.example/iris@{DIGEST}"


def test_as_it_is_called(store: Store) -> None:
    found = find("iris:1", store, Wiring(), True)
    assert found.name == "iris:1" and found.by_tag


def test_no_registry(store: Store) -> None:
    with pytest.raises(UsageError, match=r"iris:1: names no registry: `gantline push iris:1 HOST/iris:1`.*--by-tag"):
        find("iris:1", store, Wiring(), False)
    store.name("iris:1", store.add(b"{}", "application/vnd.oci.image.manifest.v1+json"))
    with pytest.raises(UsageError, match="it is in this user's store"):
        find("iris:1", store, Wiring(), False)
