"""Reading a pickle without loading it: its opcodes are followed with placeholders, and nothing is imported or called.

Also through what joblib adds: compression of the whole file, and arrays whose bytes stand in the stream after the
object that describes them (joblib.numpy_pickle.NumpyArrayWrapper; layout read in joblib 1.6's numpy_pickle.py).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickletools
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gantline.errors import BadArtefact, Unsupported

LARGEST = 16 << 30  # bytes after decompression; more is a bomb
_BIG = 256  # longer texts and byte strings are kept as their length only
_PIECE = 1 << 20
_MARK = object()
_SKIPPED = ("PROTO", "FRAME")
_BROKEN = (
    ValueError, IndexError, KeyError, TypeError, AttributeError, EOFError, OSError, OverflowError, MemoryError,
    zlib.error, lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Name:
    """A global that the pickle refers to."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """What a call would return: `maker(*args)`, then updated by `state`."""

    maker: Any
    args: Any = ()
    state: Any = None

    @property
    def type(self) -> Any:
        """The class of the object, through the functions that pickle uses to make one without calling it."""
        if (
            isinstance(self.maker, Name)
            and self.maker.name in ("_reconstructor", "__newobj__", "__newobj_ex__")
            and self.args
        ):
            return self.args[0]
        return self.maker


@dataclass(slots=True, eq=False)
class Pairs:
    """A dict, as its items: keys may be placeholders."""

    items: list[tuple[Any, Any]] = field(default_factory=list)

    def get(self, key: str) -> Any:
        return next((v for k, v in reversed(self.items) if isinstance(k, str) and k == key), None)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a pickle says: its outermost object, every global, and every `_sklearn_version` (object, version)."""

    root: Any
    names: frozenset[Name]
    versions: tuple[tuple[str, str], ...]

    @property
    def described(self) -> str:
        """The outermost object in a few words."""
        root = self.root
        if isinstance(root, Made):
            kind = root.type
            if isinstance(kind, Name) and kind.module.split(".")[0] == "numpy":
                return "a numpy array or number"
            called = isinstance(kind, Name) and kind is root.maker and kind.name[:1].islower()
            return f"the result of calling {kind}" if called else f"an object of class {kind}"
        if isinstance(root, Name):
            return f"the function or class {root}"
        return {"Pairs": "a dict", "NoneType": "None"}.get(type(root).__name__, f"a {type(root).__name__}")

    @property
    def root_class(self) -> Name | None:
        """The class of the outermost object, if it is one of a class."""
        kind = self.root.type if isinstance(self.root, Made) else None
        return kind if isinstance(kind, Name) else None


def scan(path: Path) -> Scan:
    """Follow a pickle or joblib file to its end. BadArtefact names the file and says where it stops making sense."""
    try:
        with _plain(path) as stream:
            machine = _Machine(stream)
            root = machine.run()
    except FileNotFoundError as e:
        raise BadArtefact(f"{path}: no such file; expected a pickle") from e
    except _BROKEN as e:
        text = " ".join(str(e).split())[:160] or type(e).__name__
        raise BadArtefact(f"{path}: not a whole pickle or joblib file: {text}") from e
    return Scan(root, frozenset(machine.names), tuple(machine.versions))


def _plain(path: Path) -> IO[bytes]:
    """The file, decompressed if it is compressed in one of joblib's ways, open at its start."""
    with path.open("rb") as f:
        head = f.read(8)
    opener: Callable[[Path], Any] | None = None
    if head.startswith(b"\x1f\x8b"):
        opener = gzip.open
    elif head.startswith(b"BZh"):
        opener = bz2.open
    elif head.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
        opener = lzma.open
    elif head.startswith(b"\x04\x22\x4d\x18"):
        opener = _lz4(path)
    elif re.match(rb"\x78[\x01\x5e\x9c\xda]", head):
        return _spooled(_inflated(path))
    elif head.startswith(b"ZF"):
        raise Unsupported(f"{path}: written by joblib before 0.10; load it there and save it again")
    if opener is None:
        return path.open("rb")
    with opener(path) as packed:
        return _spooled(iter(lambda: packed.read(_PIECE), b""))


def _lz4(path: Path) -> Callable[[Path], Any]:
    try:
        import lz4.frame  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as e:
        raise Unsupported(f"{path}: is compressed by lz4; pip install lz4 to read it") from e
    opener: Callable[[Path], Any] = lz4.frame.open
    return opener


def _inflated(path: Path) -> Iterator[bytes]:
    engine = zlib.decompressobj()
    with path.open("rb") as f:
        while piece := f.read(_PIECE):
            while piece:
                yield engine.decompress(piece, _PIECE)
                piece = engine.unconsumed_tail
    if not engine.eof:
        raise EOFError("the compressed data ends early")


def _spooled(pieces: Iterator[bytes]) -> IO[bytes]:
    out = tempfile.SpooledTemporaryFile(max_size=64 << 20)  # noqa: SIM115  # the caller closes it
    total = 0
    try:
        for piece in pieces:
            total += len(piece)
            if total > LARGEST:
                raise ValueError(f"it decompresses to more than {LARGEST >> 30} GiB")
            out.write(piece)
    except BaseException:
        out.close()
        raise
    out.seek(0)
    return out


class _Machine:
    """pickle's stack machine over placeholders. `names` and `versions` gather what it meets."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.names: set[Name] = set()
        self.versions: list[tuple[str, str]] = []
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The outermost object of the next pickle in the stream."""
        outer, self.stack, self.memo = (self.stack, self.memo), [], {}
        for opcode, arg, position in pickletools.genops(self.stream):
            if opcode.name == "STOP":
                break
            act = getattr(self, "do_" + opcode.name, None)
            if act is not None:
                act(arg)
            elif opcode.name in _SKIPPED:
                continue
            elif opcode.stack_before == [] and len(opcode.stack_after) == 1:
                self.stack.append(_shortened(opcode.name, arg))
            else:
                raise ValueError(f"opcode {opcode.name} at byte {position} is not one that models use")
        root = self.stack.pop()
        self.stack, self.memo = outer
        return root

    def marked(self) -> list[Any]:
        """All above the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark on the stack")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def do_MARK(self, _: Any) -> None:
        self.stack.append(_MARK)

    def do_POP(self, _: Any) -> None:
        self.stack.pop()

    def do_POP_MARK(self, _: Any) -> None:
        self.marked()

    def do_DUP(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def do_EMPTY_LIST(self, _: Any) -> None:
        self.stack.append([])

    def do_LIST(self, _: Any) -> None:
        self.stack.append(self.marked())

    def do_APPEND(self, _: Any) -> None:
        item = self.stack.pop()
        self.extend([item])

    def do_APPENDS(self, _: Any) -> None:
        self.extend(self.marked())

    do_ADDITEMS = do_APPENDS

    def extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def do_EMPTY_SET(self, _: Any) -> None:
        self.stack.append([])

    def do_FROZENSET(self, _: Any) -> None:
        self.stack.append(self.marked())

    def do_EMPTY_TUPLE(self, _: Any) -> None:
        self.stack.append(())

    def do_TUPLE(self, _: Any) -> None:
        self.stack.append(tuple(self.marked()))

    def do_TUPLE1(self, _: Any) -> None:
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def do_TUPLE2(self, _: Any) -> None:
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def do_TUPLE3(self, _: Any) -> None:
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def do_EMPTY_DICT(self, _: Any) -> None:
        self.stack.append(Pairs())

    def do_DICT(self, _: Any) -> None:
        items = self.marked()
        self.stack.append(Pairs(list(zip(items[::2], items[1::2], strict=True))))

    def do_SETITEM(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def do_SETITEMS(self, _: Any) -> None:
        self.update(self.marked())

    def update(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], Pairs):
            self.stack[-1].items.extend(zip(items[::2], items[1::2], strict=True))

    def do_PUT(self, arg: Any) -> None:
        self.memo[int(arg)] = self.stack[-1]

    do_BINPUT = do_LONG_BINPUT = do_PUT

    def do_MEMOIZE(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_GET(self, arg: Any) -> None:
        self.stack.append(self.memo[int(arg)])

    do_BINGET = do_LONG_BINGET = do_GET

    def do_GLOBAL(self, arg: str) -> None:
        self.named(*arg.split(" ", 1))

    def do_STACK_GLOBAL(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.named(str(module), str(name))

    def named(self, module: str, name: str) -> None:
        found = Name(module, name)
        self.names.add(found)
        self.stack.append(found)

    def do_REDUCE(self, _: Any) -> None:
        args, maker = self.stack.pop(), self.stack.pop()
        self.stack.append(Made(maker, args))

    do_NEWOBJ = do_REDUCE

    def do_NEWOBJ_EX(self, _: Any) -> None:
        self.stack.pop()
        self.do_REDUCE(None)

    def do_INST(self, arg: str) -> None:
        args = tuple(self.marked())
        self.do_GLOBAL(arg)
        self.stack.append(Made(self.stack.pop(), args))

    def do_OBJ(self, _: Any) -> None:
        maker, *args = self.marked()
        self.stack.append(Made(maker, tuple(args)))

    def do_BUILD(self, _: Any) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, Made):
            return
        made.state = state
        if isinstance(state, Pairs) and isinstance(state.get("_sklearn_version"), str):
            self.versions.append((str(made.type), state.get("_sklearn_version")))
        if str(made.type).endswith("joblib.numpy_pickle.NumpyArrayWrapper") and isinstance(state, Pairs):
            self.stack[-1] = self.array(state)

    def array(self, state: Pairs) -> Any:
        """Skip the array that follows its wrapper in the stream (or read the pickle that stands there for objects)."""
        itemsize, has_objects = _dtype(state.get("dtype"))
        if has_objects:
            return self.run()
        if state.get("numpy_array_alignment_bytes") is not None:
            padding = self.stream.read(1)
            self.stream.seek(padding[0], 1)
        count = itemsize
        for size in state.get("shape"):
            count *= int(size)
        here = self.stream.tell()
        end = self.stream.seek(0, 2)
        if here + count > end:
            raise EOFError(f"an array of {count} bytes starts at byte {here}, the file ends at {end}")
        self.stream.seek(here + count)
        return Made(Name("numpy", "ndarray"), (count,))


def _shortened(opcode: str, arg: Any) -> Any:
    if opcode in ("NONE", "NEWTRUE", "NEWFALSE"):
        return {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode]
    if isinstance(arg, str | bytes | bytearray) and len(arg) > _BIG:
        return Made(Name("builtins", type(arg).__name__), (len(arg),))
    return arg


def _dtype(made: Any) -> tuple[int, bool]:
    """(bytes of one element, whether it holds objects) of a pickled numpy dtype."""
    import numpy as np

    if not isinstance(made, Made) or not isinstance(made.type, Name) or made.type.module.split(".")[0] != "numpy":
        raise ValueError("an array without a dtype")
    code = made.args[0]
    if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?[a-zA-Z]\d*", code):
        raise ValueError(f"an array of dtype {code!r}")
    fields = made.state[4] if isinstance(made.state, tuple) and len(made.state) > 4 else None
    nested = [_dtype(v[0]) for _, v in fields.items] if isinstance(fields, Pairs) else []
    return np.dtype(code).itemsize, "O" in code or any(has for _, has in nested)
