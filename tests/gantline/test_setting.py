"""One setting by itself; how they are settled together is in test_settings."""

from __future__ import annotations

import pytest

from gantline.errors import UsageError
from gantline.setting import Setting, nearest, number_of, unknown


def test_names_in_every_place() -> None:
    one = Setting("drain_s", 1.0, "help", low=0)
    assert (one.flag, one.variable, one.placeholder) == ("--drain-s", "GANTLINE_DRAIN_S", "N")


def test_what_it_takes() -> None:
    size = Setting("x", 0, "", unit="bytes", low=1)
    assert size.read("64MiB", "here") == 64 << 20 and size.show(64 << 20) == "64MiB"
    with pytest.raises(UsageError, match="here: 'much' is not a size such as 1048576"):
        size.read("much", "here")
    assert number_of("1.5", float) == 1.5 and number_of("x", int) is None


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match="there: unknown setting 'prot'; did you mean 'port'"):
        unknown(["prot"], ["port", "host"], "there")
    assert nearest("zzz", ["a", "b"]) == "known: a, b"


def test_texts_of_a_form() -> None:
    one = Setting("x", "a", "", pattern="a|b+", form="a or bs")
    assert one.read("bbb", "here") == "bbb"
    for wrong in ("ab", "", "c"):
        with pytest.raises(UsageError, match=f"here: '{wrong}' is not a or bs"):
            one.read(wrong, "here")
