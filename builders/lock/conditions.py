"""Conditions: which branch of an `if` runs in an image, as far as its text alone says."""

from __future__ import annotations

import ast

# what they are in every image
_KNOWN = {"sys.platform": "linux", "os.name": "posix", "platform.system()": "Linux"}
_MAY_BE_EITHER = ("version_info", "find_spec", "hexversion")  # of this Python, or of what is installed


def holds(test: ast.expr) -> bool | None:
    """Whether it is true on Linux, where nobody checks types; None where the text does not say."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = holds(test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        found = [holds(one) for one in test.values]
        deciding = isinstance(test.op, ast.Or)  # one true makes `or` true, one false `and` false
        if deciding in found:
            return deciding
        return None if None in found else not deciding
    if ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING":
        return False
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _compared(test)
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute) and test.func.attr == "startswith":
        left = _KNOWN.get(ast.unparse(test.func.value))
        right = _value(test.args[0]) if len(test.args) == 1 else None
        return left.startswith(right) if left is not None and isinstance(right, str | tuple) else None
    return None


def may_be_absent(test: ast.expr) -> bool:
    """Whether it asks for the Python, or for what is installed: what is imported below need not be there."""
    text = ast.unparse(test)
    return any(word in text for word in _MAY_BE_EITHER)


def _compared(test: ast.Compare) -> bool | None:
    left, right = _KNOWN.get(ast.unparse(test.left)), _value(test.comparators[0])
    if left is None or right is None:
        return None
    match test.ops[0]:
        case ast.Eq():
            return left == right
        case ast.NotEq():
            return left != right
        case ast.In():
            return left in right
        case ast.NotIn():
            return left not in right
    return None


def _value(node: ast.expr) -> str | tuple[str, ...] | None:
    """A text, or several."""
    try:
        found = ast.literal_eval(node)
    except ValueError:
        return None
    if isinstance(found, str):
        return found
    if isinstance(found, tuple | list | set) and all(isinstance(one, str) for one in found):
        return tuple(found)
    return None
