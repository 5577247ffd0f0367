"""The keys file on its disk: read again when it changes, and a broken version changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gantline.serve.key_file import KeyFile, difference
from gantline.serve.keys import MAX_BYTES, parse

from gantline.errors import UsageError

OLD, NEW = "secret-number-one-of-two", "secret-number-two-of-two"


def text(secret: str, name: str = "a") -> str:
    return f'[key.{name}]\nrole = "score"\nprimary = "{secret}"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "keys.toml"
    found.write_text(text(OLD))
    found.chmod(0o600)
    return found


def test_a_change_is_seen_even_when_size_and_time_are_the_same(path: Path) -> None:
    file = KeyFile(str(path))
    assert file.read().find(OLD.encode()) is not None
    before = path.stat()
    assert file.changed() is None
    path.write_text(text(NEW))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino) == (
        before.st_size, before.st_mtime_ns, before.st_ino
    )  # fmt: skip
    keys = file.changed()
    assert keys is not None and keys.find(OLD.encode()) is None and keys.find(NEW.encode()) is not None
    assert file.changed() is None


def test_a_file_that_is_replaced_or_is_a_link_to_another(path: Path, tmp_path: Path) -> None:
    """As an orchestrator mounts secrets: a link that is turned."""
    link = tmp_path / "link"
    link.symlink_to(path)
    file = KeyFile(str(link))
    file.read()
    other = tmp_path / "other.toml"
    other.write_text(text(NEW))
    other.chmod(0o600)
    turned = tmp_path / "turned"
    turned.symlink_to(other)
    turned.replace(link)
    keys = file.changed()
    assert keys is not None and keys.find(NEW.encode()) is not None


def test_a_broken_version_is_complained_about_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = KeyFile(str(path))
    file.read()
    for _ in range(3):
        path.write_text(f'[key.a]\nprimary = "{NEW}"\n')
        assert file.changed() is None
    for _ in range(3):
        path.unlink(missing_ok=True)
        assert file.changed() is None
    assert [r.getMessage() for r in caplog.records] == [
        f'{path} [key.a] role: expected "score" or "admin"; the keys from before stay in force',
        f"keys {path}: cannot be read: No such file or directory; the keys from before stay in force",
    ]
    path.write_text(text(NEW))
    path.chmod(0o600)
    keys = file.changed()
    assert keys is not None and keys.find(NEW.encode()) is not None
    path.write_bytes(b"\xff")
    assert file.changed() is None and caplog.records[-1].getMessage().startswith(f"keys {path}: not UTF-8")
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert file.changed() is None and "larger than" in caplog.records[-1].getMessage()


def test_what_cannot_be_read_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"keys .*none: cannot be read: No such file or directory$"):
        KeyFile(str(tmp_path / "none")).read()
    with pytest.raises(UsageError, match=r"cannot be read: Is a directory$"):
        KeyFile(str(tmp_path)).read()


@pytest.mark.skipif(os.name == "nt", reason="modes")
def test_others_who_can_read_it(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    KeyFile(str(path)).read()
    assert caplog.records == []
    for mode in (0o640, 0o604):
        path.chmod(mode)
        KeyFile(str(path)).read()
    assert [r.getMessage() for r in caplog.records] == [
        f"{path}: other users of this machine can read it; type: chmod 600"
    ] * 2


def test_what_is_told_of_a_change() -> None:
    before = parse(text(OLD, "a") + text(NEW, "b"), "")
    assert difference(before, parse(text(OLD, "a") + text(NEW, "c"), "")) == "new: c; gone: b"
    assert difference(before, parse(text(NEW, "a") + text(OLD, "b"), "")) == "different: a, b"
    assert difference(before, before) == "the same keys"
