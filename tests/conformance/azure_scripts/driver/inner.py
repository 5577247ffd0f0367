"""The script behind the driver."""

told = "nothing"


def init():
    global told  # noqa: PLW0603
    told = "not this one"


def run(question="none"):
    return [told, question]
