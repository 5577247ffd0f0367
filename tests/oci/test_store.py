"""The store: blobs whole or not at all, names under a lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gantline.errors import BadArtefact, NotFound, Unavailable, UsageError, VerificationFailed
from gantline.oci.descriptor import CONFIG, LAYER, MANIFEST, REF_NAME, Descriptor
from gantline.oci.store import DOCUMENT, Store

OTHER = "sha256:" + "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").prepared()


def left(store: Store) -> list[str]:
    return sorted(p.name for p in (store.root / "blobs" / "sha256").iterdir())


def test_a_blob_by_its_digest(store: Store) -> None:
    kept = store.add(b"{}", CONFIG)
    assert kept.digest == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of the spec
    assert store.has(kept.digest) and not store.has(OTHER)
    assert store.read(kept) == b"{}" and store.read_json(kept) == {}
    assert store.add(b"{}", CONFIG) == kept


def test_a_file_and_a_stream(store: Store, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(data)
    kept = store.add_file(tmp_path / "file", LAYER)
    with store.receive(kept.digest) as out:
        for at in range(0, len(data), 1 << 20):
            out.write(data[at : at + (1 << 20)])
    assert (out.digest, out.size) == (kept.digest, kept.size) == (kept.digest, 3 << 20)
    assert store.path(kept.digest).read_bytes() == data
    assert store.path(kept.digest).stat().st_mode & 0o777 == 0o644


def test_nothing_stays_of_a_blob_that_fails(store: Store) -> None:
    with pytest.raises(VerificationFailed, match=f"expected {OTHER}"), store.receive(OTHER) as out:
        out.write(b"something else")
    with pytest.raises(KeyboardInterrupt), store.receive() as out:
        out.write(b"half")
        raise KeyboardInterrupt
    assert left(store) == []


def test_a_damaged_blob_is_not_read(store: Store) -> None:
    kept = store.add(b'{"a": 1}', CONFIG)
    store.path(kept.digest).write_bytes(b'{"a": 2}')
    with pytest.raises(VerificationFailed, match="is set aside; get or build it again"):
        store.read(kept)


def test_a_damaged_blob_is_set_aside_and_made_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = store.add(b'{"a": 1}', CONFIG)
    path = store.path(kept.digest)
    path.write_bytes(b'{"a": 2}')
    assert store.add(b'{"a": 1}', CONFIG) == kept and store.read(kept) == b'{"a": 1}'
    assert left(store) == [".damaged." + path.name, path.name]
    path.write_bytes(b"short")
    assert not store.holds(kept) and not store.has(kept.digest) and not store.holds(kept)
    store.add(b'{"a": 1}', CONFIG)
    lied = Descriptor(CONFIG, kept.digest, 3)  # a manifest of somebody else's: the blob is no worse for it
    assert store.holds(kept) and store.holds(lied) and store.has(kept.digest)
    monkeypatch.setattr("gantline.oci.store.DOCUMENT", 4)  # long ones are hashed when somebody checks them
    store.check(kept.digest)
    path.write_bytes(b'{"a": 2}')
    assert store.holds(kept)
    with pytest.raises(VerificationFailed, match="is set aside; get or build it again"):
        store.check(kept.digest)
    assert not store.has(kept.digest)


def test_names_go_together(store: Store) -> None:
    one, two = store.add(b"{}", CONFIG), store.add(b"[]", CONFIG)
    for name, kept in (("a:1", one), ("a:2", one), ("b:1", two)):
        store.name(name, kept)
    store.unname_all(lambda name, kept: name.startswith("a:") and kept.digest == one.digest)
    assert set(store.names()) == {"b:1"}


def test_what_cannot_be_read_as_a_document(store: Store) -> None:
    with pytest.raises(NotFound, match=OTHER):
        store.read(Descriptor(CONFIG, OTHER, 2))
    with pytest.raises(BadArtefact, match="too long for a document"):
        store.read(Descriptor(CONFIG, OTHER, DOCUMENT + 1))
    for data, message in ((b"[]", "found list"), (b"{", "not JSON"), (b"[" * 100_000, "not JSON")):
        with pytest.raises(BadArtefact, match=message):
            store.read_json(store.add(data, CONFIG))


def test_names(store: Store) -> None:
    one, other = store.add(b"1", MANIFEST), store.add(b"2", MANIFEST)
    assert store.find("iris:1") is None
    assert store.name("iris:1", one) is None
    assert store.name("iris:2", other) is None
    before = store.name("iris:1", other)
    assert before is not None and before.digest == one.digest
    assert {name: d.digest for name, d in store.names().items()} == {"iris:1": other.digest, "iris:2": other.digest}
    assert store.unname("iris:2") is not None and store.unname("iris:2") is None
    assert store.has(one.digest), "to forget a name takes no blob"


def test_a_name_needs_its_blob(store: Store) -> None:
    with pytest.raises(NotFound, match="'iris:1'"):
        store.name("iris:1", Descriptor(MANIFEST, OTHER, 2))


def test_it_is_a_layout_that_others_read(store: Store) -> None:
    store.name("iris:1", store.add(b"1", MANIFEST))
    assert json.loads((store.root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((store.root / "index.json").read_bytes())
    assert index["schemaVersion"] == 2
    assert [m["annotations"][REF_NAME] for m in index["manifests"]] == ["iris:1"]


@pytest.mark.parametrize("text", ["{", "[]", '{"manifests": {}}', '{"manifests": [{}]}'])
def test_an_index_that_is_none(store: Store, text: str) -> None:
    (store.root / "index.json").write_text(text)
    with pytest.raises(BadArtefact, match=r"index\.json"):
        store.names()


NAMER = """
import sys
from pathlib import Path
from gantline.oci.store import Store
store = Store(Path(sys.argv[1]))
for i in range(20):
    store.name(f"{sys.argv[2]}:{i}", store.add(f"{sys.argv[2]}{i}".encode(), "a/b"))
"""


def test_two_writers_lose_nothing(store: Store) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", NAMER, str(store.root), who]) for who in ("a", "b")]
    assert [w.wait(60) for w in writers] == [0, 0]
    assert sorted(store.names()) == sorted(f"{who}:{i}" for who in "ab" for i in range(20))


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="set GANTLINE_HOME"):
        Store(tmp_path / "file" / "store").prepared()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fdopen

    def full(handle: int, mode: str) -> object:
        os.close(handle)
        return real(os.open("/dev/full", os.O_WRONLY), mode)

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(Unavailable, match="no space left"):
        store.add(b"x" * 100, LAYER)
    monkeypatch.undo()
    assert left(store) == []


def test_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "home"))
    assert Store.of_user().root == tmp_path / "home" / "store"
    assert Store.of_user().names() == {}
