"""Palettes: fitted, read, compared."""

import numpy as np
import pytest

from src.config import InputError
from src.data import arrays, palettes


def grey_levels(palette):
    """A palette's colours as they are shown, without those that are there twice."""
    return np.unique(np.rint(127.5 * (palette + 1)).astype(int), axis=0)


def squared_error(pixels, palette):
    from sklearn.metrics import pairwise_distances_argmin_min

    return np.mean((127.5 * pairwise_distances_argmin_min(pixels / 127.5 - 1, palette)[1]) ** 2)


def pictures_on_white(n=3000, share=0.9):
    """Pixels of pictures whose background is white, with near-white at their edges."""
    rng = np.random.default_rng(0)
    subject = rng.normal([150, 90, 60], [50, 40, 30], [n, 3])
    edges = rng.integers(235, 256, [n // 4, 3])
    return np.concatenate([subject.clip(0, 255), edges, np.full([int(n * share / (1 - share)), 3], 255)]).astype(
        np.uint8
    )


def test_a_flat_background_wastes_no_colours():
    from sklearn.cluster import MiniBatchKMeans

    pixels = pictures_on_white()
    distinct, counts = np.unique(pixels, axis=0, return_counts=True)
    before = MiniBatchKMeans(512, batch_size=1 << 14, n_init=1, random_state=42)
    before.fit(distinct.astype(np.float32) / 127.5 - 1, sample_weight=counts)
    palette = palettes.fit_palette(pixels, 512)
    assert len(grey_levels(before.cluster_centers_)) < 512 == len(grey_levels(palette))
    assert squared_error(pixels, palette) < squared_error(pixels, before.cluster_centers_) / 2
    assert [255, 255, 255] in grey_levels(palette).tolist()


def test_the_colour_of_flat_areas_is_met_to_the_grey_level():
    rng = np.random.default_rng(0)
    almost = rng.integers(240, 255, [4000, 3])
    pixels = np.concatenate([almost, np.full([6000, 3], 255), np.zeros([1000, 3])]).astype(np.uint8)
    assert grey_levels(palettes.fit_palette(pixels, 2)).tolist() == [[0, 0, 0], [255, 255, 255]]


def test_too_many_distinct_colours_are_thinned(monkeypatch):
    pixels = pictures_on_white(2000, share=0.3)
    exact = palettes.fit_palette(pixels, 64)
    monkeypatch.setattr(palettes, "POINTS", 1000)
    given = []
    thinned = palettes.thinned
    monkeypatch.setattr(palettes, "thinned", lambda *args: given.append(thinned(*args)) or given[-1])
    palette = palettes.fit_palette(pixels, 64)
    points, weights, cell = given[0]
    assert 200 < len(points) <= 1000 and weights.sum() == len(pixels) and cell.max() == len(points) - 1
    assert len(grey_levels(palette)) == 64
    assert squared_error(pixels, palette) < 1.15 * squared_error(pixels, exact)


def test_palette_of_few_colours_is_found_exactly():
    colours = np.array([[0, 0, 0], [250, 20, 30], [40, 200, 60], [255, 255, 255]], np.uint8)
    pixels = colours[np.random.default_rng(0).integers(0, 4, 300)]
    palette = palettes.fit_palette(pixels, 4)
    assert palette.dtype == np.float32
    np.testing.assert_allclose(127.5 * (palette + 1), colours[[0, 1, 2, 3]], atol=1e-3)  # the darkest first
    with pytest.raises(InputError, match="`fit_clusters` 5: the images hold only 4"):
        palettes.fit_palette(pixels, 5)


def test_the_same_seed_gives_the_same_palette():
    pixels = pictures_on_white(500)
    np.testing.assert_array_equal(palettes.fit_palette(pixels, 32, seed=7), palettes.fit_palette(pixels, 32, seed=7))


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros([5, 4], np.float32), "shape"),
        (np.zeros([5, 3], np.int64), "int64"),
        (np.full([5, 3], 200.0), "-1..1"),
        (np.full([5, 3], np.nan), "-1..1"),
        (np.zeros([5, 3], np.float32), "5 colours but the model has 6"),
    ],
)
def test_bad_palettes(array, message, tmp_path):
    np.save(tmp_path / "p.npy", array)
    with pytest.raises(InputError, match=message):
        palettes.load_clusters(tmp_path / "p.npy", 6)


def test_arrays_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        arrays.load_array(tmp_path / "a.npy")
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01")
    for name in ("o.npy", "cut.npy"):
        with pytest.raises(InputError, match=f"{name}: not a readable .npy"):
            arrays.load_array(tmp_path / name)


def test_tokens_of_another_palette_are_refused(tmp_path):
    mine = np.random.default_rng(0).uniform(-1, 1, [8, 3]).astype(np.float32)
    palettes.check_palette(tmp_path / "data", mine)  # the release's token files have no palette
    np.save(tmp_path / "data_clusters.npy", mine + np.float32(1e-6))  # as a text file rounds it
    palettes.check_palette(tmp_path / "data", mine)
    for other in (mine[:7], mine[::-1], mine + np.float32(2 / 255)):
        np.save(tmp_path / "data_clusters.npy", other)
        message = r"data_clusters\.npy: .* encode the images again with the palette run/clusters\.npy \(`clusters`\)"
        with pytest.raises(InputError, match=message):
            palettes.check_palette(tmp_path / "data", mine, "run/clusters.npy")
        with pytest.raises(InputError, match="with the model's palette"):
            palettes.check_palette(tmp_path / "data", mine)
