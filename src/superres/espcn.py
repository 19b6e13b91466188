"""ESPCN (Shi et al. 2016, arXiv 1609.05158) in Keras layers: all work in low resolution, then a pixel shuffle."""

from collections.abc import Sequence
from typing import Any

import keras

from src.config import InputError
from src.schema import Integer, ListOf, OneOf, Real
from src.superres.bicubic import Bicubic
from src.superres.network import FIELDS, Layers, Network, register
from src.superres.subpixel import PixelShuffle

FIRST, OTHERS = 5, 3  # pixels on a side of the convolutions
SMALL = 0.01  # of a usual start: that of what a residual network adds


@register
class Espcn(Network):
    """The network of the paper's section 3: conv 5x5x64, conv 3x3x32, conv 3x3 to r * r * c maps, pixel shuffle.

    It takes [b, h + 8, w + 8, c] in 0..1 and gives [b, scale * h, scale * w, c]; with more layers it takes more. The
    convolutions are unpadded: what stands around an image is for the caller to say (`Upscaler` reflects it); zeros
    leave a dark frame. Each uses up a pixel on every side, the first one two.

    Args:
        scale: 2 and more.
        channels: 1 (luma) or 3.
        activation: between the layers; the paper's is tanh.
        gain: of the input, which is centred first: what the first layer sees lies in -gain / 2..gain / 2.
        widths: maps of all convolutions but the last; each more is a layer of 3x3 that sees a pixel further.
        residual: whether the network adds to bicubic interpolation, and each layer to the one before it where that
            has as many maps (He et al. 2016): what deep ones need.
        seed: of the first weights.
        dtype: of the layers.
    """

    padded = False
    fields = FIELDS | {
        "scale": Integer(2, 8),
        "channels": OneOf((1, 3)),
        "activation": OneOf(("tanh", "relu", "leaky_relu")),
        "gain": Real(1e-3, 1e3),
        "widths": ListOf(Integer(1, 256), 1, 16),
        "residual": OneOf((False, True)),
    }

    def __init__(
        self,
        scale: int,
        channels: int = 1,
        activation: str = "tanh",
        gain: float = 2.0,
        widths: Sequence[int] = (64, 32),
        residual: bool = False,
        seed: int = 42,
        dtype: str = "float32",
        **options: Any,
    ):
        if fault := self.fields["widths"].fault(list(widths)):  # before it is trained, as for a generator
            raise InputError(f"`widths` {fault}")
        make, context = Layers(seed, dtype), FIRST // 2 + len(widths) * (OTHERS // 2)
        inputs = keras.Input([None, None, channels])
        x = make(keras.layers.Rescaling, gain, -gain / 2)(inputs)
        for i, maps in enumerate(widths):
            start = keras.initializers.Orthogonal(seed=seed + i)
            width = OTHERS if i else FIRST
            y = make(keras.layers.Conv2D, maps, width, activation=activation, kernel_initializer=start)(x)
            alike = residual and i and maps == widths[i - 1]
            x = make(keras.layers.Add)([y, make(keras.layers.Cropping2D, OTHERS // 2)(x)]) if alike else y
        start = keras.initializers.Orthogonal(SMALL if residual else 1.0, seed=seed + len(widths))
        x = make(keras.layers.Conv2D, scale**2 * channels, OTHERS, kernel_initializer=start)(x)
        x = make(PixelShuffle, scale=scale)(x)
        if residual:
            x = make(keras.layers.Add)([x, make(Bicubic, scale=scale, margin=context)(inputs)])
        super().__init__(inputs, x, **{"name": "espcn"} | options)
        self.scale, self.channels, self.precision, self.context = scale, channels, dtype, context
        self.activation, self.gain, self.seed = activation, gain, seed
        self.widths, self.residual = tuple(widths), residual

    def get_config(self) -> dict[str, Any]:
        names = "scale", "channels", "activation", "gain", "residual", "seed"
        config = {name: getattr(self, name) for name in names} | {"widths": list(self.widths)}
        return config | {"dtype": self.precision, "name": self.name, "contract": self.contract()}
