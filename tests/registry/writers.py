"""What tests start as processes: somebody who registers and promotes until told to stop, or killed.

`python writers.py REGISTRY NAME ROUNDS PACKAGE...` prints a line when it begins, and one for each thing done.
"""

from __future__ import annotations

import sys

from gantline.registry.registry import Registry


def main(where: str, name: str, rounds: int, packages: list[str]) -> None:
    with Registry.open(where, who=name) as registry:
        print("begin", flush=True)  # noqa: T201
        for i in range(rounds):
            version = registry.register(
                packages[i % len(packages)], new_version=True, tags={"by": name, "round": str(i)}
            )
            print("registered", version.version, flush=True)  # noqa: T201
            registry.promote(version.id, "champion")
            registry.tag(version.id, {"round": f"{i} done"})
            if i % 4 == 1 and rounds > 100:  # and is killed in these, too
                registry.path(version.id)
                registry.collect("0 seconds")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
