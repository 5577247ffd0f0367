"""Choice: of the wheels that an index offers, the one that an image gets."""

from __future__ import annotations

from collections.abc import Sequence

from .solver import Offer
from .target import Target


def best(offers: Sequence[Offer], target: Target, hashes: Sequence[str] = ()) -> Offer | None:
    """The wheel whose tags say most about the target, as pip chooses; of those with one of `hashes`, if there are any,
    or of which the index does not say.

    None where none runs there.
    """
    ranked = []
    for offer in offers:
        rank = _rank(offer.file, target)
        if rank is not None and (not hashes or not offer.digest or offer.digest in hashes):
            ranked.append((rank, offer.file, offer))
    return min(ranked, key=lambda one: one[:2])[2] if ranked else None


def _rank(file: str, target: Target) -> tuple[int, tuple[int, str]] | None:
    """Lower is better: the best of its tags, then the higher build number."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        _, _, build, tags = parse_wheel_filename(file)
    except InvalidWheelFilename:
        return None
    known = [target.ranks[str(tag)] for tag in tags if str(tag) in target.ranks]
    number, suffix = build or (0, "")
    return (min(known), (-number, suffix)) if known else None
