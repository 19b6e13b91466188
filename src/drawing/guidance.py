"""Guiding a model by a worse one: a colour that the better finds likelier than the worse is drawn more often.

Autoguidance (Karras et al. 2024, Guiding a Diffusion Model with a Bad Version of Itself, arXiv 2406.02507) for colours
drawn one by one: the logits of two networks stand where the outputs of two denoisers do. A smaller network, trained for
a shorter time on the same images, makes the same mistakes more often; going on from its logits through the model's
leads away from them, with less loss of variety than a lower temperature, which sharpens everywhere.
"""

import dataclasses

import numpy as np

from src.config import GUIDANCES, InputError
from src.data.palettes import load_clusters, same_palette
from src.drawing.decoder import Decoder
from src.model import ImageGPT
from src.weights.checkpoint import checkpoint_prefix, load_model, palette_beside

ALIKE = "n_px", "n_vocab", "bert"  # of the model and its guide


@dataclasses.dataclass(frozen=True)
class Guide:
    """A worse model, and how far to go on from its logits: model + guidance * (model - guide).

    Args:
        model: an autoregressive `ImageGPT` of the same images as the one that is guided.
        guidance: above 0; 0.3 suits both bundled guides, see `docs/sampling.md`.

    Raises:
        InputError: `guidance` lies out of its range.
    """

    model: ImageGPT
    guidance: float

    def __post_init__(self):
        low, high = GUIDANCES
        if not low <= self.guidance <= high:
            raise InputError(f"`guidance` {self.guidance}: must lie in {low}..{high:g}")

    @classmethod
    def load(cls, path, guidance: float, clusters: np.ndarray, dtype="float32") -> "Guide":
        """The guide in a checkpoint, for a model of such a palette [n_vocab, 3] in -1..1.

        Raises:
            InputError: no checkpoint, or one of another palette.
        """
        prefix = checkpoint_prefix(path)
        if not same_palette(load_clusters(palette_beside(prefix)), clusters):
            raise InputError(f"`guide` {prefix}: has another palette than the model; take one of the same images")
        return cls(load_model(prefix, dtype=dtype), guidance)

    def check(self, model: ImageGPT):
        """Raise InputError where a model draws other images than this guide."""
        for name in ALIKE:
            ours, theirs = (getattr(m.hparams, name) for m in (self.model, model))
            if ours != theirs:
                raise InputError(f"`guide`: has {name} {ours}, the model {theirs}; take one of the same images")


class GuidedDecoder:
    """What `Decoder` offers, for a model and its guide side by side: weights and caches are pairs of both's."""

    def __init__(self, model: ImageGPT, guide: Guide, *, compiled: bool = False):
        self.guidance = guide.guidance
        self.decoders = [Decoder(m, compiled=compiled) for m in (model, guide.model)]

    def weights(self):
        return [decoder.weights() for decoder in self.decoders]

    def empty(self, tokens):
        return [decoder.empty(tokens) for decoder in self.decoders]

    def prefill(self, tokens, given, weights):
        return [decoder.prefill(tokens, given, w) for decoder, w in zip(self.decoders, weights)]

    def advance(self, tokens, t, caches, weights):
        """Guided logits [b, v] of position t, and both caches with it."""
        steps = [d.advance(tokens, t, c, w) for d, c, w in zip(self.decoders, caches, weights)]
        (logits, guide), filled = zip(*steps)
        return logits + self.guidance * (logits - guide), list(filled)
