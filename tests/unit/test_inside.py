"""What a model expects and where it looks, against the network worked out in NumPy; and the pictures of it."""

import dataclasses
import re

import numpy as np
import pytest

from src.config import InputError
from src.data.sheets import CAPTION
from src.drawing.animation import UNKNOWN
from src.drawing.insight import attention_tiles, colour_tiles, heat, image_tiles, insight
from src.measuring.inside import read
from tests.conftest import TINY, random_model, random_tokens
from tests.networks import forward, softmax

CLUSTERS = np.linspace(-1, 1, TINY.n_vocab)[:, None].repeat(3, 1)
GREYS = np.rint(127.5 * (CLUSTERS[:, 0] + 1))
SCALE = 32  # of a tile: 128 pixels over 4


@pytest.fixture(scope="module")
def reading():
    return read(random_model(TINY), random_tokens(1)[0])


@pytest.mark.parametrize("name", ["ar", "ar_sharded"])
def test_probabilities_and_attention_are_those_worked_out_by_hand(golden, name):
    model, _, expected = golden[name]
    X = expected["X"]
    _, attention, logits = forward(model, X)
    readings = [read(model, tokens) for tokens in X]
    losses = [found.losses().mean() for found in readings]
    np.testing.assert_allclose(np.mean(losses), expected["gen_loss"], rtol=1e-5)
    for i, found in enumerate(readings):
        np.testing.assert_allclose(found.probabilities, softmax(logits[i]), atol=1e-5)
        for position in range(X.shape[1]):
            by_hand = np.stack([weights[i, :, position, : position + 1] for weights in attention])
            np.testing.assert_allclose(found.attention(position), by_hand, atol=1e-5)


def test_half_precision_comes_near(reading):
    model = random_model(TINY)
    model.dtype = "bfloat16"
    found = read(model, reading.tokens)
    assert found.queries.dtype == found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.attention(9), reading.attention(9), atol=0.1)


def test_what_comes_later_changes_nothing(reading):
    tokens = reading.tokens.copy()
    tokens[9:] = (tokens[9:] + 1) % TINY.n_vocab
    found = read(random_model(TINY), tokens)
    np.testing.assert_allclose(found.probabilities[:10], reading.probabilities[:10], atol=1e-6)
    np.testing.assert_allclose(found.attention(9), reading.attention(9), atol=1e-6)
    assert np.abs(found.attention(10) - reading.attention(10)).max() > 1e-3


def test_likeliest_colours(reading):
    found = reading.likeliest(5, 4)
    np.testing.assert_array_equal(found, np.argsort(-reading.probabilities[5])[:4])
    assert len(reading.likeliest(5, 100)) == TINY.n_vocab


def pixels(tile):
    """The middle of every pixel [16, 3] of an enlarged image, which no frame around a pixel reaches."""
    return tile.picture[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE].reshape(-1, 3)


def framed(tile, position):
    """Whether a white ring, and around it a black one, lie around a pixel that is not at the edge."""
    y, x = (SCALE * i for i in divmod(position, 4))
    around = tile.picture[y - 2 : y + SCALE + 2, x - 2 : x + SCALE + 2]
    inner = around[1:-1, 1:-1].copy()
    inner[1:-1, 1:-1] = 255
    outer = around.copy()
    outer[1:-1, 1:-1] = 0
    return (inner == 255).all() and not outer.any()


def test_tiles_of_the_image(reading):
    image, surprise = image_tiles(reading, 6, CLUSTERS)
    np.testing.assert_array_equal(pixels(image)[:, 0], GREYS[reading.tokens])
    losses = reading.losses()
    np.testing.assert_array_equal(pixels(surprise), np.rint(heat(losses / losses.max())))
    assert surprise.caption == f"surprise to {losses.max():.1f} nats"
    assert framed(image, 6) and framed(surprise, 6) and not framed(image, 5)


def test_tiles_of_colours(reading):
    here, *likeliest = colour_tiles(reading, 6, CLUSTERS, 3)
    assert (here.picture == GREYS[reading.tokens[6]]).all() and here.picture.shape == (128, 128, 3)
    assert [tile.picture[0, 0, 0] for tile in likeliest] == [*GREYS[reading.likeliest(6, 3)]]
    shares = [float(re.search(r"(\S+) %", tile.caption)[1]) for tile in (here, *likeliest)]
    colours = [reading.tokens[6], *reading.likeliest(6, 3)]
    np.testing.assert_allclose(shares, 100 * reading.probabilities[6][colours], atol=0.06)


@pytest.mark.parametrize("head", [None, 1])
def test_tiles_of_attention_are_hot_where_the_model_looks(reading, head):
    weights = reading.attention(6)
    weights = weights.mean(1) if head is None else weights[:, head]
    tiles = attention_tiles(reading, 6, CLUSTERS, head)
    assert len(tiles) == TINY.n_layer
    for i, (tile, (start, *looks)) in enumerate(zip(tiles, weights)):
        assert tile.caption == f"block {i}, start {100 * start:.0f} %" and framed(tile, 6)
        assert (pixels(tile)[6:] == UNKNOWN).all()  # what it had not seen
        assert (pixels(tile)[np.argmax(looks)] == 255).all()
        dimmed = GREYS[reading.tokens[:6]] / 4
        np.testing.assert_allclose(
            pixels(tile)[:6], np.clip(dimmed[:, None] + heat(np.array(looks) / max(looks)), 0, 255), atol=0.5
        )


@pytest.mark.parametrize("position", [0, 1, 15])
def test_a_picture_of_it_all(reading, position):
    n = 2 + 1 + 5 + TINY.n_layer
    assert insight(reading, position, CLUSTERS).shape == (-(-n // 8) * (128 + 4 + CAPTION) + 4, 8 * 132 + 4, 3)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: read(random_model(dataclasses.replace(TINY, bert=True)), r.tokens), "BERT"),
        (lambda r: read(random_model(TINY), r.tokens[:15]), r"\[16\] tokens, this is \[15\]"),
        (lambda r: read(random_model(TINY), r.tokens + 6), "the model has 6 colours"),
        (lambda r: r.attention(16), "`position` 16: the image has the positions 0 to 15"),
        (lambda r: r.likeliest(-1, 2), "`position` -1"),
        (lambda r: insight(r, 16, CLUSTERS), "`position` 16"),
        (lambda r: attention_tiles(r, 3, CLUSTERS, 2), "`head` 2: the model has the heads 0 to 1"),
    ],
)
def test_refusals(reading, ask, message):
    with pytest.raises(InputError, match=message):
        ask(reading)
