"""tritonclient's log and trace settings, unmodified, with a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

triton = pytest.importorskip("tritonclient.http")


def test_log_settings(own_address: str) -> None:
    with triton.InferenceServerClient(own_address) as client:
        start = client.get_log_settings()
        assert start["log_info"] is True and start["log_file"] == ""
        assert client.update_log_settings({"log_info": False, "log_verbose_level": 1})["log_verbose_level"] == 1
        assert client.get_log_settings() == start | {"log_info": False, "log_verbose_level": 1}
        with pytest.raises(triton.InferenceServerException, match="log_nonsense"):
            client.update_log_settings({"log_nonsense": 1})


def test_trace_settings(serving: Any, triton_repository: Path, tmp_path: Path) -> None:
    with (
        serving(triton_repository / "fixed", "--trace-dir", tmp_path) as url,
        triton.InferenceServerClient(url.removeprefix("http://")) as client,
    ):
        assert "trace" in client.get_server_metadata()["extensions"]
        settings = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "2", "trace_file": "mine.json"}
        assert client.update_trace_settings("fixed", settings).items() >= settings.items()
        x = triton.InferInput("x", [2, 3], "FP32").set_data_from_numpy(np.zeros((2, 3), np.float32))
        for i in range(3):
            client.infer("fixed", [x], request_id=f"r{i}")
        assert client.get_trace_settings("fixed")["trace_count"] == "0"
        cleared = client.update_trace_settings("fixed", {"trace_level": None, "trace_count": None})
        assert cleared["trace_level"] == ["OFF"] and cleared["trace_count"] == "-1"
    entries = json.loads((tmp_path / "mine.json").read_text())
    assert [e["request_id"] for e in entries if "request_id" in e] == ["r0", "r1"]
