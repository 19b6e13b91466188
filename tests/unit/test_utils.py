import numpy as np
import pytest

from src import utils
from src.config import InputError


def test_quantizing_palette_colours_is_the_identity():
    rng = np.random.default_rng(0)
    clusters = rng.uniform(-1, 1, [50, 3]).astype(np.float32)
    tokens = rng.integers(0, 50, 1000)
    np.testing.assert_array_equal(utils.color_quantize(clusters[tokens], clusters), tokens)


def test_quantizing_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    x, clusters = rng.uniform(-1, 1, [3, 7, 5, 3]), rng.uniform(-1, 1, [9, 3])
    whole = utils.color_quantize(x, clusters).numpy()
    nearest = ((x.reshape(-1, 1, 3) - clusters) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(whole, nearest)
    monkeypatch.setattr(utils, "DISTANCES", 4 * 16)
    np.testing.assert_array_equal(utils.color_quantize(x, clusters), whole)
    assert utils.color_quantize(np.zeros([0, 3]), clusters).shape == [0]


def test_dequantize_rounds_and_refuses_foreign_tokens():
    clusters = np.array([[-1, -1, -1], [1, 1, 1], [0, 0.5, -0.25]])
    image = utils.color_dequantize(np.array([0, 1, 2, 0]), clusters, 2)
    assert image.dtype == np.uint8 and image.shape == (2, 2, 3)
    np.testing.assert_array_equal(image[1, 0], [128, 191, 96])
    with pytest.raises(InputError, match="palette has 3"):
        utils.color_dequantize(np.array([0, 1, 2, 3]), clusters, 2)


def test_iter_data_keeps_the_last_partial_batch():
    parts = list(utils.iter_data(np.arange(7), np.arange(7) * 2, n_batch=3))
    assert [len(a) for a, _ in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([b for _, b in parts]), np.arange(7) * 2)
