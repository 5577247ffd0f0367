"""Progress: steps as they happen, and what they came to."""

from __future__ import annotations

from gantline.oci.descriptor import LAYER, Descriptor
from gantline.oci.progress import DONE, MOUNTED, MOVING, THERE, Ledger, Step, title_of

DIGEST = "sha256:" + "ab" * 32


def blob(size: int, **notes: str) -> Descriptor:
    return Descriptor(LAYER, DIGEST, size, annotations={k.replace("_", "."): v for k, v in notes.items()})


def test_steps_and_sums() -> None:
    steps: list[Step] = []
    ledger = Ledger(steps.append)
    ledger.at(blob(10), 4)
    ledger.end(blob(10), DONE, wire=12)
    ledger.end(blob(5), THERE)
    ledger.end(blob(7), MOUNTED)
    assert [(s.at, s.size, s.state) for s in steps] == [(4, 10, MOVING), (10, 10, DONE), (5, 5, THERE), (7, 7, MOUNTED)]
    assert (ledger.sum(DONE), ledger.sum(THERE, MOUNTED), ledger.wire) == (10, 12, 12)
    assert ledger.blobs == {DONE: 1, THERE: 1, MOUNTED: 1}


def test_titles() -> None:
    assert title_of(blob(1)) == "ab" * 6
    assert title_of(blob(1, dev_gantline_layer="weights", org_opencontainers_image_title="x")) == "weights"
    assert title_of(blob(1, org_opencontainers_image_title="x")) == "x"
