"""Any ONNX model as a KServe custom predictor. `python kserve_onnx.py --http_port N --grpc_port N --workers N`"""

import argparse
import logging
import os

import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server

TYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}


class Onnx(Model):
    session = None

    def load(self):
        """Not when it is made: worker processes get a pickled model."""
        logging.getLogger("kserve.trace").setLevel(logging.WARNING)  # three lines a request
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", "1"))
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["ONNX"], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = [(o.name, TYPES[o.type]) for o in self.session.get_outputs()]

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        if self.session is None:
            self.load()
        found = self.session.run(None, {self.input: payload.inputs[0].as_numpy()})
        outputs = []
        for (name, datatype), array in zip(self.outputs, found, strict=True):
            output = InferOutput(name, list(array.shape), datatype)
            output.set_data_from_numpy(array, binary_data=bool(payload.from_grpc or payload.use_binary_outputs))
            outputs.append(output)
        return InferResponse(response_id=payload.id or "", model_name=self.name, infer_outputs=outputs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser], conflict_handler="resolve")
    args, _ = parser.parse_known_args()
    # access lines off; everything else is the server's own
    model = Onnx(os.environ["NAME"])
    model.ready = True
    ModelServer(access_log_format=None).start([model])
