"""Two processes in one folder: the second is told so, and a lock ends with its process."""

import signal
import subprocess
import sys
import time

import pytest

from src.config import InputError
from src.files import locked
from tests.conftest import ROOT, files, run_here

HOLD = """
import sys, time
from src.files import locked

with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(99)
"""
COUNT = """
import pathlib, sys
from src.config import InputError
from src.files import locked

done, path = 0, pathlib.Path(sys.argv[1])
while done < 100:
    try:
        with locked(path.with_name(".lock")):
            path.write_text(path.read_text() + "x")
            done += 1
    except InputError:
        pass
"""


@pytest.fixture
def holder():
    """A function that starts a process which holds a lock file."""
    processes = []

    def start(path):
        process = subprocess.Popen([sys.executable, "-c", HOLD, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_lock_keeps_others_out_and_leaves_nothing(tmp_path):
    with locked(tmp_path / ".lock"):
        told = pytest.raises(InputError, match=r"\.lock: another process is at work in this folder; wait until")
        with told, locked(tmp_path / ".lock"):
            pass
        with locked(tmp_path / ".other.lock"):
            pass
    with pytest.raises(KeyError), locked(tmp_path / ".lock"):
        raise KeyError
    with locked(tmp_path / ".lock"):
        assert (tmp_path / ".lock").exists()
    assert not files(tmp_path)


def test_a_lock_ends_with_its_process(holder, tmp_path):
    process = holder(tmp_path / ".lock")
    with pytest.raises(InputError, match="another process"), locked(tmp_path / ".lock"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with locked(tmp_path / ".lock"):
        pass
    assert not files(tmp_path)


def test_of_many_that_wait_one_at_a_time_holds_it(tmp_path):
    """Each adds a line to a file that it reads first: none is lost, though the lock file comes and goes."""
    (tmp_path / "lines").touch()
    crew = [subprocess.Popen([sys.executable, "-c", COUNT, tmp_path / "lines"], cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in crew] == [0, 0, 0]
    assert len((tmp_path / "lines").read_text()) == 300


def training(folder):
    sizes = ["--n_px", 4, "--n_embd", 8, "--n_head", 2, "--n_layer", 1, "--n_sub_batch", 2]
    return "run", ["--train", "--data_path", folder / "tokens", "--save_dir", folder / "a", *sizes, "--steps", 2], "a"


def superres(folder):
    flags = ["--train", folder / "photos", "--save_dir", folder, "--scale", 2, "--patch", 8]
    return "espcn", [*flags, "--epochs", 1, "--steps", 1, "--n_batch", 2], "espcn_x2"


def dataset(folder):
    return "dataset", [folder / "photos", "--fit_clusters", 4, "--n_px", 8, "--save_dir", folder], ".photos"


def model(folder):
    flags = ["--model", "s", "--source", "release", "--base_url", "http://127.0.0.1:9", "--download_dir", folder]
    return "download", flags, "igpt-s"


def hub(folder):
    flags = ["--model", "s", "--source", "hub", "--base_url", "http://127.0.0.1:9", "--download_dir", folder]
    return "download", flags, "igpt-s-hub"


def palette(folder):
    return "download", ["--clusters", "--base_url", "http://127.0.0.1:9", "--download_dir", folder], ".clusters"


def tokens(folder):
    flags = ["--dataset", "imagenet", "--base_url", "http://127.0.0.1:9", "--download_dir", folder]
    return "download", flags, ".imagenet"


def originals(folder):
    flags = ["--dataset", "fashion_mnist", "--base_url", "http://127.0.0.1:9", "--download_dir", folder]
    return "download", flags, "raw/fashion_mnist"


@pytest.mark.parametrize("command", [training, superres, dataset, model, hub, palette, tokens, originals])
def test_the_second_of_two_commands_is_told(command, holder, project, photos, capsys):
    script, flags, place = command(project)
    lock = project / (f"{place}.lock" if place.startswith(".") else f"{place}/.lock")
    process = holder(lock)
    before = files(project)
    main = __import__(script).main
    code, err = run_here(main, flags, capsys)
    last = err.strip().rsplit("\n", 1)[-1].rsplit("\r", 1)[-1]
    assert code == 1 and f"{script}.py: {lock}: another process is at work in this folder" in last
    assert files(project) == before
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_run_is_held_until_it_is_killed(project, capsys):
    import run

    flags = [str(flag) for flag in [*training(project)[1][:-1], 100_000, "--save_every", 5]]
    first = subprocess.Popen(
        [sys.executable, "run.py", *flags], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not (project / "a" / "state" / "ckpt-5.index").exists():
            assert first.poll() is None
            time.sleep(0.05)
        code, err = run_here(run.main, flags, capsys)
        assert code == 1 and err == (
            f"run.py: {project}/a/.lock: another process is at work in this folder; "
            "wait until it has ended, or give another folder\n"
        )
    finally:
        first.kill()
        first.wait()
    with locked(project / "a" / ".lock"):
        pass
