"""ScriptSignature: what a script with infer() takes and gives, read from its text without running it.

The script says it in two literal dictionaries, INPUTS and OUTPUTS: name -> (datatype, shape).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from gantline.errors import BadArtefact
from gantline.signature import Signature, TensorSpec

EXAMPLE = 'INPUTS = {"x": ("FP32", [-1, 4])}'


def signature_of(body: Sequence[ast.stmt], path: Path) -> Signature:
    """BadArtefact, naming the script, for what is missing or not literal."""
    return Signature(_tensors(body, "INPUTS", path), _tensors(body, "OUTPUTS", path))


def yields(body: Sequence[ast.stmt]) -> bool:
    """Whether infer() is a generator, plain or async: then each request gets any number of answers."""
    infer = [n for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == "infer"]
    return bool(infer) and any(_yields(statement) for statement in infer[-1].body)


def _yields(node: ast.AST) -> bool:
    if isinstance(node, ast.Yield | ast.YieldFrom):
        return True
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
        return False  # those of a function inside are its own
    return any(_yields(child) for child in ast.iter_child_nodes(node))


def _tensors(body: Sequence[ast.stmt], name: str, path: Path) -> tuple[TensorSpec, ...]:
    found = None
    for node in body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            found = node
    if not isinstance(found, ast.Assign | ast.AnnAssign) or found.value is None:
        raise BadArtefact(
            f"{path}: a script with infer() says what it takes and gives, as in {EXAMPLE}; no {name} found"
        )
    where = f"{path} line {found.lineno}: {name}"
    try:
        said = ast.literal_eval(found.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as e:
        raise BadArtefact(f"{where} must be written out, without names or calls, as in {EXAMPLE}") from e
    if not isinstance(said, dict) or not said:
        raise BadArtefact(f"{where} is no dictionary of tensors, as in {EXAMPLE}")
    tensors = []
    for key, value in said.items():
        if not isinstance(value, tuple | list) or len(value) != 2 or not isinstance(value[1], tuple | list):
            raise BadArtefact(f"{where}: {key!r} is not (datatype, shape), as in {EXAMPLE}")
        if any(type(d) is not int or d < -1 for d in value[1]):
            raise BadArtefact(f"{where}: {key!r} has shape {value[1]!r}; sizes are whole numbers, -1 for any")
        try:
            tensors.append(TensorSpec.from_json({"name": key, "datatype": value[0], "shape": list(value[1])}))
        except BadArtefact as e:
            raise BadArtefact(f"{where}: {e}") from e
    return tuple(tensors)
