"""Raw data sets and folders of images as they are read, and token files."""

import gzip
import os
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from src.config import HParams, InputError
from src.data import cifar, sources, tokens


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


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_mnist(ending, tmp_path):
    write_mnist(tmp_path, ending=ending)
    splits = sources.open_source(tmp_path, valid_fraction=0.2)
    assert {s: len(x.items) for s, x in splits.items()} == {"tr": 20, "va": 5, "te": 7}
    whole = np.concatenate([splits["tr"].items, splits["va"].items])
    assert len(np.unique(whole.reshape(25, -1), axis=0)) == 25
    np.testing.assert_array_equal(splits["te"].labels, np.arange(7))
    assert all(source.classes == tuple("0123456789") for source in splits.values())


def test_fashion_mnist_is_told_from_mnist_and_other_data_in_their_format(tmp_path):
    write_mnist(tmp_path)
    labels = np.resize(np.uint8([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 1]), 25)
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
    assert sources.open_source(tmp_path)["te"].classes[:2] == ("T-shirt", "trouser")
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.arange(7, dtype=np.uint8) + 6)
    assert sources.open_source(tmp_path)["tr"].classes == tuple(str(i) for i in range(13))


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
    assert a["tr"].classes == b["te"].classes and a["te"].classes[3] == "cat"
    first = rows.reshape(4, 3, 32, 32)[0]
    np.testing.assert_array_equal(a["te"].items[0][:, :, 1], first[1])


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("it ran",)

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="data_batch_1: not a batch"):
        cifar.read_cifar_python(tmp_path / "data_batch_1")


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
        assert [p.parent.parent.name for p in source.items] == [source.classes[label] for label in source.labels]
        assert source.classes == ("cat", "dog")


def test_folders_named_after_splits(tmp_path):
    for name, n in (("train", 4), ("val", 3), ("test", 2)):
        write_photos(tmp_path / name / "x", n)
    splits = sources.open_source(tmp_path, by_class=True)
    assert {s: len(x.items) for s, x in splits.items()} == {"tr": 4, "va": 3, "te": 2}


def test_images_outside_classes_and_empty_folders(tmp_path):
    with pytest.raises(InputError, match="no image file"):
        sources.open_source(tmp_path)
    write_photos(tmp_path)
    with pytest.raises(InputError, match="`classes`"):
        sources.open_source(tmp_path, by_class=True)
    with pytest.raises(InputError, match="no such folder"):
        sources.open_source(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "kind, option",
    [
        ("mnist", {"by_class": True}),
        ("mnist", {"test_fraction": 0.1}),
        ("splits", {"valid_fraction": 0.1}),
        ("splits", {"test_fraction": 0.1}),
    ],
)
def test_arguments_without_effect_are_refused(kind, option, tmp_path):
    if kind == "mnist":
        write_mnist(tmp_path)
    else:
        write_photos(tmp_path / "train")
    name = next(iter(option)).replace("by_class", "classes")
    with pytest.raises(InputError, match=f"`{name}` has no effect on {tmp_path}"):
        sources.open_source(tmp_path, **option)


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
        tokens.load_split(tmp_path / "d", "te", HParams(n_px=4, n_vocab=6, classes=3))


def test_splits_and_class_names_of_a_data_set(project):
    assert tokens.splits_of(project / "tokens") == {"train": "tr", "valid": "va", "test": "te"}
    (project / "tokens_vaX.npy").unlink()
    assert list(tokens.splits_of(project / "tokens")) == ["train", "test"]
    assert tokens.splits_of(project / "others") == {} and tokens.class_names(project / "tokens") is None
    (project / "tokens_classes.json").write_text('["a", "b", "c"]')
    assert tokens.class_names(project / "tokens") == ["a", "b", "c"]


def test_the_default_is_the_newest_data_set(tmp_path):
    for i, name in enumerate(("new_trX.npy", "old_teX.npy", ".part-7-other_trX.npy")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - i, 1000 - i if name[0] != "." else 2000))
    assert tokens.default_data_path(tmp_path) == str(tmp_path / "new")
    assert tokens.default_data_path(tmp_path / "nowhere") == str(tmp_path / "nowhere" / "fashion_mnist")


def test_a_fingerprint_stands_for_type_shape_and_values(tmp_path):
    X = np.random.default_rng(0).integers(0, 9, [40_000, 4]).astype(np.uint8)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert tokens.fingerprint(mapped) == tokens.fingerprint(X) == tokens.fingerprint(np.asfortranarray(X))
    last = X.copy()
    last[-1, -1] ^= 1
    others = [last, X.reshape(-1, 8), X.astype(np.uint16), X[:-1]]
    assert len({tokens.fingerprint(x) for x in [X, *others]}) == 5
    assert tokens.fingerprint(np.zeros([2, 3], np.float32)) == "0ee5346b7bdc0f7b"
