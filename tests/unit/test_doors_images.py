"""Images from strangers: whatever lies in a file, one line that names it, no program started, nothing printed."""

import contextlib
import gc
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from src.config import InputError
from src.data import images, jpeg, pictures
from src.superres import enlarging, upscaling
from src.superres.espcn import Espcn
from src.superres.upscaler import Upscaler
from tests.conftest import ROOT, photo
from tests.fuzz import fuzz_data
from tests.unit.test_data import write_photos
from tests.unit.test_doors_data import refused


def eps(folder):
    """An EPS file under the name of a PNG: the folder of a program `gs`, and the file that it leaves when it runs."""
    program, trace = folder / "bin" / "gs", folder / "it-ran"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {trace}\nexit 1\n")
    program.chmod(0o755)
    Image.new("RGB", (4, 4)).save(folder / "x.eps")
    (folder / "x.eps").rename(folder / "x.png")
    return program.parent, trace


def test_an_image_starts_no_program(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    folder, trace = eps(tmp_path)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # as in a process that has looked for none yet
    with pytest.raises((OSError, subprocess.CalledProcessError)), Image.open(tmp_path / "x.png") as image:
        image.load()
    assert trace.exists(), "the test's program would not be started by any decoder"
    trace.unlink()
    assert "none of the formats PNG, JPEG" in refused(pictures.read_picture, tmp_path / "x.png")
    assert not trace.exists()


@pytest.mark.parametrize(
    "kind", ["EPS", "ICO", "TGA", "PCX", "SGI", "DDS", "BLP", "SPIDER", "MSP", "AVIF", "PDF", "ICNS"]
)
def test_other_formats_are_refused_whatever_their_name(kind, tmp_path):
    image = Image.new("P" if kind == "BLP" else {"SPIDER": "F", "MSP": "1"}.get(kind, "RGB"), (32, 32))
    path = tmp_path / "x.jpg"
    path.write_bytes(fuzz_data.encoded(image, kind, {}))
    assert "not a readable image (none of the formats" in refused(pictures.read_picture, path)


@pytest.mark.parametrize("suffix", sorted(images.ENDINGS - {".pgm"}))
def test_formats_that_are_read(suffix, tmp_path):
    Image.fromarray(photo(20, 30)).save(tmp_path / f"a{suffix}")
    assert images.read_image(tmp_path / f"a{suffix}").size == (30, 20)


def test_a_pipe_in_a_folder_of_images_is_no_image(tmp_path):
    write_photos(tmp_path / "p", 3)
    os.mkfifo(tmp_path / "p" / "a.png")
    assert len(images.image_files(tmp_path / "p")) == 3


def png(width, height, colour=0):
    """A PNG of so many pixels that holds none."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "raw",
    [
        png(1 << 15, 1 << 15),
        png(0x7FFFFFFF, 0x7FFFFFFF),
        png(1 << 30, 1),
        png(20_000, 20_000, 6),
        b"P5 40000 40000 255\n",
        b"P6 0 0 255\n",
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0),
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 1 << 30, 1 << 30, 1, 24, 0, 0, 0, 0, 0, 0),
        b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + b"\xff" * 12,
    ],
    ids=["gigapixel", "largest", "wide", "colour", "pgm", "no pixels", "gif", "bmp", "webp"],
)
def test_images_of_too_many_pixels_are_refused_before_they_are_decoded(raw, tmp_path):
    (tmp_path / "a.png").write_bytes(raw)
    refused(pictures.read_picture, tmp_path / "a.png")


def test_the_bound_on_pixels_is_the_readers(tmp_path):
    write_photos(tmp_path, 1)
    for read in (pictures.read_picture, lambda path, most: images.read_image(path, None, most)):
        assert read(tmp_path / "0.png", 1200)
        assert "40x30 pixels, not 1 to 1199" in refused(read, tmp_path / "0.png", 1199)


@pytest.mark.parametrize("damage", ["count", "type", "offset", "loop", "noise"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_broken_exif_prints_nothing(damage, kind, tmp_path, capfd, recwarn):
    entry = {
        "count": struct.pack("<HHII", 0x0112, 3, 0xFFFFFFFF, 6),
        "type": struct.pack("<HHII", 0x0112, 99, 1, 6),
        "offset": struct.pack("<HHII", 0x0112, 5, 1, 0xFFFFFF00),
        "loop": struct.pack("<HHII", 0x8769, 4, 1, 8),
        "noise": b"\xff" * 12,
    }[damage]
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0" + entry + b"\0\0"
    path = tmp_path / "a"
    Image.fromarray(photo(20, 30)).save(path, kind, **({"exif": exif} if kind != "TIFF" else {}))
    if kind == "TIFF":
        raw = bytearray(path.read_bytes())
        at = struct.unpack_from("<I", raw, 4)[0] + 2 + 12 * 8  # a field behind those of the size
        raw[at : at + 12] = entry
        path.write_bytes(raw)
    try:
        assert images.read_image(path).size in ((30, 20), (20, 30))
    except InputError as error:
        assert kind == "TIFF" and str(error).startswith(str(path))
    assert not recwarn.list and capfd.readouterr().err == ""


def test_the_library_logs_nothing_on_standard_error(tmp_path):
    Image.fromarray(photo(20, 30)).save(tmp_path / "a.tif")
    raw = (tmp_path / "a.tif").read_bytes()
    samples = struct.pack("<HHIHH", 277, 3, 1, 3, 0)
    assert raw.count(samples) == 1
    (tmp_path / "a.tif").write_bytes(raw.replace(samples, struct.pack("<HHIHH", 277, 3, 1, 131, 0)))
    code = (
        "import sys\nfrom src.data.images import InputError, read_image\n"
        "try: read_image(sys.argv[1])\nexcept InputError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "a.tif"], cwd=ROOT, capture_output=True, text=True)
    assert run.stderr == "" and len(run.stdout.splitlines()) == 1 and run.stdout.startswith(f"{tmp_path}/a.tif: not")


def test_damaged_tiffs_print_nothing(tmp_path, capfd):
    """libtiff has a printer of its own, below Python's standard error."""
    kinds = ["tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4"]
    good = [
        fuzz_data.encoded(Image.fromarray(photo(40, 30)).convert("1" if kind == "group4" else "RGB"), "tiff", options)
        for kind in kinds
        for options in [{"compression": kind}]
    ]
    rng = np.random.default_rng(0)
    for _ in range(300):
        (tmp_path / "a.tif").write_bytes(fuzz_data.damaged(rng, good))
        with contextlib.suppress(InputError):
            images.read_image(tmp_path / "a.tif")
    for raw in good:
        for at in range(8, len(raw), 97):
            (tmp_path / "a.tif").write_bytes(raw[:at] + b"\xff\xfe" + raw[at + 2 :])
            with contextlib.suppress(InputError):
                images.read_image(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "mode, options, expected",
    [
        ("RGB", {}, 1),
        ("L", {}, 1),
        ("RGB", {"progressive": True}, 10),
        ("CMYK", {"progressive": True}, 18),
        ("RGB", {"progressive": True, "restart_marker_rows": 1}, 10),
    ],
)
def test_scans_of_a_jpeg_are_counted(mode, options, expected):
    image = Image.fromarray(photo(64, 64)).convert(mode)
    thumbnail, exif = fuzz_data.encoded(image, "jpeg", {"progressive": True}), b"Exif\0\0"
    for more in ({}, {"exif": exif + thumbnail}, {"comment": b"\xff\xd9\xff\xda"}):
        raw = fuzz_data.encoded(image, "jpeg", options | more)
        for video in (b"", b"\xff\xda" * 100):
            assert jpeg.scans(io.BytesIO(raw + video)) == expected
    raw = fuzz_data.encoded(image, "jpeg", options)
    odd = raw.replace(b"\xff\xda", b"\xff\xfe\0\4\xff\xd9\xff\xff\xda")  # a comment that looks like the end
    assert jpeg.scans(io.BytesIO(odd)) == expected
    for cut in range(0, len(raw), 61):
        assert 0 <= jpeg.scans(io.BytesIO(raw[:cut])) <= expected
    assert jpeg.scans(io.BytesIO(fuzz_data.encoded(Image.new("RGB", (4, 4)), "png", {}))) == 0


@pytest.mark.parametrize("size", [(14_000, 14_000), (1 << 22, 1), (1, 1 << 22), (4000, 3200)])
def test_images_that_would_become_too_large_are_left_out(size, tmp_path, monkeypatch):
    monkeypatch.setattr(enlarging, "PIXELS", 1 << 24)
    Image.new("L", size).save(tmp_path / "a.png", compress_level=1)
    upscaler, skipped = Upscaler(Espcn(4)), []
    assert list(enlarging.enlarge_files([tmp_path / "a.png"], lambda picture: upscaler, skipped.append)) in ([], [[]])
    (error,) = skipped
    assert str(error).startswith(f"{tmp_path}/a.png: ") and "pixels" in str(error) and "\n" not in str(error)


def test_no_batch_is_kept_while_the_next_is_made(tmp_path, monkeypatch):
    """Two enlarged images of the largest size would be too many."""
    for i in range(4):
        Image.fromarray(photo(12, 12 + i)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(enlarging, "BATCH_PIXELS", 1)
    made, alive = enlarging.Canvas, []

    class Canvas(made):
        def __init__(self, *args):
            gc.collect()
            alive.append(sum(isinstance(found, enlarging.Enlarged) for found in gc.get_objects()))
            super().__init__(*args)

    monkeypatch.setattr(enlarging, "Canvas", Canvas)
    (tmp_path / "out").mkdir()
    done = upscaling.upscale_paths(sorted(tmp_path.glob("*.png")), "espcn", upscaling.UpscaleOptions(tmp_path / "out"))
    assert len(done.paths) == 4 and alive == [0] * 4


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), ZeroDivisionError(), RecursionError("deep"), AttributeError("x\ny"), MemoryError(), OSError()],
)
@pytest.mark.parametrize("step", ["open", "load", "exif", "convert"])
def test_whatever_the_library_raises_is_one_line(error, step, tmp_path, monkeypatch):
    write_photos(tmp_path, 3)

    def fails(*args, **kwargs):
        raise error

    place = {
        "open": (Image, "open"),
        "load": (Image.Image, "load"),
        "exif": (pictures.ImageOps, "exif_transpose"),
        "convert": (Image.Image, "convert"),
    }
    with monkeypatch.context() as broken:
        broken.setattr(*place[step], fails)
        assert "not a readable image (" in refused(pictures.read_picture, tmp_path / "0.png")
        skipped = []
        assert not list(images.readable(images.image_files(tmp_path), skipped.append)) and len(skipped) == 3
    assert len(list(images.readable(images.image_files(tmp_path), skipped.append))) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_no_fault_of_the_file_goes_on_up(error, tmp_path, monkeypatch):
    def stops(*args, **kwargs):
        raise error

    write_photos(tmp_path, 1)
    monkeypatch.setattr(Image, "open", stops)
    with pytest.raises(error):
        pictures.read_picture(tmp_path / "0.png")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros([4], np.uint8),
        np.zeros([], np.uint8),
        np.zeros([4, 4, 2], np.uint8),
        np.zeros([4, 4, 5], np.uint8),
        np.zeros([2, 4, 4, 3], np.uint8),
        np.zeros([0, 4, 3], np.uint8),
        np.zeros([4, 4, 3], np.float32),
        np.array([["a"]]),
        np.broadcast_to(np.uint8(0), [1 << 15, 1 << 15]),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_that_are_no_picture(array):
    with pytest.raises(InputError, match="is no picture: uint8"):
        pictures.read_picture(array)


@pytest.mark.parametrize("text", ["rgb(1e9,0,0)", "rgb(99999999999,0,0)", "#12", "", "a" * 200, "rgb(256,0,0)"])
def test_colours_that_are_none(text):
    with pytest.raises(InputError, match="not a colour"):
        images.colour(text)


@pytest.mark.parametrize("mode, kind", [("CMYK", "jpeg"), ("CMYK", "tiff"), ("RGB", "webp"), ("RGBA", "webp")])
def test_what_decoders_need_more_memory_for_has_a_lower_bound(mode, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_COSTLY", 399)
    Image.new(mode, (20, 20)).save(tmp_path / "x", kind)
    with pytest.raises(InputError, match=r"20x20 pixels, not 1 to 399"):
        pictures.read_picture(tmp_path / "x")
    Image.new("RGB", (20, 20)).save(tmp_path / "y", "png")
    assert pictures.read_picture(tmp_path / "y").image.size == (20, 20)
