"""Data from strangers: whatever lies in a file, one line that names it, no time or memory that is not the file's."""

import gzip
import itertools
import os
import pickle
import socket
import struct
import time
import tracemalloc

import numpy as np
import pytest

import dataset
from src.config import HParams, InputError
from src.data import arrays, cifar, classes, encoding, images, palettes, pictures, sources, stl, tokens
from src.data.encoding import EncodeOptions, encode_dataset
from tests.conftest import ROOT, files, run_here
from tests.fuzz import fuzz_data
from tests.fuzz.fuzz_data import CIFAR_2, batch, saved
from tests.unit.test_data import write_mnist, write_photos

ROWS = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
HUGE = 1 << 62


def refused(read, path, *args):
    """The line with which a reader refuses a file; nothing beside it has changed, little time and memory went."""
    before, start = files(path.parent), time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as error:
            read(path, *args)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 5
    line = str(error.value)
    assert line.startswith(str(path)) and "\n" not in line and len(line) < len(str(path)) + 300
    assert files(path.parent) == before
    return line


@pytest.mark.parametrize("name", fuzz_data.READERS)
def test_no_damage_gets_past_a_reader(name, tmp_path):
    taken = fuzz_data.fuzz(name, 400, 7, tmp_path)
    assert 0 < taken < 400


# CIFAR's pickles


@pytest.mark.parametrize("protocol", ["2 of Python 2", 2, 3, 4, 5])
def test_batches_as_each_python_writes_them(protocol, tmp_path):
    path, rows = tmp_path / "data_batch_1", ROWS
    raw = CIFAR_2 if isinstance(protocol, str) else pickle.dumps(batch(rows, [3, 9]), protocol)
    path.write_bytes(raw)
    found, labels = cifar.read_cifar_python(path)
    np.testing.assert_array_equal(found, rows)
    assert labels.tolist() == [3, 9] and labels.dtype == np.int64
    assert cifar.read_pickled(path)["filenames"] in ([b"0.png", b"1.png"], ["a.png", "b.png"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_batches_of_real_length_and_those_of_cifar_100(protocol, tmp_path):
    n, rng = 2500, np.random.default_rng(0)  # more than a pickle appends at once, more names than a byte numbers
    rows, fine = rng.integers(0, 256, [n, 3072], np.uint8), rng.integers(0, 100, n).tolist()
    content = batch(rows, fine) | {b"fine_labels": fine, b"coarse_labels": [x // 5 for x in fine]}
    (tmp_path / "train").write_bytes(pickle.dumps(content, protocol))
    found, labels = cifar.read_cifar_python(tmp_path / "train", "fine_labels", 100)
    np.testing.assert_array_equal(found, rows)
    assert labels.tolist() == fine
    (tmp_path / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"apple", b"bee"]}, protocol))
    assert cifar.read_pickled(tmp_path / "meta") == {"fine_label_names": [b"apple", b"bee"]}


def test_columns_first_are_put_in_order(tmp_path):
    (tmp_path / "b").write_bytes(pickle.dumps(batch(np.asfortranarray(ROWS), [0, 1]), 2))
    np.testing.assert_array_equal(cifar.read_cifar_python(tmp_path / "b")[0], ROWS)


class Runs:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def forged(raw):
    """An object over bytes that stand for its address, of the names alone that NumPy itself writes."""
    old, new = b"U\x02u1K\x00K\x01\x87R", b"U\x02O8K\x00K\x01\x87R"
    assert old in raw
    return raw.replace(old, new)


PICKLES = {
    "print": pickle.dumps(Runs(print, "it ran"), 2),
    "a command": pickle.dumps(batch(Runs(os.system, "touch ran"), [1, 2]), 4),
    "eval": pickle.dumps({b"data": ROWS, b"labels": Runs(eval, "[1, 2]")}, 3),
    "protocol 0": pickle.dumps(batch(ROWS, [1, 2]), 0),
    "a forged dtype": forged(CIFAR_2),
    "a structured dtype": pickle.dumps(batch(np.zeros(2, [("a", "O"), ("b", "u1")]), [1, 2]), 2),
    "objects": pickle.dumps(batch(np.array([{}, []], object), [1, 2]), 4),
    "floats": pickle.dumps(batch(ROWS.astype(float), [1, 2]), 2),
    "too few pixels": pickle.dumps(batch(ROWS[:, :-1], [1, 2]), 2),
    "three dimensions": pickle.dumps(batch(ROWS[None], [1, 2]), 2),
    "a huge shape": CIFAR_2.replace(b"K\x01K\x02M\x00\x0c\x86", b"K\x01J\xff\xff\xff\x7fM\x00\x0c\x86"),
    "a negative shape": CIFAR_2.replace(b"K\x01K\x02M\x00\x0c\x86", b"K\x01J\xff\xff\xff\xffM\x00\x0c\x86"),
    "no images": pickle.dumps(batch(ROWS[:0], []), 2),
    "a list": pickle.dumps([1, 2], 2),
    "no data": pickle.dumps({b"labels": [1, 2]}, 2),
    "data of text": pickle.dumps(batch("text", [1, 2]), 2),
    "no labels": pickle.dumps({b"data": ROWS}, 2),
    "labels of text": pickle.dumps(batch(ROWS, ["1", "2"]), 2),
    "labels of floats": pickle.dumps(batch(ROWS, [1.0, 2.0]), 2),
    "true labels": pickle.dumps(batch(ROWS, [True, False]), 2),
    "labels from 1": pickle.dumps(batch(ROWS, [1, 10]), 2),
    "negative labels": pickle.dumps(batch(ROWS, [1, -1]), 2),
    "huge labels": pickle.dumps(batch(ROWS, [1, HUGE]), 2),
    "too few labels": pickle.dumps(batch(ROWS, [1]), 2),
    "a dict of labels": pickle.dumps(batch(ROWS, {0: 1}), 2),
    "nothing": b"",
    "a page": b"<html><body>404</body></html>",
    "no end": pickle.dumps(batch(ROWS, [1, 2]), 2)[:-1],
    "a nest": b"\x80\x02" + b"]" + b"\x85" * 50_000 + b".",
    "a nest as a key": b"\x80\x02}]" + b"\x85" * 50_000 + b"Ns.",
    "no end of steps": b"\x80\x02" + b"N" * (1 << 17) + b".",
    "no end of marks": b"\x80\x02" + b"(" * (1 << 17) + b".",
    "a length of exabytes": b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"abc",
    "text made bytes again and again": (
        b"\x80\x02c_codecs\nencode\nq\x00X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x01X\x06\x00\x00\x00"
        b"latin1q\x02\x86q\x03R" + b"h\x00h\x03R" * 50_000 + b"."
    ),
    "long names again and again": (
        b"\x80\x02C\x01aq\x02}q\x00B"
        + struct.pack("<I", 8 << 20)
        + b"a" * (8 << 20)
        + b"q\x01Ns"
        + b"h\x01Ns" * 20_000
        + b"."
    ),
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_that_is_no_batch_is_refused(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cifar, "STEPS", 1 << 16)
    (tmp_path / "data_batch_1").write_bytes(PICKLES[name])
    line = refused(cifar.read_cifar_python, tmp_path / "data_batch_1")
    assert "it is too long" in line or not name.startswith("no end of")
    assert capfd.readouterr() == ("", "")


def test_no_unpickler_is_ever_made(tmp_path, monkeypatch):
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    (tmp_path / "b").write_bytes(CIFAR_2)
    assert len(cifar.read_cifar_python(tmp_path / "b")[0]) == 2
    library = [p.read_text() for p in (ROOT / "src").rglob("*.py")]
    assert not any("import pickle\n" in text or "allow_pickle=True" in text for text in library)


@pytest.mark.parametrize("damage", ["label", "cut", "empty", "sparse", "page"])
def test_damaged_binary_batches(damage, tmp_path):
    path, raw = tmp_path / "data_batch_1.bin", bytes(2 * 3073)
    if damage == "sparse":  # 3 TB of nothing that take no room on the disk
        path.touch()
        os.truncate(path, 3073 << 30)
        with pytest.raises(InputError, match=r"data_batch_1\.bin: 3299608625152 bytes, more than"):
            cifar.read_cifar_binary(path)
        return
    path.write_bytes({"label": b"\x0a" + raw[1:], "cut": raw[:-1], "empty": b"", "page": b"<html>"}[damage])
    refused(cifar.read_cifar_binary, path)


# IDX


def idx(shape, body, zero=0, kind=8, rank=None):
    return struct.pack(f">HBB{len(shape)}I", zero, kind, len(shape) if rank is None else rank, *shape) + body


IDX = {
    "empty": b"",
    "three bytes": b"\0\0\x08",
    "no shape": idx((), b"", rank=3),
    "a header alone": idx((2, 5, 4), b""),
    "cut": idx((2, 5, 4), bytes(39)),
    "too long": idx((2, 5, 4), bytes(41)),
    "no dimension": idx((), b"\0"),
    "255 dimensions": idx((1,) * 255, b"\0"),
    "labels": idx((40,), bytes(40)),
    "petabytes": idx((0xFFFFFFFF, 0xFFFF, 1), bytes(40)),
    "a product of 2 ** 64": idx((1 << 31, 1 << 31, 4), b""),
    "a product of 2 ** 64 and a bit": idx((1 << 31, 1 << 31, 5), bytes(40)),
    "other numbers": idx((2, 5, 4), bytes(40), kind=0x0D),
    "no zero": idx((2, 5, 4), bytes(40), zero=1),
    "a page": b"<html><body>404</body></html>",
}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", IDX)
def test_an_idx_file_that_is_none_is_refused(name, packed, tmp_path):
    path = tmp_path / f"train-images-idx3-ubyte{packed}"
    path.write_bytes(gzip.compress(IDX[name]) if packed else IDX[name])
    assert "not a readable IDX file (" in refused(arrays.read_idx, path, 3)


@pytest.mark.parametrize("damage", ["cut", "crc", "plain", "trailing", "empty", "bomb", "gigabytes"])
def test_damaged_gzip(damage, tmp_path):
    path, whole = tmp_path / "a.gz", gzip.compress(idx((2, 5, 4), bytes(40)), mtime=0)
    path.write_bytes(
        {
            "cut": whole[:-9],
            "crc": whole[:-8] + b"abcd" + whole[-4:],
            "plain": idx((2, 5, 4), bytes(40)),
            "trailing": whole + b"no gzip",
            "empty": b"",
            "bomb": gzip.compress(idx((2, 5, 4), bytes(200 << 20)), 1),  # 200 MB behind an array of 40 bytes
            "gigabytes": gzip.compress(idx((1 << 20, 1 << 10, 4), bytes(40 << 20)), 1),
        }[damage]
    )
    refused(arrays.read_idx, path, 3)


def test_idx_files_as_they_are(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, [3000, 28, 28], np.uint8)  # more than one chunk
    for name, make in (("a", bytes), ("a.gz", gzip.compress)):
        (tmp_path / name).write_bytes(make(idx(array.shape, array.tobytes())))
        np.testing.assert_array_equal(arrays.read_idx(tmp_path / name, 3), array)
    write_mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx((7, 0, 28), b""))
    with pytest.raises(InputError, match="t10k: images of 0x28 pixels"):
        sources.open_source(tmp_path)


# What is no file


def special(folder, kind):
    """Something that is no file, under the name of one."""
    path = folder / "x.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
    elif kind in ("null", "zero", "tty"):
        path.symlink_to(f"/dev/{kind}")
    elif kind == "loop":
        path.symlink_to(path)
    return path if kind != "long" else folder / ("x" * 5000)


READERS = {
    "image": pictures.read_picture,
    "array": arrays.load_array,
    "palette": palettes.load_clusters,
    "idx": lambda path: arrays.read_idx(path, 1),
    "cifar": cifar.read_cifar_python,
    "cifar.bin": cifar.read_cifar_binary,
    "stl": stl.read_stl_images,
    "stl labels": lambda path: stl.read_stl_labels(path, 2),
    "folds": lambda path: stl.read_stl_fold(path, 0, 2),
    "names": lambda path: classes.text_names(path, 2),
}


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "null", "zero", "tty", "loop", "long", "missing"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_at_once(kind, reader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refused(READERS[reader], special(tmp_path, kind))
    assert ("no such file" if kind == "missing" else "cannot be read (") in line
    with pytest.raises(InputError):
        images.find_images([special(tmp_path / "none", kind)] if kind == "long" else [tmp_path / "nothing"])


# Arrays


def npy(header, body=b"", version=1):
    header = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + body


def described(shape="(2, 3)", descr="'<f4'", fortran="False"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def zipped(folder):
    np.savez(folder / "z.npz", a=np.zeros([2, 3], np.float32))
    raw = (folder / "z.npz").read_bytes()
    (folder / "z.npz").unlink()
    return raw


NPY = {
    "empty": b"",
    "a page": b"<html>",
    "an npz": zipped,
    "a pickle": pickle.dumps(np.zeros([2, 3])),
    "no header": b"\x93NUMPY\x01\0",
    "an endless header": b"\x93NUMPY\x02\0\xff\xff\xff\xff{",
    "a long header": npy(described() + " " * 20_000, bytes(24), 2),
    "version 9": npy(described(), bytes(24), 9),
    "no dict": npy("[1, 2]", bytes(24)),
    "a deep header": npy("(" * 9000, bytes(24)),
    "deep minus signs": npy("-" * 9000 + "1", bytes(24)),
    "more keys": npy("{'a': 1}", bytes(24)),
    "a shape of text": npy(described("'ab'"), bytes(24)),
    "a shape of floats": npy(described("(2.0, 3)"), bytes(24)),
    "a negative shape": npy(described("(-2, -3)"), bytes(24)),
    "a huge shape": npy(described(f"({HUGE}, 3)"), bytes(24)),
    "nothing of a huge shape": npy(described(f"(0, {HUGE})")),
    "a product of 2 ** 64": npy(described(f"({1 << 32}, {1 << 32})"), b""),
    "a number of 4000 digits": npy(described(f"({'9' * 4000}, 3)"), bytes(24)),
    "many dimensions": npy(described(f"({'1, ' * 70})"), bytes(4)),
    "cut": npy(described(), bytes(23)),
    "too long": npy(described(), bytes(25)),
    "objects": saved(np.array([[None] * 3] * 2)),
    "complex": saved(np.zeros([2, 3], complex)),
    "text": saved(np.array([["a"] * 3] * 2)),
    "bytes": saved(np.array([[b"a"] * 3] * 2)),
    "dates": saved(np.zeros([2, 3], "M8[s]")),
    "structured": saved(np.zeros([2, 3], [("a", "f4"), ("b", "O")])),
    "nothing at all": npy(described("(2, 3)", "'V0'")),
    "a subarray": npy(described("(2, 3)", "('<f4', (1000000, 1000000))"), bytes(24)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NPY)
def test_an_array_that_is_none_is_refused_by_every_reader(name, tmp_path):
    raw = NPY[name](tmp_path) if callable(NPY[name]) else NPY[name]
    for path in (tmp_path / "p.npy", tmp_path / "d_teX.npy", tmp_path / "d_teY.npy"):
        path.write_bytes(raw)
    assert "not a readable .npy file (" in refused(palettes.load_clusters, tmp_path / "p.npy")
    refused(arrays.load_array, tmp_path / "d_teY.npy")
    hparams = HParams(n_px=4, n_vocab=6)
    with pytest.raises(InputError, match=r"d_teX\.npy: not a readable"):
        tokens.load_split(tmp_path / "d", "te", hparams)
    np.save(tmp_path / "d_teX.npy", np.zeros([2, 16], np.uint8))
    with pytest.raises(InputError, match=r"d_teY\.npy: not a readable"):
        tokens.load_split(tmp_path / "d", "te", hparams)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4", "u1", "i8", "?"])
@pytest.mark.parametrize("order", "CF")
def test_arrays_of_numbers_are_read_as_numpy_reads_them(kind, order, tmp_path):
    for shape, version in itertools.product([(3, 5), (0, 7), (4,), ()], [(1, 0), (2, 0)]):
        array = np.asarray(np.random.default_rng(0).integers(0, 2, shape), kind, order=order)
        with open(tmp_path / "a.npy", "wb") as f:
            np.lib.format.write_array(f, array, version)
        found = arrays.load_array(tmp_path / "a.npy")
        np.testing.assert_array_equal(found, array)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)


def greys(*values):
    return np.array(values, np.float32)[:, None].repeat(3, 1)


@pytest.mark.parametrize(
    "palette",
    [
        greys(0, np.nan),
        greys(np.inf, 0),
        greys(0, -1.01),
        greys(1.01, 0),
        greys()[:, :3].reshape(0, 3),
        greys(0)[:, :2],
    ],
    ids=["nan", "inf", "below", "above", "none", "two"],
)
def test_palettes_that_are_none(palette, tmp_path):
    np.save(tmp_path / "p.npy", palette)
    refused(palettes.load_clusters, tmp_path / "p.npy")
    np.save(tmp_path / "p.npy", greys(-1, 0, 1 + 1e-6))  # what float32 makes of a mean of whites
    assert len(palettes.load_clusters(tmp_path / "p.npy")) == 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "text",
    [
        '{"clusters": [["0", "0", "0"]]}',
        '{"clusters": [[true, 0, 0]]}',
        '{"clusters": [[null, 0, 0]]}',
        '{"clusters": [[1e999, 0, 0]]}',
        '{"clusters": [[1e300, 0, 0]]}',
        '{"clusters": [[NaN, 0, 0]]}',
        f'{{"clusters": [[1{"0" * 400}, 0, 0]]}}',
        '{"clusters": [[0, 0]]}',
        '{"clusters": [[0, 0, 0], [0, 0]]}',
        '{"clusters": [0, 0, 0]}',
        '{"clusters": {"0": [0, 0, 0]}}',
        '{"clusters": []}',
        '{"clusters": null}',
        "{}",
        "[[0, 0, 0]]",
        "null",
        '"clusters"',
        "",
    ],
)
def test_palettes_in_json_that_are_none(text, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(text)
    refused(palettes.load_clusters, tmp_path / "preprocessor_config.json")


EYE = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize(
    "labels",
    [
        np.full([3, 3], np.nan),
        np.where(EYE, np.inf, 0),
        -EYE,
        2 * EYE,
        EYE / 2,
        0 * EYE,
        np.ones([3, 3], np.float32),
        EYE[[0, 1, 1]] + EYE[[0, 1, 2]],
        np.zeros([3, 0], np.float32),
        np.arange(3),
        EYE.astype(complex),
        EYE.astype(str),
        EYE[None],
        EYE[:2],
    ],
    ids=["nan", "inf", "-1", "2", "half", "none", "all", "two", "no class", "numbers", "complex", "text", "3d", "few"],
)
def test_labels_that_name_no_class(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "CELLS", 3)  # one row at a time
    np.save(tmp_path / "d_teX.npy", np.zeros([3, 16], np.uint8))
    np.save(tmp_path / "d_teY.npy", labels)
    with pytest.raises(InputError, match=r"d_teY\.npy: ") as error:
        tokens.load_split(tmp_path / "d", "te", HParams(n_px=4, n_vocab=6))
    assert "\n" not in str(error.value)
    for kind in ("f4", "u1", "i8", "?"):
        np.save(tmp_path / "d_teY.npy", EYE.astype(kind))
        assert tokens.load_split(tmp_path / "d", "te", HParams(n_px=4, n_vocab=6))[1].shape == (3, 3)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", '"cat"', "null", "[null]", "3", "["])
def test_names_of_classes_that_are_none(text, tmp_path):
    (tmp_path / "d_classes.json").write_text(text)
    with pytest.raises(InputError, match=r"d_classes\.json: (not |holds JSON of type \w+, expected list)"):
        tokens.class_names(tmp_path / "d")


# Data sets


def another(folder, fault):
    """A source at which a second data set of the same name fails, and what stands in the message."""
    folder.mkdir()
    write_mnist(folder)
    path = folder / "t10k-labels-idx1-ubyte"
    if fault == "split":
        path.write_bytes(path.read_bytes()[:-1])
    elif fault == "missing":
        path.unlink()
    elif fault == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif fault == "rank":
        path.write_bytes((folder / "t10k-images-idx3-ubyte").read_bytes())
    elif fault == "labels":
        path.write_bytes(idx((6,), bytes(6)))
    elif fault == "class":
        for file in folder.iterdir():
            file.unlink()
        for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
            labels = [1, 10] if name == "test_batch" else [0, 9]
            (folder / name).write_bytes(pickle.dumps(batch(ROWS, labels), 2))


@pytest.mark.parametrize("fault", ["split", "missing", "pipe", "rank", "labels", "class", "palette", "folder"])
def test_a_second_data_set_that_fails_leaves_the_first_as_it_was(fault, tmp_path, capsys):
    write_photos(tmp_path / "first", 5)
    flags = ["--save_dir", tmp_path / "out", "--name", "x", "--n_px", 4]
    dataset.main([str(a) for a in [tmp_path / "first", *flags, "--fit_clusters", 4]])
    before, _ = files(tmp_path / "out"), capsys.readouterr()
    another(tmp_path / "second", fault)
    np.save(tmp_path / "p.npy", greys(0, np.nan if fault == "palette" else 1))
    source = tmp_path / ("none" if fault == "folder" else "second")
    code, stderr = run_here(dataset.main, [source, *flags, "--clusters", tmp_path / "p.npy"], capsys)
    assert code == 1 and len(stderr.splitlines()) == 1 and stderr.startswith(f"dataset.py: {tmp_path}")
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("step", ["palette", "crops", "write", "labels", "names"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_run_that_stops_anywhere_leaves_the_first_as_it_was(step, error, tmp_path, monkeypatch):
    write_photos(tmp_path / "first", 5)
    options = EncodeOptions(n_px=4, fit_clusters=4)
    (tmp_path / "out").mkdir()
    encode_dataset(tmp_path / "first", tmp_path / "out" / "x", options)
    before = files(tmp_path / "out")
    (tmp_path / "second").mkdir()
    write_mnist(tmp_path / "second")

    def stops(*args, **kwargs):
        raise error

    place = {
        "palette": (encoding, "fit_palette"),
        "crops": (encoding, "square"),
        "write": (encoding, "write_header"),
        "labels": (np, "save"),
        "names": (encoding.json, "dumps"),
    }
    monkeypatch.setattr(*place[step], stops)
    with pytest.raises((error, InputError)):
        encode_dataset(tmp_path / "second", tmp_path / "out" / "x", options)
    assert files(tmp_path / "out") == before
