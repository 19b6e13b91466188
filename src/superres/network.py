"""What all upscaling networks have in common: a Keras model whose configuration says what it is."""

import collections
from typing import Any, ClassVar, Self

import keras
import numpy as np

from src.schema import Integer, OneOf, Text

FIELDS = {  # what the configuration of any network may say
    "seed": Integer(0, 1 << 64),
    "dtype": OneOf(("float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")),
    "name": Text(r"\w[\w.\-]{0,99}", "a short name"),
    "contract": Text(r"[ -~]{0,500}", "a line of text"),
}
register = keras.saving.register_keras_serializable("image_gpt")


class Network(keras.Model):
    """A network that enlarges images; a subclass builds its layers out of its own configuration.

    Attributes:
        scale: how many times as large its output is.
        channels: 1 for luma, 3 for red, green and blue.
        context: pixels that an image is extended by on every side, so that what the borders do to it is cut off.
        padded: whether its convolutions are padded: else they use up the context themselves.
        precision: of its layers, such as `float32` or `mixed_bfloat16`.
        fields: what its configuration may say in a file from outside.
    """

    fields: ClassVar[dict[str, Any]]
    scale: int
    channels: int
    context: int
    padded: bool
    precision: str

    def contract(self) -> str:
        """The range and the meaning of the pixels that go in and come out, for whoever finds a file of the network."""
        pixels = "luma of BT.601, 16/255..235/255" if self.channels == 1 else "red, green, blue, 0..1"
        sides = [n if self.padded else f"({n} - {2 * self.context})" for n in ("h", "w")]
        after = ", ".join(f"{self.scale} * {side}" for side in sides)
        shapes = f"[b, h, w, {self.channels}] to [b, {after}, {self.channels}]"
        worthless = f", whose outermost {self.scale * self.context} are worthless" if self.padded else ""
        return f"{pixels}; {shapes}{worthless}; clip what comes out"

    def seen(self, images: np.ndarray) -> np.ndarray:
        """What the network is to see of whole images [n, h, w, c], whose tiles it is given next: all."""
        return images

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        return cls(**{name: value for name, value in config.items() if name != "contract"})

    def architecture(self) -> dict[str, Any]:
        """What the shapes and the use of its weights follow from: equal for networks whose weights can be exchanged."""
        config = self.get_config()
        return {name: config[name] for name in config if name not in ("name", "dtype", "seed", "contract")}

    def copy_with(self, **changes: Any) -> Self:
        """A network with these changes to its configuration, and the same weights."""
        copy = self.from_config(self.get_config() | changes)
        copy.set_weights(self.get_weights())
        return copy


class Layers:
    """Makes the layers of one network: all in one precision, each begun at random from a seed of its own.

    They are numbered within the network. Keras numbers those of a process, and by their names TensorFlow orders sums of
    many gradients: the second network of a process would be trained to other weights than the first.
    """

    def __init__(self, seed: int, dtype: str):
        self.rng, self.dtype = np.random.default_rng(seed), keras.DTypePolicy(dtype)
        self.made = collections.Counter()

    def __call__(self, kind: type[keras.layers.Layer], *args: Any, **options: Any) -> keras.layers.Layer:
        number, name = self.made[kind], kind.__name__.lower()
        self.made[kind] += 1
        return kind(*args, **{"dtype": self.dtype, "name": f"{name}_{number}" if number else name} | options)

    def start(self) -> keras.initializers.Initializer:
        """Keras' usual start of a kernel, another one at each call."""
        return keras.initializers.GlorotUniform(seed=int(self.rng.integers(1 << 31)))

    def conv(self, maps: int, width: int, *, kind: type = keras.layers.Conv2D, **options: Any) -> keras.layers.Layer:
        """A padded convolution."""
        return self(kind, maps, width, padding="same", kernel_initializer=self.start(), **options)
