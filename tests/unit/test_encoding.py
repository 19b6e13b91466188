"""Images to the token files of a data set, which belong together."""

import json

import numpy as np
import pytest
from PIL import Image

from src.config import HParams, InputError
from src.data import encoding
from src.data.encoding import EncodeOptions, encode_dataset
from src.data.tokens import load_split
from tests.conftest import files
from tests.unit.test_data import write_mnist, write_photos

CLUSTERS = np.linspace(-1, 1, 8, dtype=np.float32)[:, None].repeat(3, 1)


@pytest.fixture
def palette(tmp_path):
    """The file of CLUSTERS."""
    np.save(tmp_path / "palette.npy", CLUSTERS)
    return tmp_path / "palette.npy"


@pytest.fixture
def out(tmp_path):
    """An empty folder."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_tokens_labels_and_names_of_mnist(tmp_path, palette, out):
    write_mnist(tmp_path)
    made = encode_dataset(tmp_path, out / "m", EncodeOptions(n_px=28, clusters=palette, valid_fraction=0.2))
    assert made.images == {"tr": 20, "va": 5, "te": 7} and made.colours == 8 and made.skipped == 0
    X, Y = load_split(out / "m", "te", HParams(n_px=28, n_vocab=8))
    pixels = np.frombuffer((tmp_path / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8).reshape(7, 28 * 28, 1)
    np.testing.assert_array_equal(X, np.abs(pixels / 127.5 - 1 - CLUSTERS[:, 0]).argmin(-1))
    np.testing.assert_array_equal(Y.argmax(1), np.arange(7))
    assert X.dtype == np.uint8 and Y.shape == (7, 10)
    np.testing.assert_array_equal(np.load(out / "m_clusters.npy"), CLUSTERS)
    assert json.loads((out / "m_classes.json").read_text()) == list(made.classes) == list("0123456789")


def test_a_full_disk_is_a_line_that_names_the_data_set(tmp_path, palette, out, monkeypatch):
    def full(f, *args):
        raise OSError("100 requested and 0 written")  # NumPy's words

    write_mnist(tmp_path)
    monkeypatch.setattr(encoding, "write_header", full)
    with pytest.raises(InputError, match=r"m.* cannot be written .No space left on device.; make room"):
        encode_dataset(tmp_path, out / "m", EncodeOptions(n_px=28, clusters=palette))
    assert not names(out)


def test_the_whole_data_set_is_replaced(tmp_path, palette, out):
    """Files of an earlier run stood beside new ones: an old test split, old labels, and wrong accuracies."""
    for name in ("cat", "dog"):
        write_photos(tmp_path / "first" / name, 5)
    write_photos(tmp_path / "second", 4)
    classes = EncodeOptions(n_px=8, clusters=palette, classes=True, valid_fraction=0.2, test_fraction=0.2)
    encode_dataset(tmp_path / "first", out / "x", classes)
    encode_dataset(tmp_path / "first", out / "xy", classes)
    other = {path for path in files(out) if path.name.startswith("xy_")}
    assert {p.name.removeprefix("x_") for p in files(out).keys() - other} == {
        *(f"{split}{array}.npy" for split in ("tr", "va", "te") for array in "XY"),
        *("clusters.npy", "classes.json"),
    }
    encode_dataset(tmp_path / "second", out / "x", EncodeOptions(n_px=8, clusters=palette, valid_fraction=0))
    assert names(out) == ["x_clusters.npy", "x_trX.npy", *sorted(p.name for p in other)]


@pytest.mark.parametrize("damage", ["image", "stopped", "palette"])
def test_what_goes_wrong_leaves_the_old_set_whole(damage, tmp_path, palette, out):
    write_photos(tmp_path / "p", 5)
    encode_dataset(tmp_path / "p", out / "x", EncodeOptions(n_px=8, clusters=palette))
    before = files(out)
    (tmp_path / "q" / "test").mkdir(parents=True)
    write_photos(tmp_path / "q" / "train")
    (tmp_path / "q" / "test" / "a.png").write_bytes(b"not a picture")
    options = EncodeOptions(n_px=8, **({"fit_clusters": 5000} if damage == "palette" else {"clusters": palette}))

    def progress(done, total):
        if damage == "stopped" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt if damage == "stopped" else InputError):
        encode_dataset(tmp_path / "q", out / "x", options, progress)
    assert files(out) == before


def test_unreadable_images_are_skipped_and_named(tmp_path, out):
    write_photos(tmp_path / "p")
    (tmp_path / "p" / "2.png").write_bytes(b"not a picture")
    errors, seen = [], []
    options = EncodeOptions(n_px=8, fit_clusters=4, valid_fraction=0)
    made = encode_dataset(tmp_path / "p", out / "x", options, lambda *done: seen.append(done), errors.append)
    assert (made.images, made.skipped) == ({"tr": 5}, 1)
    (error,) = errors  # although it is read for the palette as well
    assert str(error).startswith(f"{tmp_path / 'p' / '2.png'}: not a readable image (")
    assert np.load(out / "x_trX.npy").shape == (5, 64)
    assert seen == [(i, 12) for i in range(1, 13)]


def test_no_readable_image_is_an_error_and_leaves_nothing(tmp_path, palette, out):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match="none of the 1 images"):
        encode_dataset(tmp_path / "p", out / "x", EncodeOptions(n_px=8, clusters=palette))
    with pytest.raises(InputError, match="no readable image to fit a palette to"):
        encode_dataset(tmp_path / "p", out / "x", EncodeOptions(n_px=8, fit_clusters=2))
    assert not names(out)


def test_augmenting_writes_several_crops_with_their_label(tmp_path, palette, out, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 4)  # several writes
    write_photos(tmp_path / "p" / "a", 2)
    write_photos(tmp_path / "p" / "b", 1)
    options = EncodeOptions(n_px=8, clusters=palette, augment=3, classes=True, valid_fraction=0)
    encode_dataset(tmp_path / "p", out / "x", options)
    X, Y = load_split(out / "x", "tr", HParams(n_px=8, n_vocab=8))
    assert X.shape == (9, 64) and len(np.unique(X, axis=0)) == 9
    np.testing.assert_array_equal(Y.argmax(1), [0] * 6 + [1] * 3)


def test_padding_keeps_what_a_crop_cuts_off(tmp_path, palette, out):
    (tmp_path / "p").mkdir()
    wide = np.zeros([8, 32, 3], np.uint8)
    wide[:, :8] = 255
    Image.fromarray(wide).save(tmp_path / "p" / "wide.png")
    for name, pad in (("crop", None), ("pad", "#242424")):
        encode_dataset(tmp_path / "p", out / name, EncodeOptions(n_px=8, clusters=palette, pad=pad, valid_fraction=0))
    crop, pad = (np.load(out / f"{name}_trX.npy").reshape(8, 8) for name in ("crop", "pad"))
    assert (crop == 0).all()
    assert (pad[:3] == 1).all() and (pad[5:] == 1).all() and (pad[3:5, 0] == 7).all() and (pad[3:5, 4:] == 0).all()


@pytest.mark.parametrize(
    "colours, kind", [(256, np.uint8), (257, np.uint16), (1 << 16, np.uint16), (70_000, np.uint32)]
)
def test_the_type_of_tokens_holds_all_colours(colours, kind, tmp_path, out):
    np.save(tmp_path / "p.npy", np.linspace(-1, 1, colours)[:, None].repeat(3, 1))
    (tmp_path / "p").mkdir()
    Image.new("RGB", (4, 4), "white").save(tmp_path / "p" / "a.png")
    encode_dataset(tmp_path / "p", out / "x", EncodeOptions(n_px=1, clusters=tmp_path / "p.npy", valid_fraction=0))
    X = np.load(out / "x_trX.npy")
    assert X.dtype == kind and X[0, 0] >= (colours - 1) * 0.999


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "either `clusters` or `fit_clusters`"),
        ({"clusters": "p.npy", "fit_clusters": 4}, "either `clusters` or `fit_clusters`"),
        ({"fit_clusters": 4, "valid_fraction": 0.9}, "`valid_fraction` must lie in 0..0.5, not 0.9"),
        ({"fit_clusters": 4, "test_fraction": -0.1}, "`test_fraction` must lie in 0..0.5, not -0.1"),
        ({"fit_clusters": 4, "pad": "whitish"}, "whitish: not a colour"),
        ({"fit_clusters": 4, "pad": "white", "augment": 2}, "`pad` has no effect"),
    ],
)
def test_options_that_do_not_fit_together(options, message):
    with pytest.raises(InputError, match=message):
        EncodeOptions(**options)


def test_padding_of_square_images_is_refused(tmp_path, out):
    write_mnist(tmp_path)
    with pytest.raises(InputError, match=f"`pad` has no effect on {tmp_path}"):
        encode_dataset(tmp_path, out / "m", EncodeOptions(fit_clusters=4, pad="white"))
