"""Pack: from what the user pointed at to a sealed package directory. Each arrow of the way is one function here."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from gantline.accelerators.independence import independent
from gantline.accelerators.session import Session
from gantline.accelerators.stateful import Stateful, kept_by

from gantline.blobs import publish_directory
from gantline.errors import BadArtefact, BadRequest, EngineFailed, ScriptFailed, UsageError, VerificationFailed
from gantline.fitting import fit
from gantline.manifest import Batching, EnvironmentRequest, Manifest, SequenceInfo, SourceInfo
from gantline.packages import Package, check_name, seal
from gantline.signature import Signature
from gantline.tensors import Array

from . import golden, synthetic
from .canonical import canonicalise
from .lineage import Told, lineage_of
from .padding import prove_padding
from .parity import PROBES, Evidence, Measured, judge, measure
from .source import Conversion, Predict, Source, converter_for
from .tried import with_record

_NOTHING_TOLD = Told()
MAX_BATCH = 64  # rows stacked at most, unless the user says otherwise
PROBE_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user chose about the package itself. `max_batch_size` None: 64 when rows are independent, else 0."""

    overwrite: bool = False
    max_batch_size: int | None = None
    batching: Batching = field(default_factory=Batching)  # how requests of different lengths are padded
    sequences: SequenceInfo | None = None
    told: Told = _NOTHING_TOLD


def pack(source: Source, target: Path, choices: Choices | None = None) -> Package:
    """Convert, check and publish: the package appears at `target` whole, or an error is raised and nothing is left."""
    choices = choices or Choices()
    check_name(source.name)
    with publish_directory(target, choices.overwrite) as root, tempfile.TemporaryDirectory(prefix="gantline-") as work:
        conversion = _converted(source, Path(work))
        source = _exemplified(source, conversion)
        manifest = lay_out(conversion, source.name, root)
        manifest = examine(manifest, conversion, source, root, choices)
        manifest = with_record(Package(root, manifest, None), conversion.elsewhere)
        seal(root, manifest, {**conversion.lineage, **lineage_of(source, choices.told)})
    return Package.open(target)


def _converted(source: Source, work: Path) -> Conversion:
    try:
        return converter_for(source).convert(source, work)
    except ModuleNotFoundError as e:
        if (e.name or "gantline").startswith("gantline"):
            raise
        raise UsageError(f"packaging this needs {e.name}: pip install 'gantline[build]'") from e


def _exemplified(source: Source, conversion: Conversion) -> Source:
    """The source with the rows, or the body, that came with the model, where the user gave none."""
    sample = conversion.example if source.sample is None else source.sample
    return replace(source, sample=sample, body=source.body or conversion.body)


def lay_out(conversion: Conversion, name: str, root: Path) -> Manifest:
    """Put a conversion's files where the package has them, ONNX in its canonical form; the manifest so far."""
    for inside, made in conversion.files.items():
        place = root / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        if conversion.engine == "onnx" and inside == conversion.model:
            canonicalise(made, place)
        else:
            shutil.copyfile(made, place)
    return Manifest(
        name=name,
        engine=conversion.engine,
        model=conversion.model,
        engine_reason=conversion.reason,
        signature=conversion.signature,
        source=SourceInfo(conversion.framework, conversion.type, conversion.versions),
        notes=conversion.notes,
        **conversion.manifest,
    )


def examine(manifest: Manifest, conversion: Conversion, source: Source, root: Path, choices: Choices) -> Manifest:
    """Open what was laid out and run it: signature, parity, golden samples and whether rows may be stacked.

    A script with a contract of its own (Azure) has neither signature nor reference: a body's answer is all there is.
    """
    if choices.sequences is not None and manifest.script is not None:
        raise UsageError(f"package '{source.name}': sequences are for models; a script keeps what it likes by itself")
    if manifest.script is not None and manifest.script.contract != "tensors":
        samples, note = golden.record_body(manifest, source.body, root, source.limits.rtol)
        return replace(manifest, golden=samples, notes=(*manifest.notes, *note))
    if (
        manifest.script is not None
        and conversion.predict is None
        and (source.sample is None or conversion.manifest["script"].decoupled)
    ):
        # a script with infer(): nothing to compare with, and it is not run here
        return _unstacked(manifest, conversion, "it was not tried on rows; package it with --sample")
    # what was made with this interpreter's versions can be run here, whatever it asks for later
    environment = manifest.environment if conversion.elsewhere else EnvironmentRequest()
    session = Session.open(Package(root, replace(manifest, environment=environment), None))
    try:
        manifest = replace(manifest, signature=_labelled(session.signature, conversion))
        evidence, notes = evidence_for(source, conversion, session)
        manifest = replace(manifest, notes=(*manifest.notes, *notes))
        stack, notes = _stacking(session, evidence[0].inputs)
        if not stack:
            manifest = _unstacked(manifest, conversion, notes[0])
        if choices.max_batch_size and not stack:
            raise UsageError(
                f"package '{source.name}': max_batch_size {choices.max_batch_size}: {notes[0]}; leave it out"
            )
        manifest = replace(
            manifest, batching=_batching(stack, choices, conversion.max_batch_size), notes=(*manifest.notes, *notes)
        )
        if manifest.batching.pad:
            prove_padding(session, manifest.batching, evidence[0].inputs)
        if conversion.predict is not None:
            names = session.output_names
            found = [measure(conversion.predict, session.run, names, e, stack) for e in evidence]
            _check_steady(conversion.predict, names, evidence, found, source)
            manifest = replace(manifest, parity=judge(found, source.limits, f"package '{source.name}'"))
        if choices.sequences is not None:
            return _kept(session, replace(manifest, sequences=choices.sequences), evidence[0], root, source.limits.rtol)
        if kept_by(session.engine) is not None:
            samples = golden.record_sequence(session, evidence[0].inputs, root, source.limits.rtol)
            return replace(manifest, golden=samples)
        one = golden.record(session, evidence[0].inputs, root, source.limits.rtol, not session.signature.batched)
        return replace(manifest, golden=(one,))
    finally:
        session.close()


def _check_steady(
    predict: Predict, names: tuple[str, ...], evidence: list[Evidence], found: list[Measured], source: Source
) -> None:
    """VerificationFailed for a source that disagrees with the package because it does so with itself."""
    for rows, one in zip(evidence, found, strict=True):
        if one.breach(source.limits) and measure(predict, predict, names, rows, False).breach(source.limits):
            raise VerificationFailed(
                f"package '{source.name}': the model answers differently to the same input: it draws random numbers"
            )


def _kept(session: Session, manifest: Manifest, evidence: Evidence, root: Path, rtol: float) -> Manifest:
    """The manifest of a program that keeps sequences: states and controls hidden, and a golden sequence that holds."""
    assert manifest.sequences is not None and manifest.signature is not None
    engine = Stateful(session.engine, manifest.sequences, f"package '{manifest.name}'")
    inputs, outputs = engine.sequences.hidden
    seen = Signature(
        tuple(t for t in manifest.signature.inputs if t.name not in inputs),
        tuple(t for t in manifest.signature.outputs if t.name not in outputs),
    )
    if not seen.outputs:
        raise UsageError(f"package '{manifest.name}': sequences: every output is a state; clients get nothing")
    manifest = replace(manifest, signature=seen)
    whole = Session(Package(root, manifest, None), engine)
    return replace(manifest, golden=golden.record_sequence(whole, evidence.inputs, root, rtol))


def evidence_for(source: Source, conversion: Conversion, session: Session) -> tuple[list[Evidence], tuple[str, ...]]:
    """The rows to check on: the user's, else synthetic ones; then probes next to thresholds. With notes on them.

    BadArtefact for a model that runs on no synthetic row: nobody would know whether it runs at all.
    """
    notes: tuple[str, ...] = ()
    if source.sample is not None:
        given = conversion.sample
        first = Evidence("given", sample_for(source.sample, session.signature) if given is None else given)
    else:
        try:
            inputs, notes = _made_up(source, conversion, session)
        except (EngineFailed, BadRequest) as e:
            raise BadArtefact(
                f"package '{source.name}': the model does not run on synthetic data ({e}); package it with --sample"
            ) from e
        first = Evidence("synthetic", inputs)
    probes = conversion.probes(PROBE_ROWS) if conversion.probes is not None else {}
    near = [Evidence(PROBES, probes)] if any(len(a) for a in probes.values()) else []
    return [first, *near], notes


def sample_for(sample: dict[str, Array], signature: Signature) -> dict[str, Array]:
    """The user's rows as the model's inputs; columns that the model does not know are an error that lists them."""
    inputs = fit(sample, signature, "--sample")
    signature.check("sample", inputs)
    return inputs


def _made_up(source: Source, conversion: Conversion, session: Session) -> tuple[dict[str, Array], tuple[str, ...]]:
    if conversion.synthetic is not None:
        return conversion.synthetic(source.rows), ()
    return synthetic.that_runs(session, source.rows)


def _labelled(signature: Signature, conversion: Conversion) -> Signature:
    """The signature with class names on the outputs whose columns they are."""
    outputs = []
    for spec in signature.outputs:
        names = conversion.classes.get(spec.name, ())
        outputs.append(replace(spec, labels=names) if names and spec.shape[-1] in (-1, len(names)) else spec)
    return Signature(signature.inputs, tuple(outputs))


def _stacking(session: Session, inputs: dict[str, Array]) -> tuple[bool, tuple[str, ...]]:
    if not session.signature.batched:
        return False, ("the batch size is fixed: requests are never stacked",)
    if not _takes_two(session, inputs):
        return False, ("it takes one row at a time: requests are never stacked",)
    if not independent(session, inputs):
        return False, ("rows depend on each other: requests are never stacked",)
    return True, ()


def _takes_two(session: Session, inputs: dict[str, Array]) -> bool:
    """Whether a model that was tried on one row takes another beside it; EngineFailed if it does not take the one."""
    if any(len(a) > 1 for a in inputs.values()):
        return True
    session.run(inputs)
    try:
        session.run({n: np.repeat(a, 2, axis=0) for n, a in inputs.items()})
    except (EngineFailed, ScriptFailed):
        return False
    return True


def _unstacked(manifest: Manifest, conversion: Conversion, why: str) -> Manifest:
    """With a note, where the source itself said that a server may stack requests."""
    most = conversion.max_batch_size
    note = (f"max_batch_size {most} of the source is not applied: {why}",) if most else ()
    return replace(manifest, notes=(*manifest.notes, *note))


def _batching(stack: bool, choices: Choices, said: int | None) -> Batching:
    most = choices.max_batch_size
    if most is None:
        most = (MAX_BATCH if said is None else said) if stack else 0
    return replace(choices.batching, max_batch_size=most)
