"""torch: exported programs, TorchScript, weights with their class, `pkg.mod:object`, and modules in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gantline.accelerators.agreement import compare
from gantline.accelerators.onnx import open_model
from gantline.accelerators.torch import from_tensor, leaves, one_line, open_program, require, to_tensor
from gantline.accelerators.torch_archive import kind_of

from gantline.errors import BadArtefact
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, datatype_of

from .from_torch_example import example_of, more_like, resized, rows_of, runs
from .from_torch_load import STATE_SUFFIXES, Loaded, from_object, is_module, is_program, load, resolve
from .from_torch_pickle import needs_unpickling, program_of
from .from_torch_programs import Job, Write, ways
from .source import Conversion, Limits, Source, converter_for

SIZES = (1, 2, 3, 5)  # numbers of rows that are tried beside the sample's own
EXPORT_ROWS = 3  # exporters take 0 and 1 for constants
MOST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Case:
    """Inputs with what the source model answers to them."""

    inputs: dict[str, Array]
    want: list[Array]


def recognises(source: Source) -> bool:
    """A torch file by suffix or content, a module or exported program in memory, or `pkg.mod:object`."""
    if source.path is not None:
        path = source.path
        return path.suffix.lower() in (".pt2", *STATE_SUFFIXES) or (path.is_file() and bool(kind_of(path)))
    if source.object is not None:
        return is_module(source.object) or is_program(source.object)
    return ":" in source.reference


def convert(source: Source, work: Path) -> Conversion:
    """To ONNX where that agrees with the module at several batch sizes, else a torch program, saying why."""
    if needs_unpickling(source):
        return _unpickled(source, work)
    if source.reference and source.path is None:
        found = resolve(source.reference, source.init)
        if not is_module(found) and not is_program(found):  # an estimator, say: another row's
            return converter_for(replace(source, object=found, reference="")).convert(source, work)
        require(source.reference)
        loaded = from_object(found, source.reference)
    else:
        loaded = load(source)
    example = runs(loaded, example_of(loaded, source.sample))
    names = outputs_of(loaded, example)
    cases, fixed = cases_of(loaded, example)
    made = first_that_agrees(loaded, cases, fixed, names, source.limits, work)
    conversion = _conversion(loaded, made, cases, names, example)
    conversion.sample = None if source.sample is None else example
    return conversion


def _unpickled(source: Source, work: Path) -> Conversion:
    """A pickled module that the user trusts: a child loads it and writes a program, which is then the source."""
    made = program_of(source, work)
    inner = replace(source, path=made.path, trust_pickle=False, sample=source.sample or made.example)
    conversion = convert(inner, work)
    note = "unpickled in a process of its own, because --trust-pickle was given; checked against the program made there"
    conversion.type, conversion.notes = made.type, (*conversion.notes, note)
    if source.sample is None:  # the example is the module's own, not the user's rows
        conversion.sample = None
    return conversion


@dataclass(frozen=True, slots=True)
class Made:
    """A program that agrees with its source. `fixed`: at the example's own number of rows only."""

    engine: str
    path: Path
    reason: str = ""
    fixed: bool = False


def _answers(loaded: Loaded, inputs: Mapping[str, Array]) -> list[Array]:
    """What the source model itself answers; the inputs are copied, since a module may write into them."""
    import torch

    with torch.no_grad():
        found = loaded.call({n: to_tensor(a.copy()) for n, a in inputs.items()})
        return [from_tensor(t) for _, t in leaves(found)]


def outputs_of(loaded: Loaded, example: Mapping[str, Array]) -> tuple[str, ...]:
    import torch

    with torch.no_grad():
        try:
            found = [n for n, _ in leaves(loaded.call({n: to_tensor(a.copy()) for n, a in example.items()}))]
        except TypeError as e:
            raise BadArtefact(f"{loaded.where}: {one_line(e)}") from e
    if not found:
        raise BadArtefact(f"{loaded.where}: forward() returns no tensor")
    if len(set(found)) != len(found) or set(found) & set(example):
        found = [f"output_{i}" for i in range(len(found))]
    return tuple(found)


def cases_of(loaded: Loaded, example: dict[str, Array]) -> tuple[list[Case], bool]:
    """The example at several numbers of rows, as far as the model takes them. With whether it takes only one number.

    BadArtefact for a model that answers differently to the same input: there is nothing to compare with.
    """
    rows = rows_of(example)
    first = resized(example, min(rows, MOST_ROWS)) if rows else example
    want, again = _answers(loaded, first), _answers(loaded, first)
    for i, (a, b) in enumerate(zip(want, again, strict=True)):
        if compare(str(i), a, b).breach(1e-6):
            raise BadArtefact(f"{loaded.where}: answers differently to the same input: forward() draws random numbers")
    cases = [Case(first, want)]
    for size in SIZES if rows else ():
        inputs = resized(example, size)
        if size != rows_of(first):
            try:
                cases.append(Case(inputs, _answers(loaded, inputs)))
            except Exception:  # the model does not take that many: no matter, unless it takes no other either
                continue
    return cases, len(cases) == 1


def first_that_agrees(
    loaded: Loaded,
    cases: list[Case],
    fixed: bool,
    names: tuple[str, ...],
    limits: Limits,
    work: Path,
    engines: tuple[str, ...] = ("onnx", "torch"),
) -> Made:
    """The best way of writing that answers as the source does, at all batch sizes; else at the example's own."""
    refused: dict[str, str] = {}
    for keep in (False, True)[fixed:]:
        job, checked = _job(loaded, cases, names, keep, work), cases[:1] if keep else cases
        for engine, name, write in (w for w in ways(loaded) if w[0] in engines):
            path, problem = _tried(engine, write, job, checked, limits)
            if path is not None:
                return Made(engine, path, _reason(refused) if engine != "onnx" else "", keep)
            if engine == "onnx" or not keep:
                refused.setdefault(name, problem)
    raise BadArtefact(
        f"{loaded.where}: no program can be made of it ({_reason(refused)}); package it behind a script (--script)"
    )


def _tried(engine: str, write: Write, job: Job, cases: Sequence[Case], limits: Limits) -> tuple[Path | None, str]:
    """What one way of writing made, or why it is not good enough."""
    try:
        path = write(job)
        problem = _disagreement(_opened(engine, path, job), cases, job.outputs, limits)
    except Exception as e:  # exporters raise whatever they meet
        return None, one_line(e) or type(e).__name__
    return (None, problem) if problem else (path, "")


def _job(loaded: Loaded, cases: list[Case], names: tuple[str, ...], fixed: bool, work: Path) -> Job:
    """The example for exporters: three rows where the model takes them, since 0 and 1 become constants."""
    by_rows = {rows_of(c.inputs): c.inputs for c in reversed(cases)}
    example = cases[0].inputs if fixed else by_rows.get(EXPORT_ROWS) or by_rows.get(2) or cases[0].inputs
    count = rows_of(example)
    rows = () if fixed else tuple(n for n, a in example.items() if a.ndim and len(a) == count)
    folder = work / ("fixed" if fixed else "free")
    folder.mkdir(exist_ok=True)
    return Job(loaded, example, names, rows, folder)


def _opened(engine: str, path: Path, job: Job) -> Callable[[Mapping[str, Array]], list[Array]]:
    if engine == "onnx":
        model = open_model(path)
        found = ([t.name for t in model.signature.inputs], [t.name for t in model.signature.outputs])
        if set(found[0]) != set(job.example) or found[1] != list(job.outputs):
            raise BadArtefact(f"the exporter made inputs {found[0]} and outputs {found[1]}")
        return lambda inputs: model.run(inputs, job.outputs)
    import torch

    program = open_program(path)

    def run(inputs: Mapping[str, Array]) -> list[Array]:
        with torch.inference_mode():
            return [from_tensor(t) for _, t in leaves(program([to_tensor(inputs[n]) for n in job.example]))]

    return run


def _disagreement(
    run: Callable[[Mapping[str, Array]], list[Array]], cases: Sequence[Case], names: Sequence[str], limits: Limits
) -> str:
    for case in cases:
        got = run({n: a.copy() for n, a in case.inputs.items()})
        if len(got) != len(names):
            return f"{len(got)} outputs instead of {len(names)}"
        for name, a, b in zip(names, case.want, got, strict=True):
            problem = compare(name, a, b).breach(limits.rtol, limits.flips)
            if problem:
                return f"with {rows_of(case.inputs)} rows, {problem}"
            if a.dtype != b.dtype:
                return f"output '{name}' is {b.dtype} instead of {a.dtype}"
    return ""


def _reason(refused: Mapping[str, str]) -> str:
    """Why the better ways were refused; without paths and addresses, which would change the package's digest."""
    plain = {n: re.sub(r"(?:[A-Za-z]:)?(?:[/\\][\w.+-]+)+[/\\]|0x[0-9a-f]+", "", text) for n, text in refused.items()}
    return "; ".join(f"{name}: {text[:160]}" for name, text in plain.items())


def _conversion(
    loaded: Loaded, made: Made, cases: list[Case], names: tuple[str, ...], example: dict[str, Array]
) -> Conversion:
    import torch

    model = {"onnx": "model.onnx"}.get(made.engine, made.path.name)
    notes = list(loaded.notes)
    unused = [n for n in loaded.names if n not in example]
    if unused:
        notes.append(f"inputs of forward() that keep their default: {', '.join(unused)}")
    return Conversion(
        engine=made.engine,
        framework="torch",
        type=loaded.type,
        files={model: made.path},
        model=model,
        versions={"torch": str(torch.__version__).split("+")[0]},
        signature=None if made.engine == "onnx" else _signature(cases, names, made.fixed),
        predict=lambda inputs: _answers(loaded, inputs),
        synthetic=more_like(example) if not made.fixed else lambda _: dict(cases[0].inputs),
        reason=made.reason,
        notes=tuple(notes),
    )


def _signature(cases: list[Case], names: tuple[str, ...], fixed: bool) -> Signature:
    """Names, datatypes and shapes as seen at several batch sizes: a dimension that changed is free."""
    checked = cases[:1] if fixed else cases
    inputs = [TensorSpec(n, datatype_of(a), _shape([c.inputs[n] for c in checked])) for n, a in cases[0].inputs.items()]
    outputs = [
        TensorSpec(n, datatype_of(cases[0].want[i]), _shape([c.want[i] for c in checked])) for i, n in enumerate(names)
    ]
    return Signature(tuple(inputs), tuple(outputs))


def _shape(arrays: Sequence[Any]) -> tuple[int, ...]:
    return tuple(d[0] if len(set(d)) == 1 else -1 for d in zip(*(a.shape for a in arrays), strict=True))
