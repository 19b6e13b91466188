"""Everything that learns goes on exactly where it was killed: one test for every command that trains."""

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from src.superres.files import save_network
from src.superres.srgan import Generator
from tests.conftest import kill_when, photo
from tests.unit.test_instructed import make_triples


@dataclasses.dataclass(frozen=True)
class Training:
    """A command that trains.

    Attributes:
        flags: from a folder with token files and photographs to the command's flags, without `save_dir`.
        folder: of the run, in `save_dir`.
        kill_at: the step of the state that the command is killed behind.
        mode: the flag that asks for the training.
    """

    script: str
    flags: Callable[[Path], list]
    folder: str
    kill_at: int
    mode: str = "--train"


def pretraining(folder):
    sizes = ["--n_px", 4, "--n_embd", 8, "--n_head", 2, "--n_layer", 1, "--n_sub_batch", 2, "--n_batch", 4]
    recipe = ["--steps", 40, "--warmup_steps", 4, "--optimizer", "muon", "--ema", 0.9, "--flip"]
    intervals = ["--save_every", 5, "--log_every", 5, "--eval_every", 10]
    return ["--data_path", folder / "tokens", *sizes, *recipe, *intervals]


def finetuning(folder):
    recipe = ["--steps", 40, "--n_batch", 4, "--n_sub_batch", 2, "--optimizer", "muon", "--ema", 0.9, "--lr", 0.02]
    intervals = ["--save_every", 5, "--log_every", 5, "--eval_every", 4, "--patience", 20]
    return ["--data_path", folder / "tokens", "--ckpt_path", folder / "tiny", "--augment", "cifar", *recipe, *intervals]


SMALL = ["--epochs", 6, "--steps", 3, "--n_batch", 2]


def espcn(folder):
    return [folder / "photos", "--scale", 2, "--patch", 8, *SMALL]


def srresnet(folder):
    return [folder / "photos", "--patch", 4, "--blocks", 1, *SMALL]


def srgan(folder):
    """With all that has a state, the generator's batch normalization beside the discriminator's spectral one."""
    weights, small = folder / "small.keras", folder / "small"
    save_network(weights, Generator(blocks=1))
    small.mkdir(exist_ok=True)
    for i in range(3):
        Image.fromarray(photo(32, 32, i)).save(small / f"{i}.png")
    stage = ["--stage", "gan", "--content", "pixel", "--head_start", 7, "--weights", weights]
    more = ["--adversarial", "relativistic", "--spectral_norm", "--pixel_weight", 0.1, "--ema", 0.9]
    return [folder / "photos", small, "--patch", 4, *stage, *more, "--schedule", "cosine", "--least", 32, *SMALL]


def prompted(folder):
    make_triples(folder / "triples", images=40, size=16)
    return [folder / "triples", "--patch", 4, "--maps", 2, "--optimizer", "adam", *SMALL]


TRAININGS = {
    "pretraining": Training("run", pretraining, "", 10),
    "finetuning": Training("run", finetuning, "", 10, "--finetune"),
    "espcn": Training("espcn", espcn, "espcn_x2", 6),
    "srresnet": Training("srgan", srresnet, "srresnet_x4", 6),
    "srgan": Training("srgan", srgan, "srgan_x4", 6),
    "prompted": Training("prompt_sr", prompted, "prompted_x4", 6),
}


def newest_state(folder):
    """All that is kept of the last state in a run's folder: the step and name to array."""
    step, path = max((int(p.stem.split("-")[1]), p.with_suffix("")) for p in (folder / "state").glob("ckpt-*.index"))
    reader = tf.train.load_checkpoint(str(path))
    names = [name for name in reader.get_variable_to_shape_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    return step, {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_killed_and_started_again_ends_with_the_same_weights(name, project, photos, capsys):
    training, folders = TRAININGS[name], [project / "unbroken", project / "broken"]
    main = importlib.import_module(training.script).main
    unbroken, broken = ([*map(str, [training.mode, *training.flags(project), "--save_dir", f])] for f in folders)
    main(unbroken)
    runs = [folder / training.folder for folder in folders]
    kill_when(runs[1] / "state" / f"ckpt-{training.kill_at}.index", f"{training.script}.py", *broken)
    killed_at, last = newest_state(runs[1])[0], newest_state(runs[0])[0]
    assert training.kill_at <= killed_at < last
    main(broken)
    (step, a), (same, b) = map(newest_state, runs)
    assert step == same == last and a.keys() == b.keys() and len(a) > 4
    for variable, value in a.items():
        np.testing.assert_array_equal(value, b[variable], err_msg=variable)
    logs = [(run / "log.jsonl").read_text() for run in runs]
    assert logs[0] == logs[1] and f'"step": {last}' in logs[0]
    before = {p: p.read_bytes() for p in (runs[1] / "state").iterdir()}
    capsys.readouterr()
    main(broken)  # finished: nothing is trained again
    assert before == {p: p.read_bytes() for p in (runs[1] / "state").iterdir()}
    assert logs[1] == (runs[1] / "log.jsonl").read_text() and f"step {last} train" not in capsys.readouterr().out
