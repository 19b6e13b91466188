"""run.py as its users run it: the lines, the files, the exit codes."""

import dataclasses
import json
import re
import shlex
import signal

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import run
from src.cli import flags, pretraining
from src.weights.checkpoint import load_model, save_model
from tests.conftest import ROOT, TINY, files, random_model, run_command, run_here

SIZES = ["--n_px", 4, "--n_embd", 8, "--n_head", 2, "--n_layer", 2]


def where(project):
    return ["--ckpt_path", project / "tiny" / "model.ckpt-1", "--data_path", project / "tokens"]


def main(*args):
    return run.main([str(a) for a in args])


def save_bert(project):
    """A checkpoint with the BERT objective beside the tiny one: its prefix."""
    save_model(random_model(dataclasses.replace(TINY, bert=True)), project / "tiny" / "model.ckpt-2")
    return project / "tiny" / "model.ckpt-2"


@pytest.mark.parametrize("command", sorted(path.name for path in ROOT.glob("*.py")))
def test_help_does_not_wait_for_tensorflow(command):
    result = run_command("-X", "importtime", command, "--help")
    assert "usage: " in result.stdout
    assert "argparse" in result.stderr and "tensorflow" not in result.stderr and "numpy" not in result.stderr


def test_eval_is_the_same_with_two_replicas(project, capsys):
    figures = []
    for n in (1, 2):
        out = project / f"figures-{n}.json"
        args = ["--eval", *where(project), "--json", out, "--n_cpu", n, "--n_sub_batch", 2]
        main(*args)
        lines = capsys.readouterr().out
        for line, split in zip(lines.splitlines(), ("train", "valid", "test"), strict=True):
            assert re.fullmatch(rf"{split} gen: \d\.\d{{4}}", line)  # no figures of a classifier that is not there
        figures.append(json.loads(out.read_text())["splits"])
    for split in ("train", "valid", "test"):
        assert figures[0][split] == pytest.approx(figures[1][split], abs=1e-5) and set(figures[0][split]) == {"gen"}


def test_eval_of_a_classifier(project, capsys):
    save_model(random_model(dataclasses.replace(TINY, classes=3)), project / "tiny" / "model.ckpt-1")
    main("--eval", "--clf", *where(project), "--splits", "test")
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"test gen: \d\.\d{4} clf: \d\.\d{4} acc: \d+\.\d\d", first)
    assert re.fullmatch(r"test acc by class: \d+\.\d\d \([012]\) to \d+\.\d\d \([012]\)", second)


def test_eval_scores_the_splits_that_are_there(project, capsys):
    (project / "tokens_teX.npy").unlink()
    main("--eval", *where(project))
    assert re.findall(r"^\w+", capsys.readouterr().out, re.MULTILINE) == ["train", "valid"]
    code, stderr = run_here(run.main, ["--eval", *where(project), "--splits", "train", "test"], capsys)
    assert code == 1 and "tokens_teX.npy: no such file" in stderr


def test_sample_writes_images_and_the_same_again(project):
    folders = [project / "a", project / "b", project / "c"]
    for folder, more in zip(folders, ([], ["--batch_size", 2], ["--n_cpu", 2])):
        main("--sample", *where(project)[:2], "--save_dir", folder, "--n_samples", 5, *more)
    first = files(folders[0])
    assert sorted(map(str, first)) == [*(f"sample_{i}.png" for i in range(5)), "samples.json", "samples.png"]
    assert all(files(folder) == first for folder in folders[1:])
    listed = json.loads((folders[0] / "samples.json").read_text())
    assert listed.pop("files") == [f"sample_{i}.png" for i in range(5)]
    assert listed == {"checkpoint": str(project / "tiny/model.ckpt-1"), "seed": 42}
    image = np.asarray(Image.open(folders[0] / "sample_0.png"))
    assert image.shape == (4, 4, 3)
    assert set(np.unique(image)) <= {0, 51, 102, 153, 204, 255}


def training(project, folder, *more):
    return ["--train", "--data_path", project / "tokens", *SIZES, "--save_dir", folder, "--n_sub_batch", 4,
            "--steps", 4, "--warmup_steps", 2, "--save_every", 2, "--log_every", 2, *more]  # fmt: skip


def variables(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_train_ends_with_the_command_that_goes_on(project, monkeypatch, capsys):
    main(*training(project, project / "mine", "--n_batch", 8))
    out = capsys.readouterr().out.splitlines()
    assert "13 images, batches of 8 in parts of 4, step 0 to 4" in out[0]
    command = shlex.split(out[-1])
    assert command[:2] == ["python", "run.py"] and str(project / "mine" / "model.ckpt-4") in command
    main(*command[2:], "--n_samples", 1, "--save_dir", project / "drawn")
    assert (project / "drawn" / "sample_0.png").exists()
    capsys.readouterr()
    monkeypatch.setattr(flags, "DOWNLOADS", project)  # else the newest checkpoint there would be taken
    for mode in (["--sample", "--n_samples", 1], ["--eval", "--splits", "test", "--data_path", project / "tokens"]):
        main(*mode, "--save_dir", project / "mine")
        assert f"checkpoint: {project / 'mine' / 'model.ckpt-4'}" in capsys.readouterr().out
    code, stderr = run_here(run.main, ["--eval", "--save_dir", project / "drawn"], capsys)
    assert code == 1 and "--save_dir" in stderr and "no trained run is there; name a checkpoint" in stderr


def test_defaults_are_named(project, monkeypatch, capsys):
    monkeypatch.setattr(flags, "DOWNLOADS", project)
    main("--eval", "--splits", "test")
    out = capsys.readouterr().out
    assert f"checkpoint: {project / 'tiny' / 'model.ckpt-1'}\n" in out and f"data: {project / 'tokens'}\n" in out
    main("--train", *training(project, project / "mine")[3:])
    assert f"data: {project / 'tokens'}\n" in capsys.readouterr().out


def test_several_modes_in_one_command(project, capsys):
    more = ["--eval", "--sample", "--n_samples", 2, "--export_hf", project / "theirs"]
    main(*training(project, project / "mine"), *more)
    out = capsys.readouterr().out
    assert "step 4 train loss" in out and "test gen: " in out and "samples.png" in out
    a, b = variables(project / "mine" / "model.ckpt-4"), load_model(project / "theirs").params
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def test_a_run_goes_on_with_its_own_data_and_recipe_alone(project, capsys):
    folder = project / "mine"
    main(*training(project, folder))
    np.save(project / "tokens_trX.npy", np.load(project / "tokens_trX.npy")[::-1])
    before = files(folder)
    changes = [([], "tokens"), (["--lr", 0.1], "lr 0.003 -> 0.1"), (["--steps", 2], "steps 4 -> 2")]
    changes += [(["--ckpt_path", project / "tiny" / "model.ckpt-1"], "start None -> ")]
    for more, message in changes:
        code, stderr = run_here(run.main, training(project, folder, *more), capsys)
        assert code == 1 and message in stderr and "give the same, or another --save_dir" in stderr
        assert files(folder) == before


def test_a_run_can_be_made_longer(project, capsys):
    main(*training(project, project / "mine"))
    main(*training(project, project / "mine", "--steps", 6))
    out = capsys.readouterr().out
    assert "step 4 to 6" in out and "extended from 4 to 6 steps; the learning rate follows the longer schedule" in out
    assert (project / "mine" / "model.ckpt-6.index").exists()


def test_a_checkpoint_to_start_from_decides_the_objective(project, capsys):
    prefix, more = save_bert(project), ["--data_path", project / "tokens", "--steps", 1, "--n_sub_batch", 2]
    main("--train", "--ckpt_path", prefix, "--bert_mask_prob", 0.3, *more, "--save_dir", project / "mine")
    record = json.loads((project / "mine" / "recipe.json").read_text())
    assert record["hparams"]["bert"] and record["hparams"]["bert_mask_prob"] == 0.3 and record["data"]["start"]
    assert "--eval --data_path" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.slow
def test_mixed_precision_on_two_replicas(project):
    more = ["--dtype", "float16", "--n_cpu", 2, "--steps", 40, "--log_every", 5]
    run_command("run.py", *training(project, project / "two", *more))
    rows = [json.loads(line) for line in (project / "two" / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 8 + 1 and all(row.get("loss/train", row.get("loss/valid")) < 2.5 for row in rows)


def test_training_can_start_from_a_checkpoint(project):
    folder = project / "more"
    main("--train", *where(project), "--save_dir", folder, "--steps", 1, "--lr", 1e-9)
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


def other_palette(project):
    np.save(project / "tiny" / "clusters.npy", np.zeros([6, 3], np.float32))


def cut_checkpoint(project):
    path = project / "tiny" / "model.ckpt-1.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-100])


def lose_palette(project):
    (project / "tokens_clusters.npy").unlink()


def lose_valid(project):
    (project / "tokens_vaX.npy").unlink()


CKPT, DATA = ["--ckpt_path", "{}/tiny/model.ckpt-1"], ["--data_path", "{}/tokens"]
EVAL, SAMPLE = ["--eval", "--splits", "test", *CKPT, *DATA], ["--sample", *CKPT, "--save_dir", "{}/out"]
TRAIN = ["--train", *DATA, *SIZES, "--save_dir", "{}/out"]
TRAIN_ON = ["--train", *CKPT, *DATA, "--save_dir", "{}/out"]


@pytest.mark.parametrize(
    "damage, arguments, code, message",
    [
        (None, DATA, 2, "say what to do: --train, --finetune, --eval, --probe, --predict, --sample, --fid, "),
        (None, [*EVAL, "--n_sub_batch", 0], 2, "--n_sub_batch"),
        (None, [*SAMPLE, "--temperature", -1], 2, "--temperature"),
        (None, [*SAMPLE, "--no_such_flag"], 2, "--no_such_flag"),
        (None, [*EVAL, "--steps", 5], 2, "--steps: --eval does not read it; it belongs to --train"),
        (None, [*SAMPLE, *DATA], 2, "--data_path: --sample does not read it"),
        (None, [*TRAIN, "--splits", "test"], 2, "--splits: --train does not read it"),
        (None, [*EVAL, "--save_dir", "{}/out"], 2, "--save_dir: read for the run"),
        (None, [*EVAL, "--ckpt_path", "{}/none"], 1, "/none: no such checkpoint"),
        (None, [*EVAL, "--n_embd", 16], 1, "--n_embd 16 was given but the checkpoint has 8"),
        (None, [*EVAL, "--bert"], 1, "--bert was given but this checkpoint is autoregressive"),
        (None, [*EVAL, "--clf"], 1, "--clf was given but this checkpoint has no model/clf/wclf"),
        (None, [*EVAL, "--model", "m"], 1, "--model m was given but the checkpoint has"),
        (None, [*EVAL, "--bert_mask_prob", 0.3], 1, "--bert_mask_prob: an autoregressive model has no masks"),
        (None, [*EVAL, "--seed", 3], 1, "--seed: nothing is drawn in evaluating an autoregressive model"),
        (None, [*EVAL, "--data_path", "{}/other"], 1, "/other_teX.npy: no such file"),
        (None, ["--eval", *CKPT, "--data_path", "{}/other"], 1, "/other_teX.npy: no such file, nor of another split"),
        (None, [*EVAL, "--n_gpu", 3], 1, "--n_gpu 3: there are 0 GPUs here"),
        (None, [*SAMPLE, "--save_dir", "{}/tokens_teX.npy/x"], 1, "--save_dir {}/tokens_teX.npy/x: cannot be written"),
        (None, [*SAMPLE, "--color_cluster_path", "{}/no.npy"], 1, "/no.npy: no such file"),
        (None, [*TRAIN, "--n_vocab", 9], 1, "palette has 6 colours but the model has 9"),
        (None, [*TRAIN, "--clf"], 1, "--clf: pre-training makes no classifier"),
        (None, [*TRAIN, "--bert_mask_prob", 0.3], 1, "--bert_mask_prob: an autoregressive model has no masks"),
        (None, [*TRAIN, "--n_batch", 12], 1, "--n_batch 12: not a multiple of --n_sub_batch 8"),
        (None, [*TRAIN_ON, "--n_px", 5], 1, "--n_px 5"),
        (None, [*TRAIN_ON, "--bert"], 1, "--bert was given but this checkpoint is autoregressive"),
        (None, [*TRAIN_ON, "--clf"], 1, "--clf was given but this checkpoint has no model/clf/wclf"),
        (None, [*TRAIN_ON, "--model", "m"], 1, "--model m was given but the checkpoint has"),
        (
            None,
            [*TRAIN, "--data_path", "{}/other"],
            1,
            "/other_trX.npy: no such file; make token files with dataset.py",
        ),
        (lose_palette, TRAIN, 1, "/tokens_clusters.npy: no palette beside the tokens; name theirs with --color_clust"),
        (lose_valid, [*TRAIN, "--eval_images", 5], 1, "--eval_images: {}/tokens_vaX.npy"),
        (other_palette, TRAIN_ON, 1, "the tokens stand for other colours than the model's; encode"),
        (other_palette, EVAL, 1, "the tokens stand for other colours than the model's; encode"),
        (cut_checkpoint, EVAL, 1, "model.ckpt-1: the checkpoint is damaged"),
        (break_tokens, EVAL, 1, "tokens_teX.npy: tokens run from 6 to 6"),
        (break_shape, EVAL, 1, "tokens_teX.npy: 13 images of 9 pixels"),
        (break_labels, EVAL, 1, "tokens_teY.npy: labels [2, 3] do not fit the 13 images"),
        (break_palette, SAMPLE, 1, "clusters.npy: the palette has 5 colours but the model has 6"),
    ],
)
def test_mistakes_get_one_line_and_change_nothing(damage, arguments, code, message, project, capsys):
    if damage:
        damage(project)
    before = files(project)
    arguments = [a.format(project) if isinstance(a, str) else a for a in arguments]
    got, stderr = run_here(run.main, arguments, capsys)
    assert got == code, stderr
    assert message.format(project) in stderr
    assert len(stderr.splitlines()) == 1 and stderr.startswith("run.py: ")
    assert files(project) == before


def test_divergence_is_a_mistake(project, capsys):
    code, stderr = run_here(run.main, training(project, project / "mine", "--lr", 1000, "--steps", 40), capsys)
    line = stderr.splitlines()[-1]
    assert code == 1 and line.startswith("run.py: ") and "training has diverged" in line and "a lower --lr" in line
    assert not list((project / "mine").glob("model.ckpt*"))


def test_ctrl_c_says_where_training_goes_on(project, monkeypatch, capsys):
    monkeypatch.setattr(pretraining, "show_figures", lambda step, figures: signal.raise_signal(signal.SIGINT))
    code, stderr = run_here(run.main, training(project, project / "mine", "--log_every", 3), capsys)
    line = stderr.splitlines()[-1]
    assert code == 130 and line == f"run.py: stopped; the same command goes on from step 3 in {project / 'mine'}"
    monkeypatch.undo()
    main(*training(project, project / "mine"))
    assert "step 3 to 4" in capsys.readouterr().out


def test_a_mistake_prints_nothing_but_its_line(project):
    result = run_command("run.py", "--eval", "--ckpt_path", project / "none", check=False)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert f"{project}/none: no such checkpoint" in result.stderr
