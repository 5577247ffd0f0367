"""What pip says of sources, told to what an engine builds: files, mounts, and nothing else of this machine."""

from __future__ import annotations

import tomllib
from pathlib import Path

from image_index import index_settings, pip_settings, places, settings_of, uv_settings

LISTED = """\
:env:.default-timeout='180'
:env:.find-links='/elsewhere'
global.cert='/etc/ssl/own.crt'
global.extra-index-url='file:///srv/one/simple\\nhttps://two.example/simple'
global.find-links='/wheels'
global.index-url='https://three.example/simple'
"""


def test_sources_alone_are_kept_and_variables_win() -> None:
    assert settings_of(LISTED) == {
        "cert": "/etc/ssl/own.crt",
        "extra-index-url": "file:///srv/one/simple https://two.example/simple",
        "find-links": "/elsewhere",
        "index-url": "https://three.example/simple",
    }


def test_uv_is_told_the_same_as_pip(tmp_path: Path) -> None:
    held = tmp_path / "constraints.txt"
    held.write_text("# lift it when the wheel is there\nnumpy<3  # or so\n\n")
    found = settings_of(LISTED) | {"constraint": str(held), "no-index": "true"}
    assert "find-links = /elsewhere\n" in pip_settings(found)
    tree = tomllib.loads(uv_settings(found))
    assert [index["url"] for index in tree["index"]] == [
        "file:///srv/one/simple", "https://two.example/simple", "https://three.example/simple",
    ]  # fmt: skip
    assert tree["index"][-1]["default"] is True
    assert tree["find-links"] == ["/elsewhere"]
    assert tree["constraint-dependencies"] == ["numpy<3"]
    assert tree["no-index"] is True


def test_what_lies_on_this_disk_is_mounted(tmp_path: Path) -> None:
    for name in ("index/simple", "wheels"):
        (tmp_path / name).mkdir(parents=True)
    found = {
        "extra-index-url": f"file://{tmp_path}/index/simple https://two.example/simple",
        "find-links": f"{tmp_path}/wheels {tmp_path}/away relative",
        "proxy": "http://proxy.example:3128",
    }
    assert list(places(found)) == [tmp_path / "index", tmp_path / "wheels"]  # pages refer to what is beside them


def test_words_for_the_engine(tmp_path: Path) -> None:
    words = index_settings(tmp_path)
    assert words[::2] == ["--volume"] * (len(words) // 2)
    targets = [word.split(":")[1] for word in words[1::2]]
    assert targets[:2] == ["/etc/pip.conf", "/etc/uv/uv.toml"]
    assert len(set(targets)) == len(targets)
    assert all(word.endswith(":ro") and Path(word.split(":")[0]).exists() for word in words[1::2])
