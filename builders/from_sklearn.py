"""scikit-learn: fitted estimators and Pipelines, in memory or in a .skops file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from gantline.accelerators.onnx import Onnx, open_model

from gantline.errors import BadArtefact, BadRequest, EngineFailed, GantlineError, Unsupported, VerificationFailed
from gantline.fitting import fit
from gantline.manifest import TableInfo
from gantline.signature import Signature
from gantline.tensors import Array

from .boosters import face_in, framework_of, versions_in
from .generated_script import Fallback, Wanted
from .parity import PROBES, Evidence, measure
from .sklearn_answers import Answer, answers_of, class_names, reference, specs_of
from .sklearn_layout import Layout, layout_of
from .sklearn_onnx import WAYS, Way, reshape_outputs, to_onnx
from .sklearn_ranges import sampler
from .sklearn_script import behind_script
from .sklearn_width import wide_enough
from .soundness import parts_of
from .source import Conversion, Converter, Predict, Sampler, Source
from .thresholds import probes

MODEL = "model.onnx"
PROBE_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Study:
    """A fitted estimator with everything that its conversion and the check of it need to know."""

    estimator: Any
    layout: Layout
    answers: tuple[Answer, ...]
    predict: Predict
    evidence: tuple[Evidence, ...]
    draw: Sampler
    notes: tuple[str, ...]


def recognises(source: Source) -> bool:
    """A .skops file, or an object that scikit-learn (or a library in its manner) calls an estimator."""
    if source.path is not None:
        return source.path.suffix.lower() == ".skops"
    return source.object is not None and hasattr(source.object, "get_params") and hasattr(source.object, "fit")


def convert(source: Source, work: Path) -> Conversion:
    """To ONNX where that is faithful, else behind a script; BadArtefact for what is not a fitted estimator."""
    if source.path is None:
        return convert_estimator(source.object, source, work)
    from .skops_file import load_skops

    loaded = load_skops(source.path, source.trust)
    framework = framework_of(loaded)
    if framework:
        alone: Converter = import_module(f"gantline.builders.from_{framework}")
        return alone.convert(replace(source, path=None, object=loaded), work)
    return convert_estimator(loaded, source, work)


def convert_estimator(estimator: Any, source: Source, work: Path, otherwise: Fallback = behind_script) -> Conversion:
    """The same for an estimator that is already in memory, wherever it came from."""
    study = _studied(estimator, source)
    reasons: list[tuple[str, str]] = []
    for way in WAYS:
        made, problem = tried(way, study, source, work)
        if made is not None:
            notes = (*study.notes, *_why_wide(way, reasons), *_on_text(estimator))
            return replace(_conversion(study, source, made), notes=notes)
        reasons.append((way.name, problem))
    base = replace(_conversion(study, source, None), reason=_why_not(reasons))
    some = study.predict({n: a[:2] for n, a in study.evidence[0].inputs.items()})
    signature = Signature(study.layout.inputs, specs_of(study.answers, some, class_names(estimator)))
    return otherwise(base, Wanted(estimator, study.layout, study.answers, signature, source, work))


def _studied(estimator: Any, source: Source) -> Study:
    """`study_of`, with what a strange estimator raises while it is looked at told in one line."""
    try:
        return study_of(estimator, source)
    except (GantlineError, ImportError):
        raise
    except Exception as e:
        what = f"{type(e).__name__}: {' '.join(str(e).split())[:200]}"
        where = source.path or type(estimator).__name__
        raise BadArtefact(f"{where}: cannot be read as a fitted scikit-learn estimator ({what})") from e


def study_of(estimator: Any, source: Source) -> Study:
    """Look at an estimator: its inputs and outputs, and rows to compare on."""
    where = str(source.path or type(estimator).__name__)
    _check_fitted(estimator, where)
    answers = answers_of(estimator)
    layout, wide = _laid_out(estimator, source, answers, where)
    draw, known = sampler(estimator, layout)
    predict = reference(estimator, layout, answers)
    if source.sample is None:
        predict = _answering(predict, where, "synthetic")
        draw = _taken(draw, predict)
        first = Evidence("synthetic", draw(source.rows))
        notes = () if known else ("synthetic data: standard normal where the model carries no range of a column",)
    else:
        predict = _answering(predict, where, "given")
        first = Evidence("given", _given(layout, source.sample))
        notes = ()
        predict(first.inputs)
    near = Evidence(PROBES, _quietly(lambda: probes(estimator, layout, draw, PROBE_ROWS)))
    evidence = [first, near] if near.rows > 1 else [first]
    if (holes := _with_holes(first.inputs, predict)) is not None:
        evidence.append(Evidence(f"{first.kind}, with missing numbers,", holes))
    if layout.gaps:
        evidence.append(Evidence(f"{first.kind}, with missing texts,", layout.with_gaps(first.inputs)))
    if (face := face_in(estimator)) is not None:
        evidence.append(Evidence(f"{first.kind}, with missing numbers,", face.holed(first.inputs)))
    return Study(estimator, layout, answers, predict, tuple(evidence), draw, wide + notes)


def _with_holes(inputs: dict[str, Array], predict: Predict) -> dict[str, Array] | None:
    """The rows with NaN in every third number, if the model takes them so: trees and imputers do."""
    out = {n: a.copy() for n, a in inputs.items()}
    floats = [a for a in out.values() if a.dtype.kind == "f"]
    for at, array in enumerate(floats):
        array.reshape(-1)[at % 3 :: 3] = np.nan
    with suppress(GantlineError):
        if floats:
            predict(out)
            return out
    return None


def _laid_out(
    estimator: Any, source: Source, answers: tuple[Answer, ...], where: str
) -> tuple[Layout, tuple[str, ...]]:
    """The layout, as wide as the answers need it on the rows that they will be compared on."""
    layout = layout_of(estimator, source.sample)
    sample, kind = source.sample, "synthetic" if source.sample is None else "given"
    if _wants_single(estimator, layout, answers, sample):
        return replace(layout, single=True), ()

    def rows(layout: Layout) -> dict[str, Array]:
        return sampler(estimator, layout)[0](source.rows) if sample is None else _given(layout, sample)

    def predict(layout: Layout) -> Predict:
        return _answering(reference(estimator, layout, answers), where, kind)

    try:
        return wide_enough(layout, rows, predict, [a.name for a in answers], kind, source.limits)
    except BadArtefact:
        return layout, ()  # it does not take these synthetic rows: others will be tried


def _wants_single(
    estimator: Any, layout: Layout, answers: tuple[Answer, ...], sample: Mapping[str, Array] | None
) -> bool:
    """Whether an estimator that was fitted in float32 refuses float64: k-means and its like do."""
    some = sampler(estimator, layout)[0](2) if sample is None else _given(layout, sample)
    rows = {n: a[:2] for n, a in some.items()}

    def runs(layout: Layout) -> bool:
        with suppress(Exception):  # told by whoever asks in earnest
            _quietly(lambda: reference(estimator, layout, answers)(rows))
            return True
        return False

    return not runs(layout) and runs(replace(layout, single=True))


def _given(layout: Layout, sample: Mapping[str, Array]) -> dict[str, Array]:
    return fit(layout.chosen(sample), Signature(layout.inputs, ()), "--sample")


def _taken(draw: Sampler, predict: Predict) -> Sampler:
    """The sampler, or one of its kind that the model takes: some want numbers from zero up, some whole ones."""
    first: BadArtefact | None = None
    for change in (lambda a: a, np.abs, lambda a: np.rint(np.abs(a))):

        def drawn(rows: int, change: Callable[[Array], Array] = change) -> dict[str, Array]:
            return {n: change(a) if a.dtype.kind == "f" else a for n, a in draw(rows).items()}

        try:
            predict(drawn(8))
        except BadArtefact as e:
            first = first or e
            continue
        return drawn
    assert first is not None
    raise first


def tried(way: Way, study: Study, source: Source, work: Path) -> tuple[Path | None, str]:
    """One way to ONNX: the file, or why it is not good enough."""
    target = work / f"{way.name.replace(' ', '_').replace(',', '')}.onnx"
    try:
        to_onnx(study.estimator, study.layout, way, len(study.answers), target)
        engine = _shaped(target, study)
        names = [t.name for t in engine.signature.outputs]
        if [t.name for t in engine.signature.inputs] != [t.name for t in study.layout.inputs]:
            return None, f"skl2onnx made other inputs: {[t.name for t in engine.signature.inputs]}"
        for evidence in study.evidence:
            found = measure(study.predict, lambda inputs: engine.run(inputs, names), names, evidence, True)
            problem = found.breach(source.limits)
            if problem:
                return None, problem
    except (Unsupported, BadArtefact, BadRequest, EngineFailed, VerificationFailed) as e:
        return None, _plain(e.message, target)
    return target, ""


def _plain(message: str, target: Path) -> str:
    """A message for the manifest: without the path of a temporary file."""
    short = message.removeprefix(f"{target}: ").replace(str(target), MODEL)
    return short[:300]


def _shaped(target: Path, study: Study) -> Onnx:
    """The file opened; where an output has the right values in another shape, it is given the estimator's."""
    engine = open_model(target)
    some = {n: a[:2] for n, a in study.evidence[0].inputs.items()}
    names = [t.name for t in engine.signature.outputs]
    pairs = list(zip(names, study.predict(some), engine.run(some, names), strict=False))
    tails = {n: want.shape[1:] for n, want, got in pairs if want.shape != got.shape and want.size == got.size}
    if not tails:
        return engine
    reshape_outputs(target, tails)
    return open_model(target)


def _conversion(study: Study, source: Source, made: Path | None) -> Conversion:
    labels = class_names(study.estimator)
    near = next((e.inputs for e in study.evidence if e.kind == PROBES), None)
    return Conversion(
        engine="onnx",
        framework="sklearn",
        type=_described(study.estimator),
        files={MODEL: made} if made is not None else {},
        model=MODEL if made is not None else "",
        versions={**_versions(), **versions_in(study.estimator)},
        predict=study.predict,
        synthetic=study.draw,
        probes=None if near is None else (lambda rows: {n: a[:rows] for n, a in near.items()}),
        labels=("label",) if any(a.name == "label" for a in study.answers) else (),
        classes={a.name: labels for a in study.answers if a.name == "probabilities" and labels},
        sample=study.evidence[0].inputs if study.evidence[0].kind == "given" else None,
        notes=study.notes,
        manifest={"table": TableInfo(columns=study.layout.columns)} if _by_name(study) else {},
    )


def _by_name(study: Study) -> bool:
    """Whether a table's columns are found by the names that the estimator was fitted on: in its one matrix."""
    return study.layout.matrix and bool(study.layout.columns)


def _why_wide(way: Way, reasons: list[tuple[str, str]]) -> tuple[str, ...]:
    return (f"computed in {way.name}, because in {reasons[0][0]}: {reasons[0][1]}",) if reasons else ()


def _on_text(estimator: Any) -> tuple[str, ...]:
    from sklearn.feature_extraction.text import CountVectorizer

    if not any(isinstance(one, CountVectorizer) and one.lowercase for one in parts_of(estimator)):
        return ()
    return ("onnxruntime makes capitals small one by one: a final sigma and a dotted capital I come out otherwise",)


def _why_not(reasons: list[tuple[str, str]]) -> str:
    """Why there is no ONNX: what each way met, or once what all of them met."""
    if len({problem for _, problem in reasons}) == 1:
        return f"no faithful ONNX: {reasons[0][1]}"
    return "no faithful ONNX: " + "; ".join(f"in {name}: {problem}" for name, problem in reasons)


def _check_fitted(estimator: Any, where: str) -> None:
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(estimator, BaseEstimator):
        raise BadArtefact(f"{where}: expected a fitted scikit-learn estimator, found {type(estimator).__name__}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_is_fitted(estimator)
    except NotFittedError as e:
        raise BadArtefact(f"{where}: the {type(estimator).__name__} is not fitted: call fit() first") from e
    except TypeError as e:
        raise BadArtefact(f"{where}: expected a fitted scikit-learn estimator, found {type(estimator).__name__}") from e


def _answering(predict: Predict, where: str, kind: str) -> Predict:
    """The reference, quiet, and with its own errors told as one line."""

    def run(inputs: Any) -> list[Array]:
        try:
            found: list[Array] = _quietly(lambda: predict(inputs))
            return found
        except Exception as e:
            text = " ".join(str(e).split())[:200]
            if kind == "given":
                raise BadRequest(f"--sample: {where} does not take these rows: {text}") from e
            raise BadArtefact(f"{where}: fails on {kind} data ({text}); package it with --sample") from e

    return run


def _quietly(run: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        # feature names, convergence, deprecations: of no use to one who packages a model that is fitted already
        warnings.simplefilter("ignore")
        return run()


def _described(estimator: Any) -> str:
    """`Pipeline(StandardScaler, LogisticRegression)`, or the class's name."""
    steps = getattr(estimator, "steps", None)
    name = type(estimator).__name__
    if not steps:
        return name
    return f"{name}({', '.join(type(s).__name__ for _, s in steps if s is not None and not isinstance(s, str))})"


def _versions() -> dict[str, str]:
    import onnx
    import skl2onnx
    import sklearn

    return {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__, "onnx": onnx.__version__}
