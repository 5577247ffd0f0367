"""What a server follows: REFs with an alias, brought here and held."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gantline.packages import Package
from gantline.registry import checkout
from gantline.registry.followed import Followed
from gantline.registry.registry import Registry

MakePackage = Callable[..., Package]


def test_aliases_alone_are_followed(tmp_path: Path, make: MakePackage) -> None:
    where = str(tmp_path / "r")
    with Registry.open(where) as registry:
        version = registry.register(make(), alias="champion")
    for ref in ("registry://iris", "registry://iris:1", "registry://iris@latest", f"registry://iris@{version.digest}"):
        assert Followed.of(0, ref, where) is None
    assert checkout.leased() == set()
    one = Followed.of(3, "registry://iris@champion", where)
    assert one is not None and str(one) == "iris@champion" and str(one.reference) == "registry://iris@champion"
    assert (one.at, one.version, one.digest) == (3, 1, version.digest)
    assert (Path(one.place) / "1" / "manifest.json").is_file() and checkout.leased() == {version.digest}
    told = {"name": "iris", "alias": "champion", "version": 1, "serves": True, "failures": 0}
    assert one.to_json() == told
    one.failed, one.failures = 2, 1
    assert one.to_json() == {**told, "version": 2, "serves": False, "failures": 1}
