"""The pickled tree as a BentoML service, with the image that `bentoml containerize` makes of it."""

import bentoml
import numpy as np


@bentoml.service(image=bentoml.images.Image(python_version="3.11").requirements_file("requirements.txt"))
class Service:
    def __init__(self) -> None:
        import joblib  # in the image; what builds it need not have it

        self.model = joblib.load("model.pkl")

    @bentoml.api
    def predict(self, data: np.ndarray) -> np.ndarray:
        return self.model.predict(data)
