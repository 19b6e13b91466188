"""The instruments by which models are judged, against slow and plain ways to the same figures."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from benchmarks import classifier, codec, emoji_sets, nearest, pictures
from src.config import HParams, InputError
from src.drawing import samples

GREYS = np.linspace(-1, 1, 16, dtype=np.float32)[:, None].repeat(3, 1)
COLOURS = np.random.default_rng(0).uniform(-1, 1, [512, 3]).astype(np.float32)
PALETTES = pytest.mark.parametrize("clusters", [GREYS, COLOURS], ids=["greys", "colours"])


def tokens(n, clusters, n_px=6, seed=0):
    return np.random.default_rng(seed).integers(0, len(clusters), [n, n_px**2]).astype(np.uint16)


@pytest.mark.parametrize("n", [1, 4, 5, 12, 17])
def test_mosaic_holds_every_image_once(n):
    X = tokens(n, COLOURS)
    tiles = codec.mosaic(X, 6)
    columns = tiles.shape[1] // 6
    for i, x in enumerate(X):
        y, x0 = i // columns * 6, i % columns * 6
        np.testing.assert_array_equal(tiles[y : y + 6, x0 : x0 + 6].ravel(), x)
    assert tiles.size - X.size < 2 * columns * 36


@pytest.mark.parametrize("colours", [2, 16, 256, 257, 512, 65536])
def test_digits_tell_all_tokens_apart(colours):
    seen = codec.digits(np.arange(colours)[None])[0]
    assert len(np.unique(seen, axis=0)) == colours


@PALETTES
def test_what_the_codecs_are_given_can_be_read_back(clusters, monkeypatch):
    """A codec that loses pixels would need fewer bits."""
    files = []

    def written(image, kind, **options):
        file = io.BytesIO()
        image.save(file, kind, **options)
        files.append((np.asarray(Image.open(file).convert("RGB")), kind))
        return file.tell()

    monkeypatch.setattr(codec, "written", written)
    tiles = codec.mosaic(tokens(7, clusters), 6)
    codec.webp(tiles, clusters), codec.png(tiles, clusters)
    expected = [codec.coloured(tiles, clusters), codec.digits(tiles), codec.coloured(tiles, clusters)]
    assert [kind for _, kind in files] == ["WEBP", "WEBP", "PNG"]
    for (read, _), given in zip(files, expected):
        np.testing.assert_array_equal(read, given)


def slow_nearest(x, X, clusters):
    """(which, distances) by a loop over every pair and every way to lay one on the other."""
    a, b = pictures.pixels(x, clusters), pictures.pixels(X, clusters)[:, 1:-1, 1:-1]
    ways = [v[:, i : i + 4, j : j + 4] for v in (a, a[:, :, ::-1]) for i, j in itertools.product(range(3), repeat=2)]
    table = np.array([[min(((w[k] - t) ** 2).mean() for w in ways) for t in b] for k in range(len(x))])
    return table.argmin(1), 255 * np.sqrt(table.min(1))


@PALETTES
def test_nearest_is_the_nearest_of_all(clusters, monkeypatch):
    monkeypatch.setattr(nearest, "BLOCK", 7)
    x, X = tokens(9, clusters, seed=1), tokens(30, clusters, seed=2)
    which, distances = nearest.nearest(x, X, clusters, lambda done, total: None)
    expected, least = slow_nearest(x, X, clusters)
    np.testing.assert_array_equal(which, expected)
    np.testing.assert_allclose(distances, least, rtol=1e-4)


@pytest.mark.parametrize(
    "mirrored, shift", list(itertools.product([False, True], [(0, 0), (1, -1), (-1, 0), (1, 1), (0, 1)]))
)
def test_a_copy_is_found_however_it_is_laid(mirrored, shift):
    X = tokens(30, COLOURS)
    image = np.roll(X[21].reshape(6, 6)[:, :: -1 if mirrored else 1], shift, axis=(0, 1))
    which, distances = nearest.nearest(image.reshape(1, -1), X, COLOURS, lambda done, total: None)
    assert which == [21] and distances[0] == 0


@PALETTES
def test_samples_in_a_folder_are_read_as_the_tokens_they_were(clusters, tmp_path):
    X = tokens(3, clusters)
    for i, image in enumerate(codec.coloured(X, clusters).reshape(3, 6, 6, 3)):
        Image.fromarray(image).save(tmp_path / f"sample_{i}.png")
    np.testing.assert_array_equal(pictures.read_samples(tmp_path, 6, clusters), X)
    with pytest.raises(InputError, match=r"sample_0.png: 6x6 pixels"):
        pictures.read_samples(tmp_path, 7, clusters)
    with pytest.raises(InputError, match=r"no sample_\*.png"):
        pictures.read_samples(tmp_path / "none", 6, clusters)
    Image.new("RGB", (24, 24)).save(tmp_path / "sample_0_espcn_x4.png")
    samples.list_samples(tmp_path, [tmp_path / "sample_1.png"], lambda path: path)
    np.testing.assert_array_equal(pictures.read_samples(tmp_path, 6, clusters), X[1:2])


@PALETTES
def test_the_jury_sees_a_channel_of_greys_and_three_of_colours(clusters):
    x = pictures.pixels(tokens(2, clusters), clusters)
    assert x.shape == (2, 6, 6, 1 if clusters is GREYS else 3) and x.dtype == np.float32
    assert 0 <= x.min() <= x.max() <= 1


def test_the_shape_of_a_data_set_is_that_of_its_files(tmp_path):
    np.save(tmp_path / "it_trX.npy", tokens(2, COLOURS))
    np.save(tmp_path / "it_clusters.npy", COLOURS)
    hparams, clusters = pictures.shape_of(tmp_path / "it")
    assert hparams == HParams(n_px=6, n_vocab=512)
    np.testing.assert_array_equal(clusters, COLOURS)


def test_the_jury_of_greys_is_the_one_that_gave_the_card_its_figures():
    network, epochs, optimizer = classifier.recipe(channels=1, steps=450)
    assert (network, epochs) == (classifier.plain, 8)
    assert network((28, 28, 1), 10).count_params() == 257_162
    assert float(optimizer.learning_rate) == pytest.approx(2e-3)


@pytest.mark.parametrize("network, shape", [(classifier.plain, (28, 28, 1)), (classifier.residual, (32, 32, 3))])
def test_a_jury_augments_nothing_when_it_judges(network, shape):
    x = np.random.default_rng(0).random([2, *shape], np.float32)
    model = network(shape, 9)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))
    assert model.get_layer("features").output.shape == (None, 64)


def test_emoji_of_one_set_are_the_test(tmp_path):
    """Without skin tones; a picture whose name only ends like one of Fluent's tones is kept."""
    names = (
        "noto-judge",
        "noto-judge-dark-skin-tone",
        "fluent-judge",
        "fluent-judge-dark",
        "fluent-flat-light",
        "twemoji-heart",
    )
    for name in names:
        path = tmp_path / "emoji" / ("test" if "judge" in name else "train") / "people-body" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    emoji_sets.main([str(tmp_path / "emoji"), "--test_set", "fluent", "--save_dir", str(tmp_path / "sets")])
    found = {path.relative_to(tmp_path / "sets").as_posix() for path in (tmp_path / "sets").rglob("*.png")}
    others = {f"train/people-body/{name}.png" for name in ("noto-judge", "fluent-flat-light", "twemoji-heart")}
    assert found == {"test/people-body/fluent-judge.png"} | others
    assert all(path.resolve().exists() for path in (tmp_path / "sets").rglob("*.png"))
    with pytest.raises(InputError, match="is there already"):
        emoji_sets.main([str(tmp_path / "emoji"), "--save_dir", str(tmp_path / "sets")])
    with pytest.raises(InputError, match="no pictures of openmoji"):
        emoji_sets.main([str(tmp_path / "emoji"), "--test_set", "openmoji", "--save_dir", str(tmp_path / "more")])
