"""Requests of different lengths: padded and run together, against each length by itself, and one length for all.

`python benchmarks/padding.py [--seconds 3] [--rounds 5] [--connections 64]`. A text classifier as small services have
them: token ids, of which each request has 4 to 64, embedded, averaged where the mask says so, and three dense layers
(7 MB of weights, read once a run, however many rows it has). Three servers, one worker each, take turns: one whose
package declares how requests are padded, one whose package does not, so that only equal lengths meet, and the first
again with all requests of one length, which is the most that batching can give. That padded answers are those of the
rows alone is proved when the package is made; here 64 answers of both servers are compared besides.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
from measuring import JSON, Load, free_port, gantline_serve, show, write, wrk

import gantline

TOKENS, WIDTH, HIDDEN, CLASSES = 5000, 256, 1024, 10
LENGTHS = (4, 64)
BODIES = 64
PADDED, APART, EQUAL = "padded", "each length by itself", "one length"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()
    random = np.random.default_rng(3)
    lengths = [int(n) for n in random.integers(*LENGTHS, BODIES, endpoint=True)]
    mixed = [body_of(random.integers(0, TOKENS, n)) for n in lengths]
    equal = [body_of(random.integers(0, TOKENS, round(statistics.fmean(lengths)))) for _ in range(BODIES)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        work = Path(folder)
        urls = {}
        for name in (PADDED, APART):
            port = free_port()
            server = stack.enter_context(gantline_serve(make_package(work, name == PADDED), port=port))
            urls[name] = f"http://127.0.0.1:{port}/v2/models/text/infer"
            server.answers(urls[name], mixed[0])
        error = worst_difference([ask(urls[PADDED], b) for b in mixed], [ask(urls[APART], b) for b in mixed])
        ways = {PADDED: (urls[PADDED], mixed), APART: (urls[APART], mixed), EQUAL: (urls[PADDED], equal)}
        loads: dict[str, list[Load]] = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, (url, bodies) in ways.items():
                loads[name].append(wrk(url, bodies, args.connections, args.seconds, work))
    apart = statistics.median(one.per_second for one in loads[APART])
    rows = [
        {
            "requests": name,
            "per_s": (rate := statistics.median(one.per_second for one in found)),
            "over_each_by_itself": rate / apart,
            "p50_ms": statistics.median(one.p50_ms for one in found),
            "p99_ms": statistics.median(one.p99_ms for one in found),
            "failed": sum(one.failed for one in found),
        }
        for name, found in loads.items()
    ]
    show(f"Requests of {LENGTHS[0]} to {LENGTHS[1]} tokens (medians)", list(rows[0]), [list(r.values()) for r in rows])
    command = f"python benchmarks/padding.py --seconds {args.seconds:g} --rounds {args.rounds}"
    figures = {"connections": args.connections, "worst_relative_difference": error, "rows": rows}
    write("padding", f"{command} --connections {args.connections}", "the same server without padding", figures)


def make_package(work: Path, padded: bool) -> Path:
    """The classifier, with padding declared or without."""
    target = work / ("padded" if padded else "apart") / "text"
    target.parent.mkdir()
    sample = {"tokens": np.arange(8 * 12).reshape(8, 12) % TOKENS, "mask": np.ones((8, 12), np.float32)}
    model, pad = make_model(work), {"tokens": 0.0} if padded else None
    mask = "mask" if padded else ""
    return gantline.package(model, name="text", sample=sample, output=target, pad=pad, pad_mask=mask).path


def make_model(work: Path) -> Path:
    """tokens INT64 [N,L] and mask FP32 [N,L] -> y FP32 [N,10]."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = random.standard_normal(shape) / np.sqrt(shape[0])
        return numpy_helper.from_array(values.astype(np.float32), name)

    node, info = helper.make_node, helper.make_tensor_value_info
    axis = numpy_helper.from_array(np.array([1]), "axis")
    last = numpy_helper.from_array(np.array([2]), "last")
    layers = [("w0", WIDTH, HIDDEN), ("w1", HIDDEN, HIDDEN), ("w2", HIDDEN, CLASSES)]
    table = numpy_helper.from_array(random.standard_normal((TOKENS, WIDTH)).astype(np.float32), "table")
    nodes = [
        node("Gather", ["table", "tokens"], ["each"]),
        node("Unsqueeze", ["mask", "last"], ["wide"]),
        node("Mul", ["each", "wide"], ["kept"]),
        node("ReduceSum", ["kept", "axis"], ["sum"], keepdims=0),
        node("ReduceSum", ["mask", "axis"], ["count"], keepdims=1),
        node("Div", ["sum", "count"], ["mean"]),
        node("MatMul", ["mean", "w0"], ["a0"]),
        node("Relu", ["a0"], ["h0"]),
        node("MatMul", ["h0", "w1"], ["a1"]),
        node("Relu", ["a1"], ["h1"]),
        node("MatMul", ["h1", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "text",
        [info("tokens", TensorProto.INT64, ["N", "L"]), info("mask", TensorProto.FLOAT, ["N", "L"])],
        [info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [table, axis, last, *(weights(*layer) for layer in layers)],
    )  # fmt: skip
    path = work / "text.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def body_of(tokens: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> bytes:
    """A V2 JSON request with these tokens, all of which count."""
    shape = [1, len(tokens)]
    inputs = [
        {"name": "tokens", "datatype": "INT64", "shape": shape, "data": tokens.tolist()},
        {"name": "mask", "datatype": "FP32", "shape": shape, "data": [1.0] * len(tokens)},
    ]
    return json.dumps({"inputs": inputs}).encode()


def ask(url: str, body: bytes) -> list[float]:
    """One answer."""
    with urllib.request.urlopen(urllib.request.Request(url, body, dict(JSON)), timeout=30) as answer:
        found: list[float] = json.load(answer)["outputs"][0]["data"]
    return found


def worst_difference(some: list[list[float]], others: list[list[float]]) -> float:
    """Of two lists of answers, relative to the largest value of each."""
    a, b = np.array(some), np.array(others)
    return float((np.abs(a - b).max(axis=1) / np.abs(b).max(axis=1)).max())


if __name__ == "__main__":
    main()
