"""ESPCN (Shi et al. 2016, arXiv 1609.05158) in Keras layers: all work in low resolution, then a pixel shuffle."""

import keras


@keras.saving.register_keras_serializable("image_gpt")
class PixelShuffle(keras.layers.Layer):
    """[b, h, w, r * r * c] -> [b, r * h, r * w, c], the paper's periodic shuffling (section 3.2)."""

    def __init__(self, scale, **options):
        super().__init__(**options)
        self.scale = scale

    def call(self, x):
        (b, h, w, c), r = keras.ops.shape(x), self.scale
        x = keras.ops.reshape(x, [b, h, w, r, r, c // r**2])  # faster on a CPU than TensorFlow's depth_to_space
        return keras.ops.reshape(keras.ops.transpose(x, [0, 1, 3, 2, 4, 5]), [b, h * r, w * r, c // r**2])

    def compute_output_shape(self, shape):
        b, h, w, c = shape
        return b, h and h * self.scale, w and w * self.scale, c // self.scale**2

    def get_config(self):
        return super().get_config() | {"scale": self.scale}


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
    return keras.Model(inputs, PixelShuffle(scale)(x), name="espcn")
