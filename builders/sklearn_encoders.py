"""Encoders, bins and imputers in ONNX: what skl2onnx 1.20 refuses, or computes from rounded numbers.

- OneHotEncoder: grouped infrequent categories, fractions, missing values. OrdinalEncoder: missing values.
- KBinsDiscretizer: edges compared in full precision; dense also where scikit-learn's answer is sparse.
- SimpleImputer: texts (an empty one is missing), indicators, float64, whose ONNX operator exists in float32 alone.

What an encoder makes of each category is asked of the encoder itself, so every combination of its settings is covered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gantline.accelerators.onnx import REFUSES

from gantline.tensors import Array

from .sklearn_prepared import without_gaps
from .sklearn_trees import rounded_down

_FLOAT, _INT64, _STRING, _DOUBLE = 1, 7, 8, 11  # TensorProto.DataType


def encoder_converters() -> dict[type, Any]:
    """For skl2onnx's `custom_conversion_functions`."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder

    return {OneHotEncoder: _one_hot, OrdinalEncoder: _ordinal, KBinsDiscretizer: _bins, SimpleImputer: _imputer}


def encoder_shapes() -> dict[type, Any]:
    """For skl2onnx's `custom_shape_calculators`."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    return {OneHotEncoder: _one_hot_shape, SimpleImputer: _imputer_shape}


class Graph:
    """skl2onnx's scope and container, with less to write for each node."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def node(self, kind: str, *given: str, made: str = "", domain: str = "", name: str = "", **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        out: str = made or self._scope.get_unique_variable_name(kind.lower())
        name = name or self._scope.get_unique_operator_name(kind)
        more = {"op_domain": domain, "op_version": 2} if domain else {}
        self._container.add_node(kind, list(given), out, name=name, **more, **attributes)
        return out

    def constant(self, values: Any, kind: int) -> str:
        """An initialiser of this shape and type."""
        array = np.asarray(values)
        flat = [str(v).encode() for v in array.ravel()] if kind == _STRING else array.ravel().tolist()
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, kind, list(array.shape), flat)
        return name

    def joined(self, operator: Any, kind: int) -> str:
        """All of an operator's inputs as one matrix of this type. (skl2onnx's own way rounds to float32.)"""
        names = [v.full_name if proto(v) == kind else self.node("Cast", v.full_name, to=kind) for v in operator.inputs]
        return names[0] if len(names) == 1 else self.node("Concat", *names, axis=1)

    def chosen(self, values: Any, kind: int, place: str, refusal: str) -> str:
        """The value at each place, [N, 1]. At places beyond the last onnxruntime fails, and the client reads `refusal`.

        (Not by Gather, which a GPU takes over and does not check.)
        """
        row = self.node(
            "ArrayFeatureExtractor",
            self.constant([values], kind),
            place,
            domain="ai.onnx.ml",
            name=f"{REFUSES}{refusal}",
        )
        return self.node("Reshape", row, self.constant([-1, 1], _INT64))

    def columns(self, operator: Any) -> Iterator[tuple[str, int]]:
        """(name, type) of every input column, each [N, 1]."""
        for variable in operator.inputs:
            width = variable.type.shape[1]
            for at in range(width):
                name = variable.full_name
                if width > 1:
                    name = self.node("Gather", name, self.constant([at], _INT64), axis=1)
                yield name, proto(variable)


def proto(variable: Any) -> int:
    """The type of a variable as ONNX numbers it."""
    from skl2onnx.common.data_types import guess_proto_type

    return int(guess_proto_type(variable.type))


def _seen(encoder: Any) -> Array:
    """What the encoder makes of each category: row r has category r of every column (the last one, where it ends)."""
    longest = max(len(c) for c in encoder.categories_)
    columns = [np.array([c[min(r, len(c) - 1)] for r in range(longest)], c.dtype) for c in encoder.categories_]
    names = getattr(encoder, "feature_names_in_", None)
    if names is not None:
        from pandas import DataFrame

        return _dense(encoder.transform(DataFrame(dict(zip(names, columns, strict=True)))))
    return _dense(encoder.transform(np.stack(columns, axis=1)))


def _dense(found: Any) -> Array:
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found, np.float64)


def _one_hot(scope: Any, operator: Any, container: Any) -> None:
    encoder, graph = operator.raw_operator, Graph(scope, container)
    blocks, first, seen = [], 0, _seen(encoder)
    for at, (name, kind) in enumerate(graph.columns(operator)):
        width = int(encoder._n_features_outs[at])
        known = encoder.categories_[at]
        block = seen[: len(known), first : first + width]
        blocks.append(_hot_column(graph, name, kind, known, block, _for_unknown(encoder, at), _refusal(encoder, at)))
        first += width
    out = operator.outputs[0]
    joined = blocks[0] if len(blocks) == 1 else graph.node("Concat", *blocks, axis=1)
    graph.node("Cast", joined, made=out.full_name, to=proto(out))


def _for_unknown(encoder: Any, at: int) -> int:
    """The column of a block for categories that were never met: the infrequent ones', or none (-1)."""
    if encoder.handle_unknown not in ("infrequent_if_exist", "warn") or not encoder._infrequent_enabled:
        return -1
    grouped = encoder._default_to_infrequent_mappings[at]
    if grouped is None:
        return -1
    dropped = None if encoder._drop_idx_after_grouping is None else encoder._drop_idx_after_grouping[at]
    last = int(np.max(grouped))
    return -1 if dropped == last else last - int(dropped is not None)


def _refusal(encoder: Any, at: int) -> str:
    """What a client is told of a category that the encoder raises an error on; empty where it takes any."""
    if encoder.handle_unknown != "error":
        return ""
    names = getattr(encoder, "feature_names_in_", None)
    return unknown_in("" if names is None else str(names[at])) + " (handle_unknown='error')"


def unknown_in(column: str) -> str:
    """The same of a column that is known by name, or not."""
    where = f"column {column[:80]!r}" if column else "an input"
    return f"{where} holds a category that the model was not trained on"


def _hot_column(graph: Graph, name: str, kind: int, known: Array, block: Array, unknown: int, refusal: str) -> str:
    width = block.shape[1]
    places = np.where(block.any(axis=1), block.argmax(axis=1), -1)
    if refusal:
        each = place_of(graph, name, kind, known, np.arange(len(known)), len(known))
        found = graph.chosen(places, _INT64, each, refusal)
    else:
        found = place_of(graph, name, kind, known, places, unknown)
    hot = graph.node("Equal", found, graph.constant([list(range(width))], _INT64))
    return graph.node("Cast", hot, to=_FLOAT)


def place_of(graph: Graph, name: str, kind: int, known: Array, places: Array, unknown: int) -> str:
    """The place that each category has, `unknown` for what is none of them. A missing text is an empty one."""
    if kind != _STRING:
        return _place_of_number(graph, name, kind, known, places, unknown)
    keys, codes = [str(k) for k in without_gaps(known)], places.tolist()
    return graph.node(
        "LabelEncoder", name, domain="ai.onnx.ml", keys_strings=keys, values_int64s=codes, default_int64=unknown
    )


def _place_of_number(graph: Graph, name: str, kind: int, known: Array, places: Array, unknown: int) -> str:
    """The place of a number among the categories: +1 in the sums below, so that 0 is a number that is none of them."""
    whole = np.asarray(known, np.float64)
    gap = np.isnan(whole)
    same = graph.node("Equal", name, graph.constant(whole[None, ~gap], kind))
    codes = graph.constant((places[~gap] + 2)[:, None], _FLOAT)
    total = graph.node("Cast", graph.node("MatMul", graph.node("Cast", same, to=_FLOAT), codes), to=_INT64)
    met = graph.node("Greater", total, graph.constant([[0]], _INT64))
    place = graph.node("Sub", total, graph.constant([[2]], _INT64))
    found = graph.node("Where", met, place, graph.constant([[unknown]], _INT64))
    if not gap.any():
        return found
    return graph.node("Where", graph.node("IsNaN", name), graph.constant([[places[gap][0]]], _INT64), found)


def _one_hot_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    width = int(sum(operator.raw_operator._n_features_outs))
    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), width])


def _ordinal(scope: Any, operator: Any, container: Any) -> None:
    encoder, graph = operator.raw_operator, Graph(scope, container)
    seen = _seen(encoder)
    unknown = np.nan if encoder.unknown_value is None else float(encoder.unknown_value)
    found = []
    for at, (name, kind) in enumerate(graph.columns(operator)):
        known = encoder.categories_[at]
        codes = seen[: len(known), at]
        refusal = _refusal(encoder, at)
        if kind == _STRING and not refusal:
            keys = [str(k) for k in without_gaps(known)]
            values = codes.tolist()
            found.append(
                graph.node(
                    "LabelEncoder",
                    name,
                    domain="ai.onnx.ml",
                    keys_strings=keys,
                    values_floats=values,
                    default_float=unknown,
                )
            )
            continue
        # places among the codes, and the codes by Gather: NaN is a code like any other
        place = place_of(graph, name, kind, known, np.arange(len(known)), len(known))
        if refusal:
            found.append(graph.chosen(codes, _FLOAT, place, refusal))
            continue
        table = graph.constant([*codes, unknown], _FLOAT)
        found.append(graph.node("Gather", table, place, axis=0))
    out = operator.outputs[0]
    joined = found[0] if len(found) == 1 else graph.node("Concat", *found, axis=1)
    graph.node("Cast", joined, made=out.full_name, to=proto(out))


def _bins(scope: Any, operator: Any, container: Any) -> None:
    """The number of inner edges that are not above; one hot: 1 in that place of the column's block."""
    model, graph = operator.raw_operator, Graph(scope, container)
    wide = any(proto(v) == _DOUBLE for v in operator.inputs)
    kind = _DOUBLE if wide else _FLOAT
    inner = [np.asarray(e, np.float64)[1:-1] for e in model.bin_edges_]
    longest = max([len(e) for e in inner] + [1])
    edges = np.stack([np.concatenate([e, np.full(longest - len(e), np.inf)]) for e in inner])
    if not wide:
        edges = -rounded_down(-edges)  # for a float32 x, x >= e is x >= the next float32 from e up
    rows = graph.node("Unsqueeze", graph.joined(operator, kind), graph.constant([2], _INT64))
    reached = graph.node("GreaterOrEqual", rows, graph.constant(edges, kind))
    count = graph.node(
        "ReduceSum",
        graph.node("Cast", reached, to=_FLOAT),
        graph.constant([2], _INT64),
        keepdims=int(model.encode != "ordinal"),
    )
    out = operator.outputs[0]
    if model.encode != "ordinal":
        hot = graph.node("Equal", count, graph.constant(np.arange(longest + 1.0), _FLOAT))
        shape = graph.constant([-1, len(inner) * (longest + 1)], _INT64)
        flat = graph.node("Reshape", graph.node("Cast", hot, to=_FLOAT), shape)
        kept = [at * (longest + 1) + b for at, bins in enumerate(model.n_bins_) for b in range(int(bins))]
        count = graph.node("Gather", flat, graph.constant(kept, _INT64), axis=1)
    graph.node("Cast", count, made=out.full_name, to=proto(out))


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.common._registration import get_converter

    model, graph = operator.raw_operator, Graph(scope, container)
    values = np.asarray(model.statistics_, object)
    kinds = {proto(v) for v in operator.inputs}
    texts = kinds == {_STRING}
    numbers = kinds <= {_FLOAT, _DOUBLE} and not any(isinstance(v, str) for v in values)
    gap = model.missing_values
    empty = isinstance(gap, float) and np.isnan(gap)
    whole = texts or (numbers and np.isfinite(values.astype(np.float64)).all())
    if not whole or not (empty or texts) or (model.add_indicator and texts):
        get_converter("SklearnSimpleImputer")(scope, operator, container)
        return
    kind = _STRING if texts else max(kinds)
    given, out = graph.joined(operator, kind), operator.outputs[0]
    if texts:
        missing = graph.node("Equal", given, graph.constant([[gap if isinstance(gap, str) else ""]], _STRING))
    else:
        missing = graph.node("IsNaN", given)
    known = graph.constant(values[None].astype(str if texts else np.float64), kind)
    if not model.add_indicator:
        graph.node("Where", missing, known, given, made=out.full_name)
        return
    filled = graph.node("Where", missing, known, given)
    told = graph.node("Gather", missing, graph.constant(model.indicator_.features_.tolist(), _INT64), axis=1)
    graph.node("Concat", filled, graph.node("Cast", told, to=kind), made=out.full_name, axis=1)


def _imputer_shape(operator: Any) -> None:
    model = operator.raw_operator
    statistics = np.asarray(model.statistics_, object)
    dropped = 0 if model.keep_empty_features else sum(isinstance(v, float) and np.isnan(v) for v in statistics)
    width = len(statistics) - dropped
    if model.add_indicator:
        width += len(model.indicator_.features_)
    first = operator.inputs[0]
    operator.outputs[0].type = type(first.type)([first.get_first_dimension(), width])
