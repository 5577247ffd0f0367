"""skl2onnx: a fitted estimator as ONNX, by several ways that differ in the precision of what is inside.

Float outputs, and inputs unless the layout says FP64, are FP32 in all of them, so that a package's signature does
not depend on the way taken:

1. `float32`: everything in float32. Faithful for most models, and the fastest.
2. `float64`: everything in float64, but for trees that scikit-learn itself gives float32 (`sklearn_trees`). In float32
   a scaler's multiplication by the reciprocal sends rows down other paths.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gantline.errors import Unsupported

from .booster_converter import register
from .sklearn_clusters import register_clusters
from .sklearn_encoders import encoder_shapes
from .sklearn_functions import function_shapes
from .sklearn_layout import Layout
from .sklearn_prepared import known_options, prepared
from .sklearn_repairs import converters
from .sklearn_texts import text_options
from .soundness import parts_of

if TYPE_CHECKING:
    import onnx

OPSET = {"": 21, "ai.onnx.ml": 3}  # IsolationForest's converter stops at ai.onnx.ml 3; all others are content with it
_ADVICE = re.compile(r"[, ]*you\s+may raise an iss?ue at \S+", re.IGNORECASE)
_FLOAT, _DOUBLE = 1, 11  # TensorProto.DataType


@dataclass(frozen=True, slots=True)
class Way:
    """One way to convert. `wide`: float64 inside."""

    name: str
    wide: bool = False


WAYS = (Way("float32"), Way("float64", wide=True))  # cheapest first


def to_onnx(estimator: Any, layout: Layout, way: Way, outputs: int, target: Path) -> None:
    """Write the estimator as ONNX with its first `outputs` outputs. Unsupported says why skl2onnx could not.

    (For some, such as a hard vote, skl2onnx makes outputs that the estimator itself does not have.)
    """
    from skl2onnx import convert_sklearn

    register()
    register_clusters()
    model = prepared(estimator)
    with _quiet():
        try:
            made: Any = convert_sklearn(
                model,
                initial_types=[(t.name, _type(t.datatype, t.shape, way.wide)) for t in layout.inputs],
                options=_options(model),
                target_opset=OPSET,
                custom_conversion_functions=converters(),
                custom_shape_calculators={**encoder_shapes(), **function_shapes()},
            )
        except Unsupported:
            raise
        except Exception as e:  # skl2onnx raises whatever its converters meet
            raise Unsupported(_told(e)) from e
    del made.graph.output[outputs:]
    _as_named(made.graph, [t.name for t in layout.inputs])
    _keep_doubles(made)
    if way.wide:
        _narrow_doors(made, {t.name for t in layout.inputs if t.datatype == "FP64"})
    target.write_bytes(made.SerializeToString())


def _options(model: Any) -> dict[Any, dict[str, Any]]:
    from sklearn.base import is_classifier
    from sklearn.feature_extraction.text import CountVectorizer

    texts: dict[Any, dict[str, Any]] = {
        id(one): text_options(one) for one in parts_of(model) if isinstance(one, CountVectorizer)
    }
    if not is_classifier(model):
        return texts
    last = model
    while hasattr(last, "steps"):
        last = last.steps[-1][1]
    known = known_options(last)
    chosen = {"zipmap": False} if known is None or "zipmap" in known else {}
    # without probabilities the second output is the decision function itself, for two classes as [-s, s]
    if not hasattr(model, "predict_proba") and known is not None and "raw_scores" in known:
        chosen["raw_scores"] = True
    return {**texts, id(model): chosen} if chosen else texts


def _type(datatype: str, shape: tuple[int, ...], wide: bool) -> Any:
    from skl2onnx.common import data_types

    kinds = {
        "BYTES": data_types.StringTensorType,
        "INT64": data_types.Int64TensorType,
        "FP64": data_types.DoubleTensorType,
        "FP32": data_types.DoubleTensorType if wide else data_types.FloatTensorType,
    }
    return kinds[datatype]([None if d < 0 else d for d in shape])


def reshape_outputs(target: Path, tails: dict[str, tuple[int, ...]]) -> None:
    """Give outputs of a file the shape [-1, *tail]: some converters write [-1, 1] or [1, -1] for a flat label."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(target)
    graph = model.graph
    for name, tail in tails.items():
        value = next(o for o in graph.output if o.name == name)
        inside = _free(graph, name + "_as_made")
        _rename(graph, name, inside)
        shape = numpy_helper.from_array(np.array([-1, *tail], np.int64), _free(graph, name + "_shape"))
        graph.initializer.append(shape)
        graph.node.append(helper.make_node("Reshape", [inside, shape.name], [name]))
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(name, kind, [None, *tail]))
    target.write_bytes(model.SerializeToString())


def _as_named(graph: onnx.GraphProto, names: list[str]) -> None:
    """Inputs by the user's names: skl2onnx writes "hours_per_week" for "hours-per-week"."""
    if len(graph.input) != len(names):
        return  # told by who compares them
    taken = {n for node in graph.node for n in node.output}
    if clash := [o.name for o in graph.output if o.name in names]:
        raise Unsupported(f"a column is called '{clash[0]}', as an output is: ONNX has each name once")
    for value, name in zip(graph.input, names, strict=True):
        if value.name != name and name not in taken:
            _rename(graph, value.name, name)
            value.name = name


def _keep_doubles(model: onnx.ModelProto) -> None:
    """Columns put together by Concat: the operator that skl2onnx takes for it rounds them to float32."""
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "FeatureVectorizer":
            node.op_type, node.domain = "Concat", ""
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("axis", 1))


def _narrow_doors(model: onnx.ModelProto, wide: set[str]) -> None:
    """FP32 inputs (but for those that are to be `wide`) and outputs around a graph in double: a Cast at each door."""
    from onnx import helper

    graph = model.graph
    doors, tail = [], []
    for value in graph.input:
        if value.type.tensor_type.elem_type == _DOUBLE and value.name not in wide:
            inside = _free(graph, value.name + "_wide")
            _rename(graph, value.name, inside)
            value.type.tensor_type.elem_type = _FLOAT
            doors.append(helper.make_node("Cast", [value.name], [inside], to=_DOUBLE))
    for value in graph.output:
        if value.type.tensor_type.elem_type == _DOUBLE:
            inside = _free(graph, value.name + "_wide")
            _rename(graph, value.name, inside)
            value.type.tensor_type.elem_type = _FLOAT
            tail.append(helper.make_node("Cast", [inside], [value.name], to=_FLOAT))
    nodes = [type(n).FromString(n.SerializeToString()) for n in (*doors, *graph.node, *tail)]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def _free(graph: onnx.GraphProto, name: str) -> str:
    taken = {n for node in graph.node for n in (*node.input, *node.output)}
    while name in taken:
        name += "_"
    return name


@contextmanager
def _quiet() -> Iterator[None]:
    """skl2onnx logs and warns about its own matters (opset choices, numpy deprecations); none concern the caller."""
    logger = logging.getLogger("skl2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _told(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    missing = re.search(r"Unable to find a (?:shape calculator|converter) for .*type '<class '([\w.]+)'>'", text)
    if missing:
        return f"skl2onnx has no converter for {missing[1].rpartition('.')[2]}"
    return f"skl2onnx: {_ADVICE.sub('', text)[:200]}"
