"""Token patterns: a text vectoriser's regular expression, Python's, as onnxruntime's tokenizer (RE2) reads it.

Python's words are made of the letters and digits of all scripts; RE2's `\\w` is ASCII alone, and skl2onnx puts
`[a-zA-Z0-9_]+` for the default pattern, which also makes words of single letters. `\\p{L}` and `\\p{N}` say it right.
"""

from __future__ import annotations

import re
from typing import Any

from gantline.errors import Unsupported

LOCALE = "C.UTF-8"  # for lower case; skl2onnx's own choice, en_US.UTF-8, is missing in most containers
_WORD, _DIGIT, _SPACE = r"\p{L}\p{N}_", r"\p{Nd}", r"\s\v\x1c-\x1f\x{85}\p{Z}"
_CLASSES = {"w": _WORD, "d": _DIGIT, "s": _SPACE}
_WHOLE_WORD = re.compile(r"\\b((?:\\w)+[+]?|\\w\{\d+,\d*\})\\b")
_ENDLESS = re.compile(r"^(?:\\w)*\\w[+]$|^\\w\{\d+,\}$")


def text_options(vectoriser: Any) -> dict[str, Any]:
    """skl2onnx's options for a CountVectorizer or TfidfVectorizer. Unsupported says what cannot be tokenised."""
    options: dict[str, Any] = {"locale": LOCALE}
    if vectoriser.analyzer == "word" and vectoriser.tokenizer is None:
        options["tokenexp"] = token_expression(vectoriser.token_pattern)
    return options


def token_expression(pattern: str) -> str:
    """A Python pattern for RE2. Unsupported for what RE2 has not: groups that are the token, looking around, `\\b`."""
    if re.compile(pattern).groups:
        raise Unsupported(f"token_pattern {pattern!r}: the token is a part of what matches")
    plain = pattern.removeprefix("(?u)")
    if re.search(r"\(\?[=!<]", plain):
        raise Unsupported(f"token_pattern {pattern!r}: it looks around, which onnxruntime's tokenizer does not")
    whole = _WHOLE_WORD.fullmatch(plain)
    if whole is not None and _ENDLESS.match(whole[1]):
        plain = whole[1]  # as long as it can be, a word ends where words end
    if r"\b" in plain or r"\B" in plain:
        raise Unsupported(f"token_pattern {pattern!r}: onnxruntime's tokenizer finds ends of ASCII words alone")
    return _translated(plain)


def _translated(pattern: str) -> str:
    out, inside, at = "", False, 0
    while at < len(pattern):
        two = pattern[at : at + 2]
        known = _CLASSES.get(two[1:].lower()) if two[0] == "\\" else None
        if known is not None and two[1].islower():
            out += known if inside else f"[{known}]"
        elif known is not None and inside:
            raise Unsupported(f"token_pattern {pattern!r}: {two} in a set")
        elif known is not None:
            out += f"[^{known}]"
        elif two[0] == "\\":
            out += two
        else:
            inside = two[0] == "[" or (inside and two[0] != "]")
            out += two[0]
            at -= 1
        at += 2
    return out
