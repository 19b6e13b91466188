"""A small convolutional classifier of a data set's classes, by which samples and completions are judged."""

import dataclasses
import functools
from pathlib import Path

import keras
import numpy as np
from keras import layers

from benchmarks import pictures
from src.config import HParams, InputError
from src.data.tokens import class_names, fingerprint, load_split
from src.files import whole

BATCH = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Jury:
    """A data set, `train` and `test` each (tokens [n, s], one-hot labels [n, c]), and a classifier of its classes."""

    hparams: HParams
    clusters: np.ndarray
    train: tuple
    test: tuple
    classes: list[str]
    classifier: keras.Model

    def pixels(self, tokens):
        """What the classifier sees of tokens [n, s]: images in the palette, as a model draws them."""
        return pictures.pixels(tokens, self.clusters)

    def probabilities(self, tokens):
        """[n, c]."""
        return self.classifier.predict(self.pixels(tokens), batch_size=256, verbose=0)

    @functools.cached_property
    def penultimate(self):
        """The classifier up to its layer of 64 features."""
        return keras.Model(self.classifier.inputs, self.classifier.get_layer("features").output)

    def features(self, tokens):
        """[n, 64]."""
        return self.penultimate.predict(self.pixels(tokens), batch_size=256, verbose=0)


def plain(shape, classes):
    """For greys."""
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(64, activation="relu", name="features"),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def convolved(x, width, stride=1, size=3):
    """A convolution and its batch normalization."""
    x = layers.Conv2D(width, size, strides=stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=0.9)(x)


def residual(shape, classes):
    """For colours: a residual network that is shown every image mirrored or not, shifted and zoomed."""
    inputs = keras.Input(shape)
    x = layers.RandomFlip("horizontal")(inputs)  # these three do nothing but in training
    x = layers.RandomTranslation(0.1, 0.1, fill_mode="nearest")(x)
    x = layers.RandomZoom(0.15, fill_mode="nearest")(x)
    x = layers.MaxPooling2D()(layers.ReLU()(convolved(x, 32)))
    for width, stride in ((64, 1), (128, 2), (192, 2)):
        y = convolved(layers.ReLU()(convolved(x, width, stride)), width)
        x = layers.ReLU()(layers.Add()([convolved(x, width, stride, size=1), y]))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    x = layers.Dense(64, activation="relu", name="features")(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def recipe(channels, steps):
    """(network, epochs, optimizer of the steps in one epoch) for images of one or three channels."""
    if channels == 1:
        rate = keras.optimizers.schedules.CosineDecay(2e-3, 8 * steps)
        return plain, 8, keras.optimizers.Adam(rate)
    rate = keras.optimizers.schedules.CosineDecay(0.0, 28 * steps, warmup_target=2e-3, warmup_steps=2 * steps)
    return residual, 30, keras.optimizers.AdamW(rate, weight_decay=0.05)


def trained(x, y, path, seed=0):
    """The classifier trained on images x [n, h, w, c] and one-hot y [n, classes], or read from `path`."""
    if Path(path).exists():
        return keras.saving.load_model(path)
    keras.utils.set_random_seed(seed)
    network, epochs, optimizer = recipe(x.shape[-1], -(-len(x) // BATCH))
    classifier = network(x.shape[1:], y.shape[1])
    classifier.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    classifier.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=2)
    with whole(path) as part:
        classifier.save(part)
    return classifier


def jury(data_path):
    """The jury of a data set: trained on its training images in its palette, once, and kept beside it."""
    hparams, clusters = pictures.shape_of(data_path)
    train, test = (load_split(data_path, split, hparams) for split in ("tr", "te"))
    if train[1] is None or test[1] is None:
        raise InputError(f"{data_path}_trY.npy, {data_path}_teY.npy: a jury needs the labels of both splits")
    path = Path(f"{data_path}_jury-{fingerprint(train[0])}.keras")
    classifier = trained(pictures.pixels(train[0], clusters), np.asarray(train[1]), path)
    classes = class_names(data_path) or [str(i) for i in range(train[1].shape[1])]
    return Jury(hparams, clusters, train, test, classes, classifier)
