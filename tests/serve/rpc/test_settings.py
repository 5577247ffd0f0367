"""Trace and log settings by gRPC: read, changed and put back, in the messages' own types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantline.serve.rpc.gate import SERVICE
from gantline.serve.rpc.statuses import Code

from gantline.pb import message

if TYPE_CHECKING:
    from tests.serve.rpc.conftest import Rpc


def trace(rpc: Rpc, model: str = "", **settings: list[str]) -> dict[str, list[str]]:
    sent = message("inference.TraceSettingRequest")(model_name=model)
    for key, values in settings.items():
        sent.settings[key].value.extend(values)
    found = message("inference.TraceSettingResponse").FromString(rpc.ask(f"/{SERVICE}/TraceSetting", sent))
    return {key: list(setting.value) for key, setting in found.settings.items()}


def log(rpc: Rpc, **settings: Any) -> dict[str, Any]:
    sent = message("inference.LogSettingsRequest")()
    for key, value in settings.items():
        kind = {bool: "bool_param", int: "uint32_param", str: "string_param"}.get(type(value))
        if kind is None:
            sent.settings[key].SetInParent()
        else:
            setattr(sent.settings[key], kind, value)
    found = message("inference.LogSettingsResponse").FromString(rpc.ask(f"/{SERVICE}/LogSettings", sent))
    return {key: getattr(s, s.WhichOneof("parameter_choice")) for key, s in found.settings.items()}


def test_trace_settings(own_rpc: Callable[..., Rpc], zoo: Path, tmp_path: Path) -> None:
    rpc = own_rpc(zoo / "double.onnx", trace_dir=tmp_path)
    start = trace(rpc)
    assert start["trace_level"] == ["OFF"] and start["trace_rate"] == ["1000"]
    own = trace(rpc, "double", trace_rate=["7"], trace_level=["TIMESTAMPS"])
    assert own == start | {"trace_rate": ["7"], "trace_level": ["TIMESTAMPS"]} and trace(rpc) == start
    assert trace(rpc, "double", trace_rate=[], trace_level=[]) == start


def test_log_settings(own_rpc: Callable[..., Rpc], zoo: Path) -> None:
    rpc = own_rpc(zoo / "double.onnx")
    start = log(rpc)
    assert start["log_error"] is True and start["log_format"] == "default" and type(start["log_verbose_level"]) is int
    changed = log(rpc, log_verbose_level=3, log_format="ISO8601", log_warning=False)
    assert changed == start | {"log_verbose_level": 3, "log_format": "ISO8601", "log_warning": False}
    assert log(rpc, log_verbose_level=None, log_format=None, log_warning=None) == start


def test_what_cannot_be_set(rpc: Rpc) -> None:
    sent = message("inference.TraceSettingRequest")(model_name="nope")
    assert rpc.refused(f"/{SERVICE}/TraceSetting", sent)[0] == Code.NOT_FOUND
    wrong = message("inference.LogSettingsRequest")()
    wrong.settings["log_colour"].bool_param = True
    code, details = rpc.refused(f"/{SERVICE}/LogSettings", wrong)
    assert code == Code.INVALID_ARGUMENT and "unknown log setting 'log_colour'" in details
