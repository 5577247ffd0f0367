"""skops files: read after an audit of the types they hold, tried in a process of its own first; written canonically.

The format is a zip of `schema.json` (a tree of types and values) and arrays. Loading constructs only types that are
trusted: those that skops trusts, KNOWN below, and what the user names with --trust. A damaged file can still crash
compiled code of scikit-learn that believes the indices it reads, so a child process loads, checks and runs it first.
"""

from __future__ import annotations

import io
import json
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

from gantline.blobs import canonical_json
from gantline.errors import BadArtefact, Unsupported

from .canonical import found_in
from .trial_process import tried

SCHEMA = "schema.json"
# Parts of scikit-learn, numpy and scipy that skops leaves to the user's judgement. None runs code that the file
# chooses; those whose compiled code believes indices are checked by `soundness`.
KNOWN = frozenset(
    (
        "collections.OrderedDict",
        "collections.defaultdict",
        "numpy.dtype",
        "numpy.exp",
        "numpy.expm1",
        "numpy.float32",
        "numpy.float64",
        "numpy.int64",
        "numpy.log",
        "numpy.log1p",
        "numpy.mean",
        "numpy.sqrt",
        "numpy.std",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.sparse._csr.csr_matrix",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.ExponentialLoss",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn._loss.loss.HuberLoss",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.cluster._kmeans._kmeans_single_elkan",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.ExpSineSquared",
        "sklearn.gaussian_process.kernels.Exponentiation",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    )
)


def load_skops(path: Path, trust: tuple[str, ...]) -> Any:
    """The object in a .skops file. BadArtefact: not one, damaged, or with types that nobody trusts (it lists them)."""
    _check_zip(path)
    told = tried("skops_trial", path, trust, lambda: import_module("skops.io"))  # which takes seconds
    import skops.io

    unknown = told.get("untrusted")
    if unknown:
        flags = " ".join(f"--trust {t}" for t in unknown)
        listed = ", ".join(unknown)
        raise BadArtefact(f"{path}: holds types that are not known to be safe: {listed}; to load them: {flags}")
    if "error" in told:
        raise BadArtefact(f"{path}: cannot be loaded by skops {skops.__version__}: {told['error']}")
    return skops.io.load(path, trusted=trusted_in(path, trust))


def trusted_in(path: Path, trust: tuple[str, ...]) -> list[str]:
    """The types of this file that need a word of trust and have it."""
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(file=path)) & (KNOWN | set(trust)))


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except FileNotFoundError as e:
        raise BadArtefact(f"{path}: no such file; expected a .skops file") from e
    except IsADirectoryError as e:
        raise BadArtefact(f"{path}: expected a .skops file, found a directory") from e
    except (zipfile.BadZipFile, OSError, ValueError) as e:
        found = found_in(path)
        what = "a zip archive that is damaged or cut off" if "zip" in found else found
        raise BadArtefact(f"{path}: expected a .skops file, found {what}") from e
    if SCHEMA not in names:
        raise BadArtefact(f"{path}: expected a .skops file, found a zip archive without {SCHEMA}")


def save_skops(estimator: Any, target: Path) -> list[str]:
    """Write an estimator as a .skops file, the same bytes for the same content; the types that need trust to load it.

    Unsupported names what skops cannot save (lambdas, local classes, some compiled types).
    """
    import skops.io

    try:
        data = skops.io.dumps(estimator)
    except Exception as e:  # skops raises its own and whatever the object's methods raise
        raise Unsupported(f"skops cannot save it: {' '.join(str(e).split())[:200]}") from e
    target.write_bytes(_canonical(data))
    types = sorted(skops.io.get_untrusted_types(file=target))
    nameless = [t for t in types if "<" in t]
    if nameless:
        raise Unsupported(f"skops cannot save it: {nameless[0]} cannot be found again by its name")
    return types


def _canonical(data: bytes) -> bytes:
    """The archive without what changes from run to run: addresses used as ids and file names, times, order of sets."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        files = {name: archive.read(name) for name in archive.namelist() if name != SCHEMA}
    ids: dict[int, int] = {}
    names: dict[str, str] = {}
    _renumber(_sorted_sets(schema), ids, names)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new), files[old])
        archive.writestr(zipfile.ZipInfo(SCHEMA), canonical_json(schema))
    return out.getvalue()


def _renumber(node: Any, ids: dict[int, int], names: dict[str, str]) -> None:
    if isinstance(node, list):
        for one in node:
            _renumber(one, ids, names)
    elif isinstance(node, dict):
        if isinstance(node.get("__id__"), int):
            # plain values are shared or not by chance of interning: each gets an id of its own
            key = node["__id__"] if not node.get("is_json") else -len(ids) - 1
            node["__id__"] = ids.setdefault(key, len(ids) + 1)
        if isinstance(node.get("file"), str):
            old = node["file"]
            node["file"] = names.setdefault(old, f"{len(names)}{Path(old).suffix}")
        for key, one in node.items():
            if key == "_stop_words_id" and isinstance(one, dict):
                one["content"] = "0"  # an address that a text vectoriser keeps, to know what it has checked already
            if key not in ("__id__", "file"):
                _renumber(one, ids, names)


def _sorted_sets(node: Any) -> Any:
    if isinstance(node, list):
        for one in node:
            _sorted_sets(one)
    elif isinstance(node, dict):
        for one in node.values():
            _sorted_sets(one)
        if node.get("__loader__") == "SetNode" and isinstance(node.get("content"), list):
            node["content"].sort(key=lambda item: str(item.get("content") if isinstance(item, dict) else item))
    return node
