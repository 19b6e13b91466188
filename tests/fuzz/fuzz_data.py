"""Damaged files of data through what reads them: `python -m tests.fuzz.fuzz_data [--n 100000] [--seed 0] [--only idx]`.

Each reader is given N files: good ones with bits flipped, cut off, spliced, with numbers of their headers replaced, and
pure noise. It may return or raise InputError on one line; at anything else the file is kept and the run ends.
"""

import argparse
import gzip
import io
import pickle
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from src.config import InputError
from src.data.arrays import load_array, read_idx
from src.data.cifar import read_cifar_binary, read_cifar_names, read_cifar_python
from src.data.classes import text_names
from src.data.palettes import load_clusters
from src.data.pictures import read_picture
from src.data.stl import PIXELS, read_stl_fold, read_stl_images, read_stl_labels

NUMBERS = [struct.pack(f, n) for f in ("<I", ">I") for n in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000)]
CIFAR_2 = (  # as Python 2 wrote them: strings for bytes, NumPy's old names
    b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x0btesting 1 1q\x03U\x06labelsq\x04]q\x05(K\x03K\x09eU\x04dataq\x06"
    b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01K\x02M\x00\x0c\x86"
    b"cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
    b"\x00\x18\x00\x00" + bytes(range(256)) * 24 + b"tbU\x09filenamesq\x0c]q\x0d(U\x05a.pngq\x0eU\x05b.pngq\x0feu."
)


def batch(rows: np.ndarray, labels: list, **more) -> dict:
    """What a batch of CIFAR holds."""
    names = [b"%d.png" % i for i in range(len(labels))]
    return {b"batch_label": b"testing 1 of 1", b"labels": labels, b"data": rows, b"filenames": names} | more


def cifar_files() -> list[bytes]:
    rows = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    return [CIFAR_2, *(pickle.dumps(batch(rows, [3, 9]), protocol) for protocol in range(2, 6))]


def meta_files() -> list[bytes]:
    content = {b"label_names": [b"cat", b"dog"], b"num_cases_per_batch": 10000, b"num_vis": 3072}
    return [pickle.dumps(content, protocol) for protocol in range(2, 6)]


def idx_files() -> list[bytes]:
    raw = struct.pack(">HBBIII", 0, 8, 3, 2, 5, 4) + bytes(40)
    return [raw, gzip.compress(raw, mtime=0)]


def npy_files() -> list[bytes]:
    arrays = [np.eye(4, 3, dtype=kind) for kind in ("f4", "u1", ">i2", "f8", "?")]
    return [saved(array) for array in (*arrays, np.asfortranarray(arrays[0]), np.zeros(3, "c8"))]


def saved(array: np.ndarray) -> bytes:
    np.save(f := io.BytesIO(), array)
    return f.getvalue()


def image_files() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, [12, 9, 4], np.uint8)
    whole, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a telephone"
    rgb = whole.convert("RGB")
    kinds = [(rgb, f, {}) for f in ("png", "bmp", "gif", "webp", "tiff", "ppm")]
    kinds += [(rgb, f, {"exif": exif}) for f in ("png", "jpeg", "webp")]
    kinds += [(rgb, "tiff", {"compression": c}) for c in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")]
    kinds += [(whole, "png", {}), (whole, "tiff", {}), (rgb.convert("P"), "png", {"transparency": 0})]
    kinds += [(rgb.convert(mode), "tiff", {}) for mode in ("CMYK", "LAB", "F", "I", "YCbCr", "1")]
    kinds += [(rgb.convert("I;16"), "png", {}), (rgb.convert("P"), "gif", {"save_all": True, "append_images": [rgb]})]
    return [encoded(*kind) for kind in kinds]


def encoded(image: Image.Image, kind: str, options: dict) -> bytes:
    image.save(f := io.BytesIO(), kind, **options)
    return f.getvalue()


def look(path: Path):
    """Read an image and make all of it that is ever made."""
    picture = read_picture(path, most=1 << 20)
    return picture.on_white(), picture.colours, picture.alpha


READERS = {  # name: (good files, ending of the damaged one, what reads it)
    "idx": (idx_files, "", lambda path: read_idx(path, 3)),
    "idx.gz": (idx_files, ".gz", lambda path: read_idx(path, 3)),
    "cifar": (cifar_files, "", read_cifar_python),
    "cifar.bin": (lambda: [bytes(3073 * 2)], ".bin", read_cifar_binary),
    "cifar-100": (lambda: [bytes(3074 * 2)], ".bin", lambda path: read_cifar_binary(path, 100, columns=2, column=1)),
    "meta": (meta_files, "", lambda path: read_cifar_names(path, "label_names", 2)),
    "stl": (lambda: [bytes(PIXELS * 2)], ".bin", lambda path: read_stl_images(path).sum()),
    "stl labels": (lambda: [bytes([1, 10] * 8)], ".bin", lambda path: read_stl_labels(path, 16)),
    "folds": (lambda: [b"0 3 12 9999 4 5\n7 1\n"], ".txt", lambda path: read_stl_fold(path, 0, 10_000)),
    "names": (lambda: [b"airplane\nca\xc3\xaft\nbird\n"], ".txt", lambda path: text_names(path, 3)),
    "npy": (npy_files, ".npy", load_array),
    "palette": (npy_files, ".npy", load_clusters),
    "image": (image_files, ".png", look),
}


def damaged(rng: np.random.Generator, good: list[bytes]) -> bytes:
    """One of the files with one to three faults, or noise."""
    raw = bytearray(good[rng.integers(len(good))])
    for _ in range(rng.integers(1, 4)):
        kind, at = rng.integers(7), int(min(rng.integers(len(raw) + 1), rng.geometric(1 / 64)))  # mostly in headers
        if kind == 0:
            del raw[rng.integers(len(raw) + 1) :]
        elif kind == 1:
            other = good[rng.integers(len(good))]
            raw[at:] = other[rng.integers(len(other)) :]
        elif kind == 2:
            raw[at : at + 4] = NUMBERS[rng.integers(len(NUMBERS))]
        elif kind == 3:
            raw[at:at] = raw[at : at + rng.integers(1, 100)]
        elif kind == 4:
            raw[at : at + 8] = rng.bytes(8)
        elif raw:
            raw[min(at, len(raw) - 1) if kind == 5 else rng.integers(len(raw))] ^= 1 << rng.integers(8)
    return bytes(raw) if rng.integers(50) else rng.bytes(rng.integers(200))


def fuzz(name: str, n: int, seed: int, folder: Path) -> int:
    """Give a reader `n` damaged files: how many it took. The file at which it failed stays in the folder."""
    make, ending, read = READERS[name]
    good, rng, taken = make(), np.random.default_rng(seed), 0
    path = folder / f"fuzz-{name}{ending}"
    for _ in range(n):
        path.write_bytes(damaged(rng, good))
        try:
            read(path)
            taken += 1
        except InputError as error:
            if "\n" in str(error) or not str(error).startswith(str(path)):
                raise AssertionError(f"no line that begins with the file: {error!r}") from error
    path.unlink(missing_ok=True)
    return taken


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=READERS)
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for name in [args.only] if args.only else READERS:
        start = time.monotonic()
        try:
            taken = fuzz(name, args.n, args.seed, folder)
        except BaseException:
            print(f"{name}: the file is kept in {folder}", file=sys.stderr)
            raise
        print(f"{name}: {args.n} files, {taken} of them taken, {time.monotonic() - start:.1f} s")
    folder.rmdir()


if __name__ == "__main__":
    main()
