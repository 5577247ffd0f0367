"""A tar of a root file system as a layer: the same whoever packed it and how, without debris."""

from __future__ import annotations

import gzip
import io
import lzma
import marshal
import py_compile
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from gantline.builders.image import rootfs
from gantline.builders.image.rootfs import STALE, Kept, keep_rootfs, rule_against

from gantline.errors import BadArtefact
from gantline.oci.store import Store

# path -> bytes, link (text that starts with ->), hard link (=), folder (None)
Content = bytes | str | None
FILES: dict[str, Content] = {
    "usr": None, "usr/bin/python3.11": b"python", "usr/bin/python3": "->python3.11",
    "usr/bin/again": "=usr/bin/python3.11",
    "bin": "->usr/bin", "tmp": None, "etc/os-release": b"ID=debian\n", "empty": None,
}  # fmt: skip


def pack(path: Path, files: dict[str, Content], **head: object) -> Path:
    """One tar; `head` is what each member's head says besides."""
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            for key, value in {"mode": 0o755, **head}.items():
                setattr(info, key, value)
            if content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(content, str):
                info.type = tarfile.SYMTYPE if content[0] == "-" else tarfile.LNKTYPE
                info.linkname = content.removeprefix("->").removeprefix("=")
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def unpacked(store: Store, kept: Kept) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(store.path(kept.descriptor.digest)) as tar:
        return {m.name: m for m in tar}


def test_the_same_whoever_packed_it(tmp_path: Path, store: Store) -> None:
    one = keep_rootfs(pack(tmp_path / "a.tar", FILES), store)
    other = pack(tmp_path / "b.tar", dict(reversed(FILES.items())), mtime=1_700_000_000, uname="me", gname="us")
    assert keep_rootfs(other, store).diff_id == one.diff_id
    assert keep_rootfs(pack(tmp_path / "c.tar", {**FILES, "new": b""}), store).diff_id != one.diff_id
    found = unpacked(store, one)
    assert found["usr/bin/again"].isreg() and found["usr/bin/python3.11"].linkname == "usr/bin/again", "first by name"
    assert found["bin"].linkname == "usr/bin" and found["empty"].isdir()
    assert {m.mtime for m in found.values()} == {0}


def test_what_is_kept_of_a_head(tmp_path: Path, store: Store) -> None:
    notes = {"SCHILY.xattr.security.capability": "x", "comment": "y", "mtime": "1.5"}
    path = pack(tmp_path / "a.tar", {"mail": b"x"}, uid=7, gid=8, mode=0o2755, pax_headers=notes)
    member = unpacked(store, keep_rootfs(path, store))["mail"]
    assert (member.uid, member.gid, member.mode) == (7, 8, 0o2755)
    assert member.pax_headers == {"SCHILY.xattr.security.capability": "x"}


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress])
def test_compressed(compress: Callable[[bytes], bytes], tmp_path: Path, store: Store) -> None:
    plain = pack(tmp_path / "a.tar", FILES)
    (tmp_path / "packed").write_bytes(compress(plain.read_bytes()))
    assert keep_rootfs(tmp_path / "packed", store).diff_id == keep_rootfs(plain, store).diff_id


def test_debris_is_left_out(tmp_path: Path, store: Store) -> None:
    debris: dict[str, Content] = {
        "var/cache/apt/archives/x.deb": b"", "var/lib/apt/lists/index": b"", "var/log/dpkg.log": b"", "dev/null": b"",
        "run/lock": b"", "etc/hostname": b"", "etc/machine-id": b"", "etc/passwd-": b"", "tmp/x": b"",
        "debootstrap/log": b"",
    }  # fmt: skip
    path = pack(tmp_path / "a.tar", {**FILES, "var/log/apt": None, **debris})
    with tarfile.open(path, "a") as tar:
        device = tarfile.TarInfo("dev-by-another-name")
        device.type = tarfile.CHRTYPE
        tar.addfile(device)
    kept = keep_rootfs(path, store)
    assert set(unpacked(store, kept)) == {*FILES, "var/log/apt"}
    assert kept.dropped == {
        "caches": 3, "logs": 1, "devices": 2, "what is only there while it runs": 2,
        "names of the machine that made it": 2, "backups": 1,
    }  # fmt: skip
    assert rule_against("var/log/apt/x") == "logs" and not rule_against("usr/share/x")


def test_bytecode_stays_valid_without_times(tmp_path: Path, store: Store) -> None:
    source = tmp_path / "m.py"
    source.write_text("ANSWER = 42\n")
    cache = Path(py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP) or "")
    hashed = tmp_path / "h.pyc"
    py_compile.compile(str(source), str(hashed), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    time = int(source.stat().st_mtime)
    files: dict[str, Content] = {
        "lib/m.py": source.read_bytes(), f"lib/__pycache__/{cache.name}": cache.read_bytes(),
        "lib/__pycache__/gone.cpython-311.pyc": cache.read_bytes(), "lib/h.py": source.read_bytes(),
        "lib/__pycache__/h.cpython-311.pyc": hashed.read_bytes(), "lib/alone.pyc": cache.read_bytes(),
    }  # fmt: skip
    kept = keep_rootfs(pack(tmp_path / "a.tar", files, mtime=time), store)
    found = unpacked(store, kept)
    assert kept.dropped == {STALE: 1} and "lib/__pycache__/gone.cpython-311.pyc" not in found
    with tarfile.open(store.path(kept.descriptor.digest)) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    code = (tmp_path / f"out/lib/__pycache__/{cache.name}").read_bytes()
    assert code[4] == 1 and marshal.loads(code[16:]).co_names == ("ANSWER",)
    assert (tmp_path / "out/lib/__pycache__/h.cpython-311.pyc").read_bytes() == hashed.read_bytes()
    # the interpreter itself takes it, though its source has another time
    script = "import sys; sys.path.insert(0, sys.argv[1]); import m; print(m.ANSWER, 'matches' if m.__cached__ else '')"
    words = [sys.executable, "-B", "-v", "-c", script, str(tmp_path / "out/lib")]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert f"code object from '{tmp_path}/out/lib/__pycache__/{cache.name}'" in said.stderr
    stale = keep_rootfs(pack(tmp_path / "b.tar", files, mtime=time + 1), store)
    assert stale.dropped[STALE] == 2, "of another time is of another source"


def test_what_is_no_root_file_system(tmp_path: Path, store: Store) -> None:
    (tmp_path / "text").write_text("hello" * 500)
    with pytest.raises(BadArtefact, match="not a tar archive"):
        keep_rootfs(tmp_path / "text", store)
    with pytest.raises(BadArtefact, match="leads out"):
        keep_rootfs(pack(tmp_path / "a.tar", {"x/../../etc/passwd": b""}), store)
    with pytest.raises(BadArtefact, match=r"base b\.tar: a hard link to what is not there"):
        keep_rootfs(pack(tmp_path / "b.tar", {"a": "=b", "b": "=a"}), store)
    whole = pack(tmp_path / "c.tar", {"a": bytes(100_000)}).read_bytes()
    (tmp_path / "cut").write_bytes(whole[:50_000])
    with pytest.raises(BadArtefact, match="not a tar archive"):
        keep_rootfs(tmp_path / "cut", store)
    first = pack(tmp_path / "d.tar", {"a": b"", "b": b"x"}).read_bytes()
    for at, end in ((512, 700), (512, 512), (700, 10240)):  # within a head, between two files, a head that is damaged
        (tmp_path / "cut").write_bytes((first[:at] + b"?" * 100 + first[at + 100 :])[:end])
        with pytest.raises(BadArtefact, match="cut off or damaged at byte 512"):
            keep_rootfs(tmp_path / "cut", store)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(BadArtefact, match="cut off"):
        keep_rootfs(tmp_path / "cut.gz", store)
    assert [p for p in store.path("sha256:" + "0" * 64).parent.iterdir() if p.name.startswith(".")] == []


def sparse(path: Path, name: str) -> Path:
    """A tar of 10 kB with one file of an exabyte, all of it a hole, as GNU tar writes one."""
    info = tarfile.TarInfo(name)
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"\x80" + (1 << 60).to_bytes(11, "big")
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(bytes(head) + bytes(9728))
    return path


def test_what_would_never_end(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadArtefact, match=r"base .*a.tar: unpacks to 1073741824 GiB"):
        keep_rootfs(sparse(tmp_path / "a.tar", "usr/hole"), store)
    assert keep_rootfs(sparse(tmp_path / "b.tar", "var/log/lastlog"), store).dropped == {"logs": 1}
    monkeypatch.setattr(rootfs, "LARGEST", 1 << 20)
    packed = tmp_path / "c.tar.gz"
    packed.write_bytes(gzip.compress(pack(tmp_path / "c.tar", {"a": bytes(2 << 20)}).read_bytes()))
    with pytest.raises(BadArtefact, match="unpacks to"):
        keep_rootfs(packed, store)


def test_remembered_only_while_its_layer_is_there(tmp_path: Path, store: Store) -> None:
    kept = keep_rootfs(pack(tmp_path / "a.tar", FILES), store)
    assert Kept.recalled(kept.to_json(), store) == kept
    store.path(kept.descriptor.digest).unlink()
    assert Kept.recalled(kept.to_json(), store) is None and Kept.recalled(None, store) is None
