"""An undecorated script that does what it is told."""

import json

from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    pass


def run(data):
    try:
        told = json.loads(data)
    except ValueError:
        return data
    if not isinstance(told, dict) or "do" not in told:
        return told
    return DEEDS[told["do"]](told)


def fail(told):
    raise ValueError("the script's own affair")


DEEDS = {
    "none": lambda told: None,
    "string": lambda told: 'a "string" with \u00fc and \u20ac',
    "json string": lambda told: json.dumps([1, 2]),
    "list": lambda told: [1, 2.5, None, True, {"a": []}],
    "number": lambda told: 3,
    "nan": lambda told: [float("nan"), float("inf")],
    "fail": fail,
    "set": lambda told: {1, 2},
    "empty": lambda told: "",
    "false": lambda told: False,
    "keys": lambda told: {1: "one", None: "none"},
    "response": lambda told: AMLResponse("plain", 200),
    "response json": lambda told: AMLResponse({"a": 1}, 201, {}, json_str=True),
    "response none": lambda told: AMLResponse(None, 200),
    "response 404": lambda told: AMLResponse("nothing here", 404),
    "response 503": lambda told: AMLResponse("busy", 503, {"Retry-After": "5"}),
    "response failed": lambda told: AMLResponse("bad", 400, {}, run_function_failed=True),
    "response headers": lambda told: AMLResponse(
        b"\x89PNG", 200, {"Content-Type": "image/png", "X-Two": "a, b", "x-request-id": "mine"}
    ),
}
