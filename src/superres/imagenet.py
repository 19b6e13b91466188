"""Networks of keras.applications with their trained weights, or with random ones."""

from collections.abc import Callable
from pathlib import Path

import keras

from src.config import InputError


def application(make: Callable[..., keras.Model], weights: str | Path | None, kinds: str = "") -> keras.Model:
    """A network without its top.

    Args:
        make: a function of keras.applications, such as VGG19.
        weights: `imagenet` for Keras' own, from its cache or downloaded; a file of such; None for random ones, the
            same every time, so that a run can go on with them.
        kinds: of file, where others than Keras' own will do, too.

    Raises:
        InputError: there is no such file, it holds other weights, or none are there and none can be downloaded.
    """
    name = make.__name__
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise InputError(f"`vgg_weights` {weights}: no such file")
    try:
        network = make(include_top=False, weights=weights)
    except Exception as error:  # Keras raises a bare one where a download fails
        reason = first_line(error)
        if weights != "imagenet":
            raise InputError(
                f"`vgg_weights` {weights}: not weights of Keras' {name}, no top{kinds} ({reason})"
            ) from error
        raise InputError(
            f"`content`: the ImageNet weights of {name} are not there and cannot be downloaded ({reason}); give Keras' "
            f"file without the top{kinds} as `vgg_weights`, put it into $KERAS_HOME/models, or take pixel as `content`"
        ) from error
    if weights is None:
        set_random(network)
    return network


def set_random(network: keras.Model):
    """Give the kernels of a network random weights, the same every time."""
    starts = [keras.initializers.GlorotUniform(seed=i) for i, _ in enumerate(network.weights)]
    network.set_weights([start(w.shape) if len(w.shape) == 4 else w for start, w in zip(starts, network.get_weights())])


def first_line(error: Exception) -> str:
    """What an error says, in a line that is not too long."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
