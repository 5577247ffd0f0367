"""The user's side of a V2 server: numpy in, numpy out, blocking (`Client`) and asyncio (`AsyncClient`)."""

from __future__ import annotations

from .asynchronous import AsyncClient
from .blocking import Client
from .result import Result

__all__ = ["AsyncClient", "Client", "Result"]
