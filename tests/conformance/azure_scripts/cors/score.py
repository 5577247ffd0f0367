"""A script with CORS origins in its environment."""


def init():
    pass


def run(data):
    return data
