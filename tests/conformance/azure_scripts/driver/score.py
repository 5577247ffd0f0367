"""A driver module as Azure's SDK made them: its init() is called, and the run() of the script behind it."""

import inner as driver_module


def init():
    driver_module.told = "by the driver"


def run(data):
    return "not this one"
