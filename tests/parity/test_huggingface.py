"""What transformers' ImageGPT computes (tests/data/hf), and every folder that must be refused."""

import json
import shutil

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from src.config import InputError
from src.data.palettes import load_clusters
from src.weights import huggingface
from src.weights.checkpoint import load_model, palette_beside, save_model
from src.weights.shards import INDEX, WEIGHTS
from tests.conftest import DATA, TINY, files, random_model

HF = DATA / "hf"
ONES = np.ones(32, np.float32)
OUTSIDE = '{"weight_map": {"x": "../a.safetensors"}}'


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(HF, tmp_path / "hf")


def rewrite(folder, change):
    """Put `change` (name to tensor, None: without it) into the folder's weights."""
    tensors = load_file(folder / WEIGHTS) | change
    save_file({k: v for k, v in tensors.items() if v is not None}, folder / WEIGHTS)


def reconfigure(folder, **change):
    path = folder / huggingface.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_logits_and_loss():
    expected = np.load(HF / "expected.npz")
    out = load_model(HF)(tf.constant(expected["X"].astype(np.int32)))
    scale = np.abs(expected["gen_logits"]).max()
    np.testing.assert_allclose(out["gen_logits"], expected["gen_logits"], atol=1e-5 * scale)
    np.testing.assert_allclose(out["gen_loss"], expected["gen_loss"], rtol=1e-5)
    assert load_clusters(palette_beside(HF), 16).shape == (16, 3)


def test_export_and_import_again_are_the_same_bit_for_bit(tmp_path):
    model = load_model(HF)
    huggingface.export_folder(model, load_clusters(palette_beside(HF)), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([huggingface.CONFIG, huggingface.PROCESSOR, WEIGHTS])
    old, new = load_file(HF / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert set(old) == set(new)
    for name, value in old.items():
        np.testing.assert_array_equal(new[name], value)
    again = load_model(tmp_path)
    assert again.hparams == model.hparams
    for name, value in model.params.items():
        np.testing.assert_array_equal(again.params[name], value)
    np.testing.assert_array_equal(load_clusters(palette_beside(tmp_path)), load_clusters(palette_beside(HF)))


def test_from_the_release_to_theirs_and_back(golden, tmp_path):
    for name in ("ar", "clf"):
        model = golden[name][0]
        (tmp_path / name).mkdir()
        huggingface.export_folder(model, np.zeros([16, 3]), tmp_path / name)
        again = load_model(tmp_path / name)
        assert again.hparams == model.hparams
        for key, value in model.params.items():
            np.testing.assert_array_equal(again.params[key], value)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision(dtype, folder):
    low = {k: v.astype(dtype) for k, v in load_file(folder / WEIGHTS).items()}
    save_file(low, folder / WEIGHTS)
    wpe = load_model(folder).params["model/wpe"]
    assert wpe.dtype == tf.float32
    np.testing.assert_array_equal(wpe, low["transformer.wpe.weight"].astype(np.float32))


def split(folder, names=("a.safetensors", "b.safetensors")):
    tensors = load_file(folder / WEIGHTS)
    weight_map = {name: names[i % 2] for i, name in enumerate(tensors)}
    for file in names:
        save_file({n: t for n, t in tensors.items() if weight_map[n] == file}, folder / file)
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def test_shards_and_names_without_prefix(folder):
    tensors = load_file(folder / WEIGHTS)
    masks = {"h.0.attn.bias": np.ones([1, 1, 64, 64], np.float32), "h.0.attn.masked_bias": np.array(-1e4, np.float32)}
    save_file({k.removeprefix("transformer."): v for k, v in tensors.items()} | masks, folder / WEIGHTS)
    split(folder)
    whole = load_model(HF).params
    for name, value in load_model(folder).params.items():
        np.testing.assert_array_equal(value, whole[name])


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: rewrite(f, {"transformer.h.1.attn.c_proj.bias": ONES}), "h.1.attn.c_proj.bias is not zero"),
        (lambda f: rewrite(f, {"lm_head.weight": None}), "lm_head.weight is missing"),
        (lambda f: rewrite(f, {"transformer.h.0.ln_3.weight": ONES}), "unexpected weights: h.0.ln_3.weight"),
        (lambda f: rewrite(f, {"transformer.wpe.weight": np.ones([60, 32], np.float32)}), r"wpe.weight is \[60, 32\]"),
        (lambda f: reconfigure(f, tie_word_embeddings=True), "tie_word_embeddings is True"),
        (lambda f: reconfigure(f, activation_function="gelu"), "activation_function is 'gelu'"),
        (lambda f: reconfigure(f, model_type="gpt2"), "model_type is 'gpt2'"),
        (lambda f: reconfigure(f, n_positions=60), "n_positions 60"),
        (lambda f: (f / "config.json").write_text("{"), "config.json: not JSON"),
        (lambda f: (f / "config.json").write_text('{"model_type": "imagegpt"}'), "n_embd"),
        (lambda f: (f / WEIGHTS).write_bytes(b"\x00" * 20), "model.safetensors: damaged"),
        (lambda f: (split(f), (f / "a.safetensors").unlink()), "a.safetensors: damaged or missing"),
        (lambda f: (split(f), (f / INDEX).write_text(OUTSIDE)), "of this folder"),
    ],
)  # fmt: skip
def test_refused(damage, message, folder):
    damage(folder)
    before = files(folder)
    with pytest.raises(InputError, match=message) as error:
        load_model(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    assert files(folder) == before


def test_a_pickle_is_never_opened(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model.bin is a pickle, which is never opened"):
        load_model(folder)


def test_bert_cannot_be_exported(golden, tmp_path):
    with pytest.raises(InputError, match="BERT"):
        huggingface.export_folder(golden["bert"][0], np.zeros([16, 3]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_default_may_be_a_hugging_face_folder(tmp_path):
    from src.weights.checkpoint import default_checkpoint

    save_model(random_model(TINY), tmp_path / "model.ckpt-3")
    shutil.copytree(HF, tmp_path / "igpt-s")
    (tmp_path / "igpt-s" / "config.json").touch()
    assert default_checkpoint(tmp_path) == str(tmp_path / "igpt-s")
