"""A @rawhttp script that shows what it was given."""

from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    pass


@rawhttp
def run(request):
    if request.args.get("fail"):
        raise RuntimeError("told to")
    if request.method == "OPTIONS":
        return AMLResponse("options", 200)
    if request.args.get("bytes"):
        return AMLResponse(request.get_data()[::-1], 200, {"Content-Type": "application/octet-stream"})
    return {
        "method": request.method,
        "path": request.path,
        "args": request.args.to_dict(flat=False),
        "length": len(request.get_data()),
        "json": request.get_json(silent=True),
        "type": request.content_type,
        "who": request.headers.get("x-who"),
        "form": request.form.to_dict() if request.mimetype.endswith("form-urlencoded") else None,
    }
