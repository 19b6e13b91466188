"""Training pairs, and the photographs that they are cut from."""

import hashlib
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from src.config import InputError
from src.superres.cutting import Cutting
from src.superres.degradation import in_palette, resized
from src.superres.espcn import Espcn
from src.superres.pairs import Pairs
from src.superres.photographs import DataOptions, fingerprint, load_data, split_photographs
from tests.conftest import photo

GREYS = np.linspace(-1, 1, 5, dtype=np.float32)[:, None].repeat(3, 1)


def pairs_of(folders, scale, *, clusters=None, seed=42, channels="y", share=1.0, **cutting):
    return Pairs(folders, Cutting(scale, **cutting), clusters, seed, channels=channels, share=share)


def digest(pairs):
    """Of batches from two pools."""
    found = hashlib.sha256()
    for step in (0, 1, 2, 510, 511, 512, 513):
        for part in next(pairs.batches(4, step, step + 1)):
            found.update(part.tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"scale": 2, "patch": 9, "margin": 4}, "88deac50fec40631"),
        ({"scale": 3, "patch": 9, "margin": 4, "clusters": GREYS, "share": 0.5}, "2f2a5d34e255265b"),
        (
            {"scale": 4, "patch": 6, "channels": "rgb", "clusters": GREYS, "share": 0.25, "varied": True, "seed": 7},
            "b48ae259368447da",
        ),
    ],
)
def test_batches_are_those_of_the_pool_in_floats(options, expected, photos):
    """Pinned: what the same seeds gave while the pool was kept as float32, at four times the memory."""
    pairs = pairs_of((tuple(sorted(photos.iterdir())),), **options)
    assert digest(pairs) == expected
    assert {part.dtype for (held,) in pairs.held.values() for pair in held for part in pair} == {np.dtype(np.uint8)}
    assert len(pairs.held) == 1  # one pool at a time


def test_pairs_show_the_same_place_and_repeat(photos):
    paths = tuple(sorted(photos.iterdir()))
    pairs = pairs_of((paths,), 2, patch=9, margin=4)
    batches = list(pairs.batches(4, 0, 6))
    for low, high in batches:
        assert low.shape == (4, 17, 17, 1) and high.shape == (4, 18, 18, 1)
        shrunk = tf.image.resize(high, [9, 9], "bicubic", antialias=True).numpy()
        assert np.abs(shrunk - low[:, 4:-4, 4:-4]).mean() < 0.01
    for a, b in zip(batches[3], next(pairs_of((paths,), 2, patch=9, margin=4).batches(4, 3, 4))):
        np.testing.assert_array_equal(a, b)
    assert [x.shape for x in pairs.signature(4)] == [low.shape, high.shape]
    assert (next(pairs_of((paths,), 2, patch=9, margin=4, seed=1).batches(4, 3, 4))[0] != batches[3][0]).any()


def test_palette_degradation(photos):
    clusters = np.linspace(-1, 1, 5, dtype=np.float32)[:, None].repeat(3, 1)
    image = in_palette(photo(), clusters)
    assert set(np.unique(image)) <= {0, 64, 128, 191, 255}
    paths = tuple(sorted(photos.iterdir()))
    values = {share: set() for share in (0.0, 1.0)}
    for share, seen in values.items():
        pairs = pairs_of((paths,), 2, patch=9, margin=4, channels="rgb", clusters=clusters, share=share)
        seen.update(np.unique(np.rint(255 * next(pairs.batches(8, 0, 1))[0])))
    assert values[1.0] <= {0, 64, 128, 191, 255} and len(values[0.0]) > 20


def test_bicubic_is_pillows():
    low = photo(12, 10)
    expected = np.asarray(Image.fromarray(low).resize((40, 48), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resized(low, (48, 40)), expected)


def test_what_cannot_be_read_is_skipped_with_a_line_in_training_and_validation(photos):
    """Training photographs were once skipped without a word, and validation ended."""
    for name in ("0", "1"):  # one to train on, one to validate on
        shutil.copy(photos / "2.png", photos / f"{name}0.png")
    paths = [p.name for p in split_photographs(photos)[1]]
    assert paths == ["00.png"]
    valid = photos.parent / "valid"
    shutil.copytree(photos, valid)
    for broken in (photos / "1.png", valid / "2.png"):
        broken.write_bytes(b"no image")
    lines = []
    options = DataOptions(str(photos), str(valid), patch=8)
    data = load_data(options, Espcn(2), lambda error: lines.append(str(error)))
    list(data.pairs.batches(1, 510, 514))  # the next pool does not tell again
    assert [line.split(":")[0] for line in lines] == [str(photos / "1.png"), str(valid / "2.png")]
    assert len(data.valid) == 4
    for path in valid.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="no photograph for validation is readable"):
        load_data(options, Espcn(2), lines.append)
    for path in photos.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="no photograph is readable and large enough"):
        load_data(options, Espcn(2), lines.append)


def test_photographs_of_hardly_a_pixel_are_skipped(photos):
    """Shrunk to no pixel at all they once ended a training with a traceback."""
    Image.new("RGB", (1, 1)).save(photos / "dot.gif")
    Image.new("RGB", (400, 1)).save(photos / "line.png")
    valid, lines = photos.parent / "valid", []
    shutil.copytree(photos, valid)
    data = load_data(DataOptions(str(photos), str(valid), patch=8), Espcn(4), lambda error: lines.append(str(error)))
    assert len(data.valid) == 3
    assert [line.split(" to be")[0] for line in lines] == [f"{valid / n}: too small" for n in ("dot.gif", "line.png")]


def test_a_name_that_is_no_text_has_a_fingerprint(photos):
    path = photos / os.fsdecode(b"na\xefve.png")
    (photos / "0.png").rename(path)
    assert fingerprint([path], photos).startswith("1 of hash")


def test_a_fingerprint_knows_files_and_not_folders(photos, tmp_path):
    def taken(folder):
        return fingerprint(sorted(folder.iterdir()), folder)

    copy = shutil.copytree(photos, tmp_path / "copy")
    assert taken(copy) == taken(photos) and taken(photos).startswith("3 of hash ")
    (copy / "0.png").rename(copy / "9.png")
    renamed = taken(copy)
    Image.fromarray(photo(90, 110, 7)).save(copy / "9.png")
    assert len({taken(photos), renamed, taken(copy)}) == 3


@pytest.fixture
def drawings(tmp_path):
    """Forty small pictures, each of one colour that no photograph of `photos` has."""
    folder = tmp_path / "drawings"
    folder.mkdir()
    for i in range(40):
        Image.fromarray(np.full([32, 32, 3], [255, 0, 100 + i], np.uint8)).save(folder / f"{i}.png")
    return folder


def listed(folder):
    return tuple(sorted(folder.iterdir()))


def test_folders_are_drawn_from_alike_however_many_they_have(photos, drawings):
    pairs = pairs_of((listed(photos), listed(drawings)), 4, patch=4, channels="rgb", least=32)
    crops = np.concatenate([high for _, high in pairs.batches(32, 0, 20)])
    share = (crops[:, 0, 0, 1] == 0).mean()
    assert 0.4 < share < 0.6
    again = next(pairs_of((listed(photos), listed(drawings)), 4, patch=4, channels="rgb", least=32).batches(32, 7, 8))
    np.testing.assert_array_equal(again[1], crops[7 * 32 : 8 * 32])
    alone = pairs_of((listed(photos),), 4, patch=4, channels="rgb")
    assert not (next(alone.batches(32, 0, 1))[1][:, 0, 0, 1] == 0).any()


def test_a_folder_that_is_named_twice_is_drawn_from_twice_as_often(photos, drawings):
    """It was once drawn from no more than the others, without a word."""
    options = DataOptions([str(photos), str(drawings), str(drawings)], str(photos), patch=4, least=32)
    data = load_data(options, Espcn(4, channels=3), pytest.fail)
    crops = np.concatenate([high for _, high in data.pairs.batches(32, 0, 20)])
    assert 0.6 < (crops[:, 0, 0, 1] == 0).mean() < 0.73


def test_small_pictures_are_not_made_smaller(photos, drawings):
    for varied in (False, True):
        pairs = pairs_of((listed(photos), listed(drawings)), 4, patch=4, least=32, varied=varied)
        of_photos, of_drawings = pairs.pools(0)
        assert {high.shape for *_, high in of_drawings} == {(32, 32, 3)} and len(of_drawings) == 40 * 5
        sides = {min(high.shape[:2]) for *_, high in of_photos}
        assert min(sides) >= 32 and max(sides) > 32 and len(sides) > 2


def test_small_pictures_fill_a_pool_up_to_its_pixels(drawings, monkeypatch):
    """Of 64 small ones a round would see too few; of large ones no more may be held than before."""
    paths = listed(drawings) * 8
    monkeypatch.setattr("src.superres.pools.SMALL_PIXELS", 100 * 32 * 32)
    assert len(pairs_of((paths,), 4, patch=4, least=32).pools(0)[0]) == 100
    monkeypatch.setattr("src.superres.pools.SMALL_PIXELS", 1)
    assert len(pairs_of((paths,), 4, patch=4, least=32).pools(0)[0]) == 64
    monkeypatch.setattr("src.superres.pools.HELD", 20 * 32 * 32)
    assert [len(pool) for pool in pairs_of((paths, paths), 4, patch=4, least=32).pools(0)] == [10, 10]


def test_squares_are_what_an_image_of_that_size_is_enlarged_from(photos, tmp_path):
    """With the margin that `Upscaler` gives it, and small pictures whole."""
    image = np.random.default_rng(0).integers(0, 256, [8, 8, 3]).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    (tmp_path / "whole").mkdir()
    Image.fromarray(image).save(tmp_path / "whole" / "0.png")
    pairs = pairs_of((listed(tmp_path / "whole"),), 4, patch=8, margin=4, channels="rgb", square=32, clusters=GREYS)
    low = np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BICUBIC))
    low = np.pad(in_palette(low, GREYS), [(4, 4), (4, 4), (0, 0)], "reflect")
    ways = {(k, flip): np.rot90(low, k)[:, ::flip] for k in range(4) for flip in (1, -1)}
    for made, high in zip(*next(pairs.batches(8, 0, 1))):
        turned = [way for way, each in ways.items() if np.array_equal(np.rint(255 * made), each)]
        assert any(np.array_equal(np.rint(255 * high), np.rot90(image, k)[:, ::flip]) for k, flip in turned)
    sides = [high.shape[:2] for *_, high in pairs_of((listed(photos),), 4, patch=8, square=32).pools(0)[0]]
    assert set(sides) == {(32, 32)} and len(sides) == 3 * 5
    with pytest.raises(InputError, match=r"large enough \(128 pixels on a side"):
        pairs_of((listed(photos),), 4, patch=8, square=128).pools(0)


def test_crops_of_squares_show_the_same_place(photos):
    pairs = pairs_of((listed(photos),), 4, patch=5, margin=3, square=64)
    for low, high in pairs.batches(8, 0, 3):
        shrunk = tf.image.resize(high, [5, 5], "bicubic", antialias=True).numpy()
        assert np.abs(shrunk - low[:, 3:-3, 3:-3])[:, 1:-1, 1:-1].mean() < 0.01


def test_data_of_several_folders(photos, drawings):
    """For validation each folder counts alike; a run knows its data by all of them."""
    lines = []
    options = DataOptions([str(photos), str(drawings)], patch=4, least=32)
    data = load_data(options, Espcn(4), lines.append)
    assert data.counts == (1, 4) and len(data.valid) == 5 and not lines
    assert data.mean([10.0, 1.0, 2.0, 3.0, 2.0]) == 6.0
    before, after = data.description["photographs"].split(" + ")
    assert before.startswith("2 of hash ") and after.startswith("36 of hash ")
    assert data.description["least"] == 32 and "squares" not in data.description
    options = DataOptions(str(photos), [str(drawings)], patch=4, n_px=8)
    given = load_data(options, Espcn(4), lines.append)
    assert given.counts == (40,) and given.valid[0][1].shape == (32, 32, 3)
    assert "least" not in given.description
