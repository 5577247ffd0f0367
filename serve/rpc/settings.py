"""Settings: V2's trace and log settings by gRPC, over the control's verbs."""

from __future__ import annotations

from typing import Any

from gantline.pb import message

from ..control import Control
from .answering import Answer


class Settings:
    """Read and change them; what a request does not name stays as it is."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def answers(self) -> dict[str, Answer]:
        """By the method's name."""
        return {"TraceSetting": self.trace, "LogSettings": self.log}

    async def trace(self, request: Any) -> Any:
        """A setting without values goes back to what it was at the start, or to the server's."""
        update = {key: list(setting.value) or None for key, setting in request.settings.items()}
        found = await self._control.call("trace_settings", model=request.model_name, update=update)
        answer = message("inference.TraceSettingResponse")()
        for key, value in found.items():
            answer.settings[key].value.extend([value] if isinstance(value, str) else value)
        return answer

    async def log(self, request: Any) -> Any:
        """A setting without a value goes back to what it was at the start."""
        update = {}
        for key, setting in request.settings.items():
            kind = setting.WhichOneof("parameter_choice")
            update[key] = getattr(setting, kind) if kind else None
        found = await self._control.call("log_settings", update=update)
        answer = message("inference.LogSettingsResponse")()
        for key, value in found.items():
            setting = answer.settings[key]
            if isinstance(value, bool):
                setting.bool_param = value
            elif isinstance(value, int):
                setting.uint32_param = value
            else:
                setting.string_param = value
        return answer
