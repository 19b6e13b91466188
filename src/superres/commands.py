"""What espcn.py and srgan.py do: upscale files, score photographs, train by the flags."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from src import images, metrics
from src.config import InputError
from src.data import read_image
from src.files import unique, write_json
from src.runs import RunFolder
from src.sources import ENDINGS
from src.superres.data import Pairs, image_files, resized
from src.superres.networks import alike, load_mean
from src.superres.pictures import as_rgb, write_image
from src.superres.sheets import side_by_side, write_sheet
from src.superres.training import Recipe, train_pixels, validation_pairs
from src.superres.upscale import upscale_files

FEW = 512  # colours
SHARES = {"clean": 0.0, "palette": 1.0, "mixed": 0.25}  # of the crops that are reduced to a palette
SHOWN = 8  # images on a sheet
PROTOCOL = (
    "low resolution: Pillow's bicubic, antialiased, 8 bits; scored: luma of BT.601 (16..235), peak 255, "
    "{scale} border pixels cut off, output rounded to 8 bits; SSIM: Gaussian window 11, sigma 1.5"
)


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


def evaluate(paths, upscaler, clusters=None, n_px=None, json_path=None):
    """Print PSNR, SSIM and MSE of every photograph and their means beside those of bicubic, and the protocol."""
    print(PROTOCOL.format(scale=upscaler.scale))
    print(f"{'image':32} {'PSNR':>6} {'bicubic':>8} {'SSIM':>7} {'bicubic':>8} {'MSE':>7} {'bicubic':>8}")
    rows = {}
    for path in paths:
        ((low, high),) = validation_pairs([read_image(path)], upscaler.scale, clusters, n_px)
        outputs = upscaler(low[None])[0], resized(low, high.shape)
        scores = metrics.psnr, metrics.ssim, metrics.mse
        rows[str(path)] = np.array([score(x, high, border=upscaler.scale) for score in scores for x in outputs])
        print(line(path.name, rows[str(path)]), flush=True)
    mean = np.mean(list(rows.values()), axis=0)
    print(line(f"mean of {len(rows)}", mean))
    if json_path:
        names = [f"{m}{of}" for m in ("psnr", "ssim", "mse") for of in ("", "_bicubic")]
        figures = {name: dict(zip(names, map(float, row))) for name, row in (rows | {"mean": mean}).items()}
        write_json(json_path, {"scale": upscaler.scale, "protocol": PROTOCOL.format(scale=upscaler.scale)} | figures)


def line(name, figures):
    formats = ["6.2f", "8.2f", "7.4f", "8.4f", "7.1f", "8.1f"]
    return f"{name[:32]:32} " + " ".join(f"{x:{f}}" for x, f in zip(figures, formats))


def newest_samples(folder):
    """The samples that run.py wrote last, in their order: all `sample_N.png` in a folder, or InputError."""
    paths = [p for p in Path(folder).glob("sample_*.png") if p.stem.removeprefix("sample_").isdigit()]
    if not paths:
        raise InputError(f"{folder}: no sample_0.png there; draw some with run.py --sample, or name images")
    return sorted(paths, key=lambda p: int(p.stem.removeprefix("sample_")))


def training_photos(folder, valid=None):
    """(photographs to train on, photographs for validation): every tenth is held out unless `valid` is a folder.

    Raises:
        InputError: no images, or a single one and nothing to validate on.
    """
    paths = image_files(folder)
    if valid:
        return paths, image_files(valid)
    if len(paths) < 2:
        raise InputError(f"{folder}: one image cannot both train and validate; name others with --valid")
    return [p for i, p in enumerate(paths) if i % 10 != 1], paths[1::10]


def training_set(args, upscaler, clusters, margin):
    """(`Pairs` to train on, [(low, high) to validate on]) by the flags; `margin` pixels of context around a crop.

    Where only some crops are reduced to a palette, validation is on clean ones.
    """
    photos, valid = training_photos(args.train, args.valid)
    share = SHARES[args.degradation]
    pairs = Pairs(
        paths=tuple(photos),
        scale=upscaler.scale,
        patch=args.patch,
        margin=margin,
        channels="y" if upscaler.net.input_shape[-1] == 1 else "rgb",
        clusters=clusters,
        share=share,
        seed=args.seed,
        varied=args.augment == "varied",
    )
    pairs.pool(0)  # complains now, not when a network has been built for crops that no photograph has room for
    known = validation_pairs(map(read_image, valid), upscaler.scale, clusters if share == 1 else None, args.n_px)
    return pairs, list(known)


def train(args, upscaler, pairs, valid, strategy, name, **what):
    """Train on pixels by the flags in `save_dir`/NAME_xN; print the best PSNR beside bicubic's, and plot the run.

    Args:
        what: settings of the network that its weights depend on.

    Raises:
        InputError: --weights is another network.
    """
    if args.weights:
        start_from(args.weights, upscaler)
    recipe = Recipe(args.optimizer, args.lr, args.epochs, args.steps, args.n_batch, args.patience)
    run = run_folder(args, f"{name}_x{upscaler.scale}", recipe, **what)
    best = train_pixels(upscaler, pairs, valid, recipe, run, strategy)
    finish(run, "best.keras", best, upscaler.scale, valid)


def start_from(paths, upscaler):
    """Give an upscaler's network the weights of the same network in a file, or their mean in several."""
    trained = load_mean(paths, upscaler.scale).net
    if not alike(trained, upscaler.net):
        raise InputError(f"--weights {paths[0]}: another network than the one that the flags describe")
    upscaler.net.set_weights(trained.get_weights())


def run_folder(args, name, recipe, **what):
    """The `RunFolder` in `save_dir` of a run by the flags."""
    what |= {k: getattr(args, k) for k in ("weights", "degradation", "patch", "augment", "seed")}
    return RunFolder(Path(args.save_dir) / name, {"network": what, "recipe": asdict(recipe)})


def finish(run, name, psnr, scale, valid):
    """Plot a run and print what its network, the file `name`, reaches."""
    bicubic = np.mean([metrics.psnr(resized(low, high.shape), high, border=scale) for low, high in valid])
    images.plot_log(run.path / "log.png", run.path / "log.jsonl")
    print(f"{run.path / name}: {psnr:.2f} dB on {len(valid)} photographs, bicubic {bicubic:.2f} dB")
