"""The prompt-guided network: a small picture and a prompt in, an enlarged and edited picture out.

Nine blocks, as the report has them: an encoder that downsamples (1 to 3), TIRG's composition with the prompt (4), a
fusion of encoder maps, text and composed maps into one (5), and a decoder that upsamples (6 to 9).
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from src.config import InputError
from src.schema import Integer, OneOf, Real
from src.superres.composition import Prompt, PromptVector, Strength, TokenVectors, attended, fusion, small, tirg
from src.superres.network import FIELDS, Layers, Network, register
from src.superres.subpixel import PixelShuffle
from src.superres.upscaler import bicubic, cut

SKIPS = "none", "first", "sixth", "attention"
DOWN = 2  # of the encoder
SCALE = 4
STRENGTHS = Real(0, 1)


@register
class Aligned(layers.Layer):
    """Images [b, h, w, c] of any size to sides that DOWN divides: the last row and column are repeated."""

    def call(self, x):
        return repeated_edges(x, 0, DOWN)


@register
class CutLike(layers.Layer):
    """Images y and the smaller x that they were made of: the first rows and columns of y that belong to x."""

    def call(self, inputs):
        y, x = inputs
        _, h, w, _ = ops.shape(x)
        return y[:, : SCALE * h, : SCALE * w]


@register
class Bicubic(layers.Layer):
    """Images [b, h, w, 3] to [b, 4 h, 4 w, 3] by TensorFlow's bicubic filter, the outermost pixels repeated."""

    def call(self, x):
        return cut(bicubic(repeated_edges(x, 2, 1, after=2), SCALE), 2 * SCALE)

    def compute_output_shape(self, shape):
        return *(n and SCALE * n for n in shape[:3]), 3


def repeated_edges(x, before, multiple, after=0):
    """Images x [b, h, w, c] with their outermost pixels repeated, `after` times or up to a multiple of a number."""
    for axis in (1, 2):
        n = ops.shape(x)[axis]
        places = ops.arange(-before, (n + multiple - 1) // multiple * multiple + after)
        x = ops.take(x, ops.clip(places, 0, n - 1), axis=axis)
    return x


def residual(make, x):
    """x + conv 3x3 (ReLU, conv 3x3 of x), which adds little at first."""
    y = make.conv(x.shape[-1], 3, activation="relu")(x)
    return make(layers.Add)([x, small(make.conv(x.shape[-1], 3), y)])


def enlarged(make, x, maps, times, width=3):
    """Sub-pixel convolution: [b, h, w, c] to [b, times * h, times * w, maps]."""
    return make(PixelShuffle, scale=times)(make.conv(times**2 * maps, width)(x))


def make_skips(make, kind, blocks, prompt):
    """Number of a decoder block to the maps that are added to what it takes; `blocks` are those of 1, 3 and 6."""
    first, *_, sixth = blocks
    maps = first.shape[-1]
    if kind == "first":
        return {9: enlarged(make, first, maps, 2, width=1)}
    if kind == "sixth":
        return {9: enlarged(make, sixth, maps, 4, width=1)}
    if kind == "attention":
        first, third, sixth = (attended(make, x, prompt) for x in blocks)
        return {7: third, 8: first, 9: enlarged(make, sixth, maps, 4, width=1)}
    return {}


def decode(make, x, skips):
    """Blocks 7 to 9: maps of block 6, at half the size, to what is added to the image at four times its size."""
    maps = x.shape[-1] // 2

    def with_skip(block, y):
        return make(layers.Add)([y, skips[block]]) if block in skips else y

    x = residual(make, enlarged(make, with_skip(7, x), maps, 2))
    x = enlarged(make, with_skip(8, x), maps, 2)
    x = make.conv(maps, 3, activation="relu")(make(layers.ReLU)(with_skip(9, x)))
    return make(PixelShuffle, scale=2)(small(make.conv(2**2 * 3, 3), x))


@register
class Prompted(Network):
    """A network from [b, h, w, 3] and a prompt to [b, 4 h, 4 w, 3], the bicubically enlarged input and what it adds.

    It takes images alone, which enlarges them as they are; or a list of images, token embeddings [b, t, text], their
    mask [b, t] and, optionally, strengths [b] in 0..1, which scale what the prompt does (1 by default). At a strength
    of 0, and for a mask of zeros, a prompt does exactly nothing. Examples that have none in training should have any
    prompt at a strength of 0: the statistics of batch normalization are then those of prompts.

    A pixel follows from those at most 27 pixels away, 55 x 55 of the input in all: `context` is the next even number.
    Images of odd sizes are made even at the right and at the bottom. A tile that starts at an even row and column
    equals the whole.

    Args:
        skip: what the decoder sees of earlier blocks: `none`; `first`, block 1 in block 9; `sixth`, block 6 in block 9;
            `attention`, blocks 3, 1 and 6 in blocks 7, 8 and 9, as attention over the prompt's tokens edits them.
        maps: of block 1; twice as many at half the size.
        text: width of token embeddings; MiniLM's is 384.
        seed: of the first weights.
        dtype: of the layers; pixels come out in float32.
    """

    scale, channels = SCALE, 3
    context = 28
    padded = True
    fields = FIELDS | {"skip": OneOf(SKIPS), "maps": Integer(1, 128), "text": Integer(1, 1024)}

    def __init__(
        self,
        skip: str = "attention",
        maps: int = 64,
        text: int = 384,
        seed: int = 42,
        dtype: str = "float32",
        name: str = "prompted",
    ):
        for field, value in (("skip", skip), ("maps", maps), ("text", text)):
            if fault := self.fields[field].fault(value):  # before it is trained: no file of it would be read again
                raise InputError(f"`{field}` {fault}")
        make = Layers(seed, dtype)
        images, *words = (keras.Input(shape) for shape in ([None, None, 3], [None, text], [None], []))
        prompt = self.prompt(make, 2 * maps, *words)
        first = residual(make, make.conv(maps, 3)(make(layers.Rescaling, 2, -1)(make(Aligned)(images))))
        second = residual(make, make.conv(2 * maps, 4, strides=DOWN)(first))
        third = residual(make, second)
        fourth = tirg(make, third, prompt)
        fifth = fusion(make, third, prompt, fourth)
        sixth = residual(make, fifth)
        added = decode(make, sixth, make_skips(make, skip, (first, third, sixth), prompt))
        added = CutLike(dtype="float32")([added, images])
        pixels = layers.Add(dtype="float32")([Bicubic(dtype="float32")(images), added])
        super().__init__([images, *words], pixels, name=name)
        self.skip, self.maps, self.text, self.seed, self.precision = skip, maps, text, seed, dtype

    @staticmethod
    def prompt(make, maps, tokens, mask, strength):
        """The prompt as the blocks take it, its vector [b, maps] learned from that of the text."""
        strength = Strength(dtype="float32")([strength, mask])
        vector = PromptVector(dtype="float32")([tokens, mask])
        vector = make(layers.Dense, maps, kernel_initializer=make.start())(vector)
        return Prompt(vector, TokenVectors(dtype="float32")([tokens, mask]), mask, strength)

    def __call__(self, inputs: Any, *args: Any, **options: Any) -> Any:
        return super().__call__(self.completed(inputs), *args, **options)

    def completed(self, inputs):
        """Images, tokens, mask and strengths, of which only the first need be given, or the first three."""
        inputs = inputs if isinstance(inputs, list | tuple) else [inputs]
        images, *prompt = (ops.convert_to_tensor(x, "float32") for x in inputs)
        b = ops.shape(images)[0]
        if not prompt:
            return [images, ops.zeros([b, 1, self.text]), ops.zeros([b, 1]), ops.zeros([b])]
        return [images, *prompt, *([ops.ones([b])] if len(prompt) == 2 else [])]

    def get_config(self) -> dict[str, Any]:
        config = {name: getattr(self, name) for name in ("skip", "maps", "text", "seed", "name")}
        return config | {"dtype": self.precision, "contract": self.contract()}


class Told:
    """A prompted network that does what one prompt says: in the place of a network, as for an `Upscaler`."""

    def __init__(self, net: Prompted, tokens: np.ndarray, mask: np.ndarray, strength: float = 1.0):
        """Token embeddings [t, d] with their mask [t], and a strength in 0..1.

        Raises:
            InputError: the tokens are not as wide as the network takes them, or the strength is outside 0..1.
        """
        if fault := STRENGTHS.fault(float(strength)):
            raise InputError(f"`strength` {fault}")
        if tokens.shape != (*mask.shape, net.text):
            found = f"embeddings {list(tokens.shape)}, expected {[*mask.shape, net.text]}"
            raise InputError(f"`text` gives {found}; use the encoder that the network was trained with")
        self.net, self.prompt = net, [np.asarray(x, np.float32) for x in (tokens, mask, strength)]
        self.scale, self.channels, self.context, self.padded = net.scale, net.channels, net.context, net.padded

    def __call__(self, images: Any, **options: Any) -> Any:
        """[b, h, w, 3] in 0..1 to [b, 4 h, 4 w, 3]."""
        b = ops.shape(images)[0]
        return self.net([images, *(ops.broadcast_to(x, [b, *x.shape]) for x in self.prompt)], **options)
