"""ESPCN (Shi et al. 2016, arXiv 1609.05158) in Keras layers: all work in low resolution, then a pixel shuffle."""

from typing import Any

import keras

from src.schema import Integer, OneOf, Real
from src.superres.network import FIELDS, Layers, Network, register
from src.superres.subpixel import PixelShuffle

WIDTHS = 5, 3, 3  # of the convolutions: together they use up four pixels on every side


@register
class Espcn(Network):
    """The network of the paper's section 3: conv 5x5x64, conv 3x3x32, conv 3x3 to r * r * c maps, pixel shuffle.

    It takes [b, h + 8, w + 8, c] in 0..1 and gives [b, scale * h, scale * w, c]. The convolutions are
    unpadded: what stands around an image is for the caller to say (`Upscaler` reflects it); zeros leave a dark frame.

    Args:
        scale: 2 and more.
        channels: 1 (luma) or 3.
        activation: between the layers; the paper's is tanh.
        gain: of the input, which is centred first: what the first layer sees lies in -gain / 2..gain / 2.
        seed: of the first weights.
        dtype: of the layers.
    """

    context = sum(width // 2 for width in WIDTHS)
    padded = False
    fields = FIELDS | {
        "scale": Integer(2, 8),
        "channels": OneOf((1, 3)),
        "activation": OneOf(("tanh", "relu", "leaky_relu")),
        "gain": Real(1e-3, 1e3),
    }

    def __init__(
        self,
        scale: int,
        channels: int = 1,
        activation: str = "tanh",
        gain: float = 2.0,
        seed: int = 42,
        dtype: str = "float32",
        **options: Any,
    ):
        make = Layers(seed, dtype)
        inputs = keras.Input([None, None, channels])
        x = make(keras.layers.Rescaling, gain, -gain / 2)(inputs)
        for i, (maps, width) in enumerate(zip((64, 32, scale**2 * channels), WIDTHS)):
            start = keras.initializers.Orthogonal(seed=seed + i)
            between = activation if i < 2 else None
            x = make(keras.layers.Conv2D, maps, width, activation=between, kernel_initializer=start)(x)
        super().__init__(inputs, make(PixelShuffle, scale=scale)(x), **{"name": "espcn"} | options)
        self.scale, self.channels, self.precision = scale, channels, dtype
        self.activation, self.gain, self.seed = activation, gain, seed

    def get_config(self) -> dict[str, Any]:
        names = "scale", "channels", "activation", "gain", "seed"
        config = {name: getattr(self, name) for name in names}
        return config | {"dtype": self.precision, "name": self.name, "contract": self.contract()}
