"""A run folder that was damaged: training goes on from the newest whole state, and says why; a run is never lost."""

import json
import shutil

import pytest
import tensorflow as tf

from src.config import InputError
from src.training.loop import Intervals, Task, train
from src.training.runs import RunFolder, read_log
from tests.conftest import files, run_here


class Halving(Task):
    """Halves its error at every step."""

    def __init__(self, steps):
        self.steps, self.weight = steps, tf.Variable(1.0)
        self.trackables, self.signature = {"weight": self.weight}, (tf.TensorSpec([1]),)

    def batches(self, first):
        return iter([([0.0],)] * (self.steps - first))

    def update_at(self, step):
        return self.update

    def update(self, x):
        self.weight.assign(self.weight / 2)
        return {"loss": self.weight + tf.reduce_sum(x)}


def go_on(folder, steps=20, **recipe):
    """Train: the task, the run, the steps that were left to do."""
    task, run, seen = Halving(steps), RunFolder(folder, {"recipe": {"steps": steps, **recipe}}), []
    train(task, run, tf.distribute.get_strategy(), Intervals(5, 5, 5), lambda step, figures: seen.append(step))
    return task, run, seen


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 20 steps, of which the states of 10, 15 and 20 are kept."""
    folder = tmp_path_factory.mktemp("trained")
    go_on(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def flip(at):
    """A function that turns one bit of a file, so far from its beginning as `at` says (0 to 1)."""

    def damage(path):
        content = bytearray(path.read_bytes())
        content[round(at * (len(content) - 1))] ^= 4
        path.write_bytes(content)

    return damage


def cut(share):
    def damage(path):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


def make_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut(0.7),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "noise": lambda path: path.write_bytes(b"\xff" * 999),
    "a folder": make_folder,
    **{f"a bit at {at}": flip(at) for at in (0, 0.1, 0.5, 0.9, 1)},
}
STATE = "index", "data-00000-of-00001", "sha256"


@pytest.mark.parametrize("ending", STATE)
@pytest.mark.parametrize("damage", DAMAGES)
def test_training_goes_on_from_the_newest_whole_state(damage, ending, run):
    whole, last = files(run), run / "state" / f"ckpt-20.{ending}"
    DAMAGES[damage](last)
    task, folder, seen = go_on(run)
    (note,) = folder.notes
    assert str(run / "state" / "ckpt-20.") in note and note.endswith("going on from step 15")
    assert folder.first == 15 and seen == [20] and float(task.weight) == 0.5**20
    for path, content in files(run).items():  # as if nothing had happened, and what was damaged lies beside
        if "damaged" not in path.name and path.parent.name != "tensorboard":
            assert content == whole[path], path
    assert not go_on(run)[1].notes


def test_two_damaged_states_and_one_that_is_whole(run):
    cut(0.5)(run / "state" / "ckpt-20.index")
    flip(0.5)(run / "state" / "ckpt-15.data-00000-of-00001")
    task, folder, seen = go_on(run)
    assert folder.first == 10 and seen == [15, 20] and float(task.weight) == 0.5**20
    assert "ckpt-20.index" in folder.notes[0] and "ckpt-15.data" in folder.notes[0]
    aside = {p.name for p in (run / "state").glob("damaged-*")}
    assert {"damaged-ckpt-20.index", "damaged-ckpt-15.data-00000-of-00001"} <= aside


@pytest.mark.parametrize("ending", STATE)
@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_whole_state_nothing_changes(damage, ending, run):
    for step in (10, 15, 20):
        DAMAGES[damage](run / "state" / f"ckpt-{step}.{ending}")
    before = files(run)
    with pytest.raises(InputError, match=r"state/ckpt-20\.[\w-]+: .*no other state is whole; give another `save_dir`"):
        go_on(run)
    assert files(run) == before


@pytest.mark.parametrize("moved", [(), ("data-00000-of-00001",)])
@pytest.mark.parametrize("older", [True, False])
def test_a_state_that_was_not_written_to_its_end_is_none(older, moved, run):
    """Killed in writing its very first state, a run could once not be started again."""
    state = run / "state"
    for name in STATE[:2]:
        if name not in moved:
            (state / f"ckpt-20.{name}").rename(state / f".part-20.{name}")
    for path in () if older else [*state.glob("ckpt-10.*"), *state.glob("ckpt-15.*")]:
        path.unlink()
    _, folder, seen = go_on(run)
    assert folder.first == (15 if older else 0) and seen[-1] == 20 and not folder.notes
    assert not list(state.glob(".part-*")) and (state / "ckpt-20.index").exists()


def test_a_checkpoint_without_states_is_not_taken_for_another_runs(run):
    """It once was, where the last step was the same, and the new weights were lost."""
    (run / "model.ckpt-20.index").touch()
    assert not go_on(run)[1].notes
    shutil.rmtree(run / "state")
    with pytest.raises(InputError, match=r"model.ckpt-20.index: is of a run whose states are gone; move it, or give"):
        go_on(run, seed=7)


def test_tensorflows_list_of_states_is_not_needed(run):
    (run / "state" / "checkpoint").write_text("nonsense")
    assert go_on(run)[2] == [] and go_on(run)[1].first == 20


RECIPES = {
    "missing": None,
    "empty": b"",
    "cut": b'{"recipe": {"steps": 2',
    "a list": b"[]",
    "no part": b"{}",
    "a number": b"7",
    "null": b"null",
    "a part that is none": b'{"recipe": 5}',
    "steps that are text": b'{"recipe": {"steps": "20"}}',
    "steps that are none": b'{"recipe": {"steps": null}}',
    "steps in a list": b'{"recipe": {"steps": [20]}}',
    "no number": b'{"recipe": {"steps": NaN}}',
    "nested": b'{"recipe":' * 9999 + b"1" + b"}" * 9999,
    "not UTF-8": b"\xff\xfe",
    "a control character": b'{"recipe": {"steps": 20, "a\\u001b[2J\\n": "\\n"}}',
}


@pytest.mark.parametrize("content", RECIPES)
def test_states_without_a_whole_recipe_are_not_touched(content, run):
    (run / "recipe.json").unlink()
    if RECIPES[content] is not None:
        (run / "recipe.json").write_bytes(RECIPES[content])
    before = files(run)
    with pytest.raises(InputError, match=r"recipe\.json: ") as error:
        go_on(run, 25)
    assert "\n" not in str(error.value) and files(run) == before


LOGS = {
    "noise": b"\xff\x00\n" * 3,
    "a line that is cut": b'{"step": 5, "loss/tra\n{"step": 10, "loss/train": 0.1}\n',
    "no step": b'{"loss/train": 0.1}\n{"step": 5, "loss/train": 0.1}\n',
    "text": b'{"step": "5", "loss/train": 0.1}\n',
    "a figure that is text": b'{"step": 5, "loss/train": "low"}\n',
    "a list": b"[5]\n",
    "not a number": b'{"step": 5, "loss/train": NaN}\n',
    "nested": b"[" * 99999 + b"\n",
    "zeros, as after a power cut": b'{"step": 5, "loss/train": 0.1}\n' + b"\0" * 500 + b"\n",
}


@pytest.mark.parametrize("content", LOGS)
def test_a_damaged_log_is_set_aside(content, run):
    log = run / "log.jsonl"
    log.write_bytes(LOGS[content])
    folder = go_on(run, 25)[1]
    assert (run / "log-damaged.jsonl").read_bytes() == LOGS[content]
    assert folder.notes[-1].startswith(f"{log}: ") and "set aside as log-damaged.jsonl" in folder.notes[-1]
    entries, damaged = read_log(log)
    assert not damaged and entries[-1]["step"] == 25
    log.write_bytes(LOGS[content])
    go_on(run, 30)
    assert (run / "log-damaged-2.jsonl").read_bytes() == LOGS[content]


def test_a_log_that_is_no_file_is_set_aside(run):
    make_folder(run / "log.jsonl")
    assert "set aside" in go_on(run, 25)[1].notes[-1]
    assert (run / "log-damaged.jsonl").is_dir() and read_log(run / "log.jsonl")[0][-1]["step"] == 25


def test_a_line_cut_short_is_not_damage(run):
    log = run / "log.jsonl"
    lines = log.read_text()
    log.write_text(lines + '{"step": 25, "lo')
    assert not go_on(run)[1].notes and log.read_text() == lines
    log.unlink()
    assert not go_on(run)[1].notes


def test_a_missing_log_begins_again(run):
    (run / "log.jsonl").unlink()
    go_on(run, 25)
    assert [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()] == [25]


def test_the_command_says_it_in_a_line(project, capsys):
    import run as command

    sizes = ["--n_px", 4, "--n_embd", 8, "--n_head", 2, "--n_layer", 1, "--n_sub_batch", 2]
    flags = ["--train", "--data_path", project / "tokens", "--save_dir", project / "a", *sizes, "--save_every", 2]
    assert run_here(command.main, [*flags, "--steps", 4], capsys)[0] == 0
    (project / "a" / "recipe.json").rename(project / "recipe.json")
    code, err = run_here(command.main, [*flags, "--steps", 6], capsys)
    assert code == 1 and err.startswith(f"run.py: {project}/a/recipe.json: missing") and err.count("\n") == 1
    (project / "recipe.json").rename(project / "a" / "recipe.json")
    flip(0.5)(project / "a" / "state" / "ckpt-4.data-00000-of-00001")
    command.main([str(flag) for flag in [*flags, "--steps", 6]])
    out = capsys.readouterr().out
    assert "step 2 to 6" in out and "ckpt-4.data-00000-of-00001: damaged" in out and "going on from step 2" in out
