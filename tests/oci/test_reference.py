"""Reference: what names mean, as Docker has it, and what is wrong with those that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantline.errors import UsageError
from gantline.oci.reference import Reference, has_host, is_loopback, whole

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("iris", "docker.io", "library/iris", "latest", ""),
        ("python:3.11-slim", "docker.io", "library/python", "3.11-slim", ""),
        ("team/iris:1", "docker.io", "team/iris", "1", ""),
        ("docker.io/iris", "docker.io", "library/iris", "latest", ""),
        ("oci://index.docker.io/team/iris", "docker.io", "team/iris", "latest", ""),
        ("localhost/iris", "localhost", "iris", "latest", ""),
        ("localhost:5000/a/b/c:x_1.2-3", "localhost:5000", "a/b/c", "x_1.2-3", ""),
        ("oci://registry/iris:1", "registry", "iris", "1", ""),
        ("docker://Quay.io/team/iris", "quay.io", "team/iris", "latest", ""),
        (f"oci://h.example/iris@sha256:{HEX}", "h.example", "iris", "", f"sha256:{HEX}"),
        (f"h.example:443/iris:1@sha256:{HEX}", "h.example:443", "iris", "1", f"sha256:{HEX}"),
        ("oci://[::1]:5000/iris:1", "[::1]:5000", "iris", "1", ""),
        ("oci://10.0.0.1/a__b/c--d.e", "10.0.0.1", "a__b/c--d.e", "latest", ""),
    ],
)
def test_what_names_mean(text: str, host: str, repository: str, tag: str, digest: str) -> None:
    found = Reference.parse(text)
    assert (found.host, found.repository, found.tag, found.digest) == (host, repository, tag, digest)
    assert Reference.parse(f"oci://{found}") == found
    assert found.target == (digest or tag)


def test_docker_hub_answers_elsewhere() -> None:
    assert Reference.parse("iris").api_host == "registry-1.docker.io"
    assert Reference.parse("quay.io/iris").api_host == "quay.io"
    assert str(Reference.parse("iris:1").at(f"sha256:{HEX}")) == f"docker.io/library/iris:1@sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write oci://HOST"),
        ("Iris", "did you mean 'iris'"),
        ("oci://docker.io/", "has no repository"),
        ("oci://h.example/Team/Iris:1", "did you mean 'team/iris'"),
        ("oci://h.example", "has no repository"),
        ("oci://h.example:5000", "has no repository"),
        ("oci://h.example/", "has no repository"),
        ("oci:///iris", "'' is not a host"),
        ("oci://h_x/iris", "'h_x' is not a host"),
        ("h.example/iris:", "tag ''"),
        ("h.example/iris:-x", "tag '-x'"),
        ("h.example/iris:a b", "tag 'a b'"),
        ("h.example/iris:" + "a" * 129, "1 to 128"),
        ("h.example/iris:1:2", "tag '1:2'"),
        ("h.example/a//b", "repository 'a//b'"),
        ("h.example/a/../b", "repository"),
        ("h.example/.a", "repository"),
        ("h.example/iris@sha256:12", "digest 'sha256:12'"),
        (f"h.example/iris@sha512:{HEX}{HEX}", "digest"),
        (f"h.example/iris@sha256:{HEX.upper()}", "lower case"),
        ("h.example/" + "a" * 250, "longer than 255"),
        ("https://h.example/iris", "write oci://HOST/REPOSITORY:TAG"),
    ],
)
def test_names_that_mean_nothing(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse(text)
    assert words in caught.value.message and "\n" not in caught.value.message


@settings(max_examples=40)
@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_an_error_of_one_line(text: str) -> None:
    try:
        found = Reference.parse(text)
    except UsageError as e:
        assert "\n" not in e.message
    else:
        assert Reference.parse(f"oci://{found}") == found


def test_whether_a_name_has_a_host() -> None:
    assert [has_host(t) for t in ("iris:1", "team/iris", "a.b/iris", "localhost/x", "h:1/x", "oci://h/x")] == [
        False, False, True, True, True, True,
    ]  # fmt: skip


def test_loopback() -> None:
    here = ("localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000", "x.localhost")
    elsewhere = ("10.0.0.1", "localhost.example", "127.example", "[::2]", "0.0.0.0")
    assert all(map(is_loopback, here)) and not any(map(is_loopback, elsewhere))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("iris:1", "docker.io/library/iris:1"),
        ("team/iris", "docker.io/team/iris:latest"),
        ("registry.example/iris:1", "registry.example/iris:1"),
        ("", ""),
        ("No Name", "No Name"),
    ],
)
def test_the_whole_name(name: str, meant: str) -> None:
    assert whole(name) == meant
