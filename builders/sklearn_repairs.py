"""Repairs to skl2onnx 1.20, given to it by its own hook for converters; nothing of it is patched.

- Trees: `sklearn_trees`. Encoders, bins and imputers: `sklearn_encoders`. Quantiles and calibration: `sklearn_curves`.
  Functions: `sklearn_functions`.
- Histogram gradient boosting, here: truth values and numpy integers in attributes, which onnx refuses; thresholds
  rounded to the nearest float32, where the comparison x <= t of a float32 x with a float64 t asks for rounding down;
  and the exponential after a logarithmic loss, which is forgotten.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gantline.tensors import Array

from .sklearn_curves import curve_converters
from .sklearn_encoders import encoder_converters
from .sklearn_functions import function_converters
from .sklearn_trees import rounded_down, tree_converters

_AS_TENSORS = ("nodes_values", "nodes_hitrates", "class_weights", "target_weights", "base_values")


def converters() -> dict[type, Any]:
    """What skl2onnx's `custom_conversion_functions` takes."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    return {
        **tree_converters(),
        **encoder_converters(),
        **curve_converters(),
        **function_converters(),
        HistGradientBoostingClassifier: _boosting("SklearnHistGradientBoostingClassifier"),
        HistGradientBoostingRegressor: _boosting("SklearnHistGradientBoostingRegressor"),
    }


def _boosting(kind: str) -> Any:
    from skl2onnx.common._registration import get_converter
    from skl2onnx.common.data_types import DoubleTensorType

    converter = get_converter(kind)

    def convert(scope: Any, operator: Any, container: Any) -> None:
        wide = isinstance(operator.inputs[0].type, DoubleTensorType)
        converter(scope, operator, _Container(scope, container, operator.raw_operator, wide))

    return convert


class _Container:
    """skl2onnx's container of nodes, with `add_node` putting a boosting model's attributes right."""

    def __init__(self, scope: Any, container: Any, model: Any, wide: bool) -> None:
        self._scope = scope
        self._container = container
        self._log = getattr(model, "loss", "") in ("poisson", "gamma")  # the trees add up to a logarithm
        self._trees = [p for row in model._predictors for p in row]
        self._wide = wide

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, given: Any, made: Any, **attributes: Any) -> Any:
        values = {k: _plain(v) for k, v in attributes.items()}
        if "nodes_values" not in values:
            return self._container.add_node(op_type, given, made, **values)
        values["nodes_values"] = self._thresholds(values)
        if self._wide:
            _as_doubles(values)
        names = [made] if isinstance(made, str) else list(made)
        last, trees = names[-1], self._scope.get_unique_variable_name("trees")
        self._container.add_node(op_type, given, [*names[:-1], trees], **values)
        if self._log:
            trees, logarithm = self._scope.get_unique_variable_name("exp"), trees
            self._container.add_node("Exp", logarithm, trees, name=self._scope.get_unique_operator_name("Exp"))
        # ONNX's trees answer float32 whatever they are given
        kind = 11 if self._wide else 1
        return self._container.add_node("Cast", trees, last, to=kind, name=self._scope.get_unique_operator_name("Cast"))

    def _thresholds(self, values: dict[str, Any]) -> Array:
        exact = np.asarray(values["nodes_values"], np.float64).copy()
        for at, (tree, node) in enumerate(zip(values["nodes_treeids"], values["nodes_nodeids"], strict=True)):
            found = self._trees[tree].nodes[node]
            if not found["is_leaf"] and not found["is_categorical"]:
                exact[at] = found["num_threshold"]
        return exact if self._wide else rounded_down(exact)


def _as_doubles(values: dict[str, Any]) -> None:
    from onnx import numpy_helper

    for name in _AS_TENSORS:
        if name in values:
            array = np.asarray(values.pop(name), np.float64)
            values[f"{name}_as_tensor"] = numpy_helper.from_array(array, name)
    values["op_version"] = 3


def _plain(value: Any) -> Any:
    if isinstance(value, list) and any(isinstance(v, bool | np.bool_ | np.integer) for v in value):
        return [int(v) if isinstance(v, bool | np.bool_ | np.integer) else v for v in value]
    return value
