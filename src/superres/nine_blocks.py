"""From images and a prompt to changes of their colours: the nine blocks of the prompt-guided network.

They are the report's: an encoder that downsamples (1 to 3), TIRG's composition with the prompt (4), a fusion of encoder
maps, text and composed maps into one (5), and a decoder that upsamples (6 to 9). But every residual block is told what
the prompt says, not the fourth and fifth block alone.
"""

import tensorflow as tf
from keras import layers, ops

from src.superres.composition import Prompt, PromptVector, TokenVectors, attended, fusion, small, tirg, told
from src.superres.network import register
from src.superres.subpixel import PixelShuffle

SKIPS = "none", "first", "sixth", "attention"
DOWN = 2  # of the encoder
WIDER = 2  # times as many maps where pixels are seen alone
CHANGE = 3 * (3 + 1)  # numbers in an affine change of colour
EVERYWHERE = 3 * (3 * 3 + 2)  # the same of the colour, of what is around it, of the whole picture's mean, and of grain
WORDS = 256  # numbers that a prompt's vector is first turned into
EDITS = 64  # changes everywhere, of which a prompt asks for a mean
APART = 2.0  # times their usual size, at which EDITS start, around none: of those alike, operations would choose one
FAINT = 0.01  # of its usual size, at which a kernel starts whose change is of all pixels at once


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


@register
class Smoothed(layers.Layer):
    """Maps [b, h, w, c] under 1 2 1 in rows and columns; those at the borders are repeated."""

    def call(self, x):
        return smoothed(x)


@tf.custom_gradient
def smoothed(x):
    """`Smoothed`, which is its own gradient, for its matrix is symmetric: half of an update went into TensorFlow's."""
    x = tf.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], "SYMMETRIC")
    x = (x[:, :-2] + x[:, 2:]) / 4 + x[:, 1:-1] / 2
    return (x[:, :, :-2] + x[:, :, 2:]) / 4 + x[:, :, 1:-1] / 2, smoothed


def residual(make, x, words):
    """x + conv 3x3 (ReLU (told (conv 3x3 of x))), which adds little at first."""
    y = make(layers.ReLU)(told(make, make.conv(x.shape[-1], 3)(x), words))
    return make(layers.Add)([x, small(make.conv(x.shape[-1], 3), y)])


def enlarged(make, x, maps):
    """Sub-pixel convolution, smoothed: [b, h, w, c] at half the size to [b, 2 h, 2 w, maps].

    Without that, each place of a block of four changes colours a little differently: a grid over what is even.
    """
    return make(Smoothed)(make(PixelShuffle, scale=DOWN)(make.conv(DOWN**2 * maps, 1)(x)))


def heard(make, tokens, mask, width):
    """A prompt, of token embeddings [b, t, text] and their mask [b, t]; its vector as wide as maps are."""
    words = make(layers.Dense, WORDS, "relu", kernel_initializer=make.start())(
        make(PromptVector, dtype="float32")([tokens, mask])
    )
    vector = make(layers.Dense, width, kernel_initializer=make.start())(words)
    return Prompt(words, vector, make(TokenVectors, dtype="float32")([tokens, mask]), mask)


@register
class OfDifferences(layers.Layer):
    """Changes [b, EVERYWHERE] and mean colours [b, 3] to [b, 24]: of the colour, the blurred one, grain, and a shift.

    The changes are of the colour, and of what the blurred and the mean colour are above it: on all three as they are,
    which are nearly the same, a step would be taken three times.
    """

    def call(self, inputs):
        changes, means = inputs
        b, c = ops.shape(means)
        changes = ops.reshape(changes, [b, c, 3 * c + 2])
        of_colour, of_blurred, of_mean, grain, shift = ops.split(changes, [c, 2 * c, 3 * c, 3 * c + 1], axis=-1)
        shift = shift + ops.sum(of_mean * means[:, None], axis=-1, keepdims=True)
        parts = [of_colour - of_blurred - of_mean, of_blurred, grain, shift]
        return ops.reshape(ops.concatenate(parts, axis=-1), [b, c * (2 * c + 2)])


def everywhere(make, words, means):
    """The change of colour that words [b, n] ask for everywhere [b, 24], in float32; `means` [b, 3] are the pictures'.

    More contrast is a distance from the picture's mean, which no pixel sees.

    It is a mean of EDITS, by a choice: words that were never learnt from are heard as others were, more often than
    where numbers follow from the words.
    """
    choice = small(make(layers.Dense, EDITS, "softmax", dtype="float32", kernel_initializer=make.start()), words)
    edits = make(layers.Dense, EVERYWHERE, use_bias=False, dtype="float32", kernel_initializer=make.start())
    edits.build(choice.shape)
    edits.kernel.assign(APART * (edits.kernel - ops.mean(edits.kernel, axis=0)))
    return make(OfDifferences, dtype="float32", name="everywhere")([edits(choice), means])


def told_pixels(make, x, maps, words):
    """ReLU (told (conv 1x1 of x)): what becomes of each pixel by itself."""
    return make(layers.ReLU)(told(make, make.conv(maps, 1)(x), words))


def make_skips(make, kind, blocks, prompt):
    """Number of a decoder block to the maps that are added to what it takes; `blocks` are those of 1, 3 and 6."""
    first, *_, sixth = blocks
    maps = WIDER * first.shape[-1]
    if kind == "first":
        return {9: make.conv(maps, 1)(first)}
    if kind == "sixth":
        return {9: enlarged(make, sixth, maps)}
    if kind == "attention":
        first, third, sixth = (attended(make, x, prompt) for x in blocks)
        return {7: third, 8: first, 9: enlarged(make, sixth, maps)}
    return {}


def decode(make, x, skips, words):
    """Blocks 7 to 9: maps of block 6, at half the size, to changes of colour at the image's size.

    The last two see each pixel alone: what a prompt makes of a colour, such as that of skin, is learnt fastest so.
    """
    maps = x.shape[-1]

    def with_skip(block, y):
        return make(layers.Add)([y, skips[block]]) if block in skips else y

    x = enlarged(make, with_skip(7, x), maps)
    x = told_pixels(make, with_skip(8, x), WIDER * maps, words)
    x = told_pixels(make, x, WIDER * maps, words)
    x = told_pixels(make, with_skip(9, x), WIDER * maps, words)
    return small(make.conv(CHANGE, 1), x, FAINT)


def change(make, skip, maps, images, prompt):
    """The change of colour at each pixel of images [b, h, w, 3]: [b, h, w, CHANGE], h and w made even.

    `skip` is one of SKIPS, `maps` are those of block 1.
    """
    first = make.conv(maps, 3)(make(layers.Rescaling, 2, -1)(make(Aligned)(images)))
    second = make.conv(maps, 4, strides=DOWN)(first)
    third = residual(make, second, prompt.words)
    fourth = tirg(make, third, prompt.vector)
    fifth = fusion(make, third, prompt.vector, fourth)
    sixth = residual(make, fifth, prompt.words)
    return decode(make, sixth, make_skips(make, skip, (first, third, sixth), prompt), prompt.words)
