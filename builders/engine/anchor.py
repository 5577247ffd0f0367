"""Anchor: a container that has an endpoint's published ports, while the servers behind it come and go.

A port that an engine publishes belongs to one container. So one container does nothing but have it, as in a pod, and
servers share its network: the next one takes over inside, and there is no moment without one.
"""

from __future__ import annotations

import json
from typing import Any

from gantline.errors import Unavailable
from gantline.oci.image import Image

from .endpoint import ANCHOR, described
from .engine import Engine
from .wish import HARDENED, NAME, STARTED, Wish, model, published

ENDING = ".ports"  # of its name, after the endpoint's
# the first process of a container ends by signals that it waits for, and by no others
PROGRAM = "import signal as s; told = {s.SIGTERM, s.SIGINT}; s.pthread_sigmask(s.SIG_BLOCK, told); s.sigwait(told)"


def begun(engine: Engine, image: Image, image_in_engine: str, wish: Wish) -> tuple[Any, int, int]:
    """One that has the ports of a wish, as the engine has published them: HTTP's and gRPC's.

    Of an endpoint's own image, whose Python waits in it: 8 MB, and nothing to be brought there. Unavailable for a port
    that is taken, and where the engine publishes none.
    """
    started = {"model": model(image), "host": wish.host, "network": ANCHOR, "mark": wish.mark}
    with engine.spoken():
        made = engine.client.containers.create(
            image_in_engine,
            name=wish.name + ENDING,
            labels={NAME: wish.name, STARTED: json.dumps(started, sort_keys=True)},
            entrypoint=[image.settings["Entrypoint"][0], "-I", "-S", "-c", PROGRAM],
            command=[],
            healthcheck={"test": ["NONE"]},
            ports=published(wish),
            **HARDENED,
        )
    try:
        with engine.spoken():
            made.start()
            made.reload()
        found = described(made.attrs, engine.away)
        if not found.port:  # podman with `netns = "host"`, say: what shares that network would be open to all
            raise Unavailable(f"engine {engine.url}: has published no port of {made.name}; pass --network host")
    except BaseException:
        with engine.spoken():
            made.remove(force=True)
        raise
    return made, found.port, found.grpc_port
