"""Readiness: whether a load balancer should send its clients here. One object, asked by every face that tells it."""

from __future__ import annotations

from .repository import Repository


class Readiness:
    """Ready: every model has been tried, nobody said to stop, and (in a worker) the other workers are as far."""

    __slots__ = ("_repository", "draining", "others")

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.draining = False
        self.others = True  # false in a worker, until its supervisor says that all are ready

    def __repr__(self) -> str:
        return f"<Readiness loaded={self._repository.ready} others={self.others} draining={self.draining}>"

    def __bool__(self) -> bool:
        return self._repository.ready and self.others and not self.draining
