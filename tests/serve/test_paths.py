"""Raw paths: what a path means is what it was made for, however it is quoted."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from gantline.serve import paths
from hypothesis import given
from hypothesis import strategies as st

from gantline.errors import NotFound


@given(st.text(min_size=1, max_size=20), st.sampled_from(["", "1", "120"]))
def test_every_path_means_what_it_was_made_for(name: str, version: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    (path,) = paths.v2(name, version)
    if not name.startswith("/"):
        assert paths.v2_model(path.replace(quote(name).encode(), quote(name, safe="").encode())) == (name, version)
        (path,) = paths.v1(name, version)
        assert paths.v1_model(path.replace(quote(name).encode(), quote(name, safe="").encode())) == (name, version)
    everything = "".join(f"%{b:02x}" for b in name.encode())
    assert paths.v2_model(f"/v2/models/{everything}/infer".encode()) == (name, "")
    assert paths.v1_model(f"/v1/models/{everything}%3Apredict".encode()) == (name, "")


@pytest.mark.parametrize(
    "path", [b"/v2/models/m", b"/v2/models/m/versions/1", b"/v3/models/m/infer", b"", b"/\xff/\xff/\xff/\xff", b"/v2"]
)
def test_a_path_of_another_kind(path: bytes) -> None:
    with pytest.raises(NotFound):
        paths.v2_model(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/models/m",
        b"/v1/models/m/versions/1",
        b"/v1/models/m/versions/one:predict",
        b"/v1/models/m/version/1:predict",
        b"/v1/models",
        b"/v2/models/m:predict",
        b"",
        b"/\xff/\xff/\xff",
    ],
)
def test_a_path_that_is_not_v1s(path: bytes) -> None:
    with pytest.raises(NotFound):
        paths.v1_model(path)


def test_no_labels() -> None:
    with pytest.raises(NotFound, match="model 'm' has no label 'stable': labels are not assigned here; name a version"):
        paths.v1_model(b"/v1/models/m/labels/stable:predict")
