"""Gate: who may call which gRPC method, where there are keys. What has no rule is refused to everybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from gantline.errors import Denied

from ..access import ADMIN, EVERY, HEALTH, NOBODY, SCORE, SERVER, Access, Rule, allow
from ..exchange import Head
from .call import Refusal, Screen
from .statuses import refusal

# raises Denied; takes the message, since a key may be for some models only
Permit: TypeAlias = Callable[[Head, Any], None]

SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"
REFLECTION = ("grpc.reflection.v1", "grpc.reflection.v1alpha")

# by path; the second is the message's field that names the model. A call that leaves it empty is about all models
RULES: dict[str, tuple[Rule, str]] = {
    **{f"/{HEALTH_SERVICE}/{name}": (HEALTH, "") for name in ("Check", "List", "Watch")},
    **{f"/{package}.ServerReflection/ServerReflectionInfo": (SCORE, "") for package in REFLECTION},
    f"/{SERVICE}/ServerLive": (HEALTH, ""),
    f"/{SERVICE}/ServerReady": (HEALTH, ""),
    f"/{SERVICE}/ServerMetadata": (SCORE, ""),
    f"/{SERVICE}/ModelReady": (SCORE, "name"),
    f"/{SERVICE}/ModelMetadata": (SCORE, "name"),
    f"/{SERVICE}/ModelConfig": (SCORE, "name"),
    f"/{SERVICE}/ModelStatistics": (SCORE, "name"),
    f"/{SERVICE}/ModelInfer": (SCORE, ""),  # and see Infer: it asks once more, for the model
    f"/{SERVICE}/ModelStreamInfer": (SCORE, ""),
    f"/{SERVICE}/RepositoryIndex": (EVERY, ""),
    f"/{SERVICE}/RepositoryModelLoad": (ADMIN, "model_name"),
    f"/{SERVICE}/RepositoryModelUnload": (ADMIN, "model_name"),
    f"/{SERVICE}/TraceSetting": (ADMIN, "model_name"),
    f"/{SERVICE}/LogSettings": (SERVER, ""),
    **{
        f"/{SERVICE}/{kind}SharedMemory{verb}": (SERVER, "")
        for kind in ("System", "Cuda")
        for verb in ("Status", "Register", "Unregister")
    },
}


class Gate:
    """Asks `access` (None: there are no keys, and nobody is asked)."""

    def __init__(self, access: Access | None) -> None:
        self._access = access

    def permit(self, path: str) -> Permit | None:
        """What to ask before a method answers; None: nothing."""
        access = self._access
        if access is None:
            return None
        rule, field = RULES.get(path, (NOBODY, ""))

        def ask(head: Head, message: Any) -> None:
            model = getattr(message, field) if field else ""
            access.admit(head, replace(rule, every=True) if field and not model else rule, model or None)

        return ask

    @property
    def screen(self) -> Screen | None:
        """What fronts ask of a head alone: whoever has no key, or too small a one, may not fill our memory."""
        access = self._access
        if access is None:
            return None

        def ask(head: Head, noted: bool) -> Refusal | None:
            if head.key is not None and head.keys is access.keys:
                return None
            rule, _ = RULES.get(head.path.decode("latin-1"), (NOBODY, ""))
            try:
                access.admit(head, rule, noted=noted)
            except Denied as e:
                return refusal(e)
            return None

        return ask

    def admit(self, head: Head, model: str = "") -> None:
        """Denied unless the call may infer, with this model. Asked for every message: keys may have changed since."""
        access = self._access
        if access is None:
            return
        if head.key is None or head.keys is not access.keys:
            access.admit(head, SCORE)
        if model and head.key is not None:
            allow(head.key, model)
