"""Whether something fits into this machine's memory, worked out from its sizes before it is tried."""

import dataclasses
import math
import os

from src.config import HParams, InputError

GIB = 1 << 30
FLOAT = 4  # bytes
BATCHES = 3  # of training held at a time: one in use, two made ahead
STATE = 4  # numbers that training holds of each parameter: itself, its gradient, and Adam's two moments


def physical() -> float:
    """The bytes of this machine's memory; infinity where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return math.inf


def check_fits(needed: int, cause: str, remedy: str = "take fewer"):
    """See that so many bytes, which are at least what is needed, are not more than there are.

    Args:
        cause: what they are needed for, such as "`n_batch` 128".

    Raises:
        InputError: they are.
    """
    if needed > physical():
        sizes = f"{needed / GIB:,.0f} GiB of memory or more, here are {physical() / GIB:.0f} in all"
        raise InputError(f"{cause}: takes {sizes}; {remedy}")


def parameters(hparams: HParams) -> int:
    """The number of a model's parameters, without a name for each."""
    shapes = dataclasses.replace(hparams, n_layer=1).variable_shapes()
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    block = sum(size for name, size in sizes.items() if name.startswith("model/h0/"))
    return sum(sizes.values()) + (hparams.n_layer - 1) * block


def cache_bytes(hparams: HParams, item: int = FLOAT) -> int:
    """The bytes of the keys and values of one image that is drawn."""
    return hparams.n_layer * 2 * hparams.n_positions * hparams.n_embd * item


def activation_bytes(hparams: HParams, item: int = FLOAT, *, training: bool = False, recompute: bool = False) -> int:
    """The bytes of what one image leaves in the network at the least: logits, and the layers of a block or of all.

    A block's layers are the norms (2), queries, keys and values (3), attention (1), and the MLP's (4 and 4).
    """
    blocks = hparams.n_layer if training and not recompute else 1
    inputs = hparams.n_layer if training else 1
    block = item * hparams.n_embd
    return hparams.n_positions * ((14 * blocks + inputs) * block + FLOAT * hparams.n_vocab)


def batch_bytes(positions: int) -> int:
    """The bytes of one image in the batches of a training: its tokens, the numbers of its mask, and what draws them."""
    return BATCHES * positions * (4 + 4) + positions * 8
