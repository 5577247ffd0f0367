"""Program: somebody else's command line that acts on what was described: kubectl, compose; its words and its errors."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gantline.errors import NotFound, Unavailable, Unsupported

_ANSWER_S = 60.0
_STOP_S = 300.0


@dataclass(frozen=True, slots=True)
class Program:
    """`words` begin every command; `defaults` are variables that it wants, where this process has no others."""

    words: tuple[str, ...]
    defaults: tuple[tuple[str, str], ...] = ()

    @property
    def _environment(self) -> dict[str, str]:
        return {**dict(self.defaults), **os.environ}

    def ask(self, *words: str, wait_s: float = _ANSWER_S, given: str | None = None) -> str:
        """What it prints, `given` what it reads.

        NotFound for what is not there, Unavailable with its last words for any other failure.
        """
        command = [*self.words, *words]
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, timeout=wait_s, env=self._environment, input=given,
                encoding="utf-8", errors="replace",  # whatever this machine's locale is
            )  # fmt: skip
        except subprocess.TimeoutExpired as e:
            raise Unavailable(f"`{' '.join(command)}`: did not answer within {wait_s:g} s") from e
        if done.returncode == 0:
            return done.stdout
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {done.returncode}"
        kind = NotFound if "NotFound" in said else Unavailable
        raise kind(f"`{' '.join(command)}`: {said:.500}")

    def end(self, *words: str) -> None:
        """As `ask`, for what takes as long as its containers may take to end."""
        self.ask(*words, wait_s=_STOP_S)

    def lines(self, *words: str) -> Generator[bytes]:
        """What it prints, while it does; stopped when nobody reads on. Unavailable, after all of it, where it fails."""
        with subprocess.Popen(
            [*self.words, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self._environment,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            try:
                yield from process.stdout
                status = process.wait()
            finally:
                process.terminate()
        if status:
            raise Unavailable(f"`{' '.join((*self.words, *words))}`: exit code {status}")


def can_act(target: str) -> bool:
    """Whether what acts on endpoints of a target is on this machine."""
    return any(_composes()) if target == "compose" else shutil.which("kubectl") is not None


def kubectl(context: str, namespace: str = "") -> Program:
    """In one context and namespace, or those that are current. Unsupported where there is none."""
    if shutil.which("kubectl") is None:
        raise Unsupported("kubectl: not installed here; install it, or type its commands where it is")
    said = (("--context", context), ("--namespace", namespace))
    return Program(("kubectl", *(word for pair in said if pair[1] for word in pair)))


def context() -> str:
    """The cluster that kubectl speaks to; empty where there is no kubectl, or none is chosen."""
    if shutil.which("kubectl") is None:
        return ""
    try:
        return Program(("kubectl",)).ask("config", "current-context").strip()
    except (Unavailable, NotFound):
        return ""


def namespace(context: str) -> str:
    """Where kubectl acts in a context unless it is told otherwise; empty where that is not known."""
    if shutil.which("kubectl") is None:
        return ""
    said = ("config", "view", "--minify", "--output", "jsonpath={.contexts[0].context.namespace}")
    try:
        return kubectl(context).ask(*said).strip() or "default"
    except (Unavailable, NotFound):
        return ""


def compose(file: str, project: str, secrets: Iterable[str] = ()) -> Program:
    """Docker's compose where there is one, else podman's. Unsupported says what to type where there is neither.

    `project` is told, too: COMPOSE_PROJECT_NAME, or a file .env, would else name another than the file does.
    `secrets`: variables without which it does not read the file, though only who starts it needs what they hold.
    """
    for words in _composes():
        return Program((*words, "--project-name", project, "-f", file), tuple((name, "-") for name in secrets))
    raise Unsupported(
        f"no compose here: install Docker's or podman-compose; where there is one, `docker compose --project-name "
        f"{project} -f {file} up --wait` starts it, `logs` and `down` are the others"
    )


def _composes() -> Iterator[Sequence[str]]:
    plugin = ("docker", "compose")
    if shutil.which("docker") and not subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode:
        yield plugin
    for name in ("docker-compose", "podman-compose"):
        if shutil.which(name):
            yield (name,)
