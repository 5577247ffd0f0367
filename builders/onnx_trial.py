"""Trial: which way of writing a model as ONNX answers as the model itself does, at several numbers of rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from gantline.accelerators.agreement import compare
from gantline.accelerators.onnx import open_model

from gantline.errors import BadArtefact, BadRequest, GantlineError
from gantline.fitting import fit
from gantline.signature import Signature
from gantline.tensors import Array, datatype_of

from .source import Limits, Predict, Source

Way: TypeAlias = tuple[str, Callable[[Path], None]]  # its name for a person; writes the file, raising whatever it may
Draw: TypeAlias = Callable[[int, int], dict[str, Array]]  # rows, size of free dimensions -> inputs
SIZES = (1, 2, 3, 5)  # numbers of rows that are tried beside the evidence's own
FREE_SIZES = (8, 1, 32, 64, 128, 224, 3, 16)  # tried for dimensions that the signature leaves open
MOST_ROWS = 256
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Subject:
    """A loaded model: `signature` as the framework has it, `predict` its own answer, `draw` data that it may take."""

    where: str
    signature: Signature
    predict: Predict
    draw: Draw


@dataclass(frozen=True, slots=True)
class Case:
    """Inputs with what the model itself answers to them."""

    inputs: dict[str, Array]
    want: list[Array]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a converted file is held to. `rows` are those that the package's parity is measured on.

    `size`: what the free dimensions of synthetic data got; 0: the data were given.
    """

    rows: dict[str, Array]
    cases: tuple[Case, ...]
    size: int = 0


def evidence_of(subject: Subject, source: Source) -> Evidence:
    """The user's rows, or synthetic ones, in several numbers.

    BadRequest: the model does not take the sample; BadArtefact: no synthetic data, or it answers the same differently.
    """
    if source.sample is not None:
        rows, size = fit(source.sample, subject.signature, "--sample"), 0
        few = _few(rows)
        try:
            want = subject.predict(few)
        except Exception as e:  # whatever the framework raises
            raise BadRequest(f"--sample: {subject.where} does not take these rows: {one_line(e)}") from e
    else:
        rows, want, size = _made_up(subject, source.rows)
        few = rows
    for spec, a, b in zip(subject.signature.outputs, want, subject.predict(few), strict=True):
        if compare(spec.name, a, b).breach(1e-6):
            raise BadArtefact(f"{subject.where}: answers differently to the same input: it draws random numbers")
    return Evidence(rows, (Case(few, want), *_others(subject, few, size)), size)


def first_that_agrees(
    ways: Sequence[Way], subject: Subject, evidence: Evidence, limits: Limits, work: Path
) -> tuple[Path | None, str]:
    """The file of the first way that agrees with the model on all evidence, or why none does."""
    problems: dict[str, str] = {}
    for name, write in ways:
        target = work / f"{re.sub(r'[^a-z0-9]+', '_', name.lower())}.onnx"
        try:
            write(target)
            problem = disagreement(target, subject.signature, evidence.cases, limits)
        except GantlineError as e:
            problem = e.message.removeprefix(f"{target}: ")
        except Exception as e:  # converters raise whatever they meet
            problem = f"{type(e).__name__}: {one_line(e)}"
        if not problem:
            return target, ""
        problems[name] = _plain(problem)
    return None, "no faithful ONNX: " + "; ".join(f"{name}: {text}" for name, text in problems.items())


def disagreement(path: Path, signature: Signature, cases: Sequence[Case], limits: Limits) -> str:
    """How a file differs from the model: in names, datatypes or, on any case, answers. Empty when it does not."""
    engine = open_model(path)
    names = [t.name for t in signature.outputs]
    for side, made in ((signature.inputs, engine.signature.inputs), (signature.outputs, engine.signature.outputs)):
        found, expected = [(t.name, t.datatype) for t in made], [(t.name, t.datatype) for t in side]
        if sorted(found) != sorted(expected):
            return f"the converter made {_listed(found)} of {_listed(expected)}"
    try:
        for case in cases:
            got = engine.run({n: a.copy() for n, a in case.inputs.items()}, names)
            for name, a, b in zip(names, case.want, got, strict=True):
                problem = compare(name, a, b).breach(limits.rtol, limits.flips)
                if problem:
                    return f"{problem}, with {_shapes(case.inputs)}"
    finally:
        engine.close()
    return ""


def one_line(error: BaseException) -> str:
    """What an exception says, in one line that is not too long; of a trace of TensorFlow's, what is at its end."""
    text = _COLOURS.sub("", str(error))
    if text.lstrip().startswith("in user code:"):
        text = text[text.rfind("Error: ") + len("Error: ") :] if "Error: " in text else text
    return " ".join(text.split())[:300] or type(error).__name__


def _made_up(subject: Subject, rows: int) -> tuple[dict[str, Array], list[Array], int]:
    problem: Exception | None = None
    free = any(d < 0 for t in subject.signature.inputs for d in t.shape[1:])
    for size in FREE_SIZES if free else FREE_SIZES[:1]:
        inputs = subject.draw(rows, size)
        try:
            return inputs, subject.predict(inputs), size
        except Exception as e:  # whatever the framework raises
            problem = problem or e
    assert problem is not None
    raise BadArtefact(
        f"{subject.where}: fails on synthetic data ({one_line(problem)}); package it with --sample"
    ) from problem


def _others(subject: Subject, first: dict[str, Array], size: int) -> Iterator[Case]:
    """Other numbers of rows, and other lengths where the signature leaves them open, as far as the model takes them."""
    if not subject.signature.batched:
        return
    tries = [{n: a[:rows] for n, a in first.items()} for rows in SIZES if rows < _rows(first)]
    if size and any(d < 0 for t in subject.signature.inputs for d in t.shape[1:]):
        tries.append(subject.draw(3, 2 * size))
    for inputs in tries:
        try:
            yield Case(inputs, subject.predict(inputs))
        except Exception:  # the model does not take that many: its package will not be asked for them
            continue


def _few(inputs: dict[str, Array]) -> dict[str, Array]:
    if _rows(inputs) <= MOST_ROWS:
        return inputs
    count = _rows(inputs)
    return {n: a[:MOST_ROWS] if a.ndim and len(a) == count else a for n, a in inputs.items()}


def _rows(inputs: Mapping[str, Array]) -> int:
    return next((len(a) for a in inputs.values() if a.ndim), 1)


def _listed(found: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"'{name}' {datatype}" for name, datatype in found) or "nothing"


def _shapes(inputs: Mapping[str, Array]) -> str:
    return ", ".join(f"{n} {datatype_of(a)}{list(np.shape(a))}" for n, a in inputs.items())


def _plain(text: str) -> str:
    """Without paths and addresses, which would change the package's digest."""
    return re.sub(r"(?:[A-Za-z]:)?(?:[/\\][\w.+-]+)+[/\\]|0x[0-9a-f]+", "", text)[:240]
