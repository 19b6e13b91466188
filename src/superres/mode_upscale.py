"""--upscale of espcn.py and srgan.py: which files, which network, and what is written."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from src.config import InputError
from src.files import unique
from src.sources import ENDINGS
from src.superres.pictures import as_rgb, write_image
from src.superres.sheets import side_by_side, write_sheet
from src.superres.upscale import upscale_files

FEW = 512  # colours
SHOWN = 8  # images on a sheet


def find_images(paths):
    """The files named, and the images directly inside the folders named, in order.

    Raises:
        InputError: a path that is not there, or a folder without an image.
    """
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path}: no such file")
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path}: no image files there")
        found += inside
    return found


def newest_samples(folder):
    """The samples that run.py wrote last, in their order: all `sample_N.png` in a folder, or InputError."""
    paths = [p for p in Path(folder).glob("sample_*.png") if p.stem.removeprefix("sample_").isdigit()]
    if not paths:
        raise InputError(f"{folder}: no sample_0.png there; draw some with run.py --sample, or name images")
    return sorted(paths, key=lambda p: int(p.stem.removeprefix("sample_")))


def chosen_by_picture(load, fixed, palettes):
    """A function of a `Picture` that returns the network to enlarge it with.

    That is the one for palettes where an image has at most FEW colours, as the samples of Image GPT do.

    Args:
        load: a function of a degradation, `clean` or `palette`, that returns an `Upscaler`.
        fixed: the degradation to take for every picture, or None.
        palettes: whether there is a network for palettes.
    """
    if fixed:
        upscaler = load(fixed)
        return lambda picture: upscaler

    def choose(picture):
        colours = picture.colours if picture.colours.shape[2] == 3 else picture.colours[..., 0]
        few = palettes and colours.dtype == np.uint8 and Image.fromarray(colours).getcolors(FEW)
        return load("palette" if few else "clean")

    return choose


def upscale(paths, upscaler_for, folder, name, beside):
    """Write NAME_x4.png for every image file and a sheet of input, bicubic and the network's output side by side.

    Args:
        upscaler_for: a function of a `Picture` that returns the `Upscaler` to use.
        name: of the sheet, without the ending.
        beside: name to another such function, whose network's output stands on the sheet, too.

    Returns:
        Exit code: 1 if a file could not be read (named on standard error), else 0.
    """
    failed, rows, last, names = 0, [], None, dict(zip(paths, unique([path.stem for path in paths])))

    def write(entry):
        path, picture, enlarged = entry
        target = folder / f"{names[path]}_x{enlarged.height // picture.colours.shape[0]}.png"
        write_image(target, enlarged)
        return target

    with ThreadPoolExecutor() as pool, tqdm(total=len(paths), desc="upscale", unit="image") as bar:
        for batch in upscale_files(paths, upscaler_for):
            done = [entry for entry in batch if entry[2]]
            for last in pool.map(write, done):  # noqa: B007  printed at the end
                bar.update()
            for _, error, _ in batch[len(done) :]:
                tqdm.write(f"skipped: {error}", file=sys.stderr)
                failed += 1
            for _, picture, enlarged in done[: SHOWN - len(rows)]:
                low, others = as_rgb(picture.colours), [choose(picture) for choose in beside.values()]
                rows.append(side_by_side(low, [enlarged], enlarged.height // low.shape[0], others))
    if rows:
        write_sheet(folder / f"{name}.png", rows)
        print(f"{last}: the last of {len(paths) - failed} images")
        print(f"{folder / name}.png: {', '.join(['input', 'bicubic', *beside, name])}, from left to right")
    return 1 if failed else 0
