"""Memory: V2's shared-memory methods, over the control's verbs. There is no CUDA memory: its list is always empty."""

from __future__ import annotations

from typing import Any

from gantline.errors import Unsupported
from gantline.pb import message

from ..control import Control
from .answering import Answer


class Memory:
    """Register, unregister and look at regions."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def answers(self) -> dict[str, Answer]:
        """By the method's name."""
        return {
            "SystemSharedMemoryStatus": self.status,
            "SystemSharedMemoryRegister": self.register,
            "SystemSharedMemoryUnregister": self.unregister,
            "CudaSharedMemoryStatus": self.no_status,
            "CudaSharedMemoryRegister": self.no_register,
            "CudaSharedMemoryUnregister": self.no_unregister,
        }

    async def status(self, request: Any) -> Any:
        found = await self._control.call("shared_memory_status", region=request.name)
        answer = message("inference.SystemSharedMemoryStatusResponse")()
        for region in found:
            one = answer.regions[region["name"]]
            one.name, one.key = region["name"], region["key"]
            one.offset, one.byte_size = region["offset"], region["byte_size"]
        return answer

    async def register(self, request: Any) -> Any:
        await self._control.call(
            "shared_memory_register",
            region=request.name, key=request.key, offset=request.offset, byte_size=request.byte_size,
        )  # fmt: skip
        return message("inference.SystemSharedMemoryRegisterResponse")()

    async def unregister(self, request: Any) -> Any:
        await self._control.call("shared_memory_unregister", region=request.name)
        return message("inference.SystemSharedMemoryUnregisterResponse")()

    # -- CUDA: clients ask before they know that there is none, and tidy up

    async def no_status(self, request: Any) -> Any:
        return message("inference.CudaSharedMemoryStatusResponse")()

    async def no_register(self, request: Any) -> Any:
        raise Unsupported("CUDA shared memory is not supported; use system shared memory")

    async def no_unregister(self, request: Any) -> Any:
        return message("inference.CudaSharedMemoryUnregisterResponse")()
