"""Torch archives: what a file is, and whether loading an exported program could run somebody's code.

`torch.export.load` is not safe by itself (2.13 was read): it unpickles sample inputs, tensor subclasses and opaque
constants, evaluates size expressions by sympify, executes guards, looks operators up anywhere in torch, and pastes
names into generated source. So what those places hold is checked first, with the reader that torch itself uses.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gantline.errors import BadArtefact

EXPORTED, SCRIPTED, PICKLED, LEGACY, OTHER = "exported program", "TorchScript", "torch.save", "old torch.save", ""

_OPERATOR = re.compile(
    r"torch\.ops\.(?!load_library\b|loaded_libraries\b)[A-Za-z]\w*"
    r"\.(?!__(?!i?(and|or|xor|lshift|rshift)__))\w+(\.(?!__)\w+)?"
    r"|_operator\.(?!call$|attrgetter$|methodcaller$|itemgetter$)[a-z]\w*"
    r"|math\.[a-z]\w*"
    r"|torch\.(_?sym_[a-z]\w*|_check\w*)"
)
_FUNCTIONS = re.compile(
    r"Symbol|Integer|Float|Rational|floor|ceiling|Abs|Max|Min|Mod|Pow|Add|Mul|And|Or|Not|Eq|Ne|Ge|Gt|Le|Lt|Piecewise|"
    r"Where|sqrt|log2|oo|zoo|true|false|Equality|Unequality|GreaterThan|LessThan|StrictGreaterThan|StrictLessThan|"
    r"FloorDiv|ModularIndexing|PythonMod|CleanDiv|CeilDiv|CeilToInt|FloorToInt|TruncToInt|TruncToFloat|RoundToInt|"
    r"RoundDecimal|ToFloat|IntTrueDiv|FloatTrueDiv|PowByNatural|FloatPow|LShift|RShift|BitwiseFn_\w+|OpaqueUnaryFn_\w+|"
    r"Identity|IsNonOverlappingAndDenseIndicator|int_oo|len|max|min|size|dim|stride|storage_offset|is_contiguous|numel"
)
_ATTRIBUTES = {"size", "dim", "ndim", "shape", "dtype", "device", "stride", "storage_offset", "numel", "is_contiguous"}
_TREES = ("in_spec", "out_spec")
_FREE = {"metadata", "as_string", "as_strings", "torch_version", *_TREES}  # text that is only text, or checked apart
_PLAIN = re.compile(r"[^'\"\\(){}\[\]\n\r;=`]*")


def kind_of(path: Path) -> str:
    """What a file is, from its first bytes and its table of contents; nothing in it is read further."""
    try:
        with path.open("rb") as f:
            head = f.read(16)
        if not zipfile.is_zipfile(path):
            # the pickled magic number 0x1950a86a20f9469cfc6c of torch.save before 1.6
            return LEGACY if b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19" in head else OTHER
        with zipfile.ZipFile(path) as z:
            names = [n.split("/", 1)[-1] for n in z.namelist()]
            flat = z.namelist()
    except (OSError, zipfile.BadZipFile):
        return OTHER
    if any(n.startswith("models/") for n in names) or "serialized_exported_program.json" in flat:
        return EXPORTED
    if "constants.pkl" in names and any(n.startswith("code/") for n in names):
        return SCRIPTED
    return PICKLED if "data.pkl" in names else OTHER


def check_exported(path: Path) -> None:
    """BadArtefact unless torch can load this exported program without running anything from it but its operators."""
    import torch

    try:
        reader = torch._C.PyTorchFileReader(str(path))
        records: list[str] = reader.get_all_records()
        texts = {n: reader.get_record(n) for n in records if n.startswith("models/") or n.endswith("_config.json")}
    except RuntimeError as e:
        raise BadArtefact(f"{path}: not an archive of torch.export.save: {' '.join(str(e).split())[:200]}") from e
    if not any(n.startswith("models/") for n in records):
        raise BadArtefact(f"{path}: no exported program inside; save it with torch.export.save of torch 2.8 or newer")
    for name in records:
        if name.startswith(("data/aotinductor/", "data/constants/opaque_obj_", "data/constants/custom_obj_")):
            raise BadArtefact(f"{path}: holds {name}, which is code or a pickle; export the model without it")
    for name, data in texts.items():
        try:
            tree = json.loads(data)
        except ValueError as e:
            raise BadArtefact(f"{path}: {name} is not JSON ({e})") from e
        for problem in _problems(tree, ""):
            raise BadArtefact(f"{path}: {name}: {problem}; torch would run that as code, so it is not loaded")


def _problems(tree: Any, key: str) -> Iterator[str]:
    """Each place that could smuggle in code. `key` is the one under which the tree was found."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == "use_pickle" and value:
                yield "a pickled tensor (use_pickle)"
            if not isinstance(name, str) or not _PLAIN.fullmatch(name):
                yield f"a key {name!r}"
            if name not in _FREE:
                yield from _problems(value, name)
            elif name in _TREES and value and not _tree_is_plain(value):
                yield f"an argument structure {str(value)[:60]!r}"
    elif isinstance(tree, list):
        for value in tree:
            yield from _problems(value, key)
    elif isinstance(tree, str):
        yield from _text_problems(tree, key)


def _text_problems(text: str, key: str) -> Iterator[str]:
    if key in ("target", "as_operator"):
        if not _OPERATOR.fullmatch(text):
            yield f"an operator {text[:60]!r}"
    elif key in ("expr_str", "guards_code"):
        if not _is_arithmetic(text):
            yield f"an expression {text[:60]!r}"
    elif not _PLAIN.fullmatch(text):
        yield f"a name {text[:60]!r}"


def _tree_is_plain(text: Any) -> bool:
    """Whether a pytree in JSON holds only names, at any depth (contexts are JSON inside JSON)."""
    if isinstance(text, list):
        return all(_tree_is_plain(t) for t in text)
    if isinstance(text, dict):
        # these two make torch import a module of the file's choice
        refused = {"default_factory_module", "__enum__"} & set(text)
        return not refused and all(_tree_is_plain(k) and _tree_is_plain(v) for k, v in text.items())
    if not isinstance(text, str):
        return True
    if text[:1] in '[{"':
        try:
            return _tree_is_plain(json.loads(text))
        except ValueError:
            return False
    return bool(_PLAIN.fullmatch(text))


def _is_arithmetic(text: str) -> bool:
    """Whether a size expression or guard is arithmetic on names, with calls of known functions only."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_safe(node) for node in nodes)


_SAFE_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
    ast.Load, ast.keyword, ast.Subscript, ast.Tuple, ast.List,
)  # fmt: skip


def _is_safe(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        named = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return bool(_FUNCTIONS.fullmatch(named))
    if isinstance(node, ast.Attribute):
        return node.attr in _ATTRIBUTES or (isinstance(node.value, ast.Name) and node.value.id == "torch")
    if isinstance(node, ast.Name):
        return not node.id.startswith("__")
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, bytes) and (
            not isinstance(node.value, str) or bool(_PLAIN.fullmatch(node.value))
        )
    return isinstance(node, _SAFE_NODES)
