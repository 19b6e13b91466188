"""Edits of photographs do what their names say, and phrasings say it in words of their own."""

import itertools
import re

import numpy as np
import pytest
from PIL import Image

from src.config import InputError
from src.data import photo_edits
from src.data.edits import NOISE, OPERATIONS, difference, grey
from src.data.grain import grain, plane
from src.data.photo_edits import CropOptions, chosen_crops, random_crop, write_photographs
from src.data.photo_phrasings import PHOTOGRAPHS
from src.data.phrasings import EMOJI, HELD_OUT, SEEN, instruction, phrasings
from src.data.triples import new_triples, read_triples
from src.superres.degradation import low_resolution
from tests.conftest import photo

IMAGE = np.random.default_rng(1).normal(0, 12, [64, 48, 3])
IMAGE = (photo(64, 48, 2) + IMAGE).clip(10, 245).astype(np.uint8)
ROUNDING = 1.01  # grey levels


def edited(kind):
    return OPERATIONS[kind](IMAGE)


def spread(image):
    return grey(image).std()


def colour(image):
    return np.abs(image - grey(image)).mean()


def detail(image):
    return np.abs(np.diff(image.astype(int), axis=1)).mean()


def warmth(image):
    return image[..., 0].mean() - image[..., 2].mean()


@pytest.mark.parametrize(
    "measure, less, more",
    [
        (np.mean, "darker", "brighter"),
        (spread, "less contrast", "more contrast"),
        (colour, "less saturated", "more saturated"),
        (detail, "blur", "sharpen"),
        (warmth, "cooler", "warmer"),
    ],
)
def test_opposites(measure, less, more):
    low, middle, high = (measure(image) for image in (edited(less), IMAGE, edited(more)))
    assert middle - low > 0.1 * abs(middle) and high - middle > 0.1 * abs(middle)


def test_the_others():
    assert np.array_equal(edited("mirror")[:, 0], IMAGE[:, -1]) and np.array_equal(edited("mirror")[:, -1], IMAGE[:, 0])
    assert np.array_equal(edited("invert").astype(int) + IMAGE, np.full_like(IMAGE, 255))
    assert colour(edited("greyscale")) < 1e-9 and difference(edited("greyscale"), grey(IMAGE).repeat(3, 2)) < ROUNDING
    sepia = edited("sepia").astype(int)
    assert (sepia[..., 0] >= sepia[..., 1]).all() and (sepia[..., 1] >= sepia[..., 2]).all() and warmth(sepia) > 20
    assert np.array_equal(edited("hue")[..., 1], IMAGE[..., 0])
    assert np.array_equal(OPERATIONS["hue"](OPERATIONS["hue"](edited("hue"))), IMAGE)
    middle = Image.fromarray(IMAGE[16:48, 12:36]).resize((48, 64), Image.Resampling.BICUBIC)
    assert difference(np.asarray(middle)[4:-4, 4:-4], edited("crop")[4:-4, 4:-4]) < ROUNDING
    noise = edited("noise").astype(float) - IMAGE
    assert abs(noise.mean()) < 2 and 22 < noise.std() < 34
    assert np.abs(noise[:48] - OPERATIONS["noise"](np.full_like(IMAGE, 128))[:48].astype(float) + 128).mean() < 1


def test_grain_repeats_and_is_shrunk_as_pictures_are():
    assert abs(plane().mean()) < 1e-6 and abs(plane().std() - 1) < 1e-6
    laid = grain(100, 130)
    np.testing.assert_array_equal(laid[48:96, 96:], plane()[:, :34])
    np.testing.assert_array_equal(laid[96:, :48], plane()[:4])
    flat = np.full([144, 144, 3], 128, np.uint8)
    _, small = low_resolution(OPERATIONS["noise"](flat), 4)
    np.testing.assert_allclose(small[12:24, 12:24, 0], 128 + NOISE * plane(4), atol=1.01)
    assert plane(4).std() > 0.15


@pytest.mark.parametrize("kind", OPERATIONS)
def test_every_edit_is_a_function_of_the_image_that_shows(kind):
    before = IMAGE.copy()
    once, again = edited(kind), edited(kind)
    assert once.dtype == np.uint8 and once.shape == IMAGE.shape and once.flags["OWNDATA"] | once.flags["C_CONTIGUOUS"]
    assert np.array_equal(once, again) and np.array_equal(IMAGE, before)
    assert difference(IMAGE, once) > 4
    assert all(difference(once, edited(other)) > 1 for other in OPERATIONS if other != kind)


def test_brightness_is_kept_where_contrast_is_meant():
    for kind in ("more contrast", "less contrast", "more saturated", "less saturated", "blur", "sharpen"):
        for image in (IMAGE, IMAGE // 2):
            assert abs(OPERATIONS[kind](image).mean() - image.mean()) < 6, kind


def words(text):
    return tuple(re.findall(r"[a-z0-9{}]+", text.lower()))


def test_phrasings_differ_in_words():
    assert set(PHOTOGRAPHS) == set(OPERATIONS)
    for kind in (*PHOTOGRAPHS, *EMOJI):
        seen, held = phrasings(kind, SEEN), phrasings(kind, HELD_OUT)
        assert len(seen) >= 8 and len(held) == len(seen) / 2
        said = [frozenset(words(text)) for text in (*seen, *held)]
        assert len(set(said)) == len(said), f"{kind}: two phrasings of the same words"
    for kind, other in itertools.combinations(PHOTOGRAPHS, 2):
        for text in phrasings(kind, SEEN) + phrasings(kind, HELD_OUT):
            assert text not in phrasings(other, SEEN) + phrasings(other, HELD_OUT), f"{text}: {kind} or {other}?"


def test_phrasings_are_filled_in():
    for kind, phrasing in itertools.product(EMOJI, (SEEN, HELD_OUT)):
        for template in phrasings(kind, phrasing):
            assert "{word}" in template
            text = template.format(word="WORD", them="THEM", their="THEIR")
            assert not re.search(r"[{}|]", text) and text.strip() == text
    filled = {"word": "orange", "them": "it", "their": "the"}
    said = {instruction("colour", SEEN, f"line {i}", filled) for i in range(200)}
    assert said == {re.sub("a {word}", "an orange", t).format(**filled) for t in phrasings("colour", SEEN)}


def test_a_phrasing_follows_from_the_line():
    assert instruction("blur", SEEN, "a") == instruction("blur", SEEN, "a") in phrasings("blur", SEEN)
    for phrasing in (SEEN, HELD_OUT):
        assert {instruction("blur", phrasing, str(i)) for i in range(600)} == {*phrasings("blur", phrasing)}


def test_crops_are_those_on_which_every_edit_shows():
    noisy = np.random.default_rng(0).normal(0, 15, [90, 400, 3])
    wide = photo(90, 400).astype(float) + noisy
    wide[:, 60:] = 200  # nothing to see there
    image = Image.fromarray(wide.clip(0, 255).astype(np.uint8))
    crops = list(chosen_crops(image, CropOptions(size=16, crops=5), np.random.default_rng(0)))
    assert 1 <= len(crops) <= 5
    for crop, made in crops:
        assert crop.shape == (16, 16, 3) and crop.std() > 5
        assert all(difference(crop, made[kind]) >= photo_edits.VISIBLE for kind in OPERATIONS)
    flat = Image.new("RGB", (90, 90), "grey")
    assert not list(chosen_crops(flat, CropOptions(size=16, crops=2), np.random.default_rng(0)))


def test_small_photographs_are_enlarged():
    assert random_crop(Image.new("RGB", (5, 9)), 16, np.random.default_rng(0)).shape == (16, 16, 3)


def write_textured(folder, n=3):
    """Photographs on which every edit can be seen, in the place of those of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        texture = np.random.default_rng(i).normal(0, 20, [90, 110, 3])
        Image.fromarray((photo(90, 110, i) + texture).clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")


def test_photographs_that_give_nothing_are_named(photos, tmp_path):
    write_textured(photos)
    Image.new("RGB", (90, 90), "grey").save(photos / "1.png")
    (photos / "2.png").write_bytes(b"no picture")
    said, done, paths = [], [], sorted(photos.iterdir())
    options = CropOptions(size=16, crops=2, phrasings="both")
    with new_triples(tmp_path / "out", ["test"]) as writer:
        n = write_photographs(writer, "test", paths, options, lambda *n: done.append(n), said.append)
    found = read_triples(tmp_path / "out" / "test.jsonl")
    assert n == 2 and len(found) == 2 * 2 * len(OPERATIONS) and done[-1][0] == 2
    assert [str(error).split(":")[0] for error in said] == [str(photos / "1.png"), str(photos / "2.png")]
    for kind in OPERATIONS:
        lines = [t for t in found if t.kind == kind]
        assert [t.phrasing for t in lines] == [SEEN, HELD_OUT] * 2
        for t in lines:
            assert t.instruction in phrasings(kind, t.phrasing)
            image, result = (np.asarray(Image.open(p)) for p in (t.image, t.edited))
            assert np.array_equal(OPERATIONS[kind](image), result)
    with pytest.raises(InputError, match="`size` 18"), new_triples(tmp_path / "no", ["a"]) as writer:
        write_photographs(writer, "a", paths, CropOptions(size=18), None, None)
