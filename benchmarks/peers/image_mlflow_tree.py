"""The pickled tree behind MLflow's own kind of script, written as its documents say (models from code)."""

import joblib
import mlflow
import numpy


class Tree(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.model = joblib.load(context.artifacts["model"])

    def predict(self, context, model_input, params=None):
        return self.model.predict(numpy.asarray(model_input))


mlflow.models.set_model(Tree())
