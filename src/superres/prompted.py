"""The prompt-guided network: a small picture and a prompt in, an enlarged and edited picture out.

Nine blocks, as the report has them: an encoder that downsamples (1 to 3), TIRG's composition with the prompt (4), a
fusion of encoder maps, text and composed maps into one (5), and a decoder that upsamples (6 to 9). It departs from the
report in what the decoder's maps are: not the picture, but how the colours of SRResNet's are to change at each pixel,
beside a change that the prompt alone asks for everywhere.
"""

from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from src.config import InputError
from src.schema import Integer, OneOf, Real, Text
from src.superres.composition import (
    OverSpace,
    Prompt,
    PromptVector,
    Recoloured,
    TokenVectors,
    attended,
    fusion,
    small,
    tirg,
)
from src.superres.network import FIELDS, Layers, Network, register
from src.superres.srgan import Generator
from src.superres.subpixel import PixelShuffle

SKIPS = "none", "first", "sixth", "attention"
DOWN = 2  # of the encoder
CHANGE = 3 * (3 + 1)  # numbers in an affine change of colour
FAINT = 0.02  # of its usual size, at which the kernel starts whose change is of all pixels at once
WORDS = 256  # numbers that a prompt's vector is first turned into
STRENGTHS = Real(0, 1)


@register
class Aligned(layers.Layer):
    """Images [b, h, w, c] of any size to sides that DOWN divides: the last row and column are repeated."""

    def call(self, x):
        for axis in (1, 2):
            n = ops.shape(x)[axis]
            places = ops.arange((n + DOWN - 1) // DOWN * DOWN)
            x = ops.take(x, ops.minimum(places, n - 1), axis=axis)
        return x


@register
class CutLike(layers.Layer):
    """Maps y and an image x, not larger: the first rows and columns of y, as many as x has."""

    def call(self, inputs):
        y, x = inputs
        _, h, w, _ = ops.shape(x)
        return y[:, :h, :w]


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
    """Blocks 7 to 9: maps of block 6, at half the size, to changes of colour at four times the image's size."""
    maps = x.shape[-1] // 2

    def with_skip(block, y):
        return make(layers.Add)([y, skips[block]]) if block in skips else y

    x = residual(make, enlarged(make, with_skip(7, x), maps, 2))
    x = enlarged(make, with_skip(8, x), maps, 2)
    x = make.conv(maps, 3, activation="relu")(make(layers.ReLU)(with_skip(9, x)))
    return make(PixelShuffle, scale=2)(small(make.conv(2**2 * CHANGE, 3), x))


@register
class Prompted(Network):
    """A network from [b, h, w, 3] and a prompt to [b, 4 h, 4 w, 3]: what SRResNet makes of the image, edited.

    It takes images alone, which SRResNet enlarges; or a list of images, token embeddings [b, t, text], their mask
    [b, t] and, optionally, strengths [b] in 0..1 of the edit (1 by default). Without a prompt and at a strength of 0
    its output is SRResNet's, bit for bit.

    An edit follows from pixels at most 27 away, 55 x 55 of the input in all. Images of odd sizes are made even at the
    right and at the bottom. A tile that starts at an even row and column equals the whole 28 pixels from its border,
    and nearly so from `context` on.

    Args:
        skip: what the decoder sees of earlier blocks: `none`; `first`, block 1 in block 9; `sixth`, block 6 in block 9;
            `attention`, blocks 3, 1 and 6 in blocks 7, 8 and 9, as attention over the prompt's tokens edits them.
        maps: of block 1; twice as many at half the size.
        blocks: of SRResNet, whose weights are not trained here.
        text: width of token embeddings; MiniLM's is 384.
        encoder: the fingerprint of the text encoder that it was trained with; any if empty.
        start: `seed` of the first weights and `dtype` of the layers, as SRResNet takes them.

    Attributes:
        base: SRResNet.
    """

    scale, channels = Generator.scale, 3
    context = Generator.context
    padded = True
    fields = FIELDS | {
        "skip": OneOf(SKIPS),
        "maps": Integer(1, 128),
        "blocks": Integer(0, 256),
        "text": Integer(1, 1024),
        "encoder": Text("([0-9a-f]{16})?", "16 hexadecimal digits"),
    }

    def __init__(
        self,
        skip: str = "attention",
        *,
        maps: int = 64,
        blocks: int = 8,
        text: int = 384,
        encoder: str = "",
        name: str = "prompted",
        **start: Any,
    ):
        settings = {"skip": skip, "maps": maps, "blocks": blocks, "text": text, "encoder": encoder}
        for field, value in settings.items():
            if fault := self.fields[field].fault(value):  # before it is trained: no file of it would be read again
                raise InputError(f"`{field}` {fault}")
        base = Generator(blocks=blocks, **start)
        base.trainable = False
        make = Layers(base.seed, base.precision)
        images, tokens, mask, strength = (keras.Input(shape) for shape in ([None, None, 3], [None, text], [None], []))
        large = base(images, training=False)
        change = CutLike(dtype="float32")([self.change(make, skip, maps, (images, tokens, mask)), large])
        super().__init__(
            [images, tokens, mask, strength], Recoloured(dtype="float32")([large, change, strength, mask]), name=name
        )
        self.settings, self.base, self.seed, self.precision = settings, base, base.seed, base.precision

    @classmethod
    def around(cls, base: Generator, skip: str, **options: Any) -> Self:
        """A new network that edits what a trained SRResNet makes; options as above, but for `blocks`."""
        net = cls(skip, blocks=base.blocks, **options)
        net.base.set_weights(base.get_weights())
        return net

    @staticmethod
    def change(make, skip, maps, inputs):
        """The nine blocks: from images and a prompt to changes of colour [b, 4 h, 4 w, CHANGE], h and w made even."""
        images, tokens, mask = inputs
        words = make(layers.Dense, WORDS, "relu", kernel_initializer=make.start())(
            PromptVector(dtype="float32")([tokens, mask])
        )
        vector = make(layers.Dense, 2 * maps, kernel_initializer=make.start())(words)
        everywhere = small(make(layers.Dense, CHANGE, kernel_initializer=make.start()), words, FAINT)
        prompt = Prompt(vector, TokenVectors(dtype="float32")([tokens, mask]), mask)
        first = residual(make, make.conv(maps, 3)(make(layers.Rescaling, 2, -1)(make(Aligned)(images))))
        second = residual(make, make.conv(2 * maps, 4, strides=DOWN)(first))
        third = residual(make, second)
        fourth = tirg(make, third, vector)
        fifth = fusion(make, third, vector, fourth)
        sixth = residual(make, fifth)
        change = decode(make, sixth, make_skips(make, skip, (first, third, sixth), prompt))
        return make(layers.Add)([change, make(OverSpace)([everywhere, change])])

    def __call__(self, inputs: Any, *args: Any, **options: Any) -> Any:
        return super().__call__(self.completed(inputs), *args, **options)

    def completed(self, inputs):
        """Images, tokens, mask and strengths, of which only the first need be given, or the first three."""
        inputs = inputs if isinstance(inputs, list | tuple) else [inputs]
        images, *prompt = (ops.convert_to_tensor(x, "float32") for x in inputs)
        b = ops.shape(images)[0]
        if not prompt:
            return [images, ops.zeros([b, 1, self.settings["text"]]), ops.zeros([b, 1]), ops.zeros([b])]
        return [images, *prompt, *([ops.ones([b])] if len(prompt) == 2 else [])]

    def get_config(self) -> dict[str, Any]:
        config = self.settings | {"seed": self.seed, "name": self.name}
        return config | {"dtype": self.precision, "contract": self.contract()}


class Told:
    """A prompted network that does what it has been told last: in the place of a network, as for an `Upscaler`.

    Attributes:
        name: stands for the prompt in the name of a file.
    """

    def __init__(self, net: Prompted):
        self.net, self.name = net, net.name
        self.scale, self.channels, self.context, self.padded = net.scale, net.channels, net.context, net.padded
        shapes = [None, net.settings["text"]], [None], []  # variables, so that another prompt traces nothing again
        self.prompt = [
            tf.Variable(np.zeros([n or 1 for n in shape], np.float32), False, shape=shape) for shape in shapes
        ]

    def tell(self, tokens: np.ndarray, mask: np.ndarray, strength: float = 1.0, name: str = "prompted"):
        """What to do from now on: token embeddings [t, d] with their mask [t], a strength in 0..1, and its name.

        Raises:
            InputError: the tokens are not as wide as the network takes them, or the strength is outside 0..1.
        """
        if fault := STRENGTHS.fault(float(strength)):
            raise InputError(f"`strength` {fault}")
        expected = [*mask.shape, self.net.settings["text"]]
        if list(tokens.shape) != expected:
            found = f"embeddings {list(tokens.shape)}, expected {expected}"
            raise InputError(f"`text` gives {found}; use the encoder that the network was trained with")
        self.name = name
        for variable, value in zip(self.prompt, (tokens, mask, strength)):
            variable.assign(np.float32(value))

    def __call__(self, images: Any, **options: Any) -> Any:
        """[b, h, w, 3] in 0..1 to [b, 4 h, 4 w, 3]."""
        b = tf.shape(images)[0]
        return self.net([images, *(tf.broadcast_to(x, [b, *tf.unstack(tf.shape(x))]) for x in self.prompt)], **options)
