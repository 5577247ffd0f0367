"""Who may pull and who may push."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Serve

PULL, PUSH, ONE = (f"{word}-secret-of-thirty-two-letters" for word in ("pull", "push", "just"))
ENTRIES = (
    (PULL, "puller", 'role = "score"'),
    (PUSH, "pusher", 'role = "admin"'),
    (ONE, "one", 'role = "admin"\nmodels = ["mine"]'),
)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    blocks = [
        f'[key.{name}]\n{more}\nprimary = "sha256:{hashlib.sha256(secret.encode()).hexdigest()}"\n'
        for secret, name, more in ENTRIES
    ]
    path = tmp_path / "keys.toml"
    path.write_text("\n".join(blocks))
    path.chmod(0o600)
    return path


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(b"anybody:" + secret.encode()).decode()}


def test_by_role_and_repository(distribute: Serve, keys: Path) -> None:
    with distribute("--keys", keys) as server:
        asked = server.ask("GET", "/v2/")
        assert (asked.status, asked.code) == (401, "UNAUTHORIZED")
        assert asked.headers["www-authenticate"].startswith("Basic realm=")
        for wrong in ({}, basic("no"), {"Authorization": "Basic !"}, {"Authorization": "Digest x"}):
            assert server.ask("GET", "/v2/a/tags/list", headers=wrong).status == 401
        assert server.ask("GET", "/v2/", headers=basic(PULL)).status == 200
        assert server.ask("GET", "/v2/", headers={"Authorization": f"Bearer {PULL}"}).status == 200
        assert server.ask("POST", "/v2/a/blobs/uploads/", headers=basic(PULL)).code == "DENIED"
        assert server.ask("POST", "/v2/a/blobs/uploads/", headers=basic(PUSH)).status == 202
        assert server.ask("POST", "/v2/a/blobs/uploads/", headers=basic(ONE)).code == "DENIED"
        assert server.ask("POST", "/v2/mine/blobs/uploads/", headers=basic(ONE)).status == 202
        assert server.ask("GET", "/v2/nothing/here", headers={}).status == 401, "nor does it say what there is"


def test_others_need_a_key_or_a_word(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gantline", "registry", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(
        [*command, "--registry", tmp_path], capture_output=True, text=True, check=False, timeout=60, env=os.environ
    )
    assert done.returncode == 2 and "give --keys FILE, or --no-auth" in done.stderr
