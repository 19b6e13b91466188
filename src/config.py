"""Sizes, folders and the one kind of error that is the user's to mend. Imports nothing heavy."""

import dataclasses
import math
import re
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
INSTALLED = not (CLONE / "run.py").exists()
ROOT = Path.cwd() if INSTALLED else CLONE
DOWNLOADS = ROOT / "downloads"
SAVE_DIR = ROOT / "save"
PRETRAINED = Path(__file__).resolve().parent / "pretrained" if INSTALLED else CLONE / "pretrained"
BUNDLED, BUNDLED_GREY = PRETRAINED / "igpt-emoji", PRETRAINED / "igpt-fashion-mnist"
GREY_POSITIONS = 28 * 28  # of the latter
INCEPTION_GRAPH = "classify_image_graph_def.pb"  # the file's name in its archive
GUIDANCES = 1e-3, 10.0  # how far a drawing may go on from a guide's logits
MOST_PICTURES = 1 << 18  # of one drawing, all in one folder


def one_line(value: object, most: int = 80) -> str:
    """A value, such as a text that quotes a file, without line breaks and control characters, cut to a length."""
    text = str(value)
    if len(text) <= most and text.isprintable():
        return text
    line = "".join(c if c.isprintable() else " " for c in text[:most])
    return line if len(text) <= most else f"{line}..."


class InputError(ValueError):
    """A file, option or array that cannot be used; the message, one line, says which, why, and what to do.

    Options stand in it as fields in backquotes, such as `n_px`; a command shows them as its flags (`src.cli.process`).
    """

    def __init__(self, message: str):  # of a file's contents, whatever may be long is cut where it is quoted
        super().__init__(one_line(message, 1 << 13))


@dataclasses.dataclass(frozen=True)
class HParams:
    """The shape of one Image GPT; field names and defaults are the release's flags.

    `classes` is 0 where there is no trained classifier.
    """

    n_px: int = 32
    n_embd: int = 512
    n_head: int = 8
    n_layer: int = 24
    n_vocab: int = 512
    bert: bool = False
    bert_mask_prob: float = 0.15
    classes: int = 0

    def __post_init__(self):
        for name in ("n_px", "n_embd", "n_head", "n_layer", "n_vocab"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` must be at least 1, not {getattr(self, name)}")
        if self.n_embd % self.n_head:
            raise InputError(f"`n_embd` {self.n_embd} is not a multiple of `n_head` {self.n_head}")
        if not 0 < self.bert_mask_prob < 1:
            raise InputError(f"`bert_mask_prob` must lie between 0 and 1, not {self.bert_mask_prob}")

    @property
    def n_positions(self):
        return self.n_px * self.n_px

    def variable_shapes(self):
        """Checkpoint name to shape, for every variable; the release's names are the code's names."""
        d, e = self.n_embd, self.n_embd // self.n_head
        shapes = {"wpe": (self.n_positions, d), "wte": (self.n_vocab, d), "wtet": (self.n_vocab, d), "ln_f/g": (d,)}
        if not self.bert:
            shapes["sos"] = (d,)
        if self.classes:
            shapes["clf/wclf"] = (self.classes, d)
        for i in range(self.n_layer):
            shapes |= {f"h{i}/attn/{p}_proj": (self.n_head, e, d) for p in "qkvc"}
            shapes |= {f"h{i}/ln_1/g": (d,), f"h{i}/ln_2/g": (d,)}
            shapes |= {f"h{i}/mlp/c_fc/w": (d, 4 * d), f"h{i}/mlp/c_proj/w": (4 * d, d)}
        return {f"model/{name}": shape for name, shape in shapes.items()}


SIZES = {
    "s": HParams(n_embd=512, n_head=8, n_layer=24),
    "m": HParams(n_embd=1024, n_head=8, n_layer=36),
    "l": HParams(n_embd=1536, n_head=16, n_layer=48),
}


def square_side(positions, what):
    """The height and width of an image of so many pixels; InputError, naming `what`, where that is not a square."""
    n_px = math.isqrt(positions)
    if n_px * n_px != positions:
        raise InputError(f"{what} {positions} is not a square")
    return n_px


def hparams_from_shapes(shapes):
    """The HParams that a checkpoint's variables imply.

    Args:
        shapes: variable name to shape, as `HParams.variable_shapes` gives them.

    Raises:
        InputError: a variable that the sizes are read from is missing or has another rank, or names no possible block.
    """

    def dims(name, rank):
        if name not in shapes:
            raise InputError(f"the variable {name} is missing")
        if len(shapes[name]) != rank:
            raise InputError(f"the variable {name} has shape {list(shapes[name])}, not {rank} dimensions")
        return shapes[name]

    positions, n_embd = dims("model/wpe", 2)
    numbers = [match[1] for match in map(re.compile(r"model/h([0-9]+)/").match, shapes) if match]
    last = max(numbers, key=lambda digits: (len(digits), digits), default="0")
    if len(last) > 9 or int(last) >= len(shapes):  # before every name is made
        raise InputError(f"model/h{last[:20]} is named as a block, but there are {len(shapes)} variables in all")
    return HParams(
        n_px=square_side(positions, "the positions of model/wpe:"),
        n_embd=n_embd,
        n_head=dims("model/h0/attn/q_proj", 3)[0],
        n_layer=int(last) + 1,
        n_vocab=dims("model/wte", 2)[0],
        bert="model/sos" not in shapes,
        classes=dims("model/clf/wclf", 2)[0] if "model/clf/wclf" in shapes else 0,
    )


def check_shapes(found, expected):
    """Raise InputError with the difference, if any, between two maps of name to shape."""
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [
        f"{name} is {list(found[name])}, expected {list(shape)}"
        for name, shape in expected.items()
        if tuple(found.get(name, shape)) != shape
    ]
    if wrong:
        raise InputError("; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""))
