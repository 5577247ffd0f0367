"""A script that is slow when told so; its time limit is in config.json."""

import time


def init():
    pass


def run(data):
    if data == "slow":
        time.sleep(60)
    return data
