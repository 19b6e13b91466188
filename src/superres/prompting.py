"""Training a prompt-guided network on triples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from src import hosts
from src.measuring.metrics import bounded_psnr
from src.superres.instructed import Example, InstructedOptions, load_instructed
from src.superres.perceptual import absolute_distance
from src.superres.photographs import TrainingData
from src.superres.pixel import PixelRecipe, PixelTask
from src.superres.prompted import Prompted
from src.superres.stages import Session, Trained, find_run, learn, plotted, start_from
from src.text.encoder import TextEncoder
from src.training.loop import Figures

FAINTEST = 1.5e-2  # mean absolute difference, of 0..1, below which what is asked for weighs no more


class PromptTask(PixelTask):
    """`PixelTask` for examples with prompts: what is lowered is log(1 + error), relative to what they ask for.

    Otherwise inverting a photograph would count ten times as much as the skin tone of a hand; and an example that goes
    far wrong, whose gradient the logarithm bounds, would throw back all others. Errors are absolute: of squared ones
    the least is a mean, so that whatever may be skin or not became half as dark as it should.
    """

    def __init__(self, net: Prompted, data: TrainingData, recipe: PixelRecipe, path: Path, stage: str = "large"):
        """`stage` is one of `prompted.STAGES`, which the data were made for."""
        super().__init__(net, data, recipe, path, net.part(stage))
        self.predict = tf.function(lambda *inputs: self.learner(self.taken(inputs)), autograph=False)

    def taken(self, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        return self.net.completed(inputs)

    @staticmethod
    def errors(low: tf.Tensor, made: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
        made = tf.where(tf.clip_by_value(made, 0, 1) == high, high, made)  # whiter than white is white
        return tf.math.log1p(absolute_distance(made, high) / (asked_for(low, high) + FAINTEST))

    def validate(self) -> Figures:
        return {"psnr": float(np.mean(hosts.current().divided(self.data.valid, self.scored)))}

    def scored(self, example: Example) -> float:
        """PSNR in dB, of red, green and blue, of what the network makes of an example."""
        *inputs, high = example
        return psnr_of(self.predict(*(x[None] for x in inputs))[0].numpy(), high)


def asked_for(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """How far an image [b, h, w, 3], enlarged by bicubic, is from its edited one, as mean absolute difference: [b]."""
    return absolute_distance(tf.image.resize(low, high.shape[1:3], "bicubic"), high)


def psnr_of(made: np.ndarray, high: np.ndarray) -> float:
    """PSNR in dB of two images [h, w, 3] in 0..1, rounded to 8 bits, red, green and blue."""
    a, b = (np.uint8(np.rint(np.clip(x, 0, 1) * 255)) for x in (made, high))
    return bounded_psnr(a, b, border=0, channel="rgb")


def train_on_triples(
    net: Prompted, options: InstructedOptions, recipe: PixelRecipe, session: Session, encoder: TextEncoder
) -> Trained:
    """Train a network, made under the session's strategy, until its validation PSNR no longer rises.

    Raises:
        InputError: unsuitable triples, `weights` or encoder, or the folder holds another run.
    """
    data = load_instructed(options, net, encoder)
    if session.weights:
        start_from(session.weights, net)
    if options.freeze_words:
        net.freeze_words()
    part = net.part(options.stage)
    plain = (part(net.completed([low[None]]))[0].numpy() for low, *_ in data.valid)
    unedited = float(np.mean([psnr_of(image, high) for image, (*_, high) in zip(plain, data.valid)]))
    with find_run(net, data, recipe, session) as run:
        with session.strategy.scope():
            task = PromptTask(net, data, recipe, run.path / "best.keras", options.stage)
        learn(task, run, recipe, session)
        return plotted(run, Trained(task.path, float(task.best.numpy()), unedited, len(data.valid)))
