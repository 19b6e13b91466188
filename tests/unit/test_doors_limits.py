"""Ten seconds and two gigabytes: the worst files of each class, and what is no file at all, in one process that counts.

`python -m tests.unit.test_doors_limits FOLDER` reads what lies in FOLDER/NUMBER/READER/ and prints a line of JSON for
each: number, seconds, what was refused or null, and the peak of memory so far in kB.
"""

import contextlib
import gzip
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.config import HParams, InputError
from src.data import arrays, cifar, images, palettes, tokens
from src.superres.espcn import Espcn
from src.superres.files import load_network, save_network
from src.training.runs import open_run
from src.weights.archives import unpack
from src.weights.checkpoint import load_model
from src.weights.shards import INDEX
from tests.conftest import DATA, ROOT, photo
from tests.fuzz.fuzz_data import encoded
from tests.unit import test_doors_data as data
from tests.unit import test_doors_downloads as downloads
from tests.unit import test_doors_images as doors_images
from tests.unit import test_doors_weights as weights

SECONDS, PEAK = 10, 1 << 21  # kB


def load_tokens(folder):
    tokens.load_split(folder / "d", "te", HParams(n_px=4, n_vocab=6))


def begin_run(folder):
    with open_run(folder, {"options": {"lr": 1.0}}):
        pass


READERS = {  # name: (the file that a fault is put in, what reads it from its folder, a folder it needs)
    "image": ("a.png", lambda folder: images.read_image(folder / "a.png"), None),
    "palette": ("p.npy", lambda folder: palettes.load_clusters(folder / "p.npy"), None),
    "palette.json": ("p.json", lambda folder: palettes.load_clusters(folder / "p.json"), None),
    "tokens": ("d_teX.npy", load_tokens, None),
    "labels": ("d_teY.npy", load_tokens, None),
    "classes": ("d_classes.json", lambda folder: tokens.class_names(folder / "d"), None),
    "idx": ("a", lambda folder: arrays.read_idx(folder / "a", 3), None),
    "idx.gz": ("a.gz", lambda folder: arrays.read_idx(folder / "a.gz", 3), None),
    "cifar": ("data_batch_1", lambda folder: cifar.read_cifar_python(folder / "data_batch_1"), None),
    "cifar.bin": ("data_batch_1.bin", lambda folder: cifar.read_cifar_binary(folder / "data_batch_1.bin"), None),
    "keras": ("net.keras", lambda folder: load_network(folder / "net.keras"), None),
    "zip": ("a.zip", lambda folder: unpack(folder / "a.zip"), None),
    "config": ("config.json", load_model, "hf"),
    "shards": (INDEX, load_model, "hf"),
    "safetensors": ("model.safetensors", load_model, "hf"),
    "index": ("model.ckpt-1000000.index", load_model, "ar"),
    "data": ("model.ckpt-1000000.data-00000-of-00001", load_model, "ar"),
    "recipe": ("recipe.json", begin_run, "run"),
}
SPECIAL = ("pipe", "folder", "socket", "null", "zero", "tty")


def main(folder):
    """In a process of its own: read everything below a folder."""
    for place in sorted(Path(folder).iterdir(), key=lambda path: int(path.name)):
        (inner,) = place.iterdir()
        start, refused = time.monotonic(), None
        try:
            READERS[inner.name][1](inner)
        except InputError as error:
            refused = str(error)
        print(json.dumps([int(place.name), time.monotonic() - start, refused, peak()]), flush=True)


def peak():
    """The most memory that this process has had, in kB; `ru_maxrss` counts that of the one that started it, too."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


# What is read


def largest(mode, kind, side=10_442, **options):
    """The largest picture that is taken, as flat as can be."""
    return lambda path: Image.new(mode, (side, side)).save(path, kind, **options)


def scans(n):
    """A JPEG of the largest size that makes its decoder go over it n times."""

    def write(path):
        first, *rest = encoded(Image.new("L", (10_442, 10_442)), "jpeg", {"progressive": True}).split(b"\xff\xda")
        last = rest.pop().removesuffix(b"\xff\xd9")
        path.write_bytes(b"\xff\xda".join([first, *rest, *[last] * n]) + b"\xff\xd9")

    return write


def tiff(fields, body=b""):
    """A TIFF of 100 by 100 greys with more fields, of (number, type, count, value)."""
    fields = [(256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1), *fields]
    head = b"II*\0" + struct.pack("<IH", 8, len(fields))
    return head + b"".join(struct.pack("<HHII", *field) for field in sorted(fields)) + bytes(4) + body


def tiles(side):
    """A picture of 100 by 100 pixels in one tile of gigabytes."""
    packer, body = zlib.compressobj(1), b""
    for _ in range(side // 1024):
        body += packer.compress(bytes(1024 * side))
    body += packer.flush()
    place = len(tiff([(0, 0, 0, 0)] * 5))
    return tiff(
        [(259, 3, 1, 8), (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, place), (325, 4, 1, len(body))], body
    )


def frames(kind, n, **options):
    others = [Image.fromarray(photo(50, 50, i)) for i in range(n)]
    return lambda path: others[0].save(path, kind, save_all=True, append_images=others[1:], **options)


def zeros(gigabytes):
    """A gzip file of an array of 40 bytes, and as many gigabytes of zeros."""
    member = gzip.compress(bytes(1 << 28), 1)
    return gzip.compress(data.idx((2, 5, 4), bytes(40))) + member * (4 * gigabytes)


def network(**change):
    """A .keras file with a change: bytes of its weights that are zeros, or configuration."""

    def write(path):
        save_network(path, Espcn(2))
        with zipfile.ZipFile(path) as archive:
            good = {name: archive.read(name) for name in archive.namelist()}
        inflated = good | {"model.weights.h5": bytes(change.get("zeros", 0))}
        members = inflated if "zeros" in change else weights.described(good, **change)
        weights.archive(path, members, zipfile.ZIP_DEFLATED)

    return write


CASES = {  # (reader, case): what writes the file, or its bytes; those marked True are taken
    ("image", "larger webp"): (largest("RGB", "webp", 8200, lossless=True, quality=0, method=0), False),
    ("image", "a bomb"): (doors_images.png(1 << 15, 1 << 15, 6), False),
    ("image", "one row"): (doors_images.png(1 << 27, 1), False),
    ("image", "more scans"): (scans(5000), False),
    ("image", "tiles"): (tiles(1 << 15), False),
    ("image", "fields"): (tiff([(i, 7, 4 << 20, 8) for i in range(1000, 61_000)], bytes(5 << 20)), False),
    ("image", "gif"): (frames("gif", 300), True),
    ("image", "apng"): (frames("png", 100), True),
    ("image", "frames"): (frames("webp", 100, lossless=True, quality=0, method=0), True),
    ("image", "pages"): (frames("tiff", 300), True),
    ("palette", "a huge shape"): (data.NPY["a huge shape"], False),
    ("tokens", "a deep header"): (data.NPY["a deep header"], False),
    ("labels", "a product"): (data.NPY["a product of 2 ** 64"], False),
    ("palette.json", "deep"): (weights.NOT_JSON["deep"], False),
    ("idx", "petabytes"): (data.IDX["petabytes"], False),
    ("idx.gz", "a bomb"): (zeros(8), False),
    ("cifar", "names"): (data.PICKLES["long names again and again"], False),
    ("cifar", "bytes"): (data.PICKLES["text made bytes again and again"], False),
    ("cifar", "steps"): (b"\x80\x02" + b"N" * (1 << 24) + b".", False),
    ("keras", "inflated"): (network(zeros=1 << 28), False),
    ("keras", "scale"): (network(scale=300), False),
    ("zip", "a bomb"): (downloads.TRAPS["a bomb in its list"][0], False),
    ("config", "deep"): (weights.NOT_JSON["deep objects"], False),
    ("config", "layers"): (b'{"model_type": "imagegpt", "n_layer": 5000000}', False),
    ("safetensors", "header"): (struct.pack("<Q", 1 << 40) + b"{}", False),
    ("index", "huge"): ("huge", False),
    ("recipe", "deep"): (weights.NOT_JSON["deep"], False),
    **{(reader, kind): (kind, False) for reader in READERS for kind in SPECIAL},
}
LARGE = {  # the largest pictures that are taken
    ("image", "rgba"): (largest("RGBA", "png", compress_level=1), True),
    ("image", "palette"): (largest("P", "png", compress_level=1, transparency=0), True),
    ("image", "32 bits"): (largest("I", "tiff", compression="tiff_deflate"), True),
    ("image", "cmyk"): (largest("CMYK", "jpeg", 8192, progressive=True), True),
    ("image", "webp"): (largest("RGBA", "webp", 8192, lossless=True, quality=0, method=0), True),
    ("image", "scans"): (scans(27), True),
}
del CASES["index", "folder"], CASES["data", "folder"]  # TensorFlow's writers know no such file either


def put(folder, reader, content):
    """Lay out what a reader needs, with a fault in its file."""
    name, _, needs = READERS[reader]
    if needs == "run":
        with open_run(folder, {"options": {"lr": 1.0}}) as run:
            run.restore()
            run.save(1)
    elif needs:
        shutil.copytree(DATA / needs, folder)
    else:
        folder.mkdir(parents=True)
    path = folder / name
    if reader == "labels":
        np.save(folder / "d_teX.npy", np.zeros([3, 16], np.uint8))
    if reader == "shards":
        (folder / "model.safetensors").unlink()
    if path.exists():
        path.unlink()
    if callable(content):
        content(path)
    elif content == "huge":
        weights.forged(path.with_suffix(""), [(b"model/wpe", weights.ENTRIES["huge"])])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "pipe":
        os.mkfifo(path)
    elif content == "folder":
        path.mkdir()
    elif content == "socket":
        here = os.getcwd()
        os.chdir(folder)  # the name of a socket has 100 bytes at most
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(name)
        os.chdir(here)
    else:
        path.symlink_to(f"/dev/{content}")


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    return figures(CASES, tmp_path_factory.mktemp("limits"))


def figures(cases, folder):
    """(reader, case) to (seconds, what was refused, peak of memory), of all that were read before a time ran out."""
    for i, ((reader, _), (content, _)) in enumerate(cases.items()):
        put(folder / str(i) / reader, reader, content)
    command = [sys.executable, "-m", "tests.unit.test_doors_limits", folder]
    with open(folder.with_suffix(".lines"), "w+") as out:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.PIPE, timeout=100, check=False)
        out.seek(0)
        lines = [json.loads(line) for line in out]
    names = list(cases)
    return {names[number]: rest for number, *rest in lines}


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_ten_seconds_and_two_gigabytes(case, read):
    assert case in read, "the process hung or died here or before"
    seconds, refused, peak = read[case]
    assert seconds < SECONDS and peak < PEAK
    if CASES[case][1]:
        assert refused is None
    else:
        assert refused and refused.isprintable() and len(refused) < 1000


@pytest.mark.slow
def test_the_largest_pictures_take_two_gigabytes(tmp_path):
    found = figures(LARGE, tmp_path / "large")
    assert list(found) == list(LARGE)
    for case, (seconds, refused, peak) in found.items():
        assert refused is None and seconds < SECONDS and peak < PEAK, case


TRUST = (ROOT / "docs" / "trust.md").read_text()


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+)`", TRUST))))
def test_what_is_promised_is_tested(named):
    path, _, name = named.partition("::")
    text = (ROOT / path).read_text()
    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE)


def test_every_promise_names_a_test():
    rows = [line for line in TRUST.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 15 and all("`tests/" in row or row.startswith("| **") for row in rows)


if __name__ == "__main__":
    main(sys.argv[1])
