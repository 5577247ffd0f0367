"""Keys in a cluster's Secret: the next text of the file, and what is not there; in pods: tests/conformance."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from gantline.builders.deploy import secret_keys
from gantline.builders.deploy.program import kubectl

from gantline.errors import NotFound

from .cluster import Cluster

pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs are shell scripts here")


def test_the_file_in_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, program = Cluster(tmp_path, monkeypatch), kubectl("")
    with pytest.raises(NotFound, match="`gantline keys new` makes its file"):
        secret_keys.changed(program, "gate", "keys.toml", lambda text: (text, ""))
    data = {"keys.toml": base64.b64encode(b"before").decode(), "other": "eA=="}
    cluster.put({"kind": "Secret", "metadata": {"name": "gate", "resourceVersion": "7"}, "data": data})
    with pytest.raises(NotFound, match=r"secret gate: has no keys; there is keys.toml, other"):
        secret_keys.changed(program, "gate", "keys", lambda text: (text, ""))
    assert secret_keys.changed(program, "gate", "keys.toml", lambda text: (f"{text}+after", "new")) == "new"
    after = cluster.get("Secret/gate")
    assert base64.b64decode(after["data"]["keys.toml"]) == b"before+after" and after["data"]["other"] == "eA=="
    assert after["metadata"]["resourceVersion"] == "7", "what somebody else changed meanwhile would be refused"
