"""Origins: where blobs were seen, the newest first, bounded; damage costs nothing."""

from __future__ import annotations

import json

from gantline.oci.descriptor import CONFIG
from gantline.oci.origins import Origins
from gantline.oci.store import Store

DIGEST = "sha256:" + "ab" * 32


def test_the_newest_of_that_registry(store: Store) -> None:
    origins = Origins(store)
    assert origins.of(DIGEST, "h") == ""
    for name in ("a", "b", "a"):
        origins.add(DIGEST, "h", f"team/{name}")
    origins.add(DIGEST, "other", "x")
    assert origins.of(DIGEST, "h") == "team/a" and origins.of(DIGEST, "h", but="team/a") == "team/b"
    assert origins.of(DIGEST, "other") == "x" and origins.of(DIGEST, "nowhere") == ""


def test_bounds_and_damage(store: Store) -> None:
    origins = Origins(store)
    for n in range(40):
        origins.add(DIGEST, "h", f"r{n}")
    (path,) = (store.root / "origins").iterdir()
    assert len(json.loads(path.read_bytes())) == 16 and origins.of(DIGEST, "h") == "r39"
    for damage in (b"{", b"{}", b"", b"[1]"):
        path.write_bytes(damage)
        assert origins.of(DIGEST, "h") == ""
    origins.add(DIGEST, "h", "again")
    assert origins.of(DIGEST, "h") == "again"


def test_what_is_gone_is_forgotten(store: Store) -> None:
    origins, kept = Origins(store), store.add(b"{}", CONFIG)
    for digest in (DIGEST, kept.digest):
        origins.add(digest, "h", "a")
    origins.sweep()
    assert origins.of(DIGEST, "h") == "" and origins.of(kept.digest, "h") == "a"
