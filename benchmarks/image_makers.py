"""Who makes images: Gantline, MLflow, BentoML, and a Dockerfile as one writes it by hand; for each, how.

Seconds are those of making the image of what is packaged already: `gantline build` here, the engine's build of the
Dockerfile that their own commands write there. What writes it (`mlflow models generate-dockerfile`, `bentoml build`)
is not counted, nor is `gantline package`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from image_engine import Engine, Site
from measuring import ROOT, free_port, output_of

sys.path.insert(0, str(ROOT / "scripts"))
from rivals import ensure

BASE = "docker.io/library/python:3.11-slim"  # the name; what it stands for is made here
HUB = "docker.io/library/"
PEERS = ROOT / "benchmarks" / "peers"
BY_HAND = """\
FROM python:3.11-slim
COPY gantline-*.whl requirements.txt /tmp/
RUN pip install --no-cache-dir /tmp/gantline-*.whl -r /tmp/requirements.txt
COPY model /model
ENV GANTLINE_SCRIPT_PYTHON=/usr/local/bin/python
USER 65532
CMD ["gantline", "serve", "/model", "--host", "0.0.0.0", "--no-auth"]
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model: `file` as it was saved, `package` as Gantline has it, what it asks for, and rows with their answer.

    `line` stands on top of the scoring code, whoever's, where there is some.
    """

    name: str
    file: Path
    package: Path
    requirements: tuple[str, ...]
    input: str
    rows: Any
    right: tuple[float, ...]
    line: str = ""

    @property
    def scripted(self) -> bool:
        return not self.input


@dataclass(frozen=True, slots=True)
class Served:
    """How a container of an image is started and asked."""

    words: tuple[str, ...]
    port: int
    path: str
    body: bytes

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"


class Maker(Protocol):
    """One way from a model to an image in the engine."""

    def prepare(self, subject: Subject) -> None:
        """What comes before the image and is not counted."""

    def make(self, subject: Subject, tag: str) -> float:
        """Seconds; the image is in the engine then."""
        ...

    def push(self, tag: str, to: str) -> None:
        """Send it to the registry."""

    def served(self, subject: Subject) -> Served: ...


class Gantline:
    """`gantline build`, with a home of its own and the same base from the registry."""

    def __init__(self, home: Path, engine: Engine, site: Site) -> None:
        self.home, self.engine, self.site = home, engine, site

    def _run(self, *words: str | Path) -> None:
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        own = inherited | {"GANTLINE_HOME": str(self.home)}
        output_of([sys.executable, "-m", "gantline", *words], own)

    def prepare(self, subject: Subject) -> None:
        """It is packaged."""

    def make(self, subject: Subject, tag: str) -> float:
        base = f"{self.site.host}/base:1"
        began = time.perf_counter()
        self._run("build", subject.package, "--base", base, "--python", "3.11", "--tag", tag)
        took = time.perf_counter() - began
        archive = self.home / "image.tar"
        self._run("build", subject.package, "--base", base, "--python", "3.11", "--tag", tag, "-o", archive)
        self.engine.call("load", "--quiet", "--input", archive)
        archive.unlink()
        return took

    def push(self, tag: str, to: str) -> None:
        self._run("push", tag, f"oci://{to}")

    def served(self, subject: Subject) -> Served:
        return served(subject)


class Dockerfile:
    """What those have in common whose images an engine builds from a Dockerfile."""

    def __init__(self, work: Path, engine: Engine, settings: Sequence[str]) -> None:
        self.work, self.engine, self.settings = work, engine, settings

    def context(self, subject: Subject) -> tuple[Path, Path]:
        """Its Dockerfile and the folder that it is about."""
        raise NotImplementedError

    def make(self, subject: Subject, tag: str) -> float:
        file, folder = self.context(subject)
        named = next(line.split()[1] for line in file.read_text().splitlines() if line.startswith("FROM "))
        self.engine.call("tag", BASE, HUB + named)
        began = time.perf_counter()
        self.engine.call("build", "--quiet", *self.settings, "--tag", tag, "--file", file, folder)
        return time.perf_counter() - began

    def push(self, tag: str, to: str) -> None:
        self.engine.call("push", "--quiet", "--tls-verify=false", tag, to)


class MLflow(Dockerfile):
    """`mlflow models generate-dockerfile` of a pyfunc script, or of an ONNX model; all by its defaults."""

    def prepare(self, subject: Subject) -> None:
        target = self.work / subject.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (target / "requirements.txt").write_text("\n".join(subject.requirements))
        words: list[str | Path] = [
            PEERS / "image_mlflow.py",
            subject.file,
            target / "requirements.txt",
            target / "model",
        ]
        if subject.scripted:
            (target / "code.py").write_text(subject.line + (PEERS / "image_mlflow_tree.py").read_text())
            words.append(target / "code.py")
        python = ensure("mlflow")
        _quiet(python, *words)
        command = [str(python.with_name("mlflow")), "models", "generate-dockerfile"]
        _quiet(*command, "--model-uri", target / "model", "--output-directory", target / "image")

    def context(self, subject: Subject) -> tuple[Path, Path]:
        folder = self.work / subject.name / "image"
        return folder / "Dockerfile", folder

    def served(self, subject: Subject) -> Served:
        asked = {"inputs": subject.rows if subject.scripted else {subject.input: subject.rows}}
        return Served((), 8080, "/invocations", json.dumps(asked).encode())  # its nginx knows no other port


class BentoML(Dockerfile):
    """`bentoml build` of a service, whose Dockerfile is what `bentoml containerize` gives to podman."""

    def prepare(self, subject: Subject) -> None:
        source = self.work / subject.name
        source.mkdir(parents=True, exist_ok=True)
        (source / "requirements.txt").write_text("\n".join(subject.requirements))
        program = (PEERS / f"image_bentoml_{'tree' if subject.scripted else 'resnet50'}.py").read_text()
        (source / "service.py").write_text(subject.line + program)
        shutil.copy(subject.file, source / f"model{subject.file.suffix}")
        command = [str(ensure("bentoml").with_name("bentoml")), "build", "--name", subject.name, "--output", "tag"]
        _quiet(*command, source, BENTOML_HOME=str(self.work / "home"), BENTOML_DO_NOT_TRACK="True")

    def context(self, subject: Subject) -> tuple[Path, Path]:
        bentos = self.work / "home" / "bentos" / subject.name
        folder = bentos / (bentos / "latest").read_text().strip()
        return folder / "env" / "docker" / "Dockerfile", folder

    def served(self, subject: Subject) -> Served:
        port = free_port()
        body = json.dumps({"data": subject.rows}).encode()
        return Served(("--env", f"BENTOML_PORT={port}"), port, "/predict", body)


class ByHand(Dockerfile):
    """A Dockerfile of seven lines: the same server, installed by pip."""

    def prepare(self, subject: Subject) -> None:
        folder = self.work / subject.name
        if not folder.exists():
            folder.mkdir(parents=True)
            source = self.work / "source"
            shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "tests", "benchmarks", "__pycache__"))
            _quiet(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source)
            shutil.rmtree(source)
            (folder / "requirements.txt").write_text("\n".join(subject.requirements))
            (folder / "Dockerfile").write_text(BY_HAND)
        shutil.rmtree(folder / "model", ignore_errors=True)
        shutil.copytree(subject.package, folder / "model")

    def context(self, subject: Subject) -> tuple[Path, Path]:
        folder = self.work / subject.name
        return folder / "Dockerfile", folder

    def served(self, subject: Subject) -> Served:
        port = free_port()
        words = ("--env", f"GANTLINE_HTTP_PORT={port}", "--env", f"GANTLINE_GRPC_PORT={free_port()}")
        return Served(words, port, *_gantline_question(subject))


def served(subject: Subject) -> Served:
    """How an image of ours is started and asked."""
    port = free_port()
    words = ("--env", f"PORT={port}", "--env", f"GANTLINE_GRPC_PORT={free_port()}")
    return Served(words, port, *_gantline_question(subject))


def _gantline_question(subject: Subject) -> tuple[str, bytes]:
    if subject.scripted:
        return "/score", json.dumps({"data": subject.rows}).encode()
    rows = np.asarray(subject.rows, np.float32)
    tensor = {"name": subject.input, "shape": rows.shape, "datatype": "FP32", "data": rows.ravel().tolist()}
    return f"/v2/models/{subject.name}/infer", json.dumps({"inputs": [tensor]}).encode()


def _quiet(*command: str | Path, **variables: str) -> None:
    output_of(command, os.environ | variables)
