"""Run as a file by another interpreter: load a pickle that the user trusts, and save it as .skops. Imports no Gantline.

Arguments: the pickle, the .skops to write, the report to write (JSON). This process has nothing that the pickle may not
have: it is thrown away afterwards. It keeps to Python 3.8, since old scikit-learns need old interpreters.
"""

import json
import sys
import warnings


def main(pickled, saved, report):  # type: ignore[no-untyped-def]  # an old interpreter reads this
    """Write {"type", "versions"} or {"error"} to the report."""
    try:
        import joblib
        import numpy
        import sklearn
        import skops
        import skops.io

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = joblib.load(pickled)
            kind = type(model)
            skops.io.dump(model, saved)
            untrusted = skops.io.get_untrusted_types(file=saved)
        found = {
            "type": kind.__module__ + "." + kind.__qualname__,
            "versions": {"scikit-learn": sklearn.__version__, "numpy": numpy.__version__, "skops": skops.__version__},
            "untrusted": untrusted,
        }
    except BaseException as e:  # whatever the pickle does, its last word is a line
        found = {"error": type(e).__name__ + ": " + " ".join(str(e).split())[:300]}
    with open(report, "w") as f:
        json.dump(found, f)


if __name__ == "__main__":
    main(*sys.argv[1:4])  # type: ignore[no-untyped-call]
