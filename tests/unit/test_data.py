"""Images and raw data sets to tokens."""

import gzip
import pickle
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from src import data, sources
from src.config import HParams, InputError

CLUSTERS = np.linspace(-1, 1, 8, dtype=np.float32)[:, None].repeat(3, 1)


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    (gzip.open if str(path).endswith(".gz") else open)(path, "wb").write(header + array.tobytes())


def write_mnist(folder, n_train=25, n_test=7, ending=""):
    rng = np.random.default_rng(0)
    for part, n in (("train", n_train), ("t10k", n_test)):
        write_idx(folder / f"{part}-images-idx3-ubyte{ending}", rng.integers(0, 256, [n, 28, 28], np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", (np.arange(n) % 10).astype(np.uint8))


def write_photos(folder, n=6, size=(40, 30)):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, [*size[::-1], 3], np.uint8)).save(folder / f"{i}.png")


def test_square_of_the_right_size_is_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, [28, 28, 3], np.uint8)
    np.testing.assert_array_equal(data.square(Image.fromarray(pixels), 28), pixels)


def test_square_takes_the_centre():
    pixels = np.zeros([20, 40, 3], np.uint8)
    pixels[:, 10:30] = 200
    assert (data.square(Image.fromarray(pixels), 5) == 200).all()


def test_square_is_antialiased():
    stripes = np.zeros([64, 64, 3], np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(data.square(Image.fromarray(stripes), 16)[2:-2, 2:-2].astype(int) - 127).max() <= 2


def test_random_crops_lie_inside_and_have_the_papers_size():
    rows, columns = np.mgrid[:300, :300]
    image = Image.fromarray(np.stack([rows * 255 / 299, columns * 255 / 299, 0 * rows], -1).astype(np.uint8))
    rng, spans = np.random.default_rng(0), []
    for _ in range(50):
        crop = data.square(image, 32, rng).astype(float)
        spans.append((crop[-1, 0, 0] - crop[0, 0, 0]) / 255)
    assert 224 / 384 * 0.9 < min(spans) < max(spans) < 224 / 256 and max(spans) - min(spans) > 0.1


def grey_levels(path):
    return np.unique(np.asarray(data.open_image(path)))


def test_photographs_of_every_kind_are_opened_as_a_user_expects(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.full([4, 4], 0x8080, np.uint16)).save(path)  # 16 bits are scaled, not clipped
    assert grey_levels(path) == [128]
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
    assert data.open_image(path).size == (2, 4)


def test_a_photograph_of_100_megapixels_and_a_bomb(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("L", (10_000, 10_000), 77).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (data.square(data.read_image(path), 28) == 77).all()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000_000)
    with pytest.raises(InputError, match=r"large\.png: not a readable image"):
        data.read_image(path)


def test_unreadable_images_are_named(tmp_path):
    (tmp_path / "empty.png").touch()
    write_photos(tmp_path, n=1, size=(40, 40))
    (tmp_path / "0.png").rename(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:1000])
    for name, message in (("empty.png", "not a readable image"), ("cut.png", "not a read"), ("no.png", "no such file")):
        with pytest.raises(InputError, match=f"{name}: {message}"):
            data.read_image(tmp_path / name)
    assert data.read_image(tmp_path / "whole.png", (30, 0, 10, 40)).size == (10, 40)
    for crop in ((31, 0, 10, 40), (0, 0, 0, 4), (-1, 0, 4, 4)):
        with pytest.raises(InputError, match="is not inside its 40x40 pixels"):
            data.read_image(tmp_path / "whole.png", crop)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_mnist(ending, tmp_path):
    write_mnist(tmp_path, ending=ending)
    splits = sources.open_source(tmp_path, valid_fraction=0.2)
    assert {s: len(x.items) for s, x in splits.items()} == {"tr": 20, "va": 5, "te": 7}
    whole = np.concatenate([splits["tr"].items, splits["va"].items])
    assert len(np.unique(whole.reshape(25, -1), axis=0)) == 25
    prefix = tmp_path / "m_te"
    data.write_split(splits["te"], prefix, CLUSTERS, 28, classes=10)
    X, Y = data.load_split(tmp_path / "m", "te", HParams(n_px=28, n_vocab=8))
    nearest = np.abs(splits["te"].items.reshape(7, -1, 1) / 127.5 - 1 - CLUSTERS[:, 0]).argmin(-1)
    np.testing.assert_array_equal(X, nearest)
    np.testing.assert_array_equal(Y.argmax(1), np.arange(7))


def test_cifar10_python_and_binary_agree(tmp_path):
    rng = np.random.default_rng(0)
    for version in ("python", "binary"):
        (tmp_path / version).mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        rows, labels = rng.integers(0, 256, [4, 3072], np.uint8), [3, 1, 0, 9]
        (tmp_path / "python" / name).write_bytes(pickle.dumps({b"data": rows, b"labels": labels}, protocol=2))
        raw = np.concatenate([np.array(labels, np.uint8)[:, None], rows], 1)
        raw.tofile(tmp_path / "binary" / f"{name}.bin")
    a, b = (sources.open_source(tmp_path / v, valid_fraction=0) for v in ("python", "binary"))
    for split in ("tr", "te"):
        np.testing.assert_array_equal(a[split].items, b[split].items)
        np.testing.assert_array_equal(a[split].labels, b[split].labels)
    first = rows.reshape(4, 3, 32, 32)[0]
    np.testing.assert_array_equal(a["te"].items[0][:, :, 1], first[1])


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("it ran",)

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="data_batch_1: not a batch"):
        sources.read_cifar_python(tmp_path / "data_batch_1")


@pytest.mark.parametrize("damage", ["cut", "garbage", "labels", "missing"])
def test_damaged_mnist(damage, tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "garbage":
        path.write_bytes(b"\x01")
    elif damage == "labels":
        write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(24, np.uint8))
    else:
        (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    message = {"labels": "25 images but 24 labels", "missing": "t10k-labels-idx1-ubyte"}.get(damage, str(path))
    with pytest.raises(InputError, match=message):
        sources.open_source(tmp_path)


def test_nested_folder_by_class(tmp_path):
    for name in ("dog", "cat"):
        write_photos(tmp_path / name / "deep", 5)
    splits = sources.open_source(tmp_path, by_class=True, valid_fraction=0.2, test_fraction=0.1)
    assert {s: len(x.items) for s, x in splits.items()} == {"tr": 7, "va": 2, "te": 1}
    for source in splits.values():
        assert [p.parent.parent.name for p in source.items] == [["cat", "dog"][label] for label in source.labels]


def test_folders_named_after_splits(tmp_path):
    for name, n in (("train", 4), ("val", 3), ("test", 2)):
        write_photos(tmp_path / name / "x", n)
    splits = sources.open_source(tmp_path, by_class=True)
    assert {s: len(x.items) for s, x in splits.items()} == {"tr": 4, "va": 3, "te": 2}


def test_images_outside_classes_and_empty_folders(tmp_path):
    with pytest.raises(InputError, match="no image file"):
        sources.open_source(tmp_path)
    write_photos(tmp_path)
    with pytest.raises(InputError, match="--classes"):
        sources.open_source(tmp_path, by_class=True)
    with pytest.raises(InputError, match="no such folder"):
        sources.open_source(tmp_path / "elsewhere")


def test_unreadable_images_are_skipped_and_named(tmp_path, capsys):
    write_photos(tmp_path / "p")
    (tmp_path / "p" / "2.png").write_bytes(b"not a picture")
    source = sources.open_source(tmp_path / "p", valid_fraction=0)["tr"]
    n, skipped = data.write_split(source, tmp_path / "x_tr", CLUSTERS, 8)
    assert (n, [p.name for p in skipped]) == (5, ["2.png"])
    assert "2.png" in capsys.readouterr().err
    assert np.load(tmp_path / "x_trX.npy").shape == (5, 64)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p", "x_trX.npy"]


def test_no_readable_image_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(b"")
    source = sources.open_source(tmp_path / "p", valid_fraction=0)["tr"]
    with pytest.raises(InputError, match="none of the 1 images"):
        data.write_split(source, tmp_path / "x_tr", CLUSTERS, 8)
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_augmenting_writes_several_crops_with_their_label(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CHUNK", 4)  # several writes
    write_photos(tmp_path / "p" / "a", 2)
    write_photos(tmp_path / "p" / "b", 1)
    source = sources.open_source(tmp_path / "p", by_class=True, valid_fraction=0)["tr"]
    data.write_split(source, tmp_path / "x_tr", CLUSTERS, 8, augment=3, classes=2)
    X, Y = data.load_split(tmp_path / "x", "tr", HParams(n_px=8, n_vocab=8))
    assert X.shape == (9, 64) and len(np.unique(X, axis=0)) == 9
    np.testing.assert_array_equal(Y.argmax(1), [0] * 6 + [1] * 3)


def test_palette_of_few_colours_is_found_exactly(tmp_path):
    colours = np.array([[0, 0, 0], [250, 20, 30], [40, 200, 60], [255, 255, 255]], np.uint8)
    images = colours[np.random.default_rng(0).integers(0, 4, [5, 8, 8])]
    palette = data.fit_palette(sources.Source(images, None), 8, 4)
    assert palette.dtype == np.float32
    np.testing.assert_allclose(sorted(map(tuple, 127.5 * (palette + 1))), sorted(map(tuple, colours)), atol=1e-3)
    with pytest.raises(InputError, match="--fit_clusters 5: the images hold only 4"):
        data.fit_palette(sources.Source(images, None), 8, 5)


@pytest.mark.parametrize(
    "X, Y, message",
    [
        (np.zeros([3, 15], np.uint8), None, "images of 15 pixels; the model takes 4x4 = 16"),
        (np.zeros([0, 16], np.uint8), None, "0 images"),
        (np.zeros([3, 16]), None, "tokens are integers"),
        (np.full([3, 16], 6, np.uint8), None, "from 6 to 6 but the model has 6 colours"),
        (np.full([3, 16], -1), None, "from -1 to -1"),
        (np.zeros([3, 16], np.uint8), np.eye(3)[:, :2], "2 classes, but the model's classifier has 3"),
        (np.zeros([3, 16], np.uint8), np.eye(2), r"labels \[2, 2\] do not fit the 3 images"),
    ],
)
def test_bad_token_files(X, Y, message, tmp_path):
    np.save(tmp_path / "d_teX.npy", X)
    if Y is not None:
        np.save(tmp_path / "d_teY.npy", Y)
    with pytest.raises(InputError, match=message):
        data.load_split(tmp_path / "d", "te", HParams(n_px=4, n_vocab=6, classes=3))
