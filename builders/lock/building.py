"""Building: where wheels may be made of what is there as source only, as the user says it."""

from __future__ import annotations

from dataclasses import dataclass

from gantline.errors import UsageError

HERE, CONTAINER, AUTO = "here", "container", "auto"
WHERE = (AUTO, CONTAINER, HERE)


@dataclass(frozen=True, slots=True)
class Building:
    """`where`: on this machine, in a container, or (auto) in a container if an engine answers, else on this machine.

    `image`: in which image, as `--base` names one; empty: the base of the image that is built. `engine`: its URL.
    """

    where: str = AUTO
    image: str = ""
    engine: str = ""

    def __post_init__(self) -> None:
        """UsageError for another word, and for an image where none is used."""
        if self.where not in WHERE:
            raise UsageError(f"wheels are built {' or '.join(WHERE)}, not {self.where!r:.40}")
        if self.where == HERE and self.image:
            raise UsageError(
                f"--builder {self.image}: no image is used on this machine; --build-wheels-in container does"
            )
