"""A run of an MLflow tracking server, over its REST API (2.0) with the standard library."""

from __future__ import annotations

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from ..errors import BadArtefact, Denied, Unreachable, UsageError
from .training import Run

_TIMEOUT_S = 20
_LONGEST = 64 << 20


def read_server(uri: str, run: str) -> Run | None:
    """The run, or None. Unreachable; Denied, saying which variables hold the credentials; BadArtefact for no MLflow."""
    found = _ask(uri, "runs/get", {"run_id": run})
    if found is None:
        return None
    tree = found.get("run")
    if not isinstance(tree, dict) or not isinstance(tree.get("info"), dict):
        raise BadArtefact(f"tracking store {_shown(uri)}: did not answer as MLflow does")
    experiment = _ask(uri, "experiments/get", {"experiment_id": str(tree["info"].get("experiment_id", ""))}) or {}
    try:
        return _run(run, tree, experiment)
    except (KeyError, ValueError, TypeError, AttributeError) as e:
        raise BadArtefact(f"tracking store {_shown(uri)}: did not answer as MLflow does ({e!r:.100})") from e


def _run(run: str, tree: dict[str, Any], experiment: dict[str, Any]) -> Run:
    info, data = tree["info"], tree.get("data") or {}
    inputs = (tree.get("inputs") or {}).get("dataset_inputs") or []
    return Run(
        run,
        experiment=str((experiment.get("experiment") or {}).get("name", "")),
        name=str(info.get("run_name") or ""),
        status=str(info.get("status") or ""),
        user=str(info.get("user_id") or ""),
        started=_whole(info.get("start_time")),
        ended=_whole(info.get("end_time")),
        artifacts=str(info.get("artifact_uri") or ""),
        params=_texts(data.get("params")),
        metrics={str(m["key"]): float(m["value"]) for m in data.get("metrics") or ()},
        tags=_texts(data.get("tags")),
        datasets=[
            {key: str(i["dataset"].get(key) or "") for key in ("name", "digest", "source_type", "source")}
            for i in inputs
        ],
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """The library's takes credentials along to wherever a server points; this one, to the same host alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The next request, or None."""
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        there = urlsplit(newurl)
        encrypted = there.scheme == "https" or req.type == "http"
        if found is not None and not (there.hostname == urlsplit(req.full_url).hostname and encrypted):
            found.remove_header("Authorization")
        return found


def _ask(uri: str, method: str, query: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        parts = urlsplit(uri)
        user, password = parts.username, parts.password
    except ValueError as e:
        raise UsageError(f"tracking store: {e}; expected http://HOST or https://HOST") from e
    host = parts.netloc.rpartition("@")[2]
    base = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    request = urllib.request.Request(f"{base}/api/2.0/mlflow/{method}?{urlencode(query)}")
    if credentials := _credentials(user, password):
        request.add_header("Authorization", credentials)
    try:
        with urllib.request.build_opener(_Redirects()).open(request, timeout=_TIMEOUT_S) as answer:
            found = json.loads(answer.read(_LONGEST))
    except urllib.error.HTTPError as e:
        with e:
            said = e.read(_LONGEST)
        if e.code == 404 and b"RESOURCE_DOES_NOT_EXIST" in said:
            return None
        if e.code in (401, 403):
            raise Denied(
                f"tracking store {_shown(uri)}: {e.code}; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,"
                " or MLFLOW_TRACKING_TOKEN"
            ) from e
        raise Unreachable(f"tracking store {_shown(uri)}: answered {e.code} {e.reason}") from e
    except OSError as e:
        raise Unreachable(f"tracking store {_shown(uri)}: does not answer ({getattr(e, 'reason', e)})") from e
    except http.client.HTTPException as e:
        raise Unreachable(f"tracking store {_shown(uri)}: does not speak HTTP ({e!r:.100})") from e
    except (ValueError, RecursionError) as e:
        raise BadArtefact(f"tracking store {_shown(uri)}: did not answer as MLflow does ({e})") from e
    return found if isinstance(found, dict) else {}


def _credentials(user: str | None, password: str | None) -> str:
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return f"Bearer {token}"
    user = user or os.environ.get("MLFLOW_TRACKING_USERNAME")
    if not user:
        return ""
    both = f"{user}:{password or os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
    return "Basic " + base64.b64encode(both.encode()).decode()


def _shown(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _texts(pairs: Any) -> dict[str, str]:
    return {str(p["key"]): str(p.get("value") or "") for p in pairs or ()}


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else None
