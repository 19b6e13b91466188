"""Triples (image, instruction, edited image) as batches for a prompt-guided network."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from src.config import InputError
from src.data.grain import SIDE
from src.data.images import read_image
from src.data.triples import Triple, read_triples
from src.superres.degradation import low_resolution
from src.superres.photographs import TrainingData, fingerprint
from src.superres.prompted import Prompted
from src.text.encoder import TextEncoder

TRAIN, VALID = "train.jsonl", "valid.jsonl"
HELD_OUT = 20  # every such image of a file validates that has no VALID beside it
SCORED = 64  # triples at most that a network is validated on
ERRORS = "log(1 + relative absolute error), none beyond black and white"  # that are lowered: others make another run
GRAIN = SIDE // 4  # crops start at multiples of it, where film grain begins again
HELD, PROMPTS = 1 << 29, 1 << 12  # bytes of images, and prompts, that are held in memory

Example = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # low resolution, tokens, mask, high resolution


@dataclasses.dataclass(frozen=True)
class InstructedOptions:
    """What a prompt-guided network is trained on.

    Attributes:
        train: a folder of triples.
        triples: files of it; by default every train.jsonl anywhere below it. A valid.jsonl beside one validates;
            of one without, one image in HELD_OUT does, with all its edits.
        patch: low-resolution pixels on a side of a crop.
        noise: standard deviation of Gaussian noise that is added to low resolution, of a range of 1.
        word_noise: that of noise which is added to all of a prompt's embeddings alike, as a share of their mean's size.
        seed: of everything drawn.
        stage: one of `prompted.STAGES`; edited images are as small as the others in all but `large`.
        freeze_words: leave what the stage `words` trains as it is.
    """

    train: str
    triples: tuple[str, ...] = ()
    patch: int = 32
    noise: float = 0.0
    word_noise: float = 0.0
    seed: int = 42
    stage: str = "large"
    freeze_words: bool = False


class Instructed:
    """Random examples from triples; a batch depends on the seed and its step alone.

    A kind of edit is drawn by the square root of the number of its triples, so that the many do not drown the few.
    """

    def __init__(self, triples: Sequence[Triple], encoder: TextEncoder, options: InstructedOptions):
        """InputError if a prompt is not one for the encoder."""
        self.triples, self.options, self.encoder = triples, options, encoder
        self.times = 4 if options.stage == "large" else 1  # as large as an image is the edited one
        self.length = max(len(encoder.numbers(prompt)) for prompt in {t.instruction for t in triples})
        kinds, of = np.unique([t.kind for t in triples], return_inverse=True)
        counts = np.bincount(of, minlength=len(kinds))
        self.share = (counts**-0.5)[of] / np.sqrt(counts).sum()
        self.picture = Recent(read_pair if options.stage == "large" else read_small, HELD)
        self.tokens = functools.lru_cache(PROMPTS)(self.encoded)

    def signature(self, n_batch: int) -> tuple[tf.TensorSpec, ...]:
        """What `batches` yields: low resolution, tokens, their mask, high resolution."""
        p, t = self.options.patch, self.length
        high = self.times * p
        shapes = [n_batch, p, p, 3], [n_batch, t, self.encoder.width], [n_batch, t], [n_batch, high, high, 3]
        return tuple(tf.TensorSpec(shape) for shape in shapes)

    def batches(self, n_batch: int, first: int, stop: int) -> Iterator[Example]:
        """Yield float32 batches as `signature` has them, images in 0..1, for the steps first..stop-1."""
        for step in range(first, stop):
            rng = np.random.default_rng([self.options.seed, 1, step])
            chosen = rng.choice(len(self.triples), n_batch, p=self.share)
            examples = [self.example(self.triples[i], rng) for i in chosen]
            yield tuple(np.stack(arrays) for arrays in zip(*examples))

    def example(self, triple: Triple, rng: np.random.Generator | None) -> Example:
        """A crop of a triple at random, with noise; one near its middle without where there is no `rng`."""
        (low, _), (after, high), n = self.picture(triple.image), self.picture(triple.edited), self.times
        check_sizes(triple, low, after, self.options.patch)
        p = self.options.patch
        places = (np.array(low.shape[:2]) - p) // GRAIN + 1
        y, x = GRAIN * (rng.integers(0, places) if rng else (places - 1) // 2)
        low, high = low[y : y + p, x : x + p], high[n * y : n * (y + p), n * x : n * (x + p)]
        low, high = np.float32(low) / 255, np.float32(high) / 255
        if rng and self.options.noise:
            low = low + rng.normal(0, self.options.noise, low.shape).astype(np.float32)
        tokens, mask = self.tokens(triple.instruction)
        if rng and self.options.word_noise:
            tokens = in_noise(tokens, mask, self.options.word_noise, rng)
        return low, tokens, mask, high

    def encoded(self, prompt):
        """The tokens of a prompt [t, d] and their mask [t], as long as those of the longest."""
        (tokens,), (mask,) = self.encoder.encode([prompt], self.length)
        return tokens, mask


def in_noise(tokens: np.ndarray, mask: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """The tokens [t, d] of a prompt, moved alike: their mean by noise of so many times its own size.

    So that a prompt in other words, whose mean lies beside it, is heard as this one.
    """
    size = np.sqrt(np.mean(np.mean(tokens[mask > 0], axis=0) ** 2))
    return tokens + np.float32(deviation * size) * rng.standard_normal(tokens.shape[1], np.float32)


class Recent:
    """A function of a path that returns arrays, of which it remembers the latest, so many bytes of them or one."""

    def __init__(self, function: Callable[[Path], tuple[np.ndarray, ...]], most: int):
        self.function, self.most = function, most
        self.found: dict[Path, tuple[np.ndarray, ...]] = {}
        self.bytes = 0

    def __call__(self, path: Path) -> tuple[np.ndarray, ...]:
        arrays = self.found.pop(path, None)
        if arrays is None:
            arrays = self.function(path)
            self.bytes += size(arrays)
        self.found[path] = arrays  # the latest is the last
        while self.bytes > self.most and len(self.found) > 1:
            self.bytes -= size(self.found.pop(next(iter(self.found))))
        return arrays


def size(arrays):
    """Their bytes."""
    return sum(array.nbytes for array in arrays)


def read_pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(low resolution, high resolution) of an image file, uint8 [h, w, 3], cut to a multiple of 4."""
    high, low = low_resolution(np.asarray(read_image(path)), 4)
    return low, high


def read_small(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Low resolution of an image file, twice: what stages on small pictures need, and far more of it can be held."""
    low, _ = read_pair(path)
    return low, low


def check_sizes(triple, low, after, patch):
    """InputError if the images of a triple, given in low resolution, differ in size or are smaller than a crop."""
    sizes = [f"{4 * x.shape[1]}x{4 * x.shape[0]} pixels" for x in (low, after)]
    if low.shape != after.shape:
        raise InputError(f"{triple.edited}: {sizes[1]}, but {triple.image} has {sizes[0]}; make the triples anew")
    if min(low.shape[:2]) < patch:
        raise InputError(f"{triple.image}: {sizes[0]}, but `patch` {patch} needs {4 * patch} on a side; take fewer")


def find_triples(options: InstructedOptions) -> list[Path]:
    """The files that options name.

    Raises:
        InputError: no such folder, or none in it.
    """
    folder = Path(options.train)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    paths = [folder / name for name in options.triples] or sorted(folder.rglob(TRAIN))
    if not paths:
        raise InputError(f"{folder}: no {TRAIN} in it; make one with triples.py, or name others as `triples`")
    return paths


def split(paths: Sequence[Path]) -> tuple[list[Triple], list[Triple]]:
    """(triples to train on, SCORED triples for validation at most)."""
    train, valid = [], {}
    for path in paths:
        triples, beside = read_triples(path), path.with_name(VALID)
        if beside.exists():
            valid |= dict.fromkeys(read_triples(beside))
        else:
            held = {t.image for t in triples if number(t.image) % HELD_OUT == 0}
            valid |= dict.fromkeys(t for t in triples if t.image in held)
            triples = [t for t in triples if not held & {t.image, t.edited}]
        train += triples
    if not train or not valid:
        raise InputError(f"{paths[0]}: too few images to train and to validate on; make more triples")
    return train, sorted(valid, key=lambda t: (number(t.edited, t.instruction), t.edited))[:SCORED]


def number(path, more=""):
    """A number that follows from a file's name alone, not from where it lies."""
    return int(hashlib.sha256(f"{path.name}\0{more}".encode()).hexdigest(), 16)


def load_instructed(options: InstructedOptions, net: Prompted, encoder: TextEncoder) -> TrainingData:
    """What a prompt-guided network is trained and validated on: examples to validate are crops of the middle.

    Raises:
        InputError: no triples, images of other sizes than they need, or an encoder that is not the network's.
    """
    check_encoder(net, encoder)
    paths = find_triples(options)
    train, valid = split(paths)
    pairs = Instructed(train, encoder, options)
    of_valid = Instructed(valid, encoder, options)
    next(pairs.batches(1, 0, 1))  # complains now, not when training has begun
    named = "patch", "noise", "word_noise", "seed", "stage", "freeze_words"
    description = {name: getattr(options, name) for name in named}
    description |= {
        "triples": fingerprint(paths, options.train),
        "images": fingerprint(pictures(train), options.train),
        "validation images": fingerprint(pictures(valid), options.train),
        "validation prompts": hashlib.sha256("\0".join(t.instruction for t in valid).encode()).hexdigest()[:16],
        "text encoder": encoder.fingerprint,
        "errors": ERRORS,
    }
    return TrainingData(pairs, [of_valid.example(t, None) for t in valid], description)


def pictures(triples):
    """The image files of triples."""
    return sorted({path for t in triples for path in (t.image, t.edited)})


def check_encoder(net: Prompted, encoder: TextEncoder):
    """InputError if a network was trained with another encoder."""
    expected: Any = net.settings["encoder"]
    if net.settings["text"] != encoder.width or expected not in ("", encoder.fingerprint):
        found = f"an encoder of {encoder.width} numbers, fingerprint {encoder.fingerprint}"
        wanted = f"{net.settings['text']} and {expected or 'any'}"
        raise InputError(f"`text`: {found}; the network was trained with {wanted}; use that one")
