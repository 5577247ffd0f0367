"""Isolated: a conversion done by another environment's interpreter, with the versions that the model was made with.

Two scikit-learns cannot share a process, and TensorFlow need not be in this one. The child converts the file and stays,
to answer as the source model does: parity is between what its framework says and what our onnxruntime says.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from gantline.accelerators.script.environment import Environment

from gantline.blobs import canonical_json
from gantline.errors import BadArtefact, GantlineError
from gantline.manifest import Manifest
from gantline.tensors import Array

from .frames import Header, read_frame, write_frame
from .source import Conversion, Predict, Sampler, Source

Answer: TypeAlias = tuple[Header, dict[str, Array]]


class Isolated:
    """The child process. It ends with this object."""

    def __init__(
        self,
        environment: Environment,
        where: str,
        converter: str = "gantline.builders.from_sklearn",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.where = where
        self.converter = converter  # the module whose convert() is called over there
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the child
        self._child = subprocess.Popen(
            [str(environment.python), "-m", "gantline.builders.isolated_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment.variables(os.environ) | dict(variables or {}),
            cwd=tempfile.gettempdir(),
        )
        self._end = weakref.finalize(self, _end, self._child, self._log)

    def convert(self, source: Source, work: Path) -> Conversion:
        """convert() over there. The conversion's functions keep this object, and so the child, alive."""
        header = {
            "call": "convert",
            "converter": self.converter,
            "name": source.name,
            "path": os.path.abspath(source.path or ""),
            "work": str(work),
            "trust": list(source.trust),
            "module": source.module,
            "directory": os.getcwd(),  # where that module may be
            "signature": source.signature,
            "sampled": source.sample is not None,
            "rows": source.rows,
            "limits": [source.limits.rtol, source.limits.flips],
        }
        found, sample = self._ask(header, source.sample)
        manifest = Manifest.from_bytes(canonical_json(found["manifest"]), "the converting environment's answer")
        has = found["has"]
        return Conversion(
            engine=manifest.engine,
            framework=found["framework"],
            type=found["type"],
            files={inside: Path(path) for inside, path in found["files"].items()},
            model=found["model"],
            versions=found["versions"],
            signature=manifest.signature,
            predict=self._predict() if "predict" in has else None,
            synthetic=self._sampler("synthetic") if "synthetic" in has else None,
            probes=self._sampler("probes") if "probes" in has else None,
            labels=tuple(found["labels"]),
            classes={name: tuple(labels) for name, labels in found["classes"].items()},
            sample=sample if found["sampled"] else None,
            reason=found["reason"],
            notes=tuple(found["notes"]),
            elsewhere=True,
            manifest={name: getattr(manifest, name) for name in found["fields"]},
        )

    def close(self) -> None:
        """End the child."""
        self._end()

    def _predict(self) -> Predict:
        return lambda inputs: list(self._ask({"call": "predict"}, inputs)[1].values())

    def _sampler(self, name: str) -> Sampler:
        return lambda rows: self._ask({"call": name, "rows": rows})[1]

    def _ask(
        self, header: Mapping[str, Any], arrays: Mapping[str, Array] | None = None
    ) -> tuple[Header, dict[str, Array]]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            write_frame(self._child.stdin, header, arrays)
            answer, found = read_frame(self._child.stdout)
        except (EOFError, OSError, ValueError) as e:
            words = self._last_words()
            raise BadArtefact(f"{self.where}: its environment cannot convert it: {words}") from e
        if "error" in answer:
            raise _error(answer["kind"])(f"{self.where}: {answer['error']}" if not answer["kind"] else answer["error"])
        return answer, found

    def _last_words(self) -> str:
        if not self._end.alive:
            return "its process was closed"
        self._child.wait()
        self._log.seek(0)
        lines = self._log.read()[-4000:].decode("utf-8", "replace").strip().split("\n")
        return lines[-1][:300] or f"exit code {self._child.returncode}"


def _error(kind: str) -> type[GantlineError]:
    from gantline import errors

    found = getattr(errors, kind, BadArtefact)
    return found if isinstance(found, type) and issubclass(found, GantlineError) else BadArtefact


def _end(child: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # unsent bytes to a child that has gone
                pipe.close()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    log.close()
