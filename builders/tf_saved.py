"""A SavedModel's graph: looked through before anything in it runs, then loaded, asked and described. Needs TensorFlow.

Loading one runs its initialisers, and asking it runs its graph; neither runs Python. But graphs hold operations that
read and write files, reach out over the network or call back into Python: a model that holds one of them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gantline.errors import BadArtefact, Unsupported, UsageError
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, to_bytes_array

from .onnx_trial import one_line

DEFAULT = "serving_default"
SERVE = "serve"  # the tag of a graph that answers requests
# operations that reach beyond the model: files, network, Python
_REACHES = re.compile(
    r"PyFunc|ReadFile|WriteFile|MatchingFiles|Reader(V2)?$|Dataset|Iterator|Summary|Snapshot|^Debug|Rpc|GRPC|Grpc"
    r"|^Save|MergeV2Checkpoints|Collective|^DecodeProto|^EncodeProto|LMDB|BigQuery|Bigtable"
)
# what a SavedModel saves and restores its own weights by; only restoring is ever run here
_SAVES = frozenset(("Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints"))
_WHERE_TO_LOOK = "serve it by TensorFlow itself, or export it without them"


@dataclass(frozen=True, slots=True)
class Graph:
    """A loaded SavedModel's signature `key`. `keep` holds the model: its variables live no longer than it does."""

    path: Path
    key: str
    function: Any
    keep: Any
    signature: Signature

    def predict(self, inputs: Mapping[str, Array]) -> list[Array]:
        """What TensorFlow answers, outputs in the signature's order; raises whatever TensorFlow raises."""
        found = self.function(**{t.name: tensor(inputs[t.name], t.datatype) for t in self.signature.inputs})
        return [array(found[t.name]) for t in self.signature.outputs]


def check_saved(path: Path) -> None:
    """BadArtefact: not a SavedModel, or one with operations that reach beyond the model. Loads nothing."""
    meta = _graph_of(path)
    found = sorted({op for op in _operations(meta) if _REACHES.search(op)})
    if found:
        raise BadArtefact(
            f"{path}: holds {', '.join(found[:6])}: operations that reach files, the network or Python are not run; "
            f"{_WHERE_TO_LOOK}"
        )


def open_saved(path: Path, key: str = "") -> Graph:
    """Load one signature of a SavedModel that was checked. UsageError lists the signatures when `key` is none of them.

    `key` empty: serving_default, or the only one there is.
    """
    import tensorflow as tf

    try:
        keep = tf.saved_model.load(str(path))
    except Exception as e:  # TensorFlow raises its own errors, OSError, ValueError and more
        raise BadArtefact(f"{path}: TensorFlow {tf.__version__} cannot load it: {one_line(e)}") from e
    known = dict(keep.signatures)
    chosen = choose(key, list(known), str(path))
    function = known[chosen]
    return Graph(path, chosen, function, keep, signature_of(function, str(path)))


def choose(key: str, known: Iterable[str], where: str) -> str:
    """The signature that is meant among those that there are."""
    names = sorted(n for n in known if n != "__saved_model_init_op")
    if not names:
        raise BadArtefact(f"{where}: has no signatures; save it with signatures=, as tf.saved_model.save takes them")
    if not key:
        if DEFAULT in names or len(names) == 1:
            return DEFAULT if DEFAULT in names else names[0]
        raise UsageError(f"{where}: has no '{DEFAULT}'; choose one with --signature: {', '.join(names)}")
    if key not in names:
        raise UsageError(f"{where}: has no signature {key!r}; there are: {', '.join(names)}")
    return key


def signature_of(function: Any, where: str) -> Signature:
    """A signature function's tensors. Unsupported names one that is ragged, sparse, or of a type V2 cannot carry."""
    _, given = function.structured_input_signature
    inputs = tuple(spec(name, s, where) for name, s in sorted(given.items()))
    outputs = tuple(spec(name, s, where) for name, s in sorted(function.structured_outputs.items()))
    return Signature(inputs, outputs)


def spec(name: str, found: Any, where: str) -> TensorSpec:
    """A tf.TensorSpec (or a tensor) as ours."""
    if not hasattr(found, "dtype") or type(found).__name__ in ("RaggedTensorSpec", "SparseTensorSpec"):
        raise Unsupported(f"{where}: tensor '{name}' is a {type(found).__name__}, which V2 cannot carry")
    if found.shape.rank is None:
        raise Unsupported(f"{where}: tensor '{name}' may have any number of dimensions; export it with a known rank")
    return TensorSpec(name, datatype(found.dtype, name, where), tuple(-1 if d is None else int(d) for d in found.shape))


def datatype(dtype: Any, name: str, where: str) -> str:
    """V2's name of a tf.DType."""
    from gantline.tensors import datatype_of

    try:
        return "BYTES" if dtype.name == "string" else datatype_of(np.empty(0, dtype.as_numpy_dtype))
    except TypeError as e:
        raise Unsupported(f"{where}: tensor '{name}' is {dtype.name}, which V2 cannot carry") from e


def tensor(values: Array, datatype: str) -> Any:
    """An array as TensorFlow takes it."""
    import tensorflow as tf

    return tf.constant(to_bytes_array(values), tf.string) if datatype == "BYTES" else tf.constant(values)


def array(found: Any) -> Array:
    """A tensor as an array; texts are bytes."""
    values: Array = np.asarray(found.numpy())
    return to_bytes_array(values) if values.dtype.kind in "OUS" else values


def _graph_of(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    try:
        model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except OSError as e:
        raise BadArtefact(f"{file}: cannot be read: {e.strerror}; expected a SavedModel") from e
    except DecodeError as e:
        raise BadArtefact(f"{file}: damaged, or not a SavedModel") from e
    for meta in model.meta_graphs:
        if SERVE in meta.meta_info_def.tags:
            return meta
    tags = [", ".join(m.meta_info_def.tags) or "none" for m in model.meta_graphs]
    raise BadArtefact(f"{path}: has no graph tagged '{SERVE}' (found: {'; '.join(tags) or 'no graph'})")


def _operations(meta: Any) -> Iterator[str]:
    """All operations, but for those that save the model's own weights."""
    library = {f.signature.name: f for f in meta.graph_def.library.function}
    top = {n.name: n for n in meta.graph_def.node}
    saving = _ancestors(top, meta.saver_def.save_tensor_name.partition(":")[0])
    called = _called((top[n] for n in saving), library)
    for name, node in top.items():
        if not (name in saving and node.op in _SAVES):
            yield node.op
    for name, function in library.items():
        for node in function.node_def:
            if not (name in called and node.op in _SAVES):
                yield node.op


def _ancestors(nodes: Mapping[str, Any], name: str) -> set[str]:
    out: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in nodes and one not in out:
            out.add(one)
            waiting += [i.lstrip("^").partition(":")[0] for i in nodes[one].input]
    return out


def _called(nodes: Iterable[Any], library: Mapping[str, Any]) -> set[str]:
    out: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        for value in node.attr.values():
            for name in (value.func.name, *(f.name for f in value.list.func)):
                if name in library and name not in out:
                    out.add(name)
                    waiting += library[name].node_def
    return out
