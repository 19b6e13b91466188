"""--eval of espcn.py and srgan.py: scores of photographs beside those of bicubic."""

import numpy as np

from src import metrics
from src.data import read_image
from src.files import write_json
from src.superres.data import resized
from src.superres.training import validation_pairs

PROTOCOL = (
    "low resolution: Pillow's bicubic, antialiased, 8 bits; scored: luma of BT.601 (16..235), peak 255, "
    "{scale} border pixels cut off, output rounded to 8 bits; SSIM: Gaussian window 11, sigma 1.5"
)


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
