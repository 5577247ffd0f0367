"""From packages to locks, through the real resolver, on directories and indexes of tiny wheels."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from gantline.builders.lock.pylock import Lock
from gantline.builders.lock.resolve import lock_package
from gantline.builders.lock.sources import Sources
from gantline.builders.lock.wheelhouse import fetch

from gantline.errors import BadArtefact, Denied, Unavailable, Unreachable, Unsupported, UsageError
from gantline.oci.platforms import Platform

from .tiny import LINUX, Index, package, runtime_wheels, serving_index, wheel

AMD = Platform.parse("linux/amd64")
ARM = Platform.parse("linux/arm64")
PYTHON = (3, 11)


def versions(lock: Lock) -> dict[str, str]:
    return {p.name: p.version for p in lock.packages}


def local(*folders: Path) -> Sources:
    return Sources(no_index=True, find_links=tuple(map(str, folders)))


def test_one_environment_for_runtime_and_script(house: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    wheel(more, "forest", "2.0", ["bark>=1", "numpy<3"])
    wheel(more, "bark", "1.5")
    wheel(more, "bark", "3.0.dev1")
    made = package(tmp_path / "p", ["Forest==2.0"])
    lock = lock_package(made, AMD, PYTHON, sources=local(house, more))
    found = versions(lock)
    assert not lock.apart and (found["forest"], found["bark"], found["numpy"]) == ("2.0", "1.5", "2.4.6")
    assert "onnxruntime" not in found, "a script needs no ONNX"
    bark = next(p for p in lock.packages if p.name == "bark")
    assert bark.asked == ("Forest==2.0 (the package)",)
    numpy = next(p for p in lock.packages if p.name == "numpy")
    assert "Forest==2.0 (the package)" in numpy.asked and "numpy>=1.26 (gantline)" in numpy.asked
    assert [w.distribution for w in fetch(lock, tmp_path / "wheels")] == [p.name for p in lock.packages]


def test_each_platform_gets_its_own_wheels(house: Path, tmp_path: Path) -> None:
    made = package(tmp_path / "p", engine="onnx")
    for platform, tag in ((AMD, LINUX["amd64"]), (ARM, LINUX["arm64"])):
        lock = lock_package(made, platform, PYTHON, sources=local(house))
        files = {p.name: p.file for p in lock.packages}
        assert files["onnxruntime"] == f"onnxruntime-1.31.1-cp311-cp311-{tag}.whl"
        assert files["orjson"] == "orjson-3.13.0-py3-none-any.whl"


def test_the_same_input_makes_the_same_bytes(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = package(tmp_path / "p", engine="onnx")
    first = lock_package(made, AMD, PYTHON, sources=local(house)).to_bytes()
    elsewhere = runtime_wheels(tmp_path / "elsewhere")
    monkeypatch.setenv("GANTLINE_HOME", str(tmp_path / "another"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another-cache"))
    again = lock_package(made, AMD, PYTHON, sources=local(elsewhere))
    assert again.to_bytes() == first and str(tmp_path).encode() not in first
    assert Lock.from_bytes(first, "it") == again


def test_a_lock_does_not_depend_on_what_is_installed_here(tmp_path: Path) -> None:
    """The versions that the package was tried with, where it says so, and else the newest."""
    for version in ("2.0.0", importlib.metadata.version("numpy"), "2.99.0"):
        for tag in LINUX.values():
            wheel(tmp_path / "w", "numpy", version, tags=f"cp311-cp311-{tag}")
    runtime_wheels(tmp_path / "w")
    made = package(tmp_path / "p", engine="onnx")
    assert versions(lock_package(made, AMD, PYTHON, sources=local(tmp_path / "w")))["numpy"] == "2.99.0"
    tried = replace(made, manifest=replace(made.manifest, tried={"numpy": "2.0.0"}))
    assert versions(lock_package(tried, AMD, PYTHON, sources=local(tmp_path / "w")))["numpy"] == "2.0.0"


def test_two_environments_where_one_has_no_answer(house: Path, tmp_path: Path) -> None:
    old = wheel(tmp_path / "old", "numpy", "1.24.0").parent
    wheel(old, "legacy", "1.0", ["numpy<1.25"])
    said: list[str] = []
    made = package(tmp_path / "p", ["legacy"])
    lock = lock_package(made, AMD, PYTHON, sources=local(house, old), tell=said.append)
    assert lock.apart
    assert versions(lock.only("runtime"))["numpy"] == "2.4.6" and "legacy" not in versions(lock.only("runtime"))
    assert versions(lock.only("script")) == {"legacy": "1.0", "numpy": "1.24.0"}
    (note,) = said
    assert "'legacy' (the package)" in note and "'numpy>=1.26' (gantline)" in note and "numpy<1.25" in note
    assert Lock.from_bytes(lock.to_bytes(), "it") == lock
    assert b"marker = \"'script' in dependency_groups\"" in lock.to_bytes()


def test_an_index_with_a_password(house: Path, tmp_path: Path) -> None:
    made = package(tmp_path / "p", engine="onnx")
    with serving_index(Index(house, login="us%40er:se%3Acret")) as index:
        sources = Sources(index=index.with_login)
        lock = lock_package(made, AMD, PYTHON, sources=sources)
        text = lock.to_bytes()
        assert b"cret" not in text and b"user" not in text and index.url.encode() in text
        assert all(p.size == (house / p.file).stat().st_size for p in lock.packages)
        wheels = fetch(lock, tmp_path / "wheels", sources=sources)
        assert [w.path.read_bytes() for w in wheels] == [(house / p.file).read_bytes() for p in lock.packages]
        with pytest.raises(Denied, match=r"wants a name and a password.*netrc"):
            lock_package(made, ARM, PYTHON, sources=Sources(index=index.url))
        host = index.url.split("/")[2].split(":")[0]
        (tmp_path / "netrc").write_text(f"machine {host} login us@er password se:cret\n")
        assert lock_package(made, AMD, PYTHON, sources=Sources(index=index.url)).to_bytes() == text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_an_index_with_a_certificate_of_its_own(house: Path, tmp_path: Path) -> None:
    """Trusted by its authority's file, or by being named; else it is said what to do."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    words += " -addext basicConstraints=critical,CA:FALSE"
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "chain.pem"]
    subprocess.run([*words.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    index = Index(house)
    index.certificate = tmp_path / "both.pem"
    index.certificate.write_bytes((tmp_path / "chain.pem").read_bytes() + (tmp_path / "key.pem").read_bytes())
    made = package(tmp_path / "p", engine="onnx")
    with serving_index(index):
        with pytest.raises(Unreachable, match=r"certificate.*PIP_CERT"):
            lock_package(made, AMD, PYTHON, sources=Sources(index.url))
        trusting = (
            Sources(index.url, certificates=str(tmp_path / "chain.pem")),
            Sources(index.url, trusted=(f"localhost:{index.port}",)),
        )
        for number, sources in enumerate(trusting):
            lock = lock_package(made, AMD, PYTHON, sources=sources)
            assert all(p.url.startswith("https://localhost") and p.size for p in lock.packages)
            assert len(fetch(lock, tmp_path / str(number), sources=sources)) == len(lock.packages)


@pytest.mark.slow
def test_an_index_that_says_no_digests(house: Path, tmp_path: Path) -> None:
    made = package(tmp_path / "p", engine="onnx")
    with serving_index(Index(house)) as index, serving_index(Index(house, hashes=False)) as bare:
        told = lock_package(made, AMD, PYTHON, sources=Sources(index=index.url))
        untold = lock_package(made, AMD, PYTHON, sources=Sources(index=bare.url))
    assert [(p.file, p.digest, p.size) for p in told.packages] == [(p.file, p.digest, p.size) for p in untold.packages]


def refusal(tmp_path: Path, line: str, sources: Sources, python: tuple[int, int] = PYTHON) -> str:
    made = package(tmp_path / "p", ["numpy", line])
    with pytest.raises(BadArtefact) as caught:
        lock_package(made, AMD, python, sources=sources)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_nothing_of_that_name(house: Path, tmp_path: Path) -> None:
    said = refusal(tmp_path, "nosuch>=1", local(house))
    assert said.startswith("'nosuch>=1' (the package): no distribution is called 'nosuch'") and str(house) in said


def test_no_such_version(house: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "w", "forest", "2.0")
    said = refusal(tmp_path, "forest>=3", local(house, tmp_path / "w"))
    assert said.startswith("'forest>=3' (the package): cannot be had") and "only forest==2.0 is available" in said


def test_both_sides_of_a_conflict(house: Path, tmp_path: Path) -> None:
    for name, needs in (("oak", "bark<2"), ("elm", "bark>=2")):
        wheel(tmp_path / "w", name, "1.0", [needs])
    wheel(tmp_path / "w", "bark", "1.0")
    wheel(tmp_path / "w", "bark", "2.0")
    made = package(tmp_path / "p", ["oak==1.0", "elm==1.0"])
    with pytest.raises(BadArtefact) as caught:
        lock_package(made, AMD, PYTHON, sources=local(house, tmp_path / "w"))
    said = caught.value.message
    assert said.startswith("'oak==1.0' (the package) and 'elm==1.0' (the package) do not go together for linux/amd64")
    assert "bark<2" in said and "bark>=2" in said and "\n" not in said


def test_no_wheel_for_the_platform(house: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "w", "forest", "2.0", tags="cp311-cp311-win_amd64")
    said = refusal(tmp_path, "forest", local(house, tmp_path / "w"))
    assert said.startswith("'forest' (the package): no wheel for linux/amd64, Python 3.11, glibc 2.36")
    assert "win_amd64" in said and "--find-links" in said and "--build-wheels" in said


def test_wheels_for_a_newer_glibc_are_left(house: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "w", "forest", "2.0", tags="cp311-cp311-manylinux_2_39_x86_64")
    wheel(tmp_path / "w", "forest", "1.0", tags="cp311-cp311-manylinux_2_17_x86_64")
    made = package(tmp_path / "p", ["forest"])
    sources = local(house, tmp_path / "w")
    found = {glibc: versions(lock_package(made, AMD, PYTHON, (2, glibc), sources))["forest"] for glibc in (36, 39, 41)}
    assert found == {36: "1.0", 39: "2.0", 41: "2.0"}


def test_another_python(house: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "w", "forest", "2.0", python=">=3.12")
    said = refusal(tmp_path, "forest", local(house, tmp_path / "w"))
    assert said.startswith("'forest' (the package): not for Python 3.11") and "--python" in said
    made = package(tmp_path / "q", ["numpy"], python="3.12")
    with pytest.raises(UsageError, match=r"package 'q' asks for Python 3\.12, and the lock is for 3\.11"):
        lock_package(made, AMD, PYTHON, sources=local(house))


def test_source_code_is_not_taken(house: Path, tmp_path: Path) -> None:
    from .sdist import sdist

    sdist(tmp_path / "w", "forest", "2.0")
    said = refusal(tmp_path, "forest==2.0", local(house, tmp_path / "w"))
    assert "'forest==2.0' (the package): forest==2.0 is there as source only" in said and "--build-wheels" in said


@pytest.mark.parametrize("line", ["git+https://example.invalid/forest", "forest @ https://example.invalid/f.tar.gz"])
def test_urls_of_source_code(house: Path, tmp_path: Path, line: str) -> None:
    assert refusal(tmp_path, line, local(house)).startswith(f"'{line}' (the package): is source code")


def test_an_index_that_is_not_there(tmp_path: Path) -> None:
    made = package(tmp_path / "p", engine="onnx")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 does not answer as an index"):
        lock_package(made, AMD, PYTHON, sources=Sources(index="http://127.0.0.1:9/simple"))


def test_without_the_network(house: Path, tmp_path: Path) -> None:
    made = package(tmp_path / "p", ["forest"])
    sources = Sources(offline=True, wheelhouse=house)
    with pytest.raises(Unavailable, match=r"'forest' \(the package\): forest is not in .*house"):
        lock_package(made, AMD, PYTHON, sources=sources)
    lock = lock_package(package(tmp_path / "q", engine="onnx"), AMD, PYTHON, sources=sources)
    assert len(fetch(lock, tmp_path / "wheels", offline=True, sources=sources)) == len(lock.packages)


def test_hashes_choose_the_wheel(house: Path, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    plain = wheel(folder, "forest", "2.0")
    wheel(folder, "forest", "2.0", tags="cp311-cp311-manylinux_2_17_x86_64")
    import hashlib

    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    sources = local(house, folder)
    made = package(tmp_path / "p", [f"forest==2.0 --hash=sha256:{digest}", "numpy"])
    lock = lock_package(made, AMD, PYTHON, sources=sources)
    assert next(p.file for p in lock.packages if p.name == "forest") == plain.name
    said = refusal(tmp_path / "bad", f"forest==2.0 --hash=sha256:{'0' * 64}", sources)
    assert "'forest==2.0' (the package)" in said and "hashes asked for" in said


def test_platforms_without_wheels(tmp_path: Path) -> None:
    made = package(tmp_path / "p", engine="onnx")
    with pytest.raises(Unsupported, match="locks and images are made for linux/amd64, linux/arm64"):
        lock_package(made, Platform.parse("linux/s390x"), PYTHON)
    with pytest.raises(Unsupported, match=r"no glibc \(musl"):
        lock_package(made, AMD, PYTHON, (0, 0))


def test_what_a_torch_package_needs(house: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from gantline.manifest import SourceInfo

    wheel(tmp_path / "w", "torch", "2.13.0+cpu")
    wheel(tmp_path / "w", "torch", "2.14.0")
    made = package(tmp_path / "p", engine="torch")
    made = replace(made, manifest=replace(made.manifest, source=SourceInfo("torch", versions={"torch": "2.13.0"})))
    found = versions(lock_package(made, AMD, PYTHON, sources=local(house, tmp_path / "w")))
    assert found["torch"] == "2.13.0+cpu" and "onnxruntime" not in found
