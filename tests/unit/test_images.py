"""Image files as a user expects them to be read and written, and sheets of them."""

import warnings

import numpy as np
import pytest
from PIL import Image

from src.config import InputError
from src.data import images, pictures, sheets
from src.data.sheets import BACKGROUND, CAPTION
from tests.conftest import photo


def grey_levels(path):
    return np.unique(np.asarray(images.read_image(path)))


def test_photographs_of_every_kind_are_read_as_a_user_expects(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.full([4, 4], 0x8080, np.uint16)).save(path)  # 16 bits are scaled, not clipped
    assert grey_levels(path) == [128] and pictures.read_picture(path).colours.dtype == np.uint16
    Image.fromarray(np.zeros([4, 4, 4], np.uint8)).save(path)  # transparent: on white
    assert grey_levels(path) == [255]
    Image.fromarray(np.zeros([4, 4], np.uint8)).convert("P").save(path, transparency=0)
    assert grey_levels(path) == [255]
    frames = [Image.new("L", (4, 4), v) for v in (10, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])  # animated: the first picture
    assert grey_levels(path) == [10]
    exif = Image.Exif()
    exif[0x0112] = 6  # a telephone held upright
    Image.fromarray(np.arange(8, dtype=np.uint8).reshape(2, 4)).save(path, exif=exif)
    assert images.read_image(path).size == (2, 4) and pictures.read_picture(path).colours.shape == (4, 2, 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "array"])
def test_what_is_on_white_are_the_colours_and_the_alpha_of_one_picture(mode, tmp_path):
    pixels, alpha = photo(12, 10), np.linspace(0, 255, 120).reshape(12, 10).astype(np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode != "array":
        image = image.convert(mode.removesuffix("A"))
        if mode.endswith("A"):
            image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "a.png")
    picture = pictures.read_picture(pixels if mode == "array" else tmp_path / "a.png")
    assert (picture.alpha is not None) == mode.endswith("A")
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, alpha)
    opacity = 1 if picture.alpha is None else alpha[..., None] / 255
    expected = pictures.as_rgb(picture.colours) * opacity + 255 * (1 - opacity)
    np.testing.assert_allclose(np.asarray(picture.on_white()), expected, atol=1)
    assert picture.colours.shape[2] == (1 if mode in ("1", "L", "LA", "I;16") else 3)


def test_a_photograph_of_100_megapixels_and_a_bomb(tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (10_000, 10_000), 77).save(path, compress_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.read_image(path).size == (10_000, 10_000)
    for read in (pictures.read_picture, images.read_image):
        with pytest.raises(InputError, match=r"large\.png: not a readable image \(10000x10000 pixels, not"):
            read(path, most=50_000_000)


def damaged(folder):
    """A folder with a whole image, and what is wrong with the others in it, by name."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, [40, 40, 3], np.uint8)).save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:1000])
    (folder / "empty.png").touch()
    return {"cut.png": "not a readable image", "empty.png": "not a readable image", "no.png": "no such file"}


def test_unreadable_images_are_named_in_the_same_words_everywhere(tmp_path):
    for name, message in damaged(tmp_path).items():
        for read in (images.read_image, pictures.read_picture):
            with pytest.raises(InputError, match=f"{name}: {message}"):
                read(tmp_path / name)
    errors = []
    whole = list(images.readable(images.image_files(tmp_path), errors.append))
    assert [(i, image.size) for i, image in whole] == [(2, (40, 40))]
    assert [str(error).partition(" (")[0] for error in errors] == [
        f"{tmp_path / name}: not a readable image" for name in ("cut.png", "empty.png")
    ]


def test_a_part_of_an_image(tmp_path):
    damaged(tmp_path)
    assert images.read_image(tmp_path / "whole.png", (30, 0, 10, 40)).size == (10, 40)
    for crop in ((31, 0, 10, 40), (0, 0, 0, 4), (-1, 0, 4, 4)):
        with pytest.raises(InputError, match="is not inside its 40x40 pixels"):
            images.read_image(tmp_path / "whole.png", crop)


def test_image_files_are_found_below_folders(tmp_path):
    for name in ("b/c/d.JPG", "b/a.png", "b/._a.png", "b/.part-7-a.png", "b/notes.txt", "e.png", "f/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "folder.png").mkdir()
    inside = [tmp_path / "b" / "a.png", tmp_path / "b" / "c" / "d.JPG"]
    assert images.image_files(tmp_path / "b") == inside
    assert images.find_images([tmp_path / "e.png", tmp_path / "b"]) == [tmp_path / "e.png", *inside]
    for path, message in ((tmp_path / "f", "no image file"), (tmp_path / "g", "no such file")):
        with pytest.raises(InputError, match=f"{path}: {message}"):
            images.find_images([path])


def test_png_is_written_whole_and_read_back(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, [5, 7, 3], np.uint8)
    for given in (image, Image.fromarray(image)):
        images.write_png(tmp_path / "a.png", given)
        np.testing.assert_array_equal(Image.open(tmp_path / "a.png"), image)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_square_of_the_right_size_is_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, [28, 28, 3], np.uint8)
    for pad in (None, "white"):
        np.testing.assert_array_equal(images.square(Image.fromarray(pixels), 28, pad=pad), pixels)


def test_square_takes_the_centre():
    pixels = np.zeros([20, 40, 3], np.uint8)
    pixels[:, 10:30] = 200
    assert (images.square(Image.fromarray(pixels), 5) == 200).all()


def test_square_is_antialiased():
    stripes = np.zeros([64, 64, 3], np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(images.square(Image.fromarray(stripes), 16)[2:-2, 2:-2].astype(int) - 127).max() <= 2


def test_padding_keeps_the_sides():
    pixels = np.zeros([20, 40, 3], np.uint8)
    pixels[:, :8] = 200  # what a crop cuts off
    out = images.square(Image.fromarray(pixels), 20, pad="white")
    assert (out[:5] == 255).all() and (out[15:] == 255).all()
    assert (out[5:15, :2] == 200).all() and (out[5:15, 7:] == 0).all()
    upright = images.square(Image.fromarray(pixels).transpose(Image.Transpose.TRANSPOSE), 20, pad="#010203")
    assert (upright[:, :5] == [1, 2, 3]).all() and (upright[:2, 5:15] == 200).all()
    assert images.square(Image.new("RGB", (1000, 1)), 8, pad="white").shape == (8, 8, 3)
    with pytest.raises(InputError, match="whitish: not a colour"):
        images.square(Image.fromarray(pixels), 20, pad="whitish")


def test_random_crops_lie_inside_and_have_the_papers_size():
    rows, columns = np.mgrid[:300, :300]
    image = Image.fromarray(np.stack([rows * 255 / 299, columns * 255 / 299, 0 * rows], -1).astype(np.uint8))
    rng, spans = np.random.default_rng(0), []
    for _ in range(50):
        crop = images.square(image, 32, rng).astype(float)
        spans.append((crop[-1, 0, 0] - crop[0, 0, 0]) / 255)
    assert 224 / 384 * 0.9 < min(spans) < max(spans) < 224 / 256 and max(spans) - min(spans) > 0.1


@pytest.mark.parametrize("n, size", [(1, (14, 12)), (4, (26, 22)), (5, (38, 22))])
def test_sheet(n, size):
    tiles = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones([1, 4, 5, 3], np.uint8)
    canvas = sheets.sheet(tiles, scale=2, gap=2)
    assert canvas.shape == (size[1], size[0], 3)
    columns = int(np.ceil(np.sqrt(n)))
    for i in range(n):
        y, x = 2 + i // columns * 10, 2 + i % columns * 12
        assert (canvas[y : y + 8, x : x + 10] == i).all()
    assert (canvas[:2] == BACKGROUND).all() and (canvas[:, -2:] == BACKGROUND).all()


def test_white_tiles_remain_apart_on_a_sheet():
    canvas = sheets.sheet(np.full([4, 8, 8, 3], 255, np.uint8))
    white = (canvas == 255).all(-1)
    assert white.sum() == 4 * 64 and not white[:, white.shape[1] // 2].any() and not white[white.shape[0] // 2].any()


def test_captions_of_columns_and_of_tiles():
    tiles = np.full([4, 30, 60, 3], 255, np.uint8)
    plain = sheets.sheet(tiles, columns=2)
    columns = sheets.sheet(tiles, columns=2, captions=["input", "output"])
    every = sheets.sheet(tiles, columns=2, captions=["a", "b", "c", "d"])
    assert columns.shape[0] == plain.shape[0] + CAPTION and every.shape[0] == plain.shape[0] + 2 * CAPTION
    for canvas, rows in ((columns, (0,)), (every, (0, 30 + 4 + CAPTION))):
        for y in rows:
            for x in (4, 68):
                assert canvas[y + 4 : y + 4 + CAPTION, x : x + 60].min() < 100, "no text"
    ink = (sheets.caption("much too long for so narrow a tile", 60) < 100).any(axis=(0, 2)).nonzero()[0]
    assert 60 > ink.max() > 40 and ink.min() < 20


def test_colours_hidden_under_transparency_are_on_no_sheet(tmp_path):
    pixels = np.zeros([8, 8, 4], np.uint8)
    pixels[..., 0] = 255  # red, but transparent
    pixels[:, 4:] = [0, 0, 255, 255]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = pictures.read_picture(tmp_path / "a.png")
    enlarged = Image.fromarray(pixels).resize((16, 16), Image.Resampling.NEAREST)
    tiles = sheets.side_by_side(
        picture, [enlarged, enlarged.quantize(method=Image.Quantize.FASTOCTREE)], 2, [lambda x: sheets.enlarged(x, 2)]
    )
    assert len(tiles) == 5
    for tile in tiles:
        assert (tile[:, :4] == 255).all() and (tile[:, 12:] == [0, 0, 255]).all()


def test_a_sheet_of_rows_of_several_sizes(tmp_path):
    small, large = np.full([4, 6, 3], 7, np.uint8), np.full([8, 8, 3], 9, np.uint8)
    sheets.write_sheet(tmp_path / "s.png", [[small, large]] * 4, ["low", "high"])
    canvas = np.asarray(Image.open(tmp_path / "s.png"))
    assert canvas.shape == (CAPTION + 2 * 8 + 3 * 4, 4 * 8 + 5 * 4, 3)  # two rows beside two others
    top = 4 + CAPTION
    assert (canvas[top : top + 8, 16:24] == 9).all() and (canvas[top + 2 : top + 6, 5:11] == 7).all()
    assert (canvas[top : top + 2, 4:12] == BACKGROUND).all()
