"""uv's words, as it wrote them, and the one line made of each; what it says to real questions is in test_resolve."""

from __future__ import annotations

import pytest
from gantline.builders.lock.asked import SCRIPT, Asked
from gantline.builders.lock.refusals import explain, source_only, to_be_built
from gantline.builders.lock.sources import Sources
from gantline.builders.lock.target import Target

from gantline.errors import BadArtefact, Denied, GantlineError, Unavailable, Unreachable
from gantline.oci.platforms import Platform

TARGET = Target(Platform.parse("linux/amd64"), (3, 11))
ASKED = [Asked("numpy>=1.26", "gantline"), Asked("scipy==1.17.1", "the package", SCRIPT), Asked("x-y<1", "the package")]


def said(text: str, sources: Sources | None = None) -> tuple[type[GantlineError], str]:
    error = explain(text, ASKED, TARGET, sources or Sources())
    assert "\n" not in error.message
    return type(error), error.message


def unsatisfiable(cause: str, hint: str = "") -> str:
    tail = f"\n\nhint: {hint}\n" if hint else "\n"
    return f"error: No solution found when resolving dependencies\n  cause: {cause}{tail}"


def test_a_conflict_through_another() -> None:
    kind, line = said(
        unsatisfiable(
            "Because scipy==1.17.1 depends on numpy>=1.26.4,<2.7 and you require scipy==1.17.1, we can conclude that "
            "you require numpy>=1.26.4,<2.7.\n         And because you require numpy<1.26, we can conclude that your "
            "requirements are unsatisfiable."
        )
    )
    assert kind is BadArtefact
    assert line == (
        "'numpy>=1.26' (gantline) and 'scipy==1.17.1' (the package) do not go together for linux/amd64, Python 3.11, "
        "glibc 2.36: Because scipy==1.17.1 depends on numpy>=1.26.4,<2.7 and you require scipy==1.17.1, we can "
        "conclude that you require numpy>=1.26.4,<2.7; and because you require numpy<1.26"
    )


@pytest.mark.parametrize(
    ("text", "sources", "kind", "words"),
    [
        (
            unsatisfiable("Because x-y was not found in the package registry and you require x-y, we can"),
            Sources("https://u:p@corp.invalid/simple"), BadArtefact,
            "'x-y<1' (the package): no distribution is called 'x-y'; looked in https://corp.invalid/simple",
        ),
        (
            unsatisfiable("Because x-y was not found in the cache and you require x-y, we", "the network was disabled"),
            Sources(offline=True), Unavailable, "x-y is not in what was downloaded before (--offline)",
        ),
        (
            unsatisfiable(
                "Because all versions of x-y have no wheels with a matching platform tag (e.g., `manylinux_2_36_x86`) "
                "and you require x-y, we can conclude that your requirements are unsatisfiable.",
                "Wheels are available for `x-y` (v3.8) on the following platforms: `win_amd64`, `win_arm64`",
            ),
            Sources(), BadArtefact, "'x-y<1' (the package): no wheel for linux/amd64, Python 3.11, glibc 2.36: Because",
        ),
        (
            "error: Request failed after 3 retries in 8.7s\n  cause: Failed to fetch: http://u:p@h.invalid:9/s/x-y/\n"
            "  cause: error sending request\n  cause: tcp connect error\n  cause: Connection refused (os error 111)\n",
            Sources(), Unreachable, "h.invalid:9 does not answer as an index (Connection refused (os error 111))",
        ),
        (
            unsatisfiable(
                "Because x-y was not found in the package registry and you require x-y, we can",
                "An index URL (http://h.invalid/simple) could not be queried due to a lack of valid authentication "
                "credentials (401 Unauthorized)",
            ),
            Sources(), Denied, "'x-y<1' (the package): h.invalid wants a name and a password",
        ),
        ("error: no answer within 1800 s", Sources(), Unreachable, "the index does not answer as an index (no answer"),
        (
            "error: Couldn't parse requirement in `0001.in` at 0\n  cause: Unexpected end\n         scipy=\n  ^\n",
            Sources(), BadArtefact, "'scipy==1.17.1' (the package): is not a requirement (as in numpy==2.1): Unexp",
        ),
        (
            "error: Failed to initialize cache at `/x`\n  cause: failed to create directory `/x`: Permission denied\n",
            Sources(), Unavailable, "uv: Failed to initialize cache at `/x`; failed to create directory `/x`: Perm",
        ),
        (
            "error: Failed to fetch: https://h.invalid/simple/x-y/\n  cause: invalid peer certificate: UnknownIssuer\n",
            Sources(), Unreachable, "h.invalid: invalid peer certificate: UnknownIssuer; PIP_CERT names the file of an",
        ),
        (
            unsatisfiable("Because all versions of x-y have no usable wheels and you require x-y, we can conclude"),
            Sources(), BadArtefact, "'x-y<1' (the package): x-y is there as source only",
        ),
        ("thread main panicked", Sources(), BadArtefact, "the requirements: thread main panicked"),
    ],
)  # fmt: skip
def test_one_line_each(text: str, sources: Sources, kind: type[GantlineError], words: str) -> None:
    found, line = said(text, sources)
    assert found is kind and words in line and "u:p@" not in line


def test_long_explanations() -> None:
    """Of a list there are three items; an explanation goes on after an empty line."""
    listed = "".join(f"\n             numpy>{i},<{i}.5" for i in range(9))
    cause = f"Because scipy==1.17.1 needs one of:{listed}\n         and so on\n\n         And because you require x"
    _, line = said(unsatisfiable(cause, "no hint"))
    assert line.endswith("one of: numpy>0,<0.5, numpy>1,<1.5, ..., numpy>8,<8.5 and so on; and because you require x")
    _, line = said(unsatisfiable("Because scipy==1.17.1 " + "cannot be had " * 400))
    assert len(line) < 900 and line.endswith("...")


def test_source_code() -> None:
    line = source_only("forest", [Asked("git+https://u:p@x.invalid/forest", "the package")]).message
    assert line.startswith(
        "'git+https://x.invalid/forest' (the package): is source code, and images hold wheels; make a"
    )
    assert "or pass --build-wheels" in line
    other = source_only("forest", [Asked("hg+https://x.invalid/forest", "the package")]).message
    assert other.endswith("with --find-links"), "--build-wheels takes git's repositories alone"
    assert source_only("forest", [Asked("forest", "the package")]).message.endswith(
        "or a machine of that platform and Python"
    )


@pytest.mark.parametrize(
    ("cause", "name", "versions"),
    [
        ("Because x-y==0.9 has no usable wheels and you require x-y==0.9, we can conclude", "x-y", "==0.9"),
        ("Because all versions of x-y have no usable wheels and you require x-y<1, we can", "x-y", ""),
        ("Because x-y<=0.9 has no wheels with a matching platform tag (e.g., `linux`) and", "x-y", "<=0.9"),
    ],
)
def test_what_is_to_be_built(cause: str, name: str, versions: str) -> None:
    assert to_be_built(unsatisfiable(cause), ASKED) == (name, versions, [ASKED[2]])
    assert to_be_built(unsatisfiable("Because x-y was not found in the cache"), ASKED) is None
