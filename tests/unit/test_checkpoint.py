"""The release's format in and out, and everything that can be wrong with a checkpoint."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from src.config import InputError
from src.weights.checkpoint import (
    checkpoint_prefix,
    default_checkpoint,
    fingerprint,
    load_model,
    run_checkpoint,
    save_model,
)
from tests.conftest import DATA, TINY, files, random_model


def write(prefix, tensors):
    """A checkpoint of any variables, right or wrong."""
    part, names = f"{prefix}.part", list(tensors)
    tf.raw_ops.SaveV2(
        prefix=part, tensor_names=names, shape_and_slices=[""] * len(names), tensors=list(tensors.values())
    )
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[part], destination_prefix=str(prefix), delete_old_dirs=False)
    return prefix


@pytest.fixture
def tensors():
    return {name: v.numpy() for name, v in random_model(TINY).params.items()}


@pytest.mark.parametrize("name", ["ar", "ar_sharded", "bert", "clf"])
def test_written_again_it_is_the_same_variable_for_variable(name, golden, tmp_path):
    model, prefix, _ = golden[name]
    save_model(model, tmp_path / "model.ckpt-5")
    old, new = tf.train.load_checkpoint(str(prefix)), tf.train.load_checkpoint(str(tmp_path / "model.ckpt-5"))
    assert new.get_variable_to_shape_map() == old.get_variable_to_shape_map()
    assert new.get_variable_to_dtype_map() == old.get_variable_to_dtype_map()
    for key in old.get_variable_to_shape_map():
        np.testing.assert_array_equal(new.get_tensor(key), old.get_tensor(key))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.ckpt-5.data-00000-of-00001", "model.ckpt-5.index"]


def test_sizes_are_read_from_the_variables(golden):
    assert golden["ar_sharded"][0].hparams.n_head == 6
    assert golden["bert"][0].hparams.bert and golden["clf"][0].hparams.classes == 7


def test_slots_and_counters_are_skipped(tmp_path, tensors):
    extra = {f"{name}/{slot}": value for name, value in tensors.items() for slot in ("Adam", "Adam_1")}
    extra |= {"training/model/wpe": tensors["model/wpe"], "global_step": np.int64(7), "beta1_power": np.float32(0.9)}
    model = load_model(write(tmp_path / "model.ckpt-7", tensors | extra))
    np.testing.assert_array_equal(model.params["model/h1/attn/v_proj"], tensors["model/h1/attn/v_proj"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model/h0/attn/c_proj": None}, "model/h0/attn/c_proj is missing"),
        ({"model/wpe": None}, "model/wpe is missing"),
        ({"model/h0/attn/c_bias": np.zeros(3, np.float32)}, "unexpected variables: model/h0/attn/c_bias"),
        ({"model/h5/ln_1/g": np.zeros(8, np.float32)}, "model/h2/.* is missing"),
        ({"decoder/w": np.zeros(3, np.float32)}, "unexpected variables: decoder/w"),
        ({"model/ln_f/g": np.zeros(9, np.float32)}, r"model/ln_f/g is \[9\], expected \[8\]"),
        ({"model/wpe": np.zeros([15, 8], np.float32)}, "model/wpe: 15 is not a square"),
        ({"model/wte": np.zeros([6], np.float32)}, "model/wte has shape"),
        ({"model/ln_f/g": np.zeros(8, np.float64)}, "model/ln_f/g is float64, expected float32"),
    ],
)
def test_strict(change, message, tmp_path, tensors):
    changed = {name: value for name, value in (tensors | change).items() if value is not None}
    prefix = write(tmp_path / "model.ckpt-1", changed)
    with pytest.raises(InputError, match=message) as error:
        load_model(prefix)
    assert str(prefix) in str(error.value) and "\n" not in str(error.value)


def test_contradicting_size_shows_both():
    with pytest.raises(InputError, match="`n_embd` 64 was given but the checkpoint has 32"):
        load_model(DATA / "ar" / "model.ckpt-1000000", sizes={"n_embd": 64})


@pytest.mark.parametrize("damage", ["cut data", "cut index", "lost shard", "flipped byte"])
def test_damaged_files(damage, tmp_path):
    folder = shutil.copytree(DATA / "ar_sharded", tmp_path / "model")
    victim = folder / ("model.ckpt-1000000." + ("index" if "index" in damage else "data-00001-of-00004"))
    content = victim.read_bytes()
    if damage == "lost shard":
        victim.unlink()
    elif damage == "flipped byte":
        victim.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    else:
        victim.write_bytes(content[: len(content) // 2])
    before = files(folder)
    with pytest.raises(InputError, match=r"model.ckpt-1000000: the checkpoint is damaged or incomplete") as error:
        load_model(folder)
    assert "\n" not in str(error.value)
    assert files(folder) == before


class PowerCut(Exception):
    pass


def outcomes(prefix, old, new):
    """What a checkpoint that was being replaced is after each of the steps in it has been the last."""
    names, left = [(os, "fsync"), (os, "replace"), (Path, "unlink")], [0]
    for k in itertools.count():
        save_model(old, prefix)
        left[0] = k
        with pytest.MonkeyPatch.context() as patch:

            def step(real):
                def call(*args, **options):
                    if not left[0]:
                        raise PowerCut
                    left[0] -= 1
                    return real(*args, **options)

                return call

            for owner, name in names:
                patch.setattr(owner, name, step(getattr(owner, name)))
            try:
                save_model(new, prefix)
            except PowerCut:
                pass
            else:
                yield "new"
                return
        try:
            found = load_model(prefix).params["model/wpe"].numpy()
        except InputError as error:
            yield "none" if "no such checkpoint" in str(error) else f"mixture: {error}"
        else:
            yield next(name for name, m in (("old", old), ("new", new)) if np.array_equal(found, m.params["model/wpe"]))


def test_replaced_it_is_the_old_one_or_none_or_the_new_one(tmp_path):
    seen = list(outcomes(tmp_path / "model.ckpt-1", random_model(TINY, 1), random_model(TINY, 2)))
    assert [name for name, _ in itertools.groupby(seen)] == ["old", "none", "new"]
    assert len(seen) > 8 and len(list(tmp_path.iterdir())) == 2


def test_what_is_renamed_is_on_the_disk(tmp_path, monkeypatch):
    synced, real = set(), os.fsync

    def fsync(descriptor):
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    move = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: move(a, b) if str(a) in synced else pytest.fail(f"{a} not synced"))
    save_model(random_model(TINY), tmp_path / "model.ckpt-1")
    assert str(tmp_path) in synced and load_model(tmp_path / "model.ckpt-1")


def test_a_fingerprint_tells_weights_apart(tmp_path):
    prints = set()
    for seed in (1, 2, 1):
        save_model(random_model(TINY, seed), tmp_path / "model.ckpt-1")
        prints.add(fingerprint(tmp_path))
    prints.add(fingerprint(DATA / "hf"))
    assert len(prints) == 3


def test_the_checkpoint_of_a_run_is_its_newest(tmp_path):
    save_model(random_model(TINY), tmp_path / "model.ckpt-3")
    assert run_checkpoint(tmp_path) is None  # no run
    (tmp_path / "recipe.json").write_text("{}")
    assert run_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-3")


def test_prefixes(tmp_path):
    prefix = str(DATA / "ar" / "model.ckpt-1000000")
    for path in (prefix, f"{prefix}.index", f"{prefix}.data-00000-of-00001", DATA / "ar"):
        assert checkpoint_prefix(path) == prefix
    with pytest.raises(InputError, match="no such checkpoint"):
        checkpoint_prefix(tmp_path / "model.ckpt-1")
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint_prefix(tmp_path)


def test_default_is_the_newest_download_else_the_bundled_model(tmp_path):
    assert "igpt-emoji" in default_checkpoint(tmp_path / "nothing")
    save_model(random_model(TINY), tmp_path / "model.ckpt-3")
    (tmp_path / ".model.ckpt-4.77.index").write_bytes(b"of a process that was killed")
    assert default_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-3") == checkpoint_prefix(tmp_path)
    for name, text in ("mine/state/ckpt-5.index", "a run's"), ("bert/config.json", '{"model_type": "bert"}'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)  # newer, and not Image GPTs
    assert default_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-3")
