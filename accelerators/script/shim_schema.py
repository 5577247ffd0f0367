"""Shim for inference_schema: input_schema, output_schema and the registry that swagger is made from.

Behaves as inference-schema 1.8 does, for scripts whose environment lacks it; Spark types are not among it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from .shim_types import AbstractParameterType, convert

Run: TypeAlias = Callable[..., Any]
ALL_SUPPORTED_VERSIONS = ["2.0", "3.0", "3.1"]
_schemas: dict[str, dict[str, Any]] = {}
_versions: dict[str, dict[str, list[str]]] = {}


def input_schema(
    param_name: str, param_type: AbstractParameterType, convert_to_provided_type: bool = True, optional: bool = False
) -> Callable[[Run], Run]:
    """Declare one parameter of run(), and convert what comes for it from JSON."""
    if not isinstance(param_type, AbstractParameterType):
        raise Exception("Error, provided param_type must be a subclass of the AbstractParameterType.")
    schema, versions = param_type.input_to_swagger(), param_type.supported_versions()

    def decorate(run: Run) -> Run:
        names = inspect.getfullargspec(inspect.unwrap(run)).args
        _declare_input(_key(run), names, param_name, schema, versions)

        def converted(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
            if not convert_to_provided_type:
                return args
            if param_name in kwargs:
                if not optional or kwargs[param_name]:
                    kwargs[param_name] = convert(kwargs[param_name], param_type)
            elif not optional:
                if param_name not in names:
                    raise Exception(f'Error, provided param_name "{param_name}" is not in the decorated function.')
                at = names.index(param_name)
                return (*args[:at], convert(args[at], param_type), *args[at + 1 :])
            return args

        return _wrap(run, converted)

    return decorate


def output_schema(output_type: AbstractParameterType) -> Callable[[Run], Run]:
    """Declare what run() answers; nothing is converted."""
    if not isinstance(output_type, AbstractParameterType):
        raise Exception("Error, provided param_type must be a subclass of the AbstractParameterType.")
    schema, versions = output_type.input_to_swagger(), output_type.supported_versions()

    def decorate(run: Run) -> Run:
        found = _schemas.setdefault(_key(run), {})
        if "output" in found:
            raise Exception(f"Error, output schema already defined for function: {_key(run)}.")
        found["output"] = schema
        _versions.setdefault(_key(run), {})["output"] = versions
        return _wrap(run, lambda args, kwargs: args)

    return decorate


def is_schema_decorated(run: Run) -> bool:
    """Whether a function has either decorator."""
    return _key(run) in _schemas


def get_input_schema(run: Run) -> dict[str, Any]:
    """The declared parameters as one swagger object."""
    return dict(_schemas.get(_key(run), {}).get("input", {"type": "object"}))


def get_output_schema(run: Run) -> dict[str, Any]:
    """The declared answer."""
    return dict(_schemas.get(_key(run), {}).get("output", {"type": "object"}))


def get_supported_versions(run: Run) -> list[str]:
    """The swagger versions that can say all of it."""
    declared = [set(v) for v in _versions.get(_key(run), {}).values() if v]
    return sorted(set.intersection(*declared)) if declared else list(ALL_SUPPORTED_VERSIONS)


def _wrap(run: Run, converted: Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]) -> Run:
    # functools.wraps keeps __wrapped__, by which signature and kind (async, generator) are seen through
    @functools.wraps(run)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return run(*converted(args, kwargs), **kwargs)

    return wrapper


def _key(run: Run) -> str:
    inner = inspect.unwrap(run)
    return f"{inner.__module__}.{inner.__name__}"


def _declare_input(key: str, names: list[str], name: str, schema: dict[str, Any], versions: list[str]) -> None:
    whole = _schemas.setdefault(key, {}).setdefault(
        "input", {"type": "object", "properties": {n: {} for n in names}, "example": dict.fromkeys(names, "")}
    )
    item = dict(schema)
    whole["example"][name] = item.pop("example")
    whole["properties"][name] = item
    _versions.setdefault(key, {})["input"] = versions
