"""From when until when a certificate may be used, against openssl's own words."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gantline.serve.validity import complaint, validity

if TYPE_CHECKING:
    from tests.serve.conftest import Issue


def test_as_openssl_reads_it(tmp_path: Path, issue: Issue) -> None:
    chain, _ = issue(tmp_path)
    told = subprocess.run(
        ["openssl", "x509", "-in", chain, "-noout", "-dates"], capture_output=True, text=True, check=True
    )
    read = [
        datetime.strptime(line.split("=")[1], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
        for line in told.stdout.splitlines()
    ]
    assert validity(chain.read_bytes()) == tuple(read)
    first, last = read
    assert complaint(chain.read_bytes(), first) == ""
    assert "is not valid before" in complaint(chain.read_bytes(), first - timedelta(seconds=1))
    assert complaint(chain.read_bytes(), last - timedelta(hours=1)).startswith("expires on")
    assert complaint(chain.read_bytes(), last + timedelta(seconds=1)).startswith("expired on")


def test_the_years_after_2049(tmp_path: Path, issue: Issue) -> None:
    """Which are written in another form."""
    _, key = issue(tmp_path)
    late = tmp_path / "late"
    words = ["openssl", "req", "-x509", "-key", str(key), "-days", "20000", "-subj", "/CN=localhost", "-out", str(late)]
    subprocess.run(words, capture_output=True, check=True)
    found = validity(late.read_bytes())
    assert found is not None and found[1] - found[0] == timedelta(days=20000) and found[1].year > 2049


@pytest.mark.parametrize("cut", [0, 1, 60, 400])
def test_what_is_no_certificate_is_no_complaint(tmp_path: Path, issue: Issue, cut: int) -> None:
    chain, _ = issue(tmp_path)
    lines = chain.read_text().splitlines()
    broken = "\n".join([lines[0], "".join(lines[1:-1])[:cut], lines[-1]]) if cut else "no PEM"
    assert validity(broken.encode()) is None
    assert complaint(broken.encode(), datetime.now(UTC)) == ""
