"""Golden samples: a few rows, or a body, with the answer that the packaged model gave, kept to be replayed."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import numpy as np
from gantline.accelerators import bodies
from gantline.accelerators.agreement import compare, is_float
from gantline.accelerators.script.request_file import CONSTRAINT
from gantline.accelerators.session import Session
from gantline.accelerators.stateful import Steps, kept_by

from gantline.errors import BadArtefact, EngineFailed, VerificationFailed
from gantline.manifest import EnvironmentRequest, Golden, Manifest
from gantline.packages import Package
from gantline.request import Parameter, Reply, Request
from gantline.tensors import Array
from gantline.wire.v2 import encode_reply, encode_request

ROWS = 8
STEPS = 3  # of a golden sequence
FOLDER = "golden"


def record(session: Session, inputs: Mapping[str, Array], root: Path, rtol: float, whole: bool) -> Golden:
    """Write one sample of up to 8 rows under `root`, as the V2 documents that a client would send and get.

    `whole`: the rows may not be cut (a model without a free batch dimension).
    """
    some = {n: np.ascontiguousarray(a if whole else a[:ROWS]) for n, a in inputs.items()}
    try:
        outputs = session.run(some)
    except EngineFailed:
        if whole:
            raise
        return record(session, inputs, root, rtol, True)  # not so few: its first dimensions are no rows
    request = Request(some, binary_output=True)
    reply = Reply(session.package.name, session.package.version, list(zip(session.output_names, outputs, strict=True)))
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    body, header = encode_request(request)
    answer, answer_header = encode_reply(reply, request)
    (folder / "request.bin").write_bytes(body)
    (folder / "reply.bin").write_bytes(answer)
    return Golden(
        request=f"{FOLDER}/request.bin",
        reply=f"{FOLDER}/reply.bin",
        request_header=header or 0,
        reply_header=answer_header or 0,
        rtol=rtol,
        atol=_noise(outputs),
        content_type="application/octet-stream",
    )


def record_sequence(session: Session, inputs: Mapping[str, Array], root: Path, rtol: float) -> tuple[Golden, ...]:
    """Write three requests of one sequence with their answers, as clients would send and get them, one row each."""
    policy = kept_by(session.engine)
    assert policy is not None, "asked for only where sequences are kept"
    first, second = Steps(policy), Steps(policy)
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    samples = []
    for i in range(STEPS):
        shown = {t.name: inputs[t.name] for t in session.signature.inputs if t.name in inputs}
        one = {n: a[[i % len(a)]] for n, a in shown.items()} if session.signature.batched else shown
        parameters: dict[str, Parameter] = {"sequence_id": 1, "sequence_start": i == 0, "sequence_end": i == STEPS - 1}
        request = Request(one, parameters=parameters, binary_output=True)
        outputs = first.run(session, request, session.output_names)
        again = second.run(session, request, session.output_names)
        for name, a, b in zip(session.output_names, outputs, again, strict=True):
            if problem := compare(name, a, b, 0.0).breach(rtol):
                raise VerificationFailed(
                    f"package '{session.package.name}': run twice, the sequence is not answered the same: {problem}"
                )
        named = list(zip(session.output_names, outputs, strict=True))
        body, header = encode_request(request)
        answer, answer_header = encode_reply(Reply(session.package.name, session.package.version, named), request)
        paths = f"{FOLDER}/request{i + 1}.bin", f"{FOLDER}/reply{i + 1}.bin"
        (root / paths[0]).write_bytes(body)
        (root / paths[1]).write_bytes(answer)
        kind, octets = "sequence", "application/octet-stream"
        samples.append(Golden(*paths, kind, header or 0, answer_header or 0, rtol, _noise(outputs), octets))
    return tuple(samples)


def record_body(
    manifest: Manifest, sample: Path | None, root: Path, rtol: float
) -> tuple[tuple[Golden, ...], tuple[str, ...]]:
    """Send a file to the script under `root` and write body and answer there; or nothing, and a note on why.

    VerificationFailed when the answer is not a 200. The script runs in a copy, so that what it writes stays out.
    """
    if sample is None:
        return (), ("no golden sample: package it with --sample BODY.json",)
    try:
        body = sample.read_bytes()
    except OSError as e:
        raise BadArtefact(f"{sample}: cannot be read as a sample: {e.strerror}") from e
    kind = "application/json" if sample.suffix.lower() == ".json" else "application/octet-stream"
    environment = EnvironmentRequest() if satisfied(manifest.environment) else manifest.environment
    with tempfile.TemporaryDirectory(prefix="gantline-") as aside:
        copy = Path(shutil.copytree(root, Path(aside) / "package"))
        with closing(Session.open(Package(copy, replace(manifest, environment=environment), None))) as session:
            found = bodies.score(session, body, kind)
            again = found if found.streamed else bodies.score(session, body, kind)
    one = Golden(f"{FOLDER}/request.bin", f"{FOLDER}/reply.bin", "score", rtol=rtol, content_type=kind)
    if found.streamed:
        return (), ("no golden sample: the script streams its answer",)
    problem, _, _ = bodies.compare(found.body, again.body, one.rtol, one.atol)
    if problem:
        return (), (f"no golden sample: asked twice, the script does not answer the same: {problem}",)
    (root / FOLDER).mkdir(exist_ok=True)
    (root / one.request).write_bytes(body)
    (root / one.reply).write_bytes(found.body)
    return (one,), ()


def satisfied(request: EnvironmentRequest) -> bool:
    """Whether this interpreter has all that a script asks for, so that it can be tried without installing anything."""
    if request.kind == "current":
        return True
    from packaging.requirements import InvalidRequirement, Requirement

    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if request.python and ".".join(request.python.split(".")[:2]) != own:
        return False
    for line in request.requirements:
        if line.startswith("--"):
            continue  # where pip looks, not what it installs
        try:
            wanted = Requirement(line.removeprefix(CONSTRAINT).split(" --hash", 1)[0])
            if wanted.marker is not None and not wanted.marker.evaluate():
                continue
            if line.startswith(CONSTRAINT) and not _there(wanted.name):
                continue
            have = version(wanted.name)
        except (InvalidRequirement, PackageNotFoundError):
            return False
        if wanted.url or wanted.extras or not wanted.specifier.contains(have, prereleases=True):
            return False
    return True


def _there(name: str) -> bool:
    return any(True for _ in distributions(name=name))


def _noise(outputs: list[Array]) -> float:
    """What rounding alone may change between two CPUs: a millionth of the smallest output's usual size."""
    sizes = []
    for array in outputs:
        if is_float(array) and array.size:
            wide = array.astype(np.float64)
            size = float(np.sqrt(np.mean(np.square(wide[np.isfinite(wide)])))) if np.isfinite(wide).any() else 0.0
            sizes += [size] if size else []
    return float(f"{1e-6 * min(sizes):.1e}") if sizes else 0.0
