"""A small convolutional classifier of Fashion-MNIST, by which samples and completions are judged."""

from pathlib import Path

import keras
import numpy as np

from src.config import SAVE_DIR
from src.data.palettes import load_clusters
from src.data.tokens import load_split
from src.weights.checkpoint import checkpoint_prefix, load_model, palette_beside

CLASSES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"]


def pixels(tokens, clusters):
    """Palette tokens [n, s] to grey images [n, n_px, n_px, 1] in 0..1: the classifier sees what the model can draw."""
    n_px = round(tokens.shape[1] ** 0.5)
    return ((clusters.mean(1) + 1) / 2)[tokens].reshape(-1, n_px, n_px, 1).astype(np.float32)


def build(n_px):
    return keras.Sequential(
        [
            keras.Input([n_px, n_px, 1]),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.4),
            keras.layers.Dense(64, activation="relu", name="features"),
            keras.layers.Dense(len(CLASSES), activation="softmax"),
        ]
    )


def trained(x, y, path, epochs=8, seed=0):
    """The classifier trained on images x [n, h, w, 1] and one-hot y [n, 10], read from `path` where it lies there."""
    if Path(path).exists():
        return keras.saving.load_model(path)
    keras.utils.set_random_seed(seed)
    classifier = build(x.shape[1])
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(x) // 128))
    classifier.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
    classifier.fit(x, y, batch_size=128, epochs=epochs, verbose=2)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    classifier.save(path)
    return classifier


def jury(ckpt_path, data_path):
    """(model, palette, training split, test split, classifier) by which a model's images are judged.

    The classifier is trained on the real training images in the model's palette, once, and kept in the save folder.
    """
    prefix = checkpoint_prefix(ckpt_path)
    model = load_model(prefix)
    clusters = load_clusters(palette_beside(prefix), model.hparams.n_vocab)
    train, test = (load_split(data_path, s, model.hparams) for s in ("tr", "te"))
    path = SAVE_DIR / f"classifier-{model.hparams.n_px}.keras"
    return model, clusters, train, test, trained(pixels(train[0], clusters), np.asarray(train[1]), path)


def features(classifier):
    """The classifier up to its penultimate layer [n, 64]."""
    return keras.Model(classifier.inputs, classifier.get_layer("features").output)
