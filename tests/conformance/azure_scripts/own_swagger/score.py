"""A script with documents of its own beside it."""


def init():
    pass


def run(data):
    return data
