"""SecretKeys: the file of API keys in a cluster's Secret, changed there, and when the pods have read it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress

from gantline.builders.image.settings import HTTP

from gantline.client import Client
from gantline.errors import BadArtefact, Denied, GantlineError, NotFound, Unavailable

from .forwarding import forwarded
from .program import Program

_MARK = "gantline.dev/keys"
_UNHEARD = 5  # looks without an answer, after which there is none: no port may be forwarded, say
_TAKEN_S, _LOOK_S = 150.0, 1.0  # a kubelet that is not told looks once in a minute and a half


def changed(kubectl: Program, secret: str, key: str, anew: Callable[[str], tuple[str, str]]) -> str:
    """Give a Secret's file its next text; what `anew` says is new.

    NotFound where it is not there, Unavailable where somebody else has changed it meanwhile.
    """
    try:
        tree = json.loads(kubectl.ask("get", "secret", secret, "--output", "json"))
    except NotFound as e:
        raise NotFound(f"{e.message}; `gantline keys new` makes its file") from e
    data = tree.get("data") or {}
    if key not in data:
        raise NotFound(f"secret {secret}: has no {key}; there is {', '.join(sorted(data)) or 'nothing'}")
    try:
        text = base64.b64decode(data[key]).decode()
    except ValueError as e:
        raise BadArtefact(f"secret {secret}: {key}: not UTF-8") from e
    text, new = anew(text)
    data[key] = base64.b64encode(text.encode()).decode()
    # with the version that was read: a change of somebody else's in between is refused, and not undone
    kubectl.ask("replace", "--filename", "-", given=json.dumps({**tree, "data": data}))
    return new


def in_force(kubectl: Program, selector: str, model: str, secret: str) -> bool:
    """Whether all ready pods take a secret by now; they are told to look, and waited for."""
    with suppress(GantlineError):  # who may not do that waits longer
        mark = hashlib.sha256(secret.encode()).hexdigest()[:12]
        kubectl.ask("annotate", "pods", "--selector", selector, "--overwrite", f"{_MARK}={mark}")
    end, took, unheard = time.monotonic() + _TAKEN_S, set[str](), 0
    while time.monotonic() < end and unheard < _UNHEARD:
        unheard += 1
        with suppress(GantlineError, ValueError):
            left = [name for name in _ready(kubectl, selector) if name not in took]
            if not left:
                return bool(took)
            took |= {name for name in left if _takes(kubectl, name, model, secret)}
            unheard = 0
            if took.issuperset(left):
                continue  # those that were ready; others may have become so meanwhile
        time.sleep(_LOOK_S)
    return False


def _ready(kubectl: Program, selector: str) -> list[str]:
    told = json.loads(kubectl.ask("get", "pods", "--selector", selector, "--output", "json"))
    return [pod["metadata"]["name"] for pod in told.get("items") or () if _serves(pod)]


def _serves(pod: Mapping[str, dict[str, object]]) -> bool:
    conditions = pod["status"].get("conditions") or []
    assert isinstance(conditions, list)
    ready = any((c.get("type"), c.get("status")) == ("Ready", "True") for c in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _takes(kubectl: Program, pod: str, model: str, secret: str) -> bool:
    lines = kubectl.lines("port-forward", "--address", "127.0.0.1", f"pod/{pod}", f":{HTTP}")
    with closing(lines), Client(forwarded(lines, f"pod {pod}"), key=secret) as client:
        try:
            client.metadata(model)
        except Denied:
            return False
        except NotFound:  # it knows the key, and not the model by this name
            return True
        except Unavailable:
            return False
    return True
