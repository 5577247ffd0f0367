"""Versions: which of a model's versions serve, as a policy in words chooses: "latest:2", "all" or "1,3"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gantline.errors import BadArtefact

NONE = "0"  # a policy of specific versions that names none; there is no version 0
LATEST = "latest:1"  # Triton's default, and ours


@dataclass(frozen=True, slots=True)
class Policy:
    """`words` as the setting `versions` has them; `pin`: the version for requests that name none, 0 for the highest."""

    words: str = LATEST
    pin: int = 0

    def choose(self, there: Sequence[int], where: object) -> list[int]:
        """Those of the versions in ascending order that serve, the pinned one in any case.

        BadArtefact, naming `where` they are, when that is none, or the pinned one is not there.
        """
        known = ", ".join(map(str, there))
        if self.pin and self.pin not in there:
            raise BadArtefact(f"{where}: default_version is {self.pin}, which is not there; it has {known}")
        chosen = self._among(there)
        if not chosen and self.words == NONE:
            raise BadArtefact(f"{where}: its version_policy names no version; it has {known}")
        if not chosen:
            raise BadArtefact(f"{where}: versions '{self.words}' serves none of the versions {known}")
        return [v for v in there if v in chosen or v == self.pin]

    def _among(self, there: Sequence[int]) -> list[int]:
        if self.words == "all":
            return list(there)
        if self.words.startswith("latest"):
            count = int(self.words.partition(":")[2] or 1)
            return list(there[-count:])
        wanted = {int(v) for v in self.words.split(",")}
        return [v for v in there if v in wanted]


def put_words(words: str, version_policy: Any) -> None:
    """Have an inference.ModelVersionPolicy say the same."""
    version_policy.Clear()
    if words == "all":
        version_policy.all.SetInParent()
    elif words.startswith("latest"):
        version_policy.latest.num_versions = int(words.partition(":")[2] or 1)
    else:
        version_policy.specific.versions[:] = map(int, words.split(","))


def words_of(version_policy: Any) -> str:
    """The same words for an inference.ModelVersionPolicy; empty where it says nothing."""
    choice = version_policy.WhichOneof("policy_choice")
    if choice == "all":
        return "all"
    if choice == "specific":
        return ",".join(map(str, sorted(version_policy.specific.versions))) or NONE
    return f"latest:{version_policy.latest.num_versions or 1}" if choice == "latest" else ""
