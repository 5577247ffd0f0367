"""Endpoints on a real Kubernetes: applied, asked, changed while they are asked, led back, and nothing left of them.

GANTLINE_TEST_CLUSTER is a context of kubectl's, GANTLINE_TEST_REPOSITORY a HOST/REPOSITORY that this machine pushes to
and the cluster pulls from; without both all is skipped. Namespaces are made, and removed.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import gantline

CLUSTER, REPOSITORY = (os.environ.get(f"GANTLINE_TEST_{name}", "") for name in ("CLUSTER", "REPOSITORY"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CLUSTER and REPOSITORY), reason="no cluster: see GANTLINE_TEST_CLUSTER in this file"),
]
_PLAIN = ["--plain-http"] if REPOSITORY.startswith(("127.0.0.1:", "localhost:")) else []
_WAIT_S = 180.0
_LOAD_S = 45
# each request on a connection of its own, as new clients come; what is not answered by 200 is told
_LOAD = """
import sys, threading, time, urllib.request
url, key, rows, seconds = sys.argv[1:]
answered, lost, end = [], [], time.monotonic() + float(seconds)
def ask():
    while time.monotonic() < end:
        asked = urllib.request.Request(url, rows.encode(), {"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                answer.read()
            answered.append(1)
        except Exception as e:
            lost.append(f"{type(e).__name__}: {e}")
        time.sleep(0.01)
threads = [threading.Thread(target=ask) for _ in range(4)]
for one in threads: one.start()
for one in threads: one.join()
print(len(answered), "answered", len(lost), "lost", lost[:5])
"""
_ROWS = json.dumps({"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]})


@dataclass(slots=True)
class Site:
    """Commands in an own home and kubeconfig, two images, and a file of keys with the one key in it."""

    folder: Path
    variables: dict[str, str]
    images: list[str] = field(default_factory=list)
    secret: str = ""

    def run(self, *words: str | Path, fails: bool = False, given: str | None = None) -> str:
        """What it prints; where it `fails`, its one line of error."""
        program = [] if words[0] == "kubectl" else [sys.executable, "-m", "gantline"]
        done = subprocess.run(
            [*program, *map(str, words)], capture_output=True, text=True, check=False, env=self.variables, timeout=600,
            input=given, cwd=self.folder,
        )  # fmt: skip
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stderr.strip().splitlines()[-1] if fails else done.stdout

    def objects(self, namespace: str, *words: str) -> list[dict[str, Any]]:
        told = self.run("kubectl", "--namespace", namespace, "get", *words, "--output", "json")
        found: list[dict[str, Any]] = json.loads(told)["items"]
        return found

    def differs(self, namespace: str, path: Path) -> list[str]:
        """What the files would change; but for a number that the cluster counts up for an empty list, too."""
        words = ["kubectl", "--namespace", namespace, "diff", "--filename", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=self.variables, timeout=60)
        assert done.returncode in (0, 1), done.stderr
        lines = [one for one in done.stdout.splitlines() if one[:1] in "+-" and one[:3] not in ("+++", "---")]
        return [one for one in lines if one[1:].split(":")[0].strip() != "generation"]

    def state(self, name: str) -> tuple[str, str]:
        """An endpoint's, and why."""
        told = json.loads(self.run("endpoint", "show", name, "--json"))
        return told["state"], told["why"]

    def until(self, name: str, done: Callable[[str, str], bool]) -> None:
        end = time.monotonic() + _WAIT_S
        while not done(*(found := self.state(name))):
            assert time.monotonic() < end, found
            time.sleep(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, base_tar: Path) -> Site:
    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    folder = tmp_path_factory.mktemp("site")
    home = {"GANTLINE_HOME": str(folder / "home")}
    config = subprocess.run(
        ["kubectl", "--context", CLUSTER, "config", "view", "--raw", "--flatten", "--minify"], capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    (folder / "config").write_text(config)
    made = Site(folder, os.environ | home | {"KUBECONFIG": str(folder / "config")})
    data, labels = load_iris(return_X_y=True)
    for strength, tag in ((1.0, "one"), (0.5, "two")):
        package = folder / f"{tag}.pkg"
        model = LogisticRegression(C=strength, max_iter=1000).fit(data, labels)
        gantline.package(model, name="iris", sample=data.astype(np.float32), output=package)
        made.run("build", package, "--tag", f"iris:{tag}", "--base", base_tar)
        made.run("push", f"iris:{tag}", f"{REPOSITORY}:{tag}", *_PLAIN)
        made.images.append(f"{REPOSITORY}:{tag}")
    made.secret = json.loads(made.run("keys", "new", "--name", "ann", "--keys", "keys.toml", "--json"))["key"]
    return made


@pytest.fixture
def namespace(site: Site) -> Iterator[str]:
    """One that admits what is restricted alone, current while it is made, and with the keys in a Secret."""
    name = f"gantline-test-{secrets.token_hex(4)}"
    site.run("kubectl", "create", "namespace", name)
    try:
        site.run("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        site.run("kubectl", "--namespace", name, "create", "secret", "generic", "gate", "--from-file", "keys.toml")
        yield name
    finally:
        site.run("kubectl", "delete", "namespace", name)


def deployed(site: Site, namespace: str, name: str, *words: str, memory: str = "256Mi") -> Path:
    """Written and applied where `namespace` is current, which then is current no more."""
    path = site.folder / f"{namespace}-{name}"
    site.run("kubectl", "config", "set-context", "--current", "--namespace", namespace)
    said: list[str | Path] = ["--name", name, "--cpu", "100m", "--memory", memory, "-o", path]
    site.run("deploy", site.images[0], *_PLAIN, "--to", "kubernetes", *said, *words)
    site.run("kubectl", "apply", "--filename", path)
    site.run("kubectl", "config", "set-context", "--current", "--namespace", "default")
    return path


def asked(site: Site, name: str, key: str) -> str:
    """What its model says of a row."""
    (site.folder / "key").write_text(key)
    (site.folder / "rows.csv").write_text("5.1,3.5,1.4,0.2\n")
    return site.run("endpoint", "invoke", name, "--input", "rows.csv", "--key-file", "key", "--json")


@dataclass(frozen=True, slots=True)
class Load:
    """A pod of the same image that asks the Service all the while."""

    site: Site
    namespace: str

    def begin(self, key: str) -> None:
        spec = self.site.objects(self.namespace, "deployments")[0]["spec"]["template"]["spec"]
        own = {name: spec["containers"][0][name] for name in ("image", "securityContext")}
        python = ["/opt/gantline/env/bin/python", "-c", _LOAD]
        url = "http://{}:8000/v2/models/iris/infer".format(
            self.site.objects(self.namespace, "services")[0]["spec"]["clusterIP"]
        )
        container = {**own, "name": "load", "command": [*python, url, key, _ROWS, str(_LOAD_S)]}
        pod = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "load", "namespace": self.namespace},
            "spec": {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]},
        }  # fmt: skip
        self.site.run("kubectl", "create", "--filename", "-", given=json.dumps(pod))
        self._wait("{.status.phase}=Running")

    def end(self) -> tuple[int, int, str]:
        """Requests that were answered, and lost, and of which kinds."""
        self._wait("{.status.phase}=Succeeded")
        told = self.site.run("kubectl", "--namespace", self.namespace, "logs", "load")
        answered, _, lost, _, kinds = told.split(None, 4)
        return int(answered), int(lost), kinds

    def _wait(self, state: str) -> None:
        said = ("--for", f"jsonpath={state}", "--timeout", f"{_WAIT_S:g}s")
        self.site.run("kubectl", "--namespace", self.namespace, "wait", "pod/load", *said)


def test_a_life(site: Site, namespace: str) -> None:
    """In a restricted namespace that is current no more; changed and given new keys while it is asked, and removed."""
    path = deployed(site, namespace, "life", "--keys-secret", "gate")
    site.until("life", lambda state, why: state == "running")
    assert asked(site, "life", site.secret)
    spare = site.run("endpoint", "keys", "life", "--rotate", "secondary").strip()
    load = Load(site, namespace)
    load.begin(spare)
    began = time.monotonic()
    site.run("endpoint", "update", "life", site.images[1], *_PLAIN, "--env", "GANTLINE_LOG_FORMAT=json")
    fresh = json.loads(site.run("endpoint", "keys", "life", "--rotate", "primary", "--json"))
    assert fresh["in_force"], "the pods have read it"
    assert time.monotonic() - began < _LOAD_S, "it was asked all the while"
    answered, lost, kinds = load.end()
    assert answered > 100 and lost == 0, kinds
    assert asked(site, "life", fresh["primary"]) and asked(site, "life", spare)
    site.run("endpoint", "invoke", "life", "--input", "rows.csv", "--key-file", _key(site, site.secret), fails=True)
    (live,) = site.objects(namespace, "deployments")
    (container,) = live["spec"]["template"]["spec"]["containers"]
    shown = json.loads(site.run("endpoint", "show", "life", "--json"))
    assert container["image"] == shown["image"] and container["image"] in (path / _file("life")).read_text()
    assert site.differs(namespace, path) == [], "files say what runs"
    site.run("endpoint", "delete", "life")
    kinds = "deployments,replicasets,services,poddisruptionbudgets,networkpolicies,horizontalpodautoscalers"
    named = ("--selector", "app.kubernetes.io/name=life")
    end = time.monotonic() + _WAIT_S
    while left := site.objects(namespace, f"{kinds},pods", *named):
        assert time.monotonic() < end, [one["metadata"]["name"] for one in left]
        time.sleep(1)
    site.run("endpoint", "show", "life", fails=True)


def _key(site: Site, secret: str) -> str:
    (site.folder / "key").write_text(secret)
    return "key"


def _file(name: str) -> str:
    return f"02-deployment-{name}-main.yaml"


def test_an_update_that_fails_leads_back(site: Site, namespace: str) -> None:
    """By an image that is not there, a server that ends, and a quota: each is said, and none is left in place."""
    path = deployed(site, namespace, "back")
    site.until("back", lambda state, why: state == "running")
    before = (path / _file("back")).read_text()
    (name,) = (one["metadata"]["name"] for one in site.objects(namespace, "pods"))
    shown = json.loads(site.run("endpoint", "show", "back", "--json"))
    absent = f"{REPOSITORY}@sha256:{'0' * 64}"
    quota = ("kubectl", "--namespace", namespace, "create", "quota", "small", "--hard", "pods=1")
    for words, told in (
        ([absent, *_PLAIN], ("ImagePullBackOff", "not found")),
        (["--env", "GANTLINE_TRACE_DIR=/absent/traces"], ("CrashLoopBackOff", "/absent/traces")),
        (["--env", "GANTLINE_LOG_FORMAT=json"], ("FailedCreate", "exceeded quota: small")),
    ):
        if "quota" in told[1]:
            site.run(*quota)
        line = site.run("endpoint", "update", "back", *words, "--wait-s", "120", fails=True)
        assert all(word in line for word in told), line
        assert line.endswith("; what was applied before serves again"), line
        assert (path / _file("back")).read_text() == before
        assert site.differs(namespace, path) == []
        assert json.loads(site.run("endpoint", "show", "back", "--json")) == shown
        end = time.monotonic() + _WAIT_S  # the one that failed has its time to stop
        while (left := [one["metadata"]["name"] for one in site.objects(namespace, "pods")]) != [name]:
            assert time.monotonic() < end, left
            time.sleep(1)


def test_why_it_is_not_ready(site: Site, namespace: str) -> None:
    """From the pod, or where there is none, from what refused it, or from events."""
    deployed(site, namespace, "small", memory="16Mi")
    deployed(site, namespace, "large", memory="900Ti")
    deployed(site, namespace, "keyless", "--keys-secret", "absent")
    site.until("small", lambda state, why: "OOMKilled: it took more memory than its limit of 16Mi" in why)
    site.until(
        "large", lambda state, why: state == "starting" and "Unschedulable" in why and "Insufficient memory" in why
    )
    site.until("keyless", lambda state, why: "FailedMount" in why and 'secret "absent" not found' in why)
    for name in ("small", "large", "keyless"):
        site.run("endpoint", "delete", name)
    site.run("kubectl", "--namespace", namespace, "create", "quota", "none", "--hard", "pods=0")
    deployed(site, namespace, "refused")
    site.until("refused", lambda state, why: state == "failed" and "exceeded quota: none" in why)
