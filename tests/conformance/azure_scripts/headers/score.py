"""An undecorated script that wants the headers."""


def init():
    pass


def run(data, request_headers):
    wanted = ("X-Who", "X-Twice", "Content-Type", "Traceid")
    found = {n: request_headers.get(n) for n in wanted}
    return {"data": data, "headers": found, "kind": type(request_headers).__name__}
