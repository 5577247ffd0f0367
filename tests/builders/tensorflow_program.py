"""Run by an interpreter that has TensorFlow: trains small models into a directory, with inputs and Keras's own answers.

`python tensorflow_program.py DIR`. For each model NAME there are NAME.keras (or .h5, or a SavedModel directory) and
NAME.npz with inputs `in_...` and outputs `out_...` of model.predict or of the signature.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", KERAS_BACKEND="tensorflow")
import keras  # pyright: ignore[reportMissingImports]
import numpy as np
import tensorflow as tf  # pyright: ignore[reportMissingImports]

L = keras.layers
X = tf.TensorSpec([None, 2], tf.float32, name="x")


def main(folder: Path) -> None:
    """Make them all."""
    from sklearn.datasets import load_digits

    os.chdir(folder)
    keras.utils.set_random_seed(0)
    pictures, labels = load_digits(return_X_y=True)
    pictures = (pictures / 16).astype(np.float32)
    mlp = keras.Sequential([keras.Input((64,)), L.Dense(32, "relu"), L.Dense(10, "softmax")])
    trained(mlp, pictures, labels, 8)
    keep(mlp, "mlp", {"input": pictures[:100]}, pictures[:100], {"output": mlp})
    mlp.save("legacy.h5")
    image = pictures.reshape(-1, 8, 8, 1)
    cnn = convolutional()
    trained(cnn, image, labels, 3)
    keep(cnn, "cnn", {"image": image[:100]}, image[:100], {"digit": cnn})
    cnn.export("exported", verbose=False)
    several()
    texts()
    unconvertible()
    plain_tensorflow()


def convolutional() -> Any:
    """Batch normalisation and dropout answer in another way while they are trained."""
    return keras.Sequential([
        keras.Input((8, 8, 1), name="image"), L.Conv2D(8, 3, activation="relu"), L.BatchNormalization(),
        L.MaxPooling2D(), L.Flatten(), L.Dropout(0.2), L.Dense(10, activation="softmax", name="digit"),
    ])  # fmt: skip


def trained(model: Any, inputs: Any, labels: Any, epochs: int) -> None:
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(inputs, labels, epochs=epochs, verbose=0)


def keep(model: Any, name: str, inputs: dict[str, Any], given: Any, outputs: dict[str, Any]) -> None:
    """Save the model, what it was given, and what it says."""
    model.save(f"{name}.keras")
    found = model.predict(given, verbose=0)
    answers = found if isinstance(found, dict) else {next(iter(outputs)): found}
    np.savez(f"{name}.npz", **{f"in_{n}": a for n, a in inputs.items()}, **{f"out_{n}": a for n, a in answers.items()})


def several() -> None:
    """A functional model with two inputs of different types and two outputs, by name; names not in their order."""
    random = np.random.default_rng(0)
    given = {"num": random.normal(size=(40, 8)).astype(np.float32), "cat": random.integers(0, 5, (40, 1), np.int32)}
    number, category = keras.Input((8,), name="num"), keras.Input((1,), dtype="int32", name="cat")
    joined = L.Concatenate()([number, L.Flatten()(L.Embedding(5, 3)(category))])
    answers = {"risk": L.Dense(1, activation="sigmoid")(joined), "offer": L.Dense(2)(joined)}
    keep(keras.Model({"num": number, "cat": category}, answers), "several", given, given, {})


def texts() -> None:
    """Sequences of any length through an embedding and an LSTM, and strings through a vocabulary."""
    words = np.random.default_rng(1).integers(0, 50, (30, 12), np.int32)
    layers = [keras.Input((None,), dtype="int32", name="words"), L.Embedding(50, 8), L.LSTM(16), L.Dense(2)]
    keep(keras.Sequential(layers), "lstm", {"words": words}, words, {"output": None})
    city = keras.Input((1,), dtype="string", name="city")
    known = L.StringLookup(vocabulary=["Oslo", "Rome", "Bern"], output_mode="one_hot")
    model = keras.Model(city, L.Dense(2, name="score")(known(city)))
    model.save("lookup.keras")
    given = np.array([["Rome"], ["Oslo"], ["Paris"]])
    np.savez("lookup.npz", in_city=given, out_score=model.predict(tf.constant(given), verbose=0))


def unconvertible() -> None:
    """TextVectorization splits strings, which ONNX cannot; a Lambda layer is Python; weights are no model."""
    text = keras.Input((1,), dtype="string", name="text")
    split = L.TextVectorization(vocabulary=["hello", "world"], output_sequence_length=5)
    mean = L.GlobalAveragePooling1D()(L.Embedding(10, 4)(split(text)))
    model = keras.Model(text, L.Dense(2, name="score")(mean))
    model.save("splitting.keras")
    given = np.array([["hello there"], ["World, hello"], [""]])
    np.savez("splitting.npz", in_text=given, out_score=model.predict(tf.constant(given), verbose=0))
    code = keras.Sequential([keras.Input((4,)), L.Lambda(lambda x: x * 2), L.Dense(2)])
    code.save("lambda.keras")
    code.save("lambda.h5")
    weights = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    weights.save_weights("only.weights.h5")


class Scaled(tf.Module):  # type: ignore[misc]
    """Two functions with signatures of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.by = tf.Variable(tf.constant([2.0, 3.0]))

    @tf.function(input_signature=[X])  # type: ignore[untyped-decorator]
    def times(self, x: Any) -> Any:
        return {"y": x * self.by}

    @tf.function(input_signature=[X, tf.TensorSpec([], tf.int64, "n")])  # type: ignore[untyped-decorator]
    def plus(self, x: Any, n: Any) -> Any:
        return {"z": x + tf.cast(n, tf.float32), "b": tf.reduce_sum(x, axis=1)}


class Reaching(tf.Module):  # type: ignore[misc]
    """Writes a file when it is asked."""

    @tf.function(input_signature=[X])  # type: ignore[untyped-decorator]
    def serve(self, x: Any) -> Any:
        tf.io.write_file("written", tf.constant("by the model"))
        return {"y": x}


def plain_tensorflow() -> None:
    scaled = Scaled()
    tf.saved_model.save(scaled, "two", signatures={"times": scaled.times, "plus": scaled.plus})
    tf.saved_model.save(scaled, "unsigned")
    reaching = Reaching()
    tf.saved_model.save(reaching, "reaching", signatures={"serving_default": reaching.serve})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
