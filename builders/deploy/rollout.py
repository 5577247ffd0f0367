"""Rollout: another image, or other variables, for a Deployment that was applied; what does not get ready is led back.

What is changed is what was applied last, as kubectl keeps it with each object, and the files by the same step: what
somebody has in the files and has not applied yet stays so.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gantline.errors import DeadlineExceeded, GantlineError, NotFound, Unavailable

from .container import variable
from .documents import Tree
from .kubernetes import version_label
from .pods import Rollout, Trouble, event_trouble
from .program import Program

KINDS = "service,deployment,horizontalpodautoscaler,poddisruptionbudget,networkpolicy"
_LAST = "kubectl.kubernetes.io/last-applied-configuration"
_INSTANCE, _VERSION = "app.kubernetes.io/instance", "app.kubernetes.io/version"
_LOOK_S, _BACK_S = 1.0, 30.0
_TWICE = 2  # what lasts is there still a look later


@dataclass(frozen=True, slots=True)
class Step:
    """`instance`: whose objects change. `image` empty: the one that it has. `variables`: with None taken out."""

    instance: str
    container: str
    image: str
    variables: dict[str, str | None]

    def __call__(self, tree: Tree) -> Tree:
        """An object after it; others' as they are."""
        tree = copy.deepcopy(tree)
        if (tree.get("metadata", {}).get("labels") or {}).get(_INSTANCE) != self.instance:
            return tree
        _versioned(tree["metadata"], self.image)
        if tree.get("kind") == "Deployment":
            template = tree["spec"]["template"]
            _versioned(template["metadata"], self.image)
            for one in template["spec"]["containers"]:
                if one["name"] == self.container:
                    self._in(one)
        return tree

    def _in(self, container: Tree) -> None:
        if self.image:
            container["image"] = self.image
        there = {one["name"]: one for one in container.get("env") or ()}
        there |= {name: variable(name, value) for name, value in self.variables.items() if value is not None}
        plain = sorted(n for n, one in there.items() if "valueFrom" not in one)
        kept = [*plain, *(n for n, one in there.items() if "valueFrom" in one)]  # as `gantline deploy` writes them
        container["env"] = [there[name] for name in kept if self.variables.get(name, "") is not None]


def _versioned(metadata: Tree, image: str) -> None:
    if image:
        labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != _VERSION}
        metadata["labels"] = {**labels, **version_label(image)}


def applied(kubectl: Program, instance: str) -> list[Tree]:
    """What was applied last for a deployment's objects. NotFound where there are none."""
    told = json.loads(kubectl.ask("get", KINDS, "--selector", f"{_INSTANCE}={instance}", "--output", "json"))
    kept = ((one["metadata"].get("annotations") or {}).get(_LAST) for one in told.get("items") or ())
    found = [json.loads(text) for text in kept if text]
    if not any(one.get("kind") == "Deployment" for one in found):
        raise NotFound(f"deployment {instance}: not there, or not applied by `kubectl apply`")
    return found


def roll(kubectl: Program, step: Step, wait_s: float, finish: Callable[[], None]) -> None:
    """Apply it, wait until its pods serve, and `finish`. After an error what was applied before is applied again."""
    before = applied(kubectl, step.instance)
    try:
        _apply(kubectl, [step(tree) for tree in before])
        await_ready(kubectl, step.instance, wait_s)
        finish()
    except GantlineError as e:
        e.message += f"; {_led_back(kubectl, before, step.instance, wait=True)}"
        e.args = (e.message,)
        raise
    except BaseException:
        _led_back(kubectl, before, step.instance, wait=False)
        raise


def await_ready(kubectl: Program, name: str, wait_s: float) -> None:
    """Until a Deployment's pods are the new ones alone, and available.

    Unavailable says what keeps them from it as soon as that lasts, DeadlineExceeded when the time is over.
    """
    end, lasting, why = time.monotonic() + wait_s, 0, ""
    while True:
        found, trouble = None, None
        try:
            found = look(kubectl, name)
            trouble = found.trouble()
        except GantlineError as e:  # the cluster may answer the next time
            why = e.message
        if found is not None and found.settled:
            return
        lasting = lasting + 1 if trouble is not None and trouble.lasting else 0
        if trouble is not None and lasting >= _TWICE:
            raise Unavailable(f"deployment {name}: {trouble.why}")
        if time.monotonic() > end:
            known = trouble or (found and warned(kubectl, found))
            why = known.why if known else why or "it is not said why"
            raise DeadlineExceeded(f"deployment {name}: not ready within {wait_s:g} s: {why}; --wait-s gives it longer")
        time.sleep(_LOOK_S)


def look(kubectl: Program, name: str) -> Rollout:
    """As it is now. NotFound."""
    kinds = "deployments,replicasets,pods"
    told = json.loads(kubectl.ask("get", kinds, "--selector", f"{_INSTANCE}={name}", "--output", "json"))
    found = Rollout.of(told.get("items") or (), name)
    if found is None:
        raise NotFound(f"deployment {name}: not there")
    return found


def warned(kubectl: Program, found: Rollout) -> Trouble | None:
    """What events say, where the objects themselves say nothing; nothing where nobody may read them."""
    with suppress(GantlineError, ValueError):
        told = json.loads(kubectl.ask("get", "events", "--field-selector", "type=Warning", "--output", "json"))
        return event_trouble(told.get("items") or (), found.names())
    return None


def _apply(kubectl: Program, trees: list[Tree]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": trees})
    kubectl.ask("apply", "--filename", "-", given=text)


def _led_back(kubectl: Program, before: list[Tree], name: str, wait: bool) -> str:
    """Apply what was there; in words what came of it."""
    try:
        _apply(kubectl, before)
        if wait:
            await_ready(kubectl, name, _BACK_S)
    except GantlineError as e:
        return f"and what was applied before is not back: {e.message}"
    return "what was applied before serves again"
