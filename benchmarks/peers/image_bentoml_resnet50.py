"""ResNet-50 as a BentoML service, with the image that `bentoml containerize` makes of it."""

import bentoml
import numpy as np


@bentoml.service(image=bentoml.images.Image(python_version="3.11").requirements_file("requirements.txt"))
class Service:
    def __init__(self) -> None:
        import onnxruntime  # in the image; what builds it need not have it

        self.session = onnxruntime.InferenceSession("model.onnx")
        self.input = self.session.get_inputs()[0].name

    @bentoml.api
    def predict(self, data: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.input: data.astype(np.float32, copy=False)})[0]
