"""onnxruntime alone, in a loop. `python raw_loop.py MODEL.onnx THREADS SECONDS DIM,DIM,...`: prints runs a second."""

import sys
import time

import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = int(sys.argv[2]), 1
options.log_severity_level = 3
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
shape = tuple(map(int, sys.argv[4].split(",")))
feed = {session.get_inputs()[0].name: np.random.default_rng(0).random(shape, np.float32)}
for _ in range(3):
    session.run(None, feed)
count, started = 0, time.perf_counter()
while (passed := time.perf_counter() - started) < float(sys.argv[3]):
    session.run(None, feed)
    count += 1
sys.stdout.write(f"{count / passed}\n")
