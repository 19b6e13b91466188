"""run.py as its users run it: the lines, the files, the exit codes."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import run
from tests.conftest import TINY, files, kill_when, run_command, run_here

SIZES = ["--n_px", 4, "--n_embd", 8, "--n_head", 2, "--n_layer", 2]


def where(project):
    return ["--ckpt_path", project / "tiny" / "model.ckpt-1", "--data_path", project / "tokens"]


@pytest.mark.parametrize("command", ["run.py", "sample.py", "dataset.py", "download.py", "espcn.py", "srgan.py"])
def test_help_does_not_wait_for_tensorflow(command):
    result = run_command("-X", "importtime", command, "--help")
    assert "usage: " in result.stdout
    assert "argparse" in result.stderr and "tensorflow" not in result.stderr and "numpy" not in result.stderr


def test_eval_is_the_same_with_two_replicas(project):
    figures = []
    for n in (1, 2):
        out = project / f"figures-{n}.json"
        result = run_command("run.py", "--eval", *where(project), "--json", out, "--n_cpu", n, "--n_sub_batch", 2)
        lines = result.stdout.splitlines()
        for line, split in zip(lines, ("train", "valid", "test")):
            assert re.fullmatch(rf"{split} gen: \d\.\d{{4}} clf: 1.0986 acc: 38.46", line)
        figures.append(json.loads(out.read_text())["splits"])
    for split in ("train", "valid", "test"):
        assert figures[0][split] == pytest.approx(figures[1][split], abs=1e-5)


def test_sample_writes_images_and_the_same_again(project):
    folders = [project / "a", project / "b", project / "c"]
    for folder, more in zip(folders, ([], ["--batch_size", 2], ["--n_cpu", 2])):
        run_command("run.py", "--sample", *where(project), "--save_dir", folder, "--n_samples", 5, *more)
    first = files(folders[0])
    assert sorted(map(str, first)) == [*(f"sample_{i}.png" for i in range(5)), "samples.png"]
    assert all(files(folder) == first for folder in folders[1:])
    image = np.asarray(Image.open(folders[0] / "sample_0.png"))
    assert image.shape == (4, 4, 3)
    assert set(np.unique(image)) <= {0, 51, 102, 153, 204, 255}


def training(project, folder, *more):
    return ["run.py", "--train", "--data_path", project / "tokens", *SIZES, "--save_dir", folder, "--n_sub_batch", 4,
            "--steps", 40, "--warmup_steps", 4, "--save_every", 5, "--log_every", 5, *more]  # fmt: skip


def variables(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.mark.slow
def test_killed_and_started_again_ends_with_the_same_weights(project):
    unbroken, broken = project / "unbroken", project / "broken"
    run_command(*training(project, unbroken))
    kill_when(broken / "state" / "ckpt-10.index", *training(project, broken))
    assert not (broken / "model.ckpt-40.index").exists()
    again = run_command(*training(project, broken))
    assert int(re.search(r"step (\d+) to 40", again.stdout)[1]) >= 5  # the last whole state
    a, b = variables(unbroken / "model.ckpt-40"), variables(broken / "model.ckpt-40")
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)
    before = files(broken / "state")
    run_command(*training(project, broken))
    assert files(broken / "state") == before


REPLICAS = """
from src.cli import import_tensorflow
import_tensorflow()
import dataclasses, keras, numpy as np, tensorflow as tf
from src.distribute import distributed, make_strategy, split_cpu
from src.model import ImageGPT
from src.training import Recipe, make_step, training_batches
from tests.conftest import TINY, random_model, random_tokens

split_cpu(2)
hparams, ends = dataclasses.replace(TINY, bert=BERT), []
values = {k: v.numpy() for k, v in random_model(hparams).params.items()}
for n in (1, 2):
    strategy = make_strategy(n)
    with strategy.scope():
        model = ImageGPT(hparams, values=values.items())
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(list(model.params.values()))
    recipe = Recipe(steps=6, n_batch=8)
    specs = tf.TensorSpec([8, 16], tf.int32), tf.TensorSpec([8, 16])
    batches = distributed(strategy, lambda: training_batches(random_tokens(13), hparams, recipe, 0), specs)
    step = make_step(model, optimizer, strategy, 8)
    losses = [float(step(next(batches))) for _ in range(6)]
    ends.append([losses, *(v.numpy() for v in model.params.values())])
for a, b in zip(*ends):
    np.testing.assert_allclose(a, b, atol=2e-5)
assert np.abs(ends[0][1] - next(iter(values.values()))).max() > 1e-3
print("same")
"""


@pytest.mark.parametrize("bert", [False, True])
def test_training_with_two_replicas_is_the_same_but_for_rounding(bert):
    """Plain gradient descent: Adam takes a whole step even where a gradient is all rounding."""
    assert run_command("-c", REPLICAS.replace("BERT", str(bert))).stdout == "same\n"


@pytest.mark.slow
def test_mixed_precision_on_two_replicas(project):
    run_command(*training(project, project / "two", "--dtype", "float16", "--n_cpu", 2))
    rows = [json.loads(line) for line in (project / "two" / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 8 + 1 and all(row.get("loss/train", row.get("loss/valid")) < 2.5 for row in rows)


def test_training_can_start_from_a_checkpoint(project):
    folder = project / "more"
    run_command("run.py", "--train", *where(project), "--save_dir", folder, "--steps", 1, "--lr", 1e-9)
    a, b = variables(project / "tiny" / "model.ckpt-1"), variables(folder / "model.ckpt-1")
    for name, value in a.items():
        np.testing.assert_allclose(value, b[name], atol=1e-6)


def break_tokens(project):
    np.save(project / "tokens_teX.npy", np.full([13, 16], TINY.n_vocab))


def break_shape(project):
    np.save(project / "tokens_teX.npy", np.zeros([13, 9], np.uint8))


def break_labels(project):
    np.save(project / "tokens_teY.npy", np.eye(3)[[0, 1]])


def break_palette(project):
    np.save(project / "tiny" / "clusters.npy", np.zeros([5, 3], np.float32))


def cut_checkpoint(project):
    path = project / "tiny" / "model.ckpt-1.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-100])


EVAL, SAMPLE = ["--eval", "--splits", "test"], ["--sample"]


@pytest.mark.parametrize(
    "damage, flags, code, message",
    [
        (None, [], 2, "say what to do"),
        (None, [*EVAL, "--n_sub_batch", 0], 2, "--n_sub_batch"),
        (None, [*SAMPLE, "--temperature", -1], 2, "--temperature"),
        (None, [*SAMPLE, "--no_such_flag"], 2, "--no_such_flag"),
        (None, [*EVAL, "--ckpt_path", "{}/none"], 1, "/none: no such checkpoint"),
        (None, [*EVAL, "--n_embd", 16], 1, "--n_embd 16 was given but the checkpoint has 8"),
        (None, [*EVAL, "--bert"], 1, "--bert"),
        (None, [*EVAL, "--clf"], 1, "--clf"),
        (None, [*EVAL, "--data_path", "{}/other"], 1, "/other_teX.npy: no such file"),
        (None, [*EVAL, "--n_gpu", 3], 1, "--n_gpu 3: only 1 CPU"),
        (None, [*SAMPLE, "--save_dir", "{}/tokens_teX.npy/x"], 1, "--save_dir {}/tokens_teX.npy/x: cannot be written"),
        (None, [*SAMPLE, "--color_cluster_path", "{}/no.npy"], 1, "/no.npy: no such file"),
        (None, ["--train", "--n_vocab", 9, "--ckpt_path", ""], 1, "palette has 6 colours but the model has 9"),
        (None, ["--train", "--n_px", 5, "--ckpt_path", "{}/tiny/model.ckpt-1"], 1, "--n_px 5"),
        (cut_checkpoint, EVAL, 1, "model.ckpt-1: the checkpoint is damaged"),
        (break_tokens, EVAL, 1, "tokens_teX.npy: tokens run from 6 to 6"),
        (break_shape, EVAL, 1, "tokens_teX.npy: 13 images of 9 pixels"),
        (break_labels, EVAL, 1, "tokens_teY.npy: labels [2, 3] do not fit the 13 images"),
        (break_palette, SAMPLE, 1, "clusters.npy: the palette has 5 colours but the model has 6"),
    ],
)
def test_mistakes_get_one_line_and_change_nothing(damage, flags, code, message, project, capsys):
    if damage:
        damage(project)
    before = files(project)
    flags = [f.format(project) if isinstance(f, str) else f for f in flags]
    got, stderr = run_here(run.main, [*where(project), "--save_dir", project / "out", *flags], capsys)
    assert got == code, stderr
    assert message.format(project) in stderr
    assert len(stderr.splitlines()) == 1 and stderr.startswith("run.py: ")
    assert files(project) == before


def test_a_mistake_prints_nothing_but_its_line(project):
    result = run_command("run.py", "--eval", "--ckpt_path", project / "none", check=False)
    assert result.returncode == 1 and not result.stdout
    assert len(result.stderr.splitlines()) == 1 and f"{project}/none: no such checkpoint" in result.stderr
