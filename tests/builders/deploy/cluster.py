"""A kubectl for tests: objects in a JSON file, pods that serve or do not; a real one is in tests/conformance."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

_LAST = "kubectl.kubernetes.io/last-applied-configuration"
_SCRIPT = """#!{python}
import json, sys
from pathlib import Path
words, place = sys.argv[1:], Path({place!r})
with open({log!r}, "a") as log:
    log.write(" ".join(words) + "\\n")
tree = json.loads(place.read_text())
def keep(): place.write_text(json.dumps(tree))
if "apply" in words:
    for one in json.load(sys.stdin)["items"]:
        last = {{"{last}": json.dumps(one)}}
        one["metadata"]["annotations"] = {{**one["metadata"].get("annotations", {{}}), **last}}
        tree[one["kind"] + "/" + one["metadata"]["name"]] = one
    keep()
elif "replace" in words:
    one = json.load(sys.stdin)
    tree["Secret/" + one["metadata"]["name"]] = one
    keep()
elif "get" in words and "secret" in words:
    name = "Secret/" + words[words.index("secret") + 1]
    if name not in tree:
        sys.exit('Error from server (NotFound): secrets "x" not found')
    print(json.dumps(tree[name]))
elif "get" in words and "events" not in words:
    found = []
    for one in tree.values():
        if one["kind"] == "Deployment":
            image = one["spec"]["template"]["spec"]["containers"][0]["image"]
            fine = "broken" not in image
            one["metadata"] |= {{"uid": "d", "generation": 1}}
            one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
            one["status"] = {{"observedGeneration": 1, "updatedReplicas": 1, "replicas": 1,
                "availableReplicas": int(fine), "readyReplicas": int(fine)}}
            mark = {{"labels": {{"pod-template-hash": "h"}}}}
            of = {{"ownerReferences": [{{"uid": "d"}}], "annotations": {{"deployment.kubernetes.io/revision": "1"}}}}
            found.append({{"kind": "ReplicaSet", "metadata": {{**mark, **of, "name": "set"}}}})
            waiting = {{"waiting": {{"reason": "ImagePullBackOff", "message": "no such image"}}}}
            held = {{"name": "gantline", "ready": fine, "state": {{"running": {{}}}} if fine else waiting}}
            status = {{"containerStatuses": [held]}}
            pod = {{"kind": "Pod", "metadata": {{**mark, "name": "pod"}}, "spec": {{"containers": []}}}}
            found.append({{**pod, "status": status}})
        found.append(one)
    print(json.dumps({{"items": found}} if "--selector" in words else found[-1]))
elif "get" in words:
    print(json.dumps({{"items": []}}))
"""


class Cluster:
    """What it holds, and how it was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._objects, self._log = folder / "objects.json", folder / "log"
        program = folder / "bin" / "kubectl"
        program.parent.mkdir()
        text = _SCRIPT.format(python=sys.executable, place=str(self._objects), log=str(self._log), last=_LAST)
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join((str(program.parent), os.environ["PATH"])))
        self._objects.write_text("{}")

    def applied(self, trees: list[dict[str, Any]]) -> None:
        """As `kubectl apply` leaves them."""
        for one in trees:
            last = {_LAST: json.dumps(one)}
            self.put({**one, "metadata": {**one["metadata"], "annotations": last}})

    def put(self, tree: dict[str, Any]) -> None:
        there = json.loads(self._objects.read_text())
        self._objects.write_text(json.dumps({**there, f"{tree['kind']}/{tree['metadata']['name']}": tree}))

    def get(self, name: str) -> dict[str, Any]:
        """By KIND/NAME."""
        found: dict[str, Any] = json.loads(self._objects.read_text())[name]
        return found

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().splitlines()
