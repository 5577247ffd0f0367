"""Files at -o: nobody else's is touched, what was edited is kept, and what is described no more is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gantline.builders.deploy import compose, kubernetes
from gantline.builders.deploy.delivery import deliver, replaced, rewritten
from gantline.builders.deploy.description import ImageName
from gantline.builders.deploy.description_file import read

from gantline.errors import UsageError

from .conftest import Make


def test_again_and_again(endpoint: Make, tmp_path: Path) -> None:
    path = tmp_path / "k8s"
    made = deliver(kubernetes.write(endpoint(blue={})), path, False)
    assert made.first == path / "01-service-iris.yaml" and (made.gone, made.edited) == ((), ())
    first = {one.name: one.read_bytes() for one in path.iterdir()}
    with pytest.raises(UsageError, match="k8s exists"):
        deliver(kubernetes.write(endpoint(blue={})), path, False)
    assert deliver(kubernetes.write(endpoint(blue={})), path, True) == made
    assert {one.name: one.read_bytes() for one in path.iterdir()} == first


def test_others_files_stay_and_edits_are_kept(endpoint: Make, tmp_path: Path) -> None:
    path = tmp_path / "k8s"
    deliver(kubernetes.write(endpoint(blue={"instances": {"min": 1, "max": 3}})), path, False)
    (path / "ingress.yaml").write_text("mine")
    (path / ".git").mkdir()
    edited = path / "02-deployment-iris-blue.yaml"
    edited.write_text(edited.read_text().replace("RollingUpdate", "Recreate"))
    made = deliver(kubernetes.write(endpoint(blue={})), path, True)
    assert made.gone == ("horizontalpodautoscaler/iris-blue",)
    assert made.edited == (path / "02-deployment-iris-blue.yaml.edited",)
    assert "Recreate" in made.edited[0].read_text() and "Recreate" not in edited.read_text()
    assert (path / "ingress.yaml").read_text() == "mine" and (path / ".git").is_dir()
    assert sorted(one.name[:2] for one in path.glob("*.yaml")) == ["01", "02", "03", "04", "in"]


def test_one_file(endpoint: Make, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    two = endpoint(blue={"traffic": 100}, green={"traffic": 0})
    deliver(kubernetes.write(two), path, False)
    made = deliver(kubernetes.write(endpoint(blue={})), path, True)
    assert made.first == path and len(made.gone) == 4 and all("iris-green" in one for one in made.gone)
    path.write_text("somebody's")
    made = deliver(compose.write(endpoint(blue={})), path, True)
    assert [one.read_text() for one in made.edited] == ["somebody's"]


def test_another_namespace(tmp_path: Path) -> None:
    tree = {"endpoint": "iris", "deployments": {"blue": {}}}
    old, new = (read({**tree, "namespace": ns}, "here", lambda n, s: ImageName("x")) for ns in ("old", "new"))
    deliver(kubernetes.write(old), tmp_path / "k8s", False)
    made = deliver(kubernetes.write(new), tmp_path / "k8s", True)
    assert "service/iris --namespace old" in made.gone and len(made.gone) == 4


def test_what_is_nothing_of_ours(endpoint: Make, tmp_path: Path) -> None:
    (tmp_path / "01-service-iris.yaml").write_text("not ours, by its name alone")
    with pytest.raises(UsageError, match="nothing that gantline deploy wrote"):
        deliver(kubernetes.write(endpoint(blue={})), tmp_path, True)


def test_all_or_none(endpoint: Make, tmp_path: Path) -> None:
    """The third file cannot be made: the first two are as they were, and nothing lies about."""
    path = tmp_path / "k8s"
    deliver(kubernetes.write(endpoint(blue={})), path, False)
    before = {one.name: one.read_bytes() for one in path.iterdir()}
    third = path / "03-poddisruptionbudget-iris-blue.yaml"
    third.unlink()
    third.mkdir()
    with pytest.raises(UsageError, match="not a plain file"):
        deliver(kubernetes.write(endpoint(blue={"instances": 3})), path, True)
    third.rmdir()
    assert {one.name: one.read_bytes() for one in path.iterdir()} == {
        name: data for name, data in before.items() if name != third.name
    }


def test_a_step_in_files(endpoint: Make, tmp_path: Path) -> None:
    """Others' files stay, what is edited stays edited, and what does not change is not written."""
    path = tmp_path / "k8s"
    deliver(kubernetes.write(endpoint(blue={})), path, False)
    (path / "ingress.yaml").write_text("kind: Ingress\n")
    edited, service = path / "02-deployment-iris-blue.yaml", path / "01-service-iris.yaml"
    edited.write_text(edited.read_text().replace("RollingUpdate", "Recreate"))

    def changed(tree: dict[str, Any]) -> dict[str, Any]:
        return {**tree, "step": 2} if tree["kind"] in ("Deployment", "Service", "Ingress") else tree

    texts = rewritten(path, changed)
    assert set(texts) == {edited, service}
    replaced(texts)
    assert "step: 2" in edited.read_text() and "Recreate" in edited.read_text()
    again = deliver(kubernetes.write(endpoint(blue={})), path, True)
    assert again.edited == (path / f"{edited.name}.edited",), "its edits are known still, those of the step are ours"
    assert rewritten(tmp_path / "absent", changed) == {}
