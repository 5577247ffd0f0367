"""Golden samples: a few rows with the answers that the packaged model gave, kept in the package to be replayed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gantline.accelerators.agreement import is_float
from gantline.accelerators.session import Session

from gantline.manifest import Golden
from gantline.request import Reply, Request
from gantline.tensors import Array
from gantline.wire.v2 import encode_reply, encode_request

ROWS = 8
FOLDER = "golden"


def record(session: Session, inputs: Mapping[str, Array], root: Path, rtol: float, whole: bool) -> Golden:
    """Write one sample of up to 8 rows under `root`, as the V2 documents that a client would send and get.

    `whole`: the rows may not be cut (a model without a free batch dimension).
    """
    some = {n: np.ascontiguousarray(a if whole else a[:ROWS]) for n, a in inputs.items()}
    outputs = session.run(some)
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


def _noise(outputs: list[Array]) -> float:
    """What rounding alone may change between two CPUs: a millionth of the smallest output's usual size."""
    sizes = []
    for array in outputs:
        if is_float(array) and array.size:
            wide = array.astype(np.float64)
            size = float(np.sqrt(np.mean(np.square(wide[np.isfinite(wide)])))) if np.isfinite(wide).any() else 0.0
            sizes += [size] if size else []
    return float(f"{1e-6 * min(sizes):.1e}") if sizes else 0.0
