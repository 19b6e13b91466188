"""Enlarging a visitor's picture by several networks, tile by tile."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from src.config import InputError
from src.page.uploads import png, read_upload
from src.superres.enlarging import Canvas, Choice, fill
from src.superres.prompts import Editor
from src.superres.upscaling import UpscaleOptions, choice

AROUND = 12  # pixels around a picture that networks look at, too
LARGE, SMALL = ((16 * (side + 2 * AROUND) ** 2) for side in (1024, 512))  # squares of them four times as large
PIXELS = {"espcn": LARGE, "srresnet": SMALL, "srgan": SMALL, "prompted": SMALL}  # at most: half a minute
TITLES = {"espcn": "ESPCN", "srresnet": "SRResNet", "srgan": "SRGAN", "prompted": "As told"}


@functools.cache
def chooser(name: str, scale: int) -> Choice:
    """`choice` of a bundled network, kept with what it has loaded.

    Raises:
        InputError: none is bundled.
    """
    return choice(name, UpscaleOptions("", scale))


@functools.cache
def editor() -> Editor:
    """The bundled prompt-guided network, kept with its text encoder."""
    return Editor()


def told(prompt: str, scale: int) -> Choice:
    """What does as a prompt says; InputError at another scale than its own."""
    if scale != editor().upscaler.scale:
        raise InputError("`prompt`: is for pictures four times as large; choose that, or leave it empty")
    ((_, upscaler),) = editor().edits([prompt])
    return lambda picture: upscaler


def enlarge(path: Path, networks: list[str], scale: int, prompt: str | None = None) -> Iterator[dict]:
    """Steps: the share done of each network's work, the enlarged pictures, each in the end a PNG in base64.

    A prompt asks for the network that does what it says, too. The first picture is bicubic; a network's file is that of
    espcn.py, srgan.py or prompt_sr.py. For a network for which the picture is too large there is a note instead.

    Raises:
        InputError: as for `read_upload`, no such network, or a picture that is too large for all of them.
    """
    networks = [*networks, *(["prompted"] if prompt else [])]
    if not networks:
        raise InputError("the request: no network and no prompt; choose one")
    picture = read_upload(path)
    width, height = picture.image.size
    pixels = (width + 2 * AROUND) * (height + 2 * AROUND) * scale**2
    large = [name for name in networks if pixels > PIXELS[name]]
    sides = {name: math.isqrt(PIXELS[name]) // scale - 2 * AROUND for name in large}
    limits = (f"{TITLES[name]} takes up to about {side} squared" for name, side in sides.items())
    note = f"{width}x{height} pixels at x{scale}: {', '.join(limits)} here; the command line takes far more"
    if len(large) == len(networks):
        raise InputError(note)
    if large:
        yield {"note": note}
    usable = [name for name in networks if name not in large]
    choosers = {name: told(prompt, scale) if name == "prompted" else chooser(name, scale) for name in usable}
    bicubic = picture.on_white().resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    yield {"network": "bicubic", "title": "bicubic", "file": png(bicubic)}
    for name, choose in choosers.items():
        upscaler = choose(picture)
        canvas = Canvas(picture, scale)
        for done in fill([canvas], picture.colours[None], upscaler):
            yield {"share": done, "title": TITLES[name]}
        yield {"network": name, "title": TITLES[name], "file": png(canvas.finished())}
