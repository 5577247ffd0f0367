"""A Keras 3 model as a function of named tensors: its signature, its own answers, and itself as a SavedModel.

Names are the user's; what Keras numbers by itself (keras_tensor_12, dense_3) would change from run to run, and is
called input and output instead. Runs where Keras is, with TensorFlow as its backend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gantline.errors import BadArtefact, Unsupported
from gantline.fitting import UNNAMED
from gantline.signature import Signature, TensorSpec
from gantline.tensors import Array, datatype_of

from .onnx_trial import one_line
from .tf_convert import Rule, one_of
from .tf_saved import DEFAULT, array, tensor

_NUMBERED = re.compile(r"(keras_tensor|input_layer|input|inputs)(_\d+)?")


@dataclass(frozen=True, slots=True)
class KerasModel:
    """A model with its tensors named. `structure`: how call() wants them; None: one tensor, as it is."""

    model: Any
    signature: Signature
    structure: Any

    def predict(self, inputs: Mapping[str, Array]) -> list[Array]:
        """What Keras answers, as in model(inputs, training=False); raises whatever Keras raises."""
        return [array(t) for t in self.call([tensor(inputs[t.name], t.datatype) for t in self.signature.inputs])]

    def call(self, tensors: Sequence[Any]) -> list[Any]:
        """Outputs of the model for its inputs, both flat and in the signature's order."""
        import keras

        return list(keras.tree.flatten(self.answer(tensors)))

    def answer(self, tensors: Sequence[Any]) -> Any:
        """The outputs in the structure that the model gives them."""
        import keras

        packed = tensors[0] if self.structure is None else keras.tree.pack_sequence_as(self.structure, list(tensors))
        return self.model(packed, training=False)

    def save(self, saved: Path) -> None:
        """Write a SavedModel with the signature serving_default: no class of the model's is needed to read it."""
        import tensorflow as tf

        specs = [
            tf.TensorSpec([None if d < 0 else d for d in t.shape], _dtype(t.datatype), name=t.name)
            for t in self.signature.inputs
        ]
        names = [t.name for t in self.signature.outputs]

        def serve(*tensors: Any) -> dict[str, Any]:
            return dict(zip(names, self.call(tensors), strict=True))

        holder = tf.Module()
        holder.model, holder.serve = self.model, tf.function(serve, input_signature=specs)
        # to TensorFlow a model does not own the seeds of its layers, which most of them use in training alone
        concrete = holder.serve.get_concrete_function()
        holder.read = [*(v.value for v in self.model.variables), *concrete.graph.variables]
        tf.saved_model.save(holder, str(saved), signatures={DEFAULT: holder.serve})

    def rules(self) -> dict[str, Rule]:
        """How synthetic data is drawn for inputs whose first layer says what it takes: categories, texts, pictures."""
        out = {}
        given = getattr(self.model, "inputs", None) or []
        for spec, entry in zip(self.signature.inputs, given, strict=False):
            rule = next((r for layer in _readers(self.model, entry) if (r := _rule(layer)) is not None), None)
            if rule is not None:
                out[spec.name] = rule
        return out


def studied(model: Any, sample: Mapping[str, Array] | None, where: str) -> KerasModel:
    """Look at a model whose backend is TensorFlow. BadArtefact for one that cannot be called."""
    specs, structure = inputs_of(model, sample, where)
    bare = KerasModel(model, Signature(specs, ()), structure)
    return KerasModel(model, Signature(specs, _outputs(bare, where)), structure)


def inputs_of(model: Any, sample: Mapping[str, Array] | None, where: str) -> tuple[tuple[TensorSpec, ...], Any]:
    """The inputs, and the structure that call() wants them in, whatever the backend.

    BadArtefact for a model whose inputs nobody knows yet: not called, and no sample to call it with.
    """
    inputs = getattr(model, "inputs", None)
    if inputs:
        structure = _structure(model)
        keys = {id(t): k for k, t in structure.items()} if isinstance(structure, dict) else {}
        names = _named([str(keys.get(id(t), t.name)) for t in inputs], _NUMBERED, "input")
        return tuple(_spec(n, t, where) for n, t in zip(names, inputs, strict=True)), structure
    if sample is not None:
        return _of_sample(sample)
    raise BadArtefact(f"{where}: does not say what its inputs are (a subclassed model); package it with --sample")


def _structure(model: Any) -> Any:
    """How a Functional model wants its inputs; a Sequential one has a single one, and no `input` before it was run."""
    if type(model).__name__ == "Sequential":
        return None
    try:
        found = model.input
    except (AttributeError, ValueError):
        return None if len(model.inputs) == 1 else list(model.inputs)
    return None if hasattr(found, "shape") else found


def _of_sample(sample: Mapping[str, Array]) -> tuple[tuple[TensorSpec, ...], Any]:
    specs = []
    for name, values in sample.items():
        found = values.astype(np.float32) if values.dtype == np.float64 else values
        specs.append(TensorSpec(name or "input", datatype_of(found), (-1, *found.shape[1:])))
    alone = len(specs) == 1 and next(iter(sample)) in (UNNAMED, "input")
    return tuple(specs), None if alone else {t.name: t for t in specs}


def _outputs(bare: KerasModel, where: str) -> tuple[TensorSpec, ...]:
    """Traced, not run: shapes with what stays open, datatypes as they come out, names where the user gave some."""
    import keras
    import tensorflow as tf

    specs = bare.signature.inputs
    given = [tf.TensorSpec([None if d < 0 else d for d in t.shape], _dtype(t.datatype)) for t in specs]
    packed = given[0] if bare.structure is None else keras.tree.pack_sequence_as(bare.structure, given)
    try:
        traced = tf.function(lambda t: bare.model(t, training=False)).get_concrete_function(packed)
    except Exception as e:  # the user's own layers
        raise BadArtefact(f"{where}: the model cannot be called: {one_line(e)}") from e
    found = traced.structured_outputs
    flat = keras.tree.flatten(found)
    names = names_of_outputs(bare.model, found, len(flat), {t.name for t in specs})
    return tuple(_spec(n, t, where) for n, t in zip(names, flat, strict=True))


def names_of_outputs(model: Any, found: Any, count: int, taken: set[str]) -> list[str]:
    """Names of the `count` outputs in `found`, none of them `taken`: the user's where there are such."""
    names = _own_names(model, found, count)
    unlike = len(set(names)) == len(names) and not taken & set(names)
    return names if unlike else [f"output_{i}" for i in range(count)]


def _own_names(model: Any, found: Any, count: int) -> list[str]:
    if isinstance(found, dict) and len(found) == count:
        return [_clean(n) for n in sorted(found)]
    operations = [getattr(getattr(t, "_keras_history", None), "operation", None) for t in getattr(model, "outputs", [])]
    names = []
    for operation in operations if len(operations) == count else [None] * count:
        kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(operation).__name__).lower()
        name = getattr(operation, "name", "")
        # numbered by Keras, whatever it makes of the class's name: conv2d_3, batch_normalization
        usual = re.sub(r"(_\d+)?$", "", name).replace("_", "") == kind.replace("_", "")
        names.append("" if usual else _clean(name))
    return _named(names, re.compile(""), "output")


def _named(names: Sequence[str], numbered: re.Pattern[str], word: str) -> list[str]:
    """The user's names; `word`, or `word`_0 and so on, where the name is none of the user's."""
    alone = len(names) == 1
    return [
        (word if alone else f"{word}_{i}") if numbered.fullmatch(n) or not n else _clean(n) for i, n in enumerate(names)
    ]


def _clean(name: str) -> str:
    """A name that is an argument's, as TensorFlow wants them in signatures."""
    return re.sub(r"\W", "_", name)


def _spec(name: str, found: Any, where: str) -> TensorSpec:
    import keras

    if getattr(found, "sparse", False) or getattr(found, "ragged", False):
        raise Unsupported(f"{where}: tensor '{name}' is sparse or ragged, which V2 cannot carry")
    dtype = keras.backend.standardize_dtype(found.dtype)
    shape = tuple(-1 if d is None else int(d) for d in found.shape)
    try:
        return TensorSpec(name, "BYTES" if dtype == "string" else datatype_of(np.empty(0, _numpy(dtype))), shape)
    except TypeError as e:
        raise Unsupported(f"{where}: tensor '{name}' is {dtype}, which V2 cannot carry") from e


def _numpy(dtype: str) -> Any:
    if dtype == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype(dtype)


def _dtype(datatype: str) -> Any:
    import tensorflow as tf

    from gantline.tensors import numpy_dtype

    return tf.string if datatype == "BYTES" else tf.as_dtype(numpy_dtype(datatype))


def _readers(model: Any, entry: Any) -> Iterator[Any]:
    """The layers that read an input of the model; of a nested model, those that read its inputs."""
    for layer in model.layers:
        for node in getattr(layer, "_inbound_nodes", ()):
            given = list(getattr(node, "input_tensors", ()))
            if not any(t is entry for t in given):
                continue
            yield layer
            inner = getattr(layer, "inputs", None) if hasattr(layer, "layers") else None
            for outer, own in zip(given, inner or (), strict=False):
                if outer is entry:
                    yield from _readers(layer, own)
    if type(model).__name__ == "Sequential":
        yield from [x for x in model.layers if type(x).__name__ != "InputLayer"][:1]


def _rule(layer: Any) -> Rule | None:
    kind = type(layer).__name__
    if kind in ("Embedding", "CategoryEncoding"):
        most = int(layer.input_dim if kind == "Embedding" else layer.num_tokens)
        return lambda random, shape: random.integers(0, most, shape)
    if kind in ("StringLookup", "TextVectorization"):
        words = [str(w).encode() for w in layer.get_vocabulary()]
        return one_of((*(w for w in words if w and not w.startswith(b"[")), b"unheard of"))
    if kind == "IntegerLookup":
        known = np.array([w for w in layer.get_vocabulary() if int(w) >= 0])
        return (lambda random, shape: known[random.integers(0, len(known), shape)]) if known.size else None
    if kind == "Rescaling":
        return lambda random, shape: random.integers(0, 256, shape)
    if kind == "Normalization":
        mean, spread = np.asarray(layer.mean), np.sqrt(np.asarray(layer.variance))
        return lambda random, shape: mean.reshape(-1) + spread.reshape(-1) * random.standard_normal(shape)
    return None
