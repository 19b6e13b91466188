"""The prompt-guided network: a small picture and a prompt in, an enlarged and edited picture out.

It departs from the report in what its nine blocks make: not the picture, but how the colours of SRResNet's are to
change at each pixel, beside a change that the prompt alone asks for everywhere. And the prompt chooses a view of the
picture first, such as its mirror image.
"""

import functools
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from src.config import InputError
from src.schema import Integer, OneOf, Real, Text
from src.superres.network import FIELDS, Layers, Network, register
from src.superres.nine_blocks import SKIPS, CutLike, change, everywhere, heard
from src.superres.recolouring import Interpolated, Strengthened, recoloured
from src.superres.srgan import Generator
from src.superres.views import HALF, VIEWS, Given, MeanColour, Viewed, mean_colours, one_of, seen, view_weights

STAGES = "words", "small", "large"  # of training: what a prompt decides alone, all of it on small pictures, all of it
STRENGTHS = Real(0, 1)


@register
class Prompted(Network):
    """A network from [b, h, w, 3] and a prompt to [b, 4 h, 4 w, 3]: what SRResNet makes of the image, edited.

    It takes images alone, which SRResNet enlarges; or a list of images, token embeddings [b, t, text], their mask
    [b, t] and, optionally, strengths [b] in 0..1 of the edit (1 by default), weights of VIEWS [b, 3] (by default the
    prompt's own) and mean colours [b, 3] (those of the images). Without a prompt and at a strength of 0 its output is
    SRResNet's, bit for bit.

    Images are whole, or tiles of images that have been `seen` in the view that the prompt asks for; then the weights
    are 1, 0, 0 and the means those of the whole. But for these two an edit follows from pixels at most 17 away, 35 x 35
    of the input in all. Images of odd sizes are made even at the right and at the bottom. A tile that starts at a row
    and column that `context` divides, as film grain does, equals the whole 20 pixels from its border, and nearly so
    from `context` on.

    Args:
        skip: what the decoder sees of earlier blocks: `none`; `first`, block 1 in block 9; `sixth`, block 6 in block 9;
            `attention`, blocks 3, 1 and 6 in blocks 7, 8 and 9, as attention over the prompt's tokens edits them.
        maps: of each block but the last two, which have twice as many.
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
        shapes = [None, None, 3], [None, text], [None], [], [len(VIEWS)], [3]
        images, tokens, mask, strength, view, mean = inputs = [keras.Input(shape) for shape in shapes]
        prompt = heard(make, tokens, mask, maps)
        weights = make(Given, dtype="float32")([view_weights(make, prompt.words), view])
        plain = base(images, training=False)
        large, low = (
            make(Viewed, dtype="float32", name=n)([x, weights]) for x, n in ((plain, "large"), (images, "low"))
        )
        local = make(CutLike, dtype="float32", name="change")([change(make, skip, maps, low, prompt), images])
        smooth = make(Interpolated, scale=self.scale, dtype="float32")(local)
        means = make(Given, dtype="float32")([make(MeanColour, dtype="float32")(low), mean])
        edited = recoloured(make, large, self.scale, everywhere(make, prompt.words, means), smooth)
        outputs = make(Strengthened, dtype="float32")([plain, edited, strength, mask])
        super().__init__(inputs, outputs, name=name)
        self.settings, self.base, self.seed, self.precision = settings, base, base.seed, base.precision

    @classmethod
    def around(cls, base: Generator, skip: str, **options: Any) -> Self:
        """A new network that edits what a trained SRResNet makes; options as above, but for `blocks`."""
        net = cls(skip, blocks=base.blocks, **options)
        net.base.set_weights(base.get_weights())
        return net

    def __call__(self, inputs: Any, *args: Any, **options: Any) -> Any:
        return super().__call__(self.completed(inputs), *args, **options)

    def completed(self, inputs):
        """All six inputs, of which only the first need be given, or the first three."""
        inputs = inputs if isinstance(inputs, list | tuple) else [inputs]
        images, *prompt = (ops.convert_to_tensor(x, "float32") for x in inputs)
        b = ops.shape(images)[0]
        if not prompt:
            prompt = [ops.zeros([b, 1, self.settings["text"]]), ops.zeros([b, 1])]
        defaults = [ops.ones([b]), ops.zeros([b, len(VIEWS)]), ops.zeros([b, 3])]
        return [images, *prompt, *defaults[len(prompt) - 2 :]]

    def part(self, stage: str) -> keras.Model:
        """What one of STAGES trains, a model of all six inputs: of small pictures what becomes of them in their size.

        A change of colours is nearly the same in both sizes, and a small picture is a sixteenth of the work.
        """
        if stage == "large":
            return self
        images, _, mask, strength, *_ = self.inputs
        low, *changes = (self.get_layer(name).output for name in ("low", "everywhere", "change"))
        make = Layers(self.seed, "float32")
        edited = recoloured(make, low, 1, *(changes if stage == "small" else changes[:1]))
        return keras.Model(self.inputs, make(Strengthened)([images, edited, strength, mask]))

    def freeze_words(self):
        """Train no longer what the stage `words` trains."""
        for layer in self.part("words").layers:
            layer.trainable = False

    @functools.cached_property
    def view_of(self) -> keras.Model:
        """From tokens and their mask to the weight that the prompt gives to each of VIEWS: [b, VIEWS]."""
        return keras.Model(self.inputs[1:3], self.get_layer("view").output)

    def views(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The number of the view that each prompt asks for [n]: of token embeddings [n, t, d] and masks [n, t]."""
        return np.argmax(self.view_of([tokens, mask]), axis=1)

    def get_config(self) -> dict[str, Any]:
        config = self.settings | {"seed": self.seed, "name": self.name}
        return config | {"dtype": self.precision, "contract": self.contract()}


class Told:
    """A prompted network that does what it has been told last: in the place of a network, as for an `Upscaler`.

    Attributes:
        name: stands for the prompt in the name of a file.
        view: which of VIEWS it makes of whole images, before they are cut into tiles.
        means: the mean colours of the images that it has seen last, which its tiles are of.
    """

    def __init__(self, net: Prompted):
        self.net, self.name, self.view = net, net.name, 0
        self.scale, self.channels, self.context, self.padded = net.scale, net.channels, net.context, net.padded
        shapes = [None, net.settings["text"]], [None], []  # variables, so that another prompt traces nothing again
        self.prompt = [
            tf.Variable(np.zeros([n or 1 for n in shape], np.float32), False, shape=shape) for shape in shapes
        ]
        self.means = tf.Variable(np.zeros([1, 3], np.float32), False, shape=[None, 3])

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
        self.view = int(self.net.views(tokens[None], mask[None])[0]) if strength >= HALF else 0
        for variable, value in zip(self.prompt, (tokens, mask, strength)):
            variable.assign(np.float32(value))

    def seen(self, images: np.ndarray) -> np.ndarray:
        """Whole images [n, h, w, 1 or 3], uint8 or uint16, in the view that was asked for."""
        images = seen(images, self.view)
        self.means.assign(np.broadcast_to(mean_colours(images), [len(images), 3]))
        return images

    def __call__(self, images: Any, **options: Any) -> Any:
        """Tiles [b, h, w, 3] in 0..1, one of each image that was `seen` last, to [b, 4 h, 4 w, 3]."""
        inputs = [*self.prompt, tf.constant(one_of(0))]
        same = [tf.repeat(x[None], tf.shape(images)[0], axis=0) for x in inputs]
        return self.net([images, *same, self.means], **options)
