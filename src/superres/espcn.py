"""ESPCN (Shi et al. 2016, arXiv 1609.05158) in Keras layers: all work in low resolution, then a pixel shuffle."""

import keras

from src.superres.subpixel import PixelShuffle


def espcn(scale, *, channels=1, activation="tanh", gain=2.0, seed=42):
    """The network of the paper's section 3: conv 5x5x64, conv 3x3x32, conv 3x3 to r * r * c maps, pixel shuffle.

    It takes [b, h + 8, w + 8, c] in 0..1 and gives [b, scale * h, scale * w, c]. The convolutions are
    unpadded: what stands around an image is for the caller to say (`Upscaler` reflects it); zeros leave a dark frame.
    """
    inputs = keras.Input([None, None, channels])
    x = keras.layers.Rescaling(gain, -gain / 2)(inputs)
    for i, (maps, width) in enumerate([(64, 5), (32, 3)]):
        start = keras.initializers.Orthogonal(seed=seed + i)
        x = keras.layers.Conv2D(maps, width, activation=activation, kernel_initializer=start)(x)
    x = keras.layers.Conv2D(scale**2 * channels, 3, kernel_initializer=keras.initializers.Orthogonal(seed=seed + 2))(x)
    return keras.Model(inputs, PixelShuffle(scale=scale)(x), name="espcn")
