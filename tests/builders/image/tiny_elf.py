"""Small ELF files as a linker would write them, for processors and cases that no wheel at hand has."""

from __future__ import annotations

import struct
from collections.abc import Sequence

MACHINES = {"amd64": 62, "arm64": 183, "arm": 40, "386": 3, "ppc64le": 21, "s390x": 22, "riscv64": 243}
_SHORT = ("arm", "386")  # of 32 bits


def tiny_elf(
    architecture: str = "amd64", needed: Sequence[str] = (), soname: str = "", runpath: str = "", rpath: str = "",
    interpreter: str = "", versions: Sequence[str] = (), kind: int = 3,
) -> bytes:  # fmt: skip
    """One segment that holds all of the file, a dynamic section, and what of it is asked for."""
    short, order = architecture in _SHORT, ">" if architecture == "s390x" else "<"
    strings = bytearray(b"\0")

    def text(value: str) -> int:
        strings.extend(value.encode() + b"\0")
        return len(strings) - len(value.encode()) - 1

    entries = [(1, text(name)) for name in needed]
    entries += [(tag, text(value)) for tag, value in ((14, soname), (15, rpath), (29, runpath)) if value]
    library = text("libc.so.6")
    names = [text(version) for version in versions]
    at_interpreter = text(interpreter)
    head, segment = (52, 32) if short else (64, 56)
    at_strings = head + 3 * segment
    at_versions = at_strings + len(strings)
    wanted = struct.pack(order + "HHIII", 1, len(names), library, 16, 0) if names else b""
    for number, name in enumerate(names):
        wanted += struct.pack(order + "IHHII", 0, 0, 2, name, 16 if number + 1 < len(names) else 0)
    entries += [(5, at_strings), (10, len(strings))]
    if names:
        entries += [(0x6FFFFFFE, at_versions), (0x6FFFFFFF, 1)]
    dynamic = b"".join(struct.pack(order + ("iI" if short else "qQ"), tag, value) for tag, value in [*entries, (0, 0)])
    at_dynamic = at_versions + len(wanted)
    size = at_dynamic + len(dynamic)

    def program(what: int, offset: int, length: int) -> bytes:
        if short:
            return struct.pack(order + "IIIIIIII", what, offset, offset, 0, length, length, 4, 1)
        return struct.pack(order + "IIQQQQQQ", what, 4, offset, offset, 0, length, length, 1)

    ident = b"\x7fELF" + bytes([1 if short else 2, 1 if order == "<" else 2, 1]) + bytes(9)
    layout = "HHIIIIIHHHHHH" if short else "HHIQQQIHHHHHH"
    count = 3 if interpreter else 2
    header = ident + struct.pack(
        order + layout, kind, MACHINES[architecture], 1, 0, head, 0, 0, head, segment, count, 0, 0, 0
    )
    programs = program(1, 0, size) + program(2, at_dynamic, len(dynamic))
    programs += program(3, at_strings + at_interpreter, len(interpreter) + 1) if interpreter else bytes(segment)
    return header + programs + bytes(strings) + wanted + dynamic
