"""Scores of edits: is what a prompt makes of an image nearest to the picture that was asked for?"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from src.config import InputError
from src.data.triples import Triple
from src.measuring.metrics import EQUAL
from src.superres.instructed import read_pair
from src.superres.prompted import Prompted
from src.superres.upscaler import cut
from src.superres.views import mean_colours, one_of, seen
from src.text.encoder import TextEncoder

Figures = dict[str, float]

N_BATCH, CACHED = 32, 128
BATCH_PIXELS = 1 << 15  # of low resolution that go through the network at a time, or one image
PROTOCOL = (
    "low resolution: Pillow's bicubic, antialiased, 8 bits; PSNR of red, green and blue, peak 255, no border cut off, "
    "output rounded to 8 bits; siblings: the original and all edited images of it in the file"
)


@dataclasses.dataclass(frozen=True)
class EditScore:
    """How near what was made of a triple's image is, in dB.

    Attributes:
        right: to the edited image.
        unedited: to the original.
        sibling: to the nearest of the other edited images of the same original; -inf without one.
        shuffled: of what another triple's prompt makes of the image, to the edited image.
    """

    triple: Triple
    right: float
    unedited: float
    sibling: float
    shuffled: float

    @property
    def nearest(self) -> bool:
        """Whether the edited image is nearer than the original and all siblings."""
        return self.right > max(self.unedited, self.sibling)


def score_edits(
    net: Prompted,
    encoder: TextEncoder,
    triples: Sequence[Triple],
    seed: int = 42,
    progress: Callable[[int, int], None] | None = None,
) -> list[EditScore]:
    """The score of each triple, in order.

    Args:
        seed: of the shuffled prompts.
        progress: called with the triples done and all.

    Raises:
        InputError: a triple whose images differ in size.
    """
    order = np.random.default_rng(seed).permutation(len(triples))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)  # none keeps its own
    right = made(net, encoder, triples, [t.instruction for t in triples])
    wrong = made(net, encoder, triples, [triples[i].instruction for i in other])
    picture = functools.lru_cache(CACHED)(read_pair)  # of one image there are many triples, as a rule side by side
    siblings, scores = {}, []
    for triple in triples:
        siblings.setdefault(triple.image, {})[triple.edited] = None
    for triple, output, shuffled in zip(triples, right, wrong):
        others = [path for path in siblings[triple.image] if path != triple.edited]
        targets = [picture(path)[1] for path in (triple.edited, triple.image, *others)]
        if any(target.shape != output.shape for target in targets):
            raise InputError(f"{triple.edited}: images of a triple differ in size; make the triples anew")
        own, unedited, *nearby = (decibels(output, target) for target in targets)
        scores.append(EditScore(triple, own, unedited, max(nearby, default=-np.inf), decibels(shuffled, targets[0])))
        if progress:
            progress(len(scores), len(triples))
    return scores


def made(
    net: Prompted, encoder: TextEncoder, triples: Sequence[Triple], prompts: Sequence[str]
) -> Iterator[np.ndarray]:
    """What a prompt each makes of the low resolution of triples' images, uint8 [4 h, 4 w, 3], in order."""
    longest = max(len(encoder.numbers(prompt)) for prompt in set(prompts))  # so that nothing is traced again
    edge, edited = net.context, tf.function(lambda *inputs: cut(net(inputs), net.scale * net.context), autograph=False)
    lows = ((read_pair(triple.image)[0], prompt) for triple, prompt in zip(triples, prompts))
    for shape, same in itertools.groupby(lows, lambda pair: pair[0].shape):
        together = max(1, min(N_BATCH, BATCH_PIXELS // (shape[0] * shape[1])))
        while part := list(itertools.islice(same, together)):
            told = encoder.encode([prompt for _, prompt in part], longest)
            images = np.concatenate([seen(low[None], view) for (low, _), view in zip(part, net.views(*told))])
            means = mean_colours(images)
            images = np.pad(images, [(0, 0), (edge, edge), (edge, edge), (0, 0)], "reflect")
            y = edited(np.float32(images) / 255, *told, *itself(len(part)), means).numpy()
            yield from np.uint8(np.rint(np.clip(y, 0, 1) * 255))


def itself(n):
    """Strengths [n] of 1 and weights [n, VIEWS] of views that have been chosen."""
    return np.ones(n, np.float32), np.tile(one_of(0), (n, 1))


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR of two uint8 images [h, w, 3], red, green and blue, of at most EQUAL dB."""
    error = np.mean((a.astype(np.float32) - b) ** 2)
    return float(min(EQUAL, 10 * np.log10(255**2 / max(error, 1e-9))))


def figures(scores: Sequence[EditScore]) -> Figures:
    """Means over triples, in dB, and the share whose edited image is the nearest of all.

    `margin` is how much nearer the edited image is than the original, `over sibling` than the nearest other edited
    image, `heard` how much is lost with another triple's prompt.
    """
    with_siblings = [s for s in scores if np.isfinite(s.sibling)]
    return {
        "triples": len(scores),
        "psnr": float(np.mean([s.right for s in scores])),
        "margin": float(np.mean([s.right - s.unedited for s in scores])),
        "over sibling": float(np.mean([s.right - s.sibling for s in with_siblings])) if with_siblings else float("nan"),
        "nearest": float(np.mean([s.nearest for s in scores])),
        "heard": float(np.mean([s.right - s.shuffled for s in scores])),
    }


def by_kind(scores: Sequence[EditScore]) -> dict[str, Figures]:
    """`figures` of each kind of edit and phrasing, and of all: by a name such as `sepia, held out`."""
    groups: dict[str, list[EditScore]] = {}
    for score in scores:
        parts = [part for part in (score.triple.kind, score.triple.phrasing) if part]
        names = {", ".join(parts) or "all", f"all, {score.triple.phrasing}" if score.triple.phrasing else "all", "all"}
        for name in names:
            groups.setdefault(name, []).append(score)
    return {name: figures(groups[name]) for name in sorted(groups, key=lambda name: (name.startswith("all"), name))}
