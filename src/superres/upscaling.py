"""Image files to files several times as large, and a sheet that shows them beside bicubic and other networks."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.images import Picture, canvas_for, finished, read_picture, write_png
from src.data.sheets import side_by_side, write_sheet
from src.files import unique
from src.superres.bundled import FILES, bundled_file, find_network
from src.superres.upscaler import BATCH_PIXELS, Upscaler

FEW = 512  # colours
SHOWN = 8  # images on a sheet
COMPARED = {"srresnet": ("espcn",), "srgan": ("espcn",)}  # whose outputs a sheet shows, too

Choice = Callable[[Picture], Upscaler]


@dataclasses.dataclass(frozen=True)
class UpscaleOptions:
    """How images are enlarged, and where they go.

    Attributes:
        save_dir: folder for the enlarged images and the sheet.
        scale: by default 4, or that of the network in `weights`.
        weights: files of a trained network, of several the mean; by default a bundled one.
        degradation: which bundled one: `clean`, or `palette` for images of few colours; by default as each image needs.
    """

    save_dir: str | Path
    scale: int | None = None
    weights: tuple[str, ...] = ()
    degradation: str | None = None


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

    Args:
        paths: of image files, such as `src.data.images.find_images` lists.
        network_name: `espcn`, `srresnet` or `srgan`.
        progress: called with the files done and all files.
        report: called with a line for each network that is used.

    Raises:
        InputError: no such network, or not a network.
    """
    choose = choice(network_name, options, report or (lambda line: None))
    others = {name: choice(name, UpscaleOptions(options.save_dir)) for name in COMPARED.get(network_name, ())}
    names = dict(zip(paths, unique([Path(path).stem for path in paths])))
    written, rows, columns, skipped = {}, [], [], []

    def write(entry):
        target = f"{names[entry.path]}_{entry.upscaler.net.name}_x{entry.upscaler.scale}.png"
        write_png(Path(options.save_dir) / target, entry.image)
        return Path(options.save_dir) / target

    with ThreadPoolExecutor() as pool:
        for batch in enlarge_files(paths, choose, skipped.append):
            for entry, target in zip(batch, pool.map(write, batch)):
                written[entry.path] = target
                if progress:
                    progress(len(written) + len(skipped), len(paths))
            for entry in batch[: SHOWN - len(rows)]:
                columns = ["input", "bicubic", *others, entry.upscaler.net.name]
                rows.append(entry.compared([choose_other(entry.picture) for choose_other in others.values()]))
    sheet = Path(options.save_dir) / f"{columns[-1]}.png" if rows else None
    if sheet:
        write_sheet(sheet, rows, columns)
    return Upscaled([written[path] for path in paths if path in written], sheet, columns, skipped)


def choice(name: str, options: UpscaleOptions, report: Callable[[str], None] = lambda line: None) -> Choice:
    """A function of a picture that returns what to enlarge it with.

    That is the network for palettes, if there is one, where an image has at most FEW colours, as Image GPT's have.
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
    """Whether a picture of 8 bits has at most FEW colours."""
    colours = picture.colours if picture.colours.shape[2] == 3 else picture.colours[..., 0]
    return colours.dtype == np.uint8 and Image.fromarray(colours).getcolors(FEW) is not None


@dataclasses.dataclass(frozen=True, eq=False)
class Enlarged:
    """A picture of a file, and a Pillow image of the same mode that an upscaler made of it."""

    path: str | Path
    picture: Picture
    upscaler: Upscaler
    image: Image.Image

    def compared(self, others: Sequence[Upscaler]) -> list[np.ndarray]:
        """Tiles of a sheet: input, bicubic, what other networks make of it, and the image."""
        return side_by_side(self.picture, [self.image], self.upscaler.scale, others)


def enlarge_files(
    paths: Iterable[str | Path], choose: Choice, skipped: Callable[[InputError], None]
) -> Iterator[list[Enlarged]]:
    """Enlarge image files, those of equal sizes together, in bounded memory.

    Args:
        choose: what to enlarge a picture with.
        skipped: called with the error of each file that is not a readable image.
    """
    groups, pixels = {}, 0
    for path in paths:
        try:
            picture = read_picture(path)
        except InputError as error:
            skipped(error)
            continue
        key = choose(picture), picture.colours.shape, picture.colours.dtype
        groups.setdefault(key, []).append((path, picture))
        pixels += picture.colours[..., 0].size
        if pixels >= BATCH_PIXELS:
            yield from enlarged_groups(groups)
            groups, pixels = {}, 0
    yield from enlarged_groups(groups)


def enlarged_groups(groups):
    """A list of `Enlarged` for each group (upscaler, ...) -> [(path, picture), ...] of pictures of one size."""
    for (upscaler, *_), entries in groups.items():
        canvases = [canvas_for(picture, upscaler.scale) for _, picture in entries]
        for y, strip in upscaler.strips(np.stack([picture.colours for _, picture in entries])):
            for canvas, rows in zip(canvases, strip):
                canvas.paste(Image.fromarray(rows[..., 0] if rows.shape[2] == 1 else rows), (0, y))
        yield [Enlarged(*entry, upscaler, finished(canvas, entry[1])) for entry, canvas in zip(entries, canvases)]
