"""Image files to files several times as large, and a sheet that shows them beside bicubic and other networks."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.images import write_png
from src.data.pictures import Picture
from src.data.sheets import write_sheet
from src.files import short_name, unique, unused
from src.superres.bundled import FILES, bundled_file, find_network
from src.superres.enlarging import Choice, Enlarged, enlarge_files
from src.superres.prompts import Editor, Prompts
from src.superres.upscaler import Upscaler

FEW, FEW_GREYS = 512, 32  # colours of a palette; a grey photograph of 8 bits never has more than 256
SHOWN = 8  # images on a sheet
OTHERS = {"srresnet": ("espcn",), "srgan": ("espcn", "srresnet"), "prompted": ("srresnet",)}  # whose a sheet shows, too


@dataclasses.dataclass(frozen=True)
class UpscaleOptions:
    """How images are enlarged, and where they go.

    Attributes:
        save_dir: folder for the enlarged images and the sheet.
        scale: by default 4, or that of the network in `weights`.
        weights: files of a trained network, of several the mean; by default a bundled one.
        degradation: which bundled one: `clean`, or `palette` for images of few colours; by default as each image needs.
        prompts: what a prompt-guided network makes of each image.
    """

    save_dir: str | Path
    scale: int | None = None
    weights: tuple[str, ...] = ()
    degradation: str | None = None
    prompts: Prompts = dataclasses.field(default_factory=Prompts)


@dataclasses.dataclass(frozen=True)
class Upscaled:
    """What was written.

    Attributes:
        paths: the enlarged images, in the order of the images they were made of.
        sheet: the sheet, or None where there is no image.
        columns: what stands side by side on it.
        skipped: the errors of files that could not be read.
    """

    paths: list[Path]
    sheet: Path | None
    columns: list[str]
    skipped: list[InputError]


def upscale_paths(
    paths: Sequence[str | Path],
    network_name: str,
    options: UpscaleOptions,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Upscaled:
    """Write NAME_espcn_x4.png and so on for every image file, and espcn.png with some of them side by side.

    Of a prompt-guided network it is NAME_make-it-night_x4.png for each prompt, and prompted.png.

    Args:
        paths: of image files, such as `src.data.images.find_images` lists.
        network_name: `espcn`, `srresnet`, `srgan` or `prompted`.
        progress: called with the files done and all files.
        report: called with a line for each network that is used.

    Raises:
        InputError: no such network, or not a network.
    """
    report, times = report or (lambda line: None), max(1, len(options.prompts.prompts))
    paths, others = list(dict.fromkeys(paths)), compared(network_name, options)
    names = dict(zip(paths, unique([short_name(path) for path in paths])))
    written, rows, captions, skipped = {}, {}, [], []
    place = places(options.save_dir, paths)

    def write(entry):
        target = place(f"{names[entry.path]}_{entry.upscaler.net.name}_x{entry.upscaler.scale}")
        write_png(target, entry.image)
        return target

    with ThreadPoolExecutor() as pool:
        for number, (caption, choose) in enumerate(outputs(network_name, options, report)):
            skipped = []  # the same files each time
            for batch in enlarge_files(paths, choose, skipped.append):
                for entry, target in zip(batch, pool.map(write, batch)):
                    written[entry.path, number] = target
                    if progress:
                        progress(len(written) + len(skipped) * (number + 1), len(paths) * times)
                show(rows, batch, others)
                caption = caption or batch[-1].upscaler.net.name
                del batch, entry  # none is kept while the next is made
            captions.append(caption)
    sheet, columns = None, []
    if rows:
        sheet = place("prompted" if network_name == "prompted" else captions[-1])
        columns = ["input", "bicubic", *others, *captions]
        write_sheet(sheet, list(rows.values()), columns)
    order = [(path, number) for path in paths for number in range(times)]
    return Upscaled([written[key] for key in order if key in written], sheet, columns, skipped)


def places(folder: str | Path, inputs: Sequence[str | Path]) -> Callable[[str], Path]:
    """A function of a name to the path of a PNG in a folder, which is that of none of the inputs."""
    taken = {os.path.realpath(path) for path in inputs}

    def place(name):
        path = Path(folder, f"{name}.png")
        return unused(path) if os.path.realpath(path) in taken else path

    return place


def compared(name: str, options: UpscaleOptions) -> dict[str, Choice]:
    """Name to choice of the networks whose outputs a sheet shows, too."""
    if name == "prompted" and not options.prompts.prompts:  # SRResNet's are what it makes
        return {}
    degradation = "clean" if name == "prompted" else None  # prompts edit what that SRResNet makes
    beside = UpscaleOptions(options.save_dir, degradation=degradation)
    return {other: choice(other, beside) for other in OTHERS.get(name, ())}


def show(rows: dict[str | Path, list[np.ndarray]], batch: Sequence[Enlarged], others: dict[str, Choice]):
    """Add the tiles of enlarged pictures to the rows of a sheet: path to tiles, the first with all that is compared."""
    for entry in batch:
        if entry.path in rows:
            rows[entry.path] += entry.compared([])[-1:]
        elif len(rows) < SHOWN:
            rows[entry.path] = entry.compared([choose(entry.picture) for choose in others.values()])


def outputs(name: str, options: UpscaleOptions, report: Callable[[str], None]) -> Iterator[tuple[str, Choice]]:
    """Yield (caption, choice) for all that is made of each image: one, or one for each prompt in turn."""
    if name != "prompted":
        yield "", choice(name, options, report)
        return
    prompts, editor = options.prompts, Editor(options.weights, options.prompts.text, report)
    if not prompts.prompts:
        yield "", lambda picture: editor.plain
    for prompt, upscaler in editor.edits(prompts.prompts, prompts.strength):
        yield prompt, lambda picture, upscaler=upscaler: upscaler


def choice(name: str, options: UpscaleOptions, report: Callable[[str], None] = lambda line: None) -> Choice:
    """A function of a picture that returns what to enlarge it with.

    That is the network for palettes, if there is one, where an image has as few colours as Image GPT's have.
    """

    @functools.cache
    def load(*files):
        net, listed = find_network(name, files, options.scale)
        report(f"network: {listed}")
        return Upscaler(net)

    def bundled(degradation):
        return load(bundled_file(name, options.scale, degradation))

    def choose(picture):
        few = (name, options.scale or 4, "palette") in FILES and has_few_colours(picture)
        return bundled("palette" if few else "clean")

    if options.weights:
        return lambda picture: load(*options.weights)
    return (lambda picture: bundled(options.degradation)) if options.degradation else choose


def has_few_colours(picture: Picture) -> bool:
    """Whether a picture of 8 bits has at most FEW colours, or of greys FEW_GREYS."""
    grey = picture.colours.shape[2] == 1
    colours, most = (picture.colours[..., 0], FEW_GREYS) if grey else (picture.colours, FEW)
    return colours.dtype == np.uint8 and Image.fromarray(colours).getcolors(most) is not None
