"""Service: everything that a gRPC port answers, whatever front carries it."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial

from gantline.errors import Denied
from gantline.settings import ServeSettings

from ..access import Access
from ..control import Control
from ..core import Core
from ..readiness import Readiness
from ..repository import Repository
from .answering import refuse, unary
from .call import Call, Methods, Receiver, Streaming, Unary
from .gate import HEALTH_SERVICE, REFLECTION, SERVICE, Gate
from .health import Health
from .infer import Infer
from .memory import Memory
from .models import Models
from .reflection import Reflection
from .settings import Settings
from .stream import Streams

# where the message has another name than the method
_REQUESTS = {f"/{HEALTH_SERVICE}/Check": "HealthCheck", f"/{HEALTH_SERVICE}/List": "HealthList"}


class Service:
    """The methods, and what is done to all of their calls at once."""

    def __init__(
        self, repository: Repository, control: Control, readiness: Readiness, core: Core, settings: ServeSettings,
        access: Access | None, pool: Executor,
    ) -> None:  # fmt: skip
        self._gate = gate = Gate(access)
        infer = Infer(repository, core, gate, pool)
        self.streams = Streams(infer)
        self.health = Health(readiness)
        slow = {
            SERVICE: {
                **Models(repository, control, readiness, settings).answers(),
                **Memory(control).answers(),
                **Settings(control).answers(),
            },
            HEALTH_SERVICE: self.health.answers(),
        }
        unaries: dict[str, Unary] = {f"/{SERVICE}/ModelInfer": infer.method}
        for service, answers in slow.items():
            package = service.rpartition(".")[0]
            for name, answer in answers.items():
                path = f"/{service}/{name}"
                unaries[path] = unary(f"{package}.{_REQUESTS.get(path, name)}Request", answer, gate.permit(path))
        streams: dict[str, Streaming] = {
            f"/{SERVICE}/ModelStreamInfer": self.streams.method,
            f"/{HEALTH_SERVICE}/Watch": self.health.watch,
            **{f"/{p}.ServerReflection/ServerReflectionInfo": partial(Reflection, package=p) for p in REFLECTION},
        }
        self.methods = Methods(
            unary={path.encode(): method for path, method in unaries.items()},
            streaming={path.encode(): self._guarded(path, method) for path, method in streams.items()},
            screen=gate.screen,
        )

    def _guarded(self, path: str, method: Streaming) -> Streaming:
        permit = self._gate.permit(path)
        if permit is None:
            return method

        def ask_first(call: Call) -> Receiver:
            try:
                permit(call.head, None)
            except Denied as e:
                refuse(call, e)
                return Deaf()
            return method(call)

        return ask_first

    def stop(self) -> None:
        """End the calls that would not end by themselves, when what they have accepted is answered."""
        self.streams.stop()
        self.health.stop()


class Deaf:
    """Who listens on a call that has ended already (a Receiver)."""

    def message(self, data: bytes) -> None:
        """Too late."""

    def half_close(self) -> None:
        """Too late."""
