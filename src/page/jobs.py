"""Requests: what each may say, checked before anything is done, and the steps that answer it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from src.config import InputError
from src.drawing.sampling import SamplingOptions
from src.files import parse_json
from src.page.enlarging import TITLES, enlarge
from src.page.growing import COUNTS, DrawingOptions, completions, samples
from src.page.insights import inside
from src.page.models import Models, listing
from src.page.turns import Turns
from src.page.uploads import look_at, photograph, seen
from src.schema import Integer, ListOf, OneOf, Real, Text, check

SIDE = 1 << 25  # pixels: no picture is wider
MODEL = {"model": Text(r"[^/\\]{1,255}", "the name of a model")}
CROP = {"crop": ListOf(Integer(0, SIDE), 4, 4)}
SAMPLING = {
    "n_samples": OneOf(COUNTS),
    "seed": Integer(0, 2**31 - 1),
    "temperature": Real(0, 1e4),
    "top_k": Integer(1, 1 << 24),
    "top_p": Real(0, 1),
}
NETWORKS = ListOf(OneOf(tuple(sorted(TITLES.keys() - {"prompted"}))), 0, len(TITLES))  # a prompt asks for that one
OPTIONAL = "crop", "top_k", "top_p", "prompt"
SCHEMAS = {  # kind of request to what it says
    "models": {},
    "open": {},
    "see": MODEL | CROP,
    "complete": MODEL | SAMPLING | CROP | {"keep_rows": Integer(0, 1 << 16)},
    "draw": MODEL | SAMPLING,
    "enlarge": {"networks": NETWORKS, "scale": OneOf((2, 3, 4)), "prompt": Text(r"[^\x00-\x1f]{1,256}", "a prompt")},
    "inside": MODEL | {"position": Integer(0, 1 << 24)},
}
LABELS = {  # option to what the page calls it
    "keep_rows": "Rows to keep",
    "n_samples": "Images",
    "seed": "Seed",
    "temperature": "Temperature",
    "top_k": "Top-k",
    "top_p": "Top-p",
    "crop": "Crop",
    "scale": "Times as large",
    "prompt": "Prompt",
}


def worded(message: str) -> str:
    """A message of the library with its options as the page calls them."""
    return re.sub(r"`(\w+)`", lambda field: f"“{LABELS.get(field[1], field[1])}”", message)


def understood(kind: str, text: bytes) -> dict[str, Any]:
    """What a request of a kind says in JSON; what it leaves out or says null to is not there.

    Raises:
        InputError: it says something else than its kind may.
    """
    if kind not in SCHEMAS:
        raise InputError("the request: of no kind that is known here")
    said = {name: value for name, value in parse_json(text, "the request", dict).items() if value is not None}
    if unknown := said.keys() - SCHEMAS[kind].keys():
        raise InputError(f"the request: {sorted(unknown)[0]!a} is not known to {kind}")
    check(said, SCHEMAS[kind], "the request", OPTIONAL)
    return said


class Desk:
    """Answers requests; what needs a model or a network is done for one visitor at a time.

    Args:
        models: what there is to draw with.
    """

    def __init__(self, models: Models):
        self.models, self.work, self.glances = models, Turns(), Turns()

    def answer(self, kind: str, text: bytes, path: Path) -> Iterator[dict]:
        """The steps of an answer; closing the iterator between two of them ends the work, and another's begins.

        Args:
            kind: one of SCHEMAS.
            text: JSON.
            path: of the picture that came with the request, empty where there is none, in a folder of its own.

        Raises:
            InputError: the request, or its picture, cannot be used.
        """
        try:
            said = understood(kind, text)
            quick = kind in ("models", "open", "see")
            turns = self.glances if quick else self.work
            with turns.ticket() as ticket:
                for place in turns.places(ticket):
                    yield {"place": place}
                yield from self.quick(kind, said, path) if quick else self.slow(kind, said, path)
        except InputError as error:
            raise InputError(worded(str(error))) from error
        except OSError as error:
            raise InputError(f"a file cannot be read or written here ({error.strerror})") from error
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            raise InputError("this takes more memory than there is; take fewer images, or a smaller model") from error

    def quick(self, kind: str, said: dict, path: Path) -> Iterator[dict]:
        """What needs no model in memory."""
        if kind == "models":
            yield {"models": listing(self.models)}
        elif kind == "open":
            yield look_at(path)
        else:
            hparams, clusters = self.models.palette(said["model"])
            yield seen(photograph(path, hparams, clusters, box(said)), hparams)

    def slow(self, kind: str, said: dict, path: Path) -> Iterator[dict]:
        """What does."""
        yield {"place": 0}
        if kind == "enlarge":
            yield from enlarge(path, list(dict.fromkeys(said["networks"])), said["scale"], said.get("prompt"))
            return
        loaded = self.models.load(said["model"])
        if kind == "inside":
            yield from inside(loaded, said["position"], path)
        elif kind == "draw":
            yield from samples(loaded, drawing(said), path.parent)
        else:
            yield from completions(loaded, drawing(said), path)


def box(said: dict) -> tuple | None:
    """The crop that a request asks for."""
    return tuple(said["crop"]) if "crop" in said else None


def drawing(said: dict) -> DrawingOptions:
    """The options of a drawing that a request asks for.

    Raises:
        InputError: a value out of its range.
    """
    sampling = SamplingOptions(said["seed"], said["temperature"], said.get("top_k"), said.get("top_p"))
    return DrawingOptions(said["n_samples"], sampling, said.get("keep_rows"), box(said))
