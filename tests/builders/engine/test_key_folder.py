"""The files of an endpoint's keys: who may read what."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from gantline.builders.engine.key_folder import FILE, KeyFolder

from gantline.errors import NotFound, UsageError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_digests_for_the_server_and_secrets_for_their_owner(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.put("one")
    folder.put("two")
    assert (folder.mounted / FILE).read_text() == "two" and [p.name for p in folder.mounted.iterdir()] == [FILE]
    assert mode(folder.mounted) == 0o755 and mode(folder.mounted / FILE) == 0o644
    folder.put("two", {"primary": "s3cret"})
    assert folder.secret("primary") == "s3cret" and mode(folder.secret_file("primary")) == 0o600
    with pytest.raises(NotFound, match=r"secondary.key: .*--rotate secondary"):
        folder.secret("secondary")


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    with pytest.raises(UsageError, match=r"keys: cannot be written: .*set GANTLINE_HOME"):
        KeyFolder(tmp_path).put("one")


def test_digests_and_secrets_change_together_or_not(tmp_path: Path) -> None:
    """Else an owner's key would be one that the server does not know."""
    folder = KeyFolder(tmp_path)
    folder.put("one", {"primary": "first"})
    (folder.mounted / FILE).rename(tmp_path / "kept")
    folder.mounted.rmdir()
    folder.mounted.write_text("no folder")
    with pytest.raises(UsageError, match="cannot be written"):
        folder.put("two", {"primary": "second"})
    assert folder.secret("primary") == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "keys", "primary.key"]
