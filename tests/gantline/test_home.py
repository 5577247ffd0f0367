"""Where Gantline keeps things: a variable, or the user's own directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gantline.errors import UsageError
from gantline.home import home, of_user
from gantline.oci.credentials import files as credential_files
from gantline.oci.wiring import Endpoint, Wiring, tls_context


def test_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "not" / "there"))
    assert home() == tmp_path / "not" / "there"
    assert not home().exists(), "to ask makes nothing"


@pytest.mark.parametrize("value", [None, ""])
def test_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GANTLINE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("GANTLINE_HOME", value)
    assert home() == tmp_path / ".gantline"


def test_a_user_without_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container that runs under some number: no variable, and no line in /etc/passwd."""
    pwd = pytest.importorskip("pwd")

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("GANTLINE_HOME", raising=False)
    assert of_user() is None and of_user({"HOME": "/h"}) == Path("/h")
    with pytest.raises(UsageError, match="no home directory; set GANTLINE_HOME"):
        home()
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path))
    assert home() == tmp_path
    # others' settings are looked for elsewhere, and not there
    assert {str(p) for p in credential_files({})} == {f"/run/containers/{os.getuid()}/auth.json"}
    tls_context(Endpoint("https", "h.example", 443), Wiring())
