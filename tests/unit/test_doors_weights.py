"""Weights and configurations from strangers: one line that names file and fault, and nothing changed."""

import io
import json
import re
import shutil
import stat
import struct
import sys
import warnings
import zipfile

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

import espcn
from src.config import InputError, hparams_from_shapes
from src.data.images import write_png
from src.data.palettes import json_clusters
from src.files import JSON_BYTES, read_json
from src.superres.espcn import Espcn
from src.superres.files import load_network, save_network
from src.superres.srgan import Generator
from src.weights import huggingface
from src.weights.checkpoint import load_model
from src.weights.index import read_index
from src.weights.numbers import as_float32, is_finite
from src.weights.shards import INDEX, WEIGHTS
from src.weights.table import MAGIC
from tests.conftest import DATA, TINY, files, photo, random_model, run_here
from tests.fuzz.fuzz_weights import fuzz
from tests.unit.test_checkpoint import write

NUMBERS = [np.nan, np.inf, -np.inf]


def refused(call, path, message=""):
    """See that a call gives one line with the file and the fault, and changes nothing in its folder."""
    folder = path if path.is_dir() else path.parent
    before = files(folder)
    with pytest.raises(InputError, match=message or None) as error:
        call()
    line = str(error.value)
    assert str(path) in line and line.isprintable() and len(line) < 1000
    assert files(folder) == before


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(DATA / "hf", tmp_path / "hf")


def rewrite(folder, change):
    tensors = load_file(folder / WEIGHTS) | change
    save_file(tensors, folder / WEIGHTS)


# Numbers


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("name", ["model/wpe", "model/sos", "model/h1/mlp/c_proj/w", "model/ln_f/g"])
def test_a_checkpoint_with_one_value_that_is_no_number(name, value, tmp_path):
    tensors = {key: v.numpy() for key, v in random_model(TINY).params.items()}
    tensors[name].flat[-1] = value
    prefix = write(tmp_path / "model.ckpt-1", tensors)
    with pytest.raises(InputError, match=rf"{re.escape(str(prefix))}: {name} holds NaN or infinity"):
        load_model(prefix)


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("name", ["transformer.wte.weight", "transformer.h.1.attn.c_attn.weight"])
def test_safetensors_with_one_value_that_is_no_number(name, dtype, value, folder):
    bad = load_file(folder / WEIGHTS)[name].astype(dtype)
    bad.flat[3] = value
    rewrite(folder, {name: bad})
    refused(lambda: load_model(folder), folder, name.removeprefix("transformer.") + " holds NaN or infinity")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "float8_e4m3fn", "float8_e5m2"])
def test_weights_of_other_types(dtype, folder):
    value = load_file(folder / WEIGHTS)["transformer.ln_f.weight"]
    rewrite(folder, {"transformer.ln_f.weight": value.astype(getattr(ml_dtypes, dtype, dtype))})
    refused(lambda: load_model(folder), folder, r"ln_f.weight is \w+, expected one of F16, BF16, F32, F64")


@pytest.mark.parametrize("value", [1e39, -1e300, 3.5e38])
def test_doubles_beyond_float32(value, folder):
    doubles = {name: x.astype(np.float64) for name, x in load_file(folder / WEIGHTS).items()}
    rewrite(folder, doubles)
    np.testing.assert_array_equal(load_model(folder).params["model/wpe"], doubles["transformer.wpe.weight"])
    doubles["transformer.wpe.weight"][0, 0] = value
    rewrite(folder, doubles)
    refused(lambda: load_model(folder), folder, "wpe.weight holds values beyond float32")


def test_large_numbers_are_finite():
    assert is_finite(np.full([9, 9], 3e38, np.float32))  # though the sum of their squares is not
    assert as_float32("x", np.full(9, 6e4, np.float16)).dtype == np.float32


# Hugging Face's folders


def test_a_name_twice_in_one_file_and_in_two(folder):
    tensors = load_file(folder / WEIGHTS)
    rewrite(folder, {"wpe.weight": tensors["transformer.wpe.weight"]})
    refused(lambda: load_model(folder), folder, "wpe.weight is there twice")
    (folder / WEIGHTS).unlink()
    for file in ("a.safetensors", "b.safetensors"):
        save_file(tensors, folder / file)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}))
    refused(lambda: load_model(folder), folder, "b.safetensors: .* is there twice")


ODD = ["32", 32.0, 1e999, None, [32], {"a": 1}, True, False, -1, 0, 1 << 70, "x" * 10_000, [[[]]]]


@pytest.mark.parametrize("value", ODD, ids=lambda v: repr(v)[:20])
@pytest.mark.parametrize("name", ["n_layer", "n_embd", "n_head", "n_positions", "vocab_size", "n_inner"])
def test_sizes_in_a_configuration(name, value, folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    if value is None and name == "n_inner":
        return
    refused(lambda: load_model(folder), folder, f"config.json: {name} is |not JSON")


@pytest.mark.parametrize("value", [4, 100_000, 1 << 20])
def test_more_layers_than_weights(value, folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_layer": value}))
    refused(lambda: load_model(folder), folder, "n_layer is|is missing")


NOT_JSON = {
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "latin": b'{"model_type": "\xe9"}',
    "utf-16": '{"model_type": "imagegpt"}'.encode("utf-16"),
    "empty": b"",
    "list": b"[]",
    "null": b"null",
    "number": b"7",
    "twice": b'{"model_type": "imagegpt", "model_type": "imagegpt"}',
    "NaN": b'{"n_embd": NaN}',
    "digits": b'{"n_embd": ' + b"9" * 10_000 + b"}",
    "large": b" " * (JSON_BYTES + 1),
    "cut": b'{"model_type": "image',
    "nul": b"\0" * 100,
}


@pytest.mark.parametrize("kind", NOT_JSON)
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", INDEX])
def test_files_that_are_not_a_json_object(name, kind, folder):
    (folder / name).write_bytes(NOT_JSON[kind])
    (folder / WEIGHTS).unlink()
    read = json_clusters if name == huggingface.PROCESSOR else lambda path: load_model(folder)
    refused(lambda: read(folder / name), folder, re.escape(name))


@pytest.mark.parametrize("bad", ["0", None, True, 2, -1.5, [0], {}])
def test_palettes_that_are_none(bad, tmp_path):
    for clusters in ([[0, 0, bad]], [bad], bad, [[0, 0]], []):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"clusters": clusters}))
        path = tmp_path / "preprocessor_config.json"
        refused(lambda: json_clusters(path), path, "clusters (is|has)")  # noqa: B023


@pytest.mark.parametrize(
    "weight_map",
    [[], None, "a", {}, {"x": None}, {"x": 1}, {"x": "../a.safetensors"}, {"x": "/etc/passwd"},
     {"x": "a\0.safetensors"},
     {"x": "\ud800.safetensors"}, {"x": "a.bin"}, {"x": "a" * 999 + ".safetensors"}, {"x": ["a.safetensors"]}],
    ids=repr,
)  # fmt: skip
def test_an_index_that_names_no_shards(weight_map, folder):
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    refused(lambda: load_model(folder), folder, "weight_map")


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"x": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


HEADERS = [
    tensor(shape=[-2]), tensor(shape=[1 << 62]), tensor(shape=[1.0]), tensor(shape=[1] * 300), tensor(shape=["2"]),
    tensor(offsets=[8, 0]), tensor(offsets=[0, 1 << 40]), tensor(offsets=[-8, 0]), tensor(offsets=[0]), tensor("F33"),
    tensor(None), tensor(7), tensor("C64"), tensor(shape=[3]), {"x": []}, {"x": None}, {"x": {}}, [], None, "x",
    {"a\nb\x1b[31m": tensor()["x"]},
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=lambda h: json.dumps(h)[:60])
def test_headers_of_safetensors(header, folder):
    text = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 8)
    refused(lambda: load_model(folder), folder)


@pytest.mark.parametrize("length", [0, 1, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_lengths_of_headers(length, folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", length) + content[8:])
    refused(lambda: load_model(folder), folder, "a header of|not JSON")
    (folder / WEIGHTS).write_bytes(content[: length % 7])
    refused(lambda: load_model(folder), folder, "a header of")


# Checkpoints of TensorFlow


CRC = [0] * 256
for byte in range(256):
    CRC[byte] = byte
    for _ in range(8):
        CRC[byte] = (CRC[byte] >> 1) ^ (0x82F63B78 if CRC[byte] & 1 else 0)


def checksum(content):
    """The masked CRC-32C that TensorFlow checks, so that a forged index gets past that."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = CRC[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(n):
    return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])


def block(entries, restarts=(0,)):
    body = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    return body + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def forged(prefix, entries, shards=1, restarts=(0,), header=None):
    """A checkpoint of 16 bytes of data, whose index holds any entries and right checksums."""
    header = BundleHeaderProto(num_shards=shards).SerializeToString() if header is None else header
    content, handles = b"", []

    def put(data):
        nonlocal content
        handles.append(varint(len(content)) + varint(len(data)))
        content += data + b"\0" + struct.pack("<I", checksum(data + b"\0"))

    put(block([(b"", header), *entries], restarts))
    put(block([]))
    put(block([(b"~", handles[0])]))
    footer = handles[1] + handles[2]
    prefix.with_name(f"{prefix.name}.index").write_bytes(content + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(bytes(16))
    return prefix


def entry(dims=(2,), dtype=1, size=8, slices=0, unknown=False, **fields):
    out = BundleEntryProto(dtype=dtype, size=size, **fields)
    for dim in dims:
        out.shape.dim.add().size = dim
    out.shape.unknown_rank = unknown
    for _ in range(slices):
        out.slices.add().extent.add()
    return out.SerializeToString()


ENTRIES = {  # TensorFlow 2.21 ends the process at the first nine of them
    "negative": entry([-1]), "more negative": entry([-5, 2]), "overflow": entry([1 << 40, 1 << 40]),
    "rank": entry([1] * 300), "slices": entry(slices=2), "garbage": b"\xff" * 9, "reference": entry(dtype=101),
    "string": entry([1 << 41], dtype=7), "min": entry([-(1 << 63)]), "huge": entry([1 << 39]), "type": entry(dtype=0),
    "no type": entry(dtype=999), "before": entry(offset=-8), "behind": entry(offset=12), "far": entry(offset=1 << 62),
    "size": entry(size=-8), "short": entry(size=4), "shard": entry(shard_id=9), "no shard": entry(shard_id=-1),
    "unknown": entry(unknown=True),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENTRIES)
def test_forged_indices(kind, tmp_path):
    prefix = forged(tmp_path / "model.ckpt-1", [(b"model/wpe", ENTRIES[kind])])
    with pytest.raises(InputError) as error:
        load_model(prefix)
    assert str(prefix) in str(error.value) and str(error.value).isprintable()


def test_a_right_index_of_that_kind_is_read(tmp_path):
    prefix = forged(tmp_path / "model.ckpt-1", [(b"a", entry()), (b"b", entry([], offset=8, size=4))])
    assert read_index(prefix) == {"a": ((2,), "float32"), "b": ((), "float32")}


@pytest.mark.parametrize(
    "options",
    [{"restarts": (4,)}, {"restarts": (0, 1 << 31)}, {"shards": 0}, {"shards": -1}, {"shards": 1 << 30},
     {"header": b"\xff" * 5}, {"restarts": tuple(range(999))}],
    ids=lambda o: next(iter(o)),
)  # fmt: skip
def test_forged_tables(options, tmp_path):
    prefix = forged(tmp_path / "model.ckpt-1", [(b"a", entry())], **options)
    with pytest.raises(InputError, match=r"model\.ckpt-1: the checkpoint is damaged"):
        load_model(prefix)


@pytest.mark.parametrize("names", [(b"b", b"a"), (b"a", b"a"), (b"\xff",), (b"n" * 2000,)])
def test_forged_names(names, tmp_path):
    prefix = forged(tmp_path / "model.ckpt-1", [(name, entry()) for name in names])
    with pytest.raises(InputError, match=r"model\.ckpt-1: the checkpoint is damaged"):
        load_model(prefix)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_a_checkpoint_with_bits_flipped_or_cut_off(part, tmp_path):
    """In this process: that TensorFlow does not end it is what is tested."""
    folder = shutil.copytree(DATA / "ar", tmp_path / "ar")
    path, rng = folder / f"model.ckpt-1000000.{part}", np.random.default_rng(0)
    good = path.read_bytes()
    for i in range(80):
        at = int(rng.integers(len(good)))
        path.write_bytes(good[:at] + (b"" if i % 4 == 0 else bytes([good[at] ^ 1 << i % 8]) + good[at + 1 :]))
        try:
            load_model(folder)
        except InputError as error:
            assert str(folder) in str(error) and str(error).isprintable()
        else:
            assert part == "index"  # a bit of its padding


@pytest.mark.parametrize("name", ["h1000000000", "h²", "h5000000", "h" + "9" * 5000, "h٣"])
def test_names_of_blocks_that_cannot_be(name):
    shapes = TINY.variable_shapes() | {f"model/{name}/ln_1/g": (8,)}
    if name[1:].isascii():
        with pytest.raises(InputError, match=r"is named as a block, but there are \d+ variables"):
            hparams_from_shapes(shapes)
    else:
        assert hparams_from_shapes(shapes).n_layer == 2  # which leaves an unexpected variable


# Networks


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "net.keras"
    save_network(path, Espcn(2))
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def described(good, **change):
    """The members with changes to the network's configuration."""
    description = json.loads(good["config.json"])
    return good | {"config.json": json.dumps(description | {"config": description["config"] | change})}


@pytest.mark.parametrize(
    "change",
    [{"scale": value} for value in (300, 0, -2, 2.0, "2", None, True, [2], 1 << 60, 3)]
    + [{"channels": value} for value in (4, 0, 2, 3, "1", None, 1 << 40)]
    + [{"activation": value} for value in ("image_gpt>Espcn", "softmax", None, 7, {"class_name": "Lambda"})]
    + [{"dtype": "int8"}, {"dtype": {}}, {"seed": -1}, {"gain": 1e999}, {"gain": "2"}, {"name": "a/../b"}, {"name": 3}]
    + [{"other": 1}, {"trainable": False}, {"layers": []}, {"contract": "a\nb"}],
    ids=repr,
)
def test_configurations_of_networks(change, good, tmp_path):
    path = archive(tmp_path / "net.keras", described(good, **change))
    refused(lambda: load_network(path), path)


def test_a_configuration_without_scale(good, tmp_path):
    description = json.loads(good["config.json"])
    del description["config"]["scale"]
    path = archive(tmp_path / "net.keras", good | {"config.json": json.dumps(description)})
    refused(lambda: load_network(path), path, "scale")


@pytest.mark.parametrize("blocks", [-1, 17, 256, 257, 10_000_000, "1"])
def test_more_blocks_than_weights(blocks, tmp_path):
    save_network(tmp_path / "good.keras", Generator(blocks=1))
    with zipfile.ZipFile(tmp_path / "good.keras") as file:
        members = {name: file.read(name) for name in file.namelist()}
    path = archive(tmp_path / "net.keras", described(members, blocks=blocks))
    refused(lambda: load_network(path), path, "blocks is")


@pytest.mark.parametrize("widths", [[256] * 16, [256] * 17, [64, 0], [64, 257], [], 64, ["64"], [64.0, 32]])
def test_wider_layers_than_weights(widths, tmp_path):
    save_network(tmp_path / "good.keras", Espcn(2, widths=[8, 8]))
    with zipfile.ZipFile(tmp_path / "good.keras") as file:
        members = {name: file.read(name) for name in file.namelist()}
    path = archive(tmp_path / "net.keras", described(members, widths=widths))
    refused(lambda: load_network(path), path, "widths")


@pytest.mark.parametrize("kind", [kind for kind in NOT_JSON if kind not in ("large", "NaN")])
def test_descriptions_that_are_none(kind, good, tmp_path):
    path = archive(tmp_path / "net.keras", good | {"config.json": NOT_JSON[kind]})
    refused(lambda: load_network(path), path, "config.json")


@pytest.mark.parametrize(
    "change",
    [{"registered_name": "builtins>exec"}, {"registered_name": None}, {"module": "os", "registered_name": "system"},
     {"class_name": "Lambda"}, {"class_name": "function"}, {"build_config": {"input_shape": [1, 1 << 40]}},
     {"build_config": []}, {"config": None}, {"config": []}],
    ids=repr,
)  # fmt: skip
def test_descriptions_of_other_things(change, good, tmp_path):
    description = json.loads(good["config.json"]) | change
    path = archive(tmp_path / "net.keras", good | {"config.json": json.dumps(description)})
    refused(lambda: load_network(path), path, "config.json")


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    """A layer that writes a file; were the look at the description left out, Keras' safe mode would hold."""
    mark, path = tmp_path / "written", tmp_path / "net.keras"
    code = keras.layers.Lambda(lambda x, mark=str(mark): (open(mark, "w").close(), x)[1], output_shape=(1,))
    keras.Sequential([keras.Input([1]), code]).save(path)
    mark.unlink(missing_ok=True)
    refused(lambda: load_network(path), path, "registered_name")
    monkeypatch.setattr("src.superres.files.look_at", lambda path: None)
    load, asked = keras.models.load_model, []
    monkeypatch.setattr(keras.models, "load_model", lambda *a, **options: (asked.append(options), load(*a, **options)))
    refused(lambda: load_network(path), path, "not a network of this project")
    assert asked[0]["safe_mode"] is True
    assert not mark.exists()


MEMBERS = {
    "missing": lambda good: {n: c for n, c in good.items() if n != "model.weights.h5"},
    "out": lambda good: good | {"../../evil": b"x"},
    "absolute": lambda good: good | {"/tmp/evil": b"x"},
    "more": lambda good: good | {"assets/x": b"x"},
    "no weights": lambda good: good | {"model.weights.h5": b""},
    "not HDF5": lambda good: good | {"model.weights.h5": b"\x89HDF" + bytes(5000)},
    "half": lambda good: good | {"model.weights.h5": good["model.weights.h5"][:50_000]},
    "others": lambda good: described(good, scale=3),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_members_of_an_archive(kind, good, tmp_path):
    path = archive(tmp_path / "net.keras", MEMBERS[kind](good))
    refused(lambda: load_network(path), path, "not a network of this project")


def test_archives_that_inflate_or_are_locked(good, tmp_path):
    path = archive(tmp_path / "net.keras", good | {"model.weights.h5": bytes(1 << 26)}, zipfile.ZIP_DEFLATED)
    refused(lambda: load_network(path), path, "unfolds to 67108864 bytes")
    archive(path, good, zipfile.ZIP_BZIP2)
    refused(lambda: load_network(path), path, "unknown method")
    archive(path, good)
    content = bytearray(path.read_bytes())
    for at in [m.start() for m in re.finditer(b"PK\x01\x02", bytes(content))]:
        content[at + 8] |= 1
    path.write_bytes(content)
    refused(lambda: load_network(path), path, "is encrypted")
    archive(path, {n: c for n, c in good.items() if n != "config.json"})
    with zipfile.ZipFile(path, "a") as file:
        link = zipfile.ZipInfo("config.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    refused(lambda: load_network(path), path, "not JSON")
    archive(path, good, zipfile.ZIP_DEFLATED)
    assert load_network(path).scale == 2


@pytest.mark.parametrize(
    "kind", ["nan", "inf", "integers", "chunks", "external", "soft link", "outside", "loop", "gone", "layer"]
)
def test_weights_of_networks(kind, good, tmp_path):
    data = io.BytesIO(good["model.weights.h5"])
    with h5py.File(data, "r+") as file:
        group = file["layers/conv2d/vars"]
        kernel, shape = group["0"][:], group["0"].shape
        if kind in ("nan", "inf"):
            group["0"][0, 0, 0, 0] = float(kind)
        elif kind == "loop":
            file["layers/again"] = file["/"]
            for i in range(3):
                file[f"layers/again{i}"] = file["layers"]
        elif kind == "layer":
            del file["layers/conv2d_1"]
        else:
            del group["0"]
        if kind == "integers":
            group["0"] = kernel.astype(np.int32)
        elif kind == "chunks":  # 4 GB of which nothing is stored
            group.create_dataset("0", [1 << 30], np.float32, chunks=(1 << 20,))
        elif kind == "external":
            group.create_dataset("0", shape, np.float32, external=[("/etc/passwd", 0, kernel.nbytes)])
        elif kind == "soft link":
            group["0"] = h5py.SoftLink("/layers/conv2d_1/vars/0")
        elif kind == "outside":
            group["0"] = h5py.ExternalLink("/etc/passwd", "/x")
    path = archive(tmp_path / "net.keras", good | {"model.weights.h5": data.getvalue()})
    refused(lambda: load_network(path), path, "infinity" if kind in ("nan", "inf") else "")


def test_an_archive_with_bits_flipped_or_cut_off(good, tmp_path):
    path, rng = archive(tmp_path / "net.keras", good), np.random.default_rng(0)
    content = path.read_bytes()
    for i in range(40):
        at = int(rng.integers(len(content)))
        path.write_bytes(content[:at] if i % 4 == 0 else content[:at] + rng.bytes(1) + content[at + 1 :])
        try:
            load_network(path)
        except InputError as error:
            assert str(path) in str(error) and str(error).isprintable()


def test_a_command_shows_one_line(good, tmp_path, capsys):
    path = archive(tmp_path / "net.keras", described(good, scale=3))
    write_png(tmp_path / "x.png", photo(8, 8))
    with warnings.catch_warnings():  # as outside of pytest, where Keras' warnings are printed
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *rest: print(message, file=sys.stderr)
        args = ["--upscale", tmp_path / "x.png", "--weights", path, "--save_dir", tmp_path / "out"]
        code, err = run_here(espcn.main, args, capsys)
    assert code == 1 and len(err.splitlines()) == 1 and f"{path}: not a network" in err, err


def test_a_short_run_of_the_fuzzer(tmp_path):
    assert all(0 < refused < 300 for refused, _ in fuzz(300, 1, tmp_path).values())


def test_a_json_file_of_another_type(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    assert read_json(tmp_path / "a.json", list) == [1]
    refused(lambda: read_json(tmp_path / "a.json", dict), tmp_path / "a.json", "expected dict")
