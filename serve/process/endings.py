"""Endings: the signals that end a server as it should end, with nothing lost."""

from __future__ import annotations

import signal


def endings() -> list[signal.Signals]:
    """SIGTERM, SIGINT, and SIGHUP, which comes when a terminal is closed; not what is ignored, as `nohup` asks for.

    Left alone, SIGHUP would end the process where it stands.
    """
    names = ("SIGTERM", "SIGINT", "SIGHUP")  # not on every system
    found = [signal.Signals(getattr(signal, name)) for name in names if hasattr(signal, name)]
    return [one for one in found if one != getattr(signal, "SIGHUP", 0) or signal.getsignal(one) != signal.SIG_IGN]
