"""Referrers: kept beside what they are about, once each, under the name that registries without an API use."""

from __future__ import annotations

import threading

import pytest

from gantline.errors import NotFound
from gantline.oci.descriptor import INDEX, MANIFEST, Descriptor
from gantline.oci.referrers import attach, referrers
from gantline.oci.store import Store

SUBJECT = "sha256:" + "ab" * 32


def referrer(store: Store, words: str) -> Descriptor:
    kept = store.add(words.encode(), MANIFEST)
    return Descriptor(MANIFEST, kept.digest, kept.size, artifact_type="text/plain", annotations={"a": words})


def test_once_each_in_their_order(store: Store) -> None:
    one, two = referrer(store, "one"), referrer(store, "two")
    assert referrers(store, SUBJECT) == []
    for found in (one, two, one):
        attach(store, SUBJECT, found)
    assert referrers(store, SUBJECT) == [one, two]
    named = store.names()["sha256-" + "ab" * 32]
    assert named.media_type == INDEX


def test_several_at_once_lose_none(store: Store) -> None:
    found = [referrer(store, str(n)) for n in range(12)]
    threads = [threading.Thread(target=attach, args=(store, SUBJECT, one)) for one in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {d.digest for d in referrers(store, SUBJECT)} == {d.digest for d in found}


def test_an_index_that_got_lost(store: Store) -> None:
    attach(store, SUBJECT, referrer(store, "one"))
    store.path(store.names()["sha256-" + "ab" * 32].digest).unlink()
    with pytest.raises(NotFound):
        referrers(store, SUBJECT)
