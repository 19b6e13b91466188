"""CIFAR-100, STL-10 and the names of classes, as they are published and as a stranger may have made them."""

import os
import pickle
import tracemalloc

import numpy as np
import pytest

import dataset
from src.config import InputError
from src.data import cifar, classes, known, sources, stl
from src.data.encoding import EncodeOptions, encode_dataset
from src.data.tokens import class_names
from tests.conftest import files, run_here

FINE, COARSE = ([f"{kind}_{i}" for i in range(n)] for kind, n in (("class", 100), ("superclass", 20)))
OTHERS = [f"object {i}" for i in range(10)]
KINDS = ("cifar-10-binary", "cifar-10-python", "cifar-100-binary", "cifar-100-python", "stl")


def write_lines(path, names):
    path.write_text("\n".join(names) + "\n\n")


def write_pickle(path, content):
    path.write_bytes(pickle.dumps({key.encode(): value for key, value in content.items()}, 2))


def write_cifar10(folder, binary):
    """CIFAR-10 with two images a batch."""
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        rows = np.random.default_rng(i).integers(0, 256, [2, 3072], np.uint8)
        if binary:
            np.c_[np.uint8([3, 9]), rows].tofile(folder / f"{name}.bin")
        else:
            write_pickle(folder / name, {"data": rows, "labels": [3, 9]})


def write_cifar100(folder, binary, n=9):
    """CIFAR-100 with n training images and 5 for the test: fine labels 7 i, coarse labels i."""
    for k, (name, size) in enumerate({"train": n, "test": 5}.items()):
        rows = np.random.default_rng(k).integers(0, 256, [size, 3072], np.uint8)
        fine, coarse = np.arange(size) * 7, np.arange(size)
        if binary:
            np.c_[coarse, fine, rows].astype(np.uint8).tofile(folder / f"{name}.bin")
        else:
            labels = {"fine_labels": fine.tolist(), "coarse_labels": coarse.tolist()}
            write_pickle(folder / name, {"data": rows, **labels, "filenames": [b"a"] * size})
    if binary:
        write_lines(folder / "fine_label_names.txt", FINE)
        write_lines(folder / "coarse_label_names.txt", COARSE)
    else:
        names = {"fine_label_names": FINE, "coarse_label_names": COARSE}
        write_pickle(folder / "meta", {key: [x.encode() for x in value] for key, value in names.items()})


def stl_image(i, side=stl.SIDE):
    """An image of which no two rows, columns and channels are alike."""
    y, x, c = np.mgrid[:side, :side, :3]
    return ((3 * y + 7 * x + 50 * c + i) % 256).astype(np.uint8)


def write_stl(folder, unlabeled=11):
    """STL-10 with 10, 6 and 11 images, the k-th of a split with the label (k mod 10) + 1; no names, two folds."""
    sizes = {"train": 10, "test": 6, "unlabeled": unlabeled}
    for k, (name, n) in enumerate(sizes.items()):
        with open(folder / f"{name}_X.bin", "wb") as f:
            for i in range(n):
                f.write(b"".join(stl_image(40 * k + i)[:, :, c].tobytes("F") for c in range(3)))
        if name != "unlabeled":
            (np.arange(n) % 10 + 1).astype(np.uint8).tofile(folder / f"{name}_y.bin")
    write_lines(folder / "fold_indices.txt", ["3 1 2 ", "9 0 5 5 "])


def write(folder, kind):
    folder.mkdir(exist_ok=True)
    if kind == "stl":
        write_stl(folder)
    else:
        (write_cifar100 if "100" in kind else write_cifar10)(folder, kind.endswith("binary"))
    return folder


@pytest.mark.parametrize("coarse", [False, True])
def test_cifar_100_python_and_binary_agree(coarse, tmp_path):
    choice = known.Choice(coarse=coarse)
    a, b = (
        sources.open_source(write(tmp_path / version, f"cifar-100-{version}"), choice, valid_fraction=0)
        for version in ("python", "binary")
    )
    for k, split in enumerate(("tr", "te")):
        np.testing.assert_array_equal(a[split].items, b[split].items)
        rows = np.random.default_rng(k).integers(0, 256, [len(a[split].items), 3072], np.uint8)
        np.testing.assert_array_equal(a[split].items[-1][:, :, 2], rows[-1].reshape(3, 32, 32)[2])
        for found in (a[split], b[split]):
            np.testing.assert_array_equal(found.labels, np.arange(len(rows)) * (1 if coarse else 7))
            assert found.classes == tuple(COARSE if coarse else FINE)


def test_stl_10_turns_columns_into_rows(tmp_path):
    splits = sources.open_source(write(tmp_path / "s", "stl"), valid_fraction=0.2)
    assert {s: len(x.items) for s, x in splits.items()} == {"tr": 8, "va": 2, "te": 6}
    for source in (splits["tr"], splits["va"]):
        for image, label in zip(source.items, source.labels, strict=True):
            np.testing.assert_array_equal(image, stl_image(label))
    np.testing.assert_array_equal(splits["te"].items[4], stl_image(44))
    assert splits["te"].classes == classes.STL_OBJECTS and splits["te"].labels.tolist() == list(range(6))


def test_stl_10_without_labels_and_by_folds(tmp_path):
    folder = write(tmp_path / "s", "stl")
    splits = sources.open_source(folder, known.Choice(unlabeled=True), valid_fraction=0)
    assert [len(splits[s].items) for s in ("tr", "te")] == [11, 6]
    assert all(source.labels is None and not source.classes for source in splits.values())
    np.testing.assert_array_equal(splits["tr"].items[10], stl_image(90))
    for fold, expected in ((0, [1, 2, 3]), (1, [0, 5, 9])):
        splits = sources.open_source(folder, known.Choice(fold=fold), valid_fraction=0)
        assert splits["tr"].labels.tolist() == expected and len(splits["te"].items) == 6
        np.testing.assert_array_equal(splits["tr"].items[1], stl_image(expected[1]))


def test_images_without_labels_stay_on_the_disk(tmp_path):
    folder = write(tmp_path / "s", "stl")
    os.truncate(folder / "unlabeled_X.bin", 60_000 * stl.PIXELS)  # 1.7 GB
    tracemalloc.start()
    try:
        source = sources.open_source(folder, known.Choice(unlabeled=True))["tr"]
        assert tracemalloc.get_traced_memory()[1] < 50 << 20  # of views; no image has been copied
    finally:
        tracemalloc.stop()
    assert len(source.items) == 57_600 and {image.shape for image in source.items} == {(96, 96, 3)}


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_classes_come_from_the_source(kind, tmp_path):
    folder = write(tmp_path / "s", kind)
    if kind == "cifar-10-binary":
        write_lines(folder / "batches.meta.txt", OTHERS)
    elif kind == "cifar-10-python":
        meta = {"label_names": [name.encode() for name in OTHERS], "num_cases_per_batch": 10000, "num_vis": 3072}
        write_pickle(folder / "batches.meta", meta)
    elif kind == "stl":
        write_lines(folder / "class_names.txt", OTHERS)
    expected = FINE if "100" in kind else OTHERS
    options = EncodeOptions(n_px=4, fit_clusters=2, valid_fraction=0)
    made = encode_dataset(folder, tmp_path / "d", options)
    assert class_names(tmp_path / "d") == list(made.classes) == expected
    assert np.load(tmp_path / "d_trY.npy").shape == (made.images["tr"], len(expected))


def test_names_that_a_folder_lacks(tmp_path):
    for version in ("python", "binary"):
        folder = write(tmp_path / version, f"cifar-10-{version}")
        assert sources.open_source(folder)["te"].classes == classes.OBJECTS
        folder = write(tmp_path / f"100-{version}", f"cifar-100-{version}")
        (folder / ("meta" if version == "python" else "fine_label_names.txt")).unlink()
        with pytest.raises(InputError, match=rf"100-{version}: (meta|fine_label_names\.txt) is missing"):
            sources.open_source(folder)


NAMES = {
    "too few": "\n".join(OTHERS[1:]).encode(),
    "too many": "\n".join([*OTHERS, "x"]).encode(),
    "escapes": "\n".join([*OTHERS[1:], "\x1b[31mred"]).encode(),
    "a long one": "\n".join([*OTHERS[1:], "x" * 81]).encode(),
    "no UTF-8": "\n".join(OTHERS).encode()[:-1] + b"\xff",
    "empty": b"",
    "large": b"a\n" * 40_000,
}


@pytest.mark.parametrize("fault", NAMES)
def test_damaged_files_of_names(fault, tmp_path):
    (tmp_path / "class_names.txt").write_bytes(NAMES[fault])
    with pytest.raises(InputError) as error:
        classes.text_names(tmp_path / "class_names.txt", 10)
    line = str(error.value)
    assert line.startswith(f"{tmp_path}/class_names.txt: ") and line.isprintable() and len(line) < 400


@pytest.mark.parametrize(
    "names", [None, "text", OTHERS[1:], [*OTHERS[1:], ""], [*OTHERS[1:], 3], [*OTHERS[1:], b"\n"], {"a": 1}]
)
def test_damaged_pickles_of_names(names, tmp_path):
    write_pickle(tmp_path / "meta", {} if names is None else {"label_names": names})
    with pytest.raises(InputError, match=r"/meta: .*get the file again"):
        cifar.read_cifar_names(tmp_path / "meta", "label_names", 10)


def cut(path, by=1):
    os.truncate(path, path.stat().st_size - by)


FAULTS = {  # name: (kind, choice, what is done in its folder, what the line says)
    "cut images": ("stl", {}, lambda f: cut(f / "train_X.bin"), "train_X.bin: 276479 bytes is no multiple of 27648"),
    "empty": ("stl", {}, lambda f: (f / "test_X.bin").write_bytes(b""), "test_X.bin: 0 bytes"),
    "sparse": ("stl", {"unlabeled": True}, lambda f: os.truncate(f / "unlabeled_X.bin", 27648 << 20), "more than any"),
    "a label more": ("stl", {}, lambda f: (f / "test_y.bin").write_bytes(b"\1" * 7), "7 labels for 6 images"),
    "label 0": ("stl", {}, lambda f: (f / "test_y.bin").write_bytes(bytes(6)), "test_y.bin: labels from 0 to 0"),
    "label 11": (
        "stl",
        {},
        lambda f: (f / "test_y.bin").write_bytes(b"\x0b" * 6),
        "from 11 to 11, not in 1..10",
    ),
    "no labels": ("stl", {}, lambda f: (f / "train_y.bin").unlink(), "train_y.bin is missing"),
    "no test": ("stl", {"unlabeled": True}, lambda f: (f / "test_X.bin").unlink(), "test_X.bin is missing"),
    "no images": ("stl", {"unlabeled": True}, lambda f: (f / "unlabeled_X.bin").unlink(), "unlabeled_X.bin is missing"),
    "no folds": ("stl", {"fold": 0}, lambda f: (f / "fold_indices.txt").unlink(), "fold_indices.txt is missing"),
    "no such fold": (
        "stl",
        {"fold": 2},
        lambda f: None,
        "/fold_indices.txt: 2 folds, numbered from 0: there",
    ),
    "an empty fold": ("stl", {"fold": 0}, lambda f: write_lines(f / "fold_indices.txt", ["", "1"]), "fold 0 is not"),
    "a far image": ("stl", {"fold": 0}, lambda f: write_lines(f / "fold_indices.txt", ["1 10"]), "numbers in 0..9"),
    "before the first": ("stl", {"fold": 0}, lambda f: write_lines(f / "fold_indices.txt", ["-1"]), "numbers in 0..9"),
    "digits": ("stl", {"fold": 0}, lambda f: write_lines(f / "fold_indices.txt", ["9" * 5000]), "numbers in 0..9"),
    "cut batch": ("cifar-100-binary", {}, lambda f: cut(f / "train.bin"), "bytes is no multiple of 3074"),
    "far label": ("cifar-100-binary", {}, lambda f: (f / "test.bin").write_bytes(b"\0d" + bytes(3072)), "up to 100"),
    "far superclass": (
        "cifar-100-binary",
        {"coarse": True},
        lambda f: (f / "test.bin").write_bytes(b"\x14" + bytes(3073)),
        "labels up to 20, not in 0..19",
    ),
    "CIFAR-10's": ("cifar-100-python", {}, lambda f: write_pickle(f / "test", {"data": 1}), "test: not a batch"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_damaged_sources_are_refused_in_one_line(name, tmp_path):
    kind, choice, damage, message = FAULTS[name]
    folder = write(tmp_path / "s", kind)
    damage(folder)
    with pytest.raises(InputError) as error:
        sources.open_source(folder, known.Choice(**choice))
    line = str(error.value)
    assert message.format(folder) in line and str(folder) in line and "\n" not in line and len(line) < 400


@pytest.mark.parametrize(
    "kind, flags, code, message",
    [
        ("cifar-10-binary", ["--coarse"], 1, "--coarse has no effect on {}: only CIFAR-100 has superclasses"),
        ("stl", ["--coarse"], 1, "--coarse has no effect on {}"),
        ("cifar-100-python", ["--unlabeled"], 1, "--unlabeled has no effect on {}: only STL-10 has images without"),
        ("cifar-100-binary", ["--fold", 0], 1, "--fold has no effect on {}: only STL-10 has folds"),
        ("stl", ["--fold", 1, "--unlabeled"], 1, "--fold has no effect on the images of --unlabeled"),
        ("stl", ["--fold", -1], 2, "--fold: must be at least 0"),
        ("stl", ["--fold", 10], 1, "{}/fold_indices.txt: 2 folds, numbered from 0: there is no --fold 10"),
        ("stl", ["--pad"], 1, "--pad has no effect on {}: its images are square"),
        ("stl", ["--classes"], 1, "--classes has no effect on {}"),
        ("stl", ["--test_fraction", 0.1], 1, "--test_fraction has no effect on {}: it has splits of its own"),
    ],
)
def test_flags_without_effect_are_refused(kind, flags, code, message, tmp_path, capsys):
    folder = write(tmp_path / "s", kind)
    before = files(folder)
    where = [folder, "--fit_clusters", 4, "--save_dir", tmp_path / "out"]
    got, stderr = run_here(dataset.main, [*where, *flags], capsys)
    assert got == code and message.format(folder) in stderr and len(stderr.splitlines()) == 1
    assert files(folder) == before and not list((tmp_path / "out").glob("*"))


def test_a_folder_of_images_has_no_choice(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="`coarse` has no effect"):
        sources.open_source(tmp_path, known.Choice(coarse=True))
    with pytest.raises(InputError, match="no image file"):  # a folder `train` is no CIFAR-100
        sources.open_source(tmp_path)


def test_stl_10_to_tokens_with_labels_and_without(tmp_path, capsys):
    folder, out = write(tmp_path / "s", "stl"), tmp_path / "out"
    flags = [str(f) for f in (folder, "--save_dir", out, "--n_px", 8, "--fit_clusters", 4, "--valid_fraction", 0.2)]
    dataset.main([*flags, "--name", "a"])
    dataset.main([*flags, "--name", "b", "--unlabeled"])
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        *(f"{out}/a_{s}X.npy: {n} images of 8x8, 4 colours, 10 classes" for s, n in (("tr", 8), ("va", 2), ("te", 6))),
        f"{out}/a_classes.json: airplane, bird, car, cat, deer, dog, horse, monkey, ship, truck",
        *(f"{out}/b_{s}X.npy: {n} images of 8x8, 4 colours" for s, n in (("tr", 9), ("va", 2), ("te", 6))),
    ]
    assert sorted(p.name for p in out.glob("b_*")) == ["b_clusters.npy", "b_teX.npy", "b_trX.npy", "b_vaX.npy"]
