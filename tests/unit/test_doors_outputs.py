"""Outputs: every target is looked at before any work, and a disk that becomes full leaves what was whole as it was."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import espcn
import run
import sample
import srgan
from src.cli.outputs import make_outputs
from src.config import InputError
from src.drawing.samples import list_samples
from src.files import together
from src.superres.espcn import Espcn
from src.superres.export import FORMATS, export_network
from src.weights import huggingface
from src.weights.checkpoint import load_model, save_model
from src.writing import NotWritten, refusal, writing
from tests.conftest import TINY, files, photo, random_model, run_here

resource = pytest.importorskip("resource")
EFBIG = "File too large"  # what a limit on the size of files says, which is there on every machine


@contextlib.contextmanager
def files_of_at_most(size):
    """As if the disk were full behind so many bytes of every file. Python ignores the signal that would end it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def everything(folder):
    """Names of all files and folders, and the files' contents."""
    return {p.relative_to(folder) for p in Path(folder).rglob("*")}, files(folder)


@pytest.fixture
def occupied(project, photos):
    """The project with a file `file`, a folder `folder`, a pipe `pipe`, a photograph, and a drawing of three images."""
    (project / "file").write_text("mine")
    (project / "folder").mkdir()
    os.mkfifo(project / "pipe")
    (project / "out").mkdir()
    paths = [project / "out" / f"sample_{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(photo(28, 28)).save(path)
    with together() as part:
        list_samples(project / "out", paths, part)
    return project


def drawing(project, *flags):
    return [str(flag) for flag in ("--ckpt_path", project / "tiny", "--save_dir", project / "out", *flags)]


def draw(project, *flags):
    return sample.main(drawing(project, *flags))


SAMPLE, EVAL = ["--sample", "--ckpt_path", "{}/tiny"], ["--eval", "--data_path", "{}/tokens", "--ckpt_path", "{}/tiny"]
NEW = ["--save_dir", "{}/new"]
HF = ["--export_hf", "{}/new", "--ckpt_path", "{}/tiny"]
UPSCALE = ["--upscale", "{}/out/sample_0.png"]
TARGETS = [  # a command, what else it would write, and the target that cannot be written
    (run, [*SAMPLE, *NEW], "save_tokens", "{}/file/tokens.npy"),
    (run, [*SAMPLE, *NEW], "save_tokens", "{}/folder"),
    (run, [*SAMPLE, *NEW], "save_tokens", "{}/pipe"),
    (run, [*SAMPLE, *NEW], "save_tokens", "/dev/null"),
    (run, [*SAMPLE, *NEW], "save_tokens", "/proc/none/tokens.npy"),
    (run, [*SAMPLE, *NEW], "save_tokens", "/sys/tokens.npy"),
    (run, [*SAMPLE, *NEW], "save_tokens", "{}/fine/" + 250 * "x" + ".npy"),
    (run, SAMPLE, "save_dir", "{}/\udcff"),
    (run, [*SAMPLE, *NEW], "save_tokens", "{}/\udcff.npy"),
    (run, SAMPLE, "save_dir", "{}/file"),
    (run, SAMPLE, "save_dir", "{}/file/below"),
    (run, SAMPLE, "save_dir", "{}/fine/" + 300 * "x"),
    (run, [*SAMPLE, *EVAL, *NEW], "json", "{}/folder"),
    (run, [*SAMPLE, *EVAL, *NEW], "json", "{}/file/figures.json"),
    (run, [*SAMPLE, *EVAL, *NEW], "json", "/dev/full"),
    (run, [*SAMPLE, *NEW, "--ckpt_path", "{}/tiny"], "export_hf", "{}/file"),
    (run, [*SAMPLE, *EVAL, *HF], "json", "{}/pipe"),
    (run, ["--train", "--data_path", "{}/tokens", *EVAL, *NEW], "json", "{}/folder"),
    (sample, NEW, "save_tokens", "{}/folder"),
    (sample, [], "save_dir", "{}/pipe"),
    (espcn, UPSCALE, "save_dir", "{}/file"),
    (espcn, ["--eval", "{}/photos"], "json", "{}/folder"),
    (espcn, ["--eval", "{}/photos"], "json", "{}/file/x.json"),
    (espcn, ["--train", "{}/photos"], "save_dir", "/proc/none"),
    (srgan, ["--export", "onnx"], "export", "{}/file/net.onnx"),
    (srgan, ["--export", "saved_model"], "export", "{}/folder"),
    (srgan, ["--export", "float16"], "export", "/proc/none/net.keras"),
]


@pytest.mark.parametrize("command, flags, field, target", TARGETS)
def test_no_target_is_touched_where_one_cannot_be_written(command, flags, field, target, occupied, capsys, monkeypatch):
    monkeypatch.setattr(
        f"{command.__name__ if command in (run, sample) else 'src.cli.superres'}.import_tensorflow", None
    )
    before = everything(occupied)
    last = [] if field == "export" else [f"--{field}"]
    args = [a.format(occupied) for a in (*flags, *last, target)]
    code, err = run_here(command.main, args, capsys)
    shown = str(target.format(occupied))
    assert code == 1 and len(err.splitlines()) == 1 and err.startswith(f"{command.__name__}.py: --{field} "), err
    assert any(name in err for name in (shown, ascii(shown)[1:-1], str(Path(shown).parent))), err
    assert everything(occupied) == before


@pytest.mark.parametrize("name", ["sample_2.png", "samples.png", "samples.json"])
def test_a_folder_in_the_place_of_a_file_of_the_drawing(name, occupied, capsys):
    if (occupied / "out" / name).exists():
        (occupied / "out" / name).unlink()
    (occupied / "out" / name).mkdir()
    before = everything(occupied)
    code, err = run_here(sample.main, drawing(occupied, "--n_samples", 3), capsys)
    assert code == 1 and err.startswith(f"sample.py: {occupied / 'out' / name}: is not a file"), err
    assert everything(occupied) == before


@pytest.mark.parametrize("name", ["sample_0.png", "samples.png", "samples.json", "../out/sample_1.png"])
def test_tokens_go_over_no_file_of_the_drawing(name, occupied, capsys):
    before = everything(occupied)
    args = drawing(occupied, "--n_samples", 2, "--save_tokens", occupied / "out" / name)
    code, err = run_here(sample.main, args, capsys)
    assert code == 1 and "--save_tokens" in err and "a file of the drawing itself" in err
    assert everything(occupied) == before


def test_two_targets_are_two_files(tmp_path):
    with pytest.raises(InputError, match=r"`save_tokens` .*is the file of `json`, too"):
        make_outputs(
            {"save_dir": tmp_path / "new"}, {"json": tmp_path / "a", "save_tokens": tmp_path / "new" / ".." / "a"}
        )
    assert not list(tmp_path.iterdir())
    make_outputs({"save_dir": tmp_path / "new"}, {"json": tmp_path / "other" / "a", "save_tokens": None})
    assert everything(tmp_path) == ({Path("new"), Path("other")}, {})


IMAGE, TOKENS = ["--image", "{}/photos/0.png"], ["--save_tokens", "{}/tokens.npy"]


@pytest.mark.parametrize("size, more", [(0, []), (130, []), (0, IMAGE), (400, IMAGE), (150, TOKENS), (250, TOKENS)])
def test_a_full_disk_in_a_drawing(size, more, occupied, capsys):
    flags = ["--n_samples", 5, *(flag.format(occupied) for flag in more)]
    before = everything(occupied)
    with files_of_at_most(size):
        code, err = run_here(sample.main, drawing(occupied, *flags), capsys)
    line = err.splitlines()[-1].split("\r")[-1]
    assert code == 1 and line.startswith(f"sample.py: {occupied}/") and "cannot be written" in line, err
    assert EFBIG in line or "No space left" in line  # NumPy says only that less was written
    assert ".part" not in line and everything(occupied) == before


def test_a_drawing_takes_the_place_of_an_earlier_one(occupied):
    names, before = everything(occupied)
    draw(occupied, "--n_samples", 2)
    new, after = everything(occupied)
    assert new == names | {Path("out/samples.png")}
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed == {"sample_0.png", "sample_1.png", "samples.json"}


def test_a_full_disk_in_an_export_for_hugging_face(tmp_path):
    model, clusters = random_model(TINY), np.zeros([6000, 3])  # a palette that is longer than the weights
    huggingface.export_folder(model, clusters, tmp_path)
    before = everything(tmp_path)
    for size in (0, 100, 1000, 4000, 30000):
        with (
            files_of_at_most(size),
            pytest.raises(InputError, match=rf"{tmp_path}/[a-z_]+\.\w+: cannot be written \(File"),
        ):
            huggingface.export_folder(random_model(TINY, seed=1), clusters, tmp_path)
        assert everything(tmp_path) == before
    huggingface.export_folder(random_model(TINY, seed=1), clusters, tmp_path)
    assert everything(tmp_path) != before


def test_a_full_disk_in_a_checkpoint(tmp_path):
    save_model(random_model(TINY), tmp_path / "model.ckpt-1")
    before = everything(tmp_path)
    for size in (0, 10, 100, 1000, 4000):
        with (
            files_of_at_most(size),
            pytest.raises(NotWritten, match=r"model\.ckpt-1: cannot be written \(File too large\)"),
        ):
            save_model(random_model(TINY, seed=1), tmp_path / "model.ckpt-1")
        assert everything(tmp_path) == before
    load_model(tmp_path / "model.ckpt-1")


FULL = [(0, "saved_model"), (1000, "saved_model"), (1000, "onnx"), (1000, "litert"), (0, "float16"), (30000, "float16")]


@pytest.mark.parametrize("size, kind", FULL)
def test_a_full_disk_in_an_export(size, kind, tmp_path):
    path = tmp_path / f"net{FORMATS[kind].ending}"
    with files_of_at_most(size), pytest.raises(NotWritten) as caught:
        export_network(Espcn(2), kind, path)
    assert str(caught.value).startswith(f"{path}: cannot be written (") and caught.value.path == path
    assert not list(tmp_path.iterdir())


def test_a_full_disk_in_enlarging(occupied, capsys):
    flags = ["--upscale", str(occupied / "photos"), "--save_dir", str(occupied / "out")]
    assert espcn.main(flags) == 0
    before = everything(occupied)
    (occupied / "photos" / "0.png").write_bytes((occupied / "photos" / "1.png").read_bytes())
    changed = files(occupied / "photos")
    for size in (0, 5000):
        with files_of_at_most(size):
            code, err = run_here(espcn.main, flags, capsys)
        assert code == 1 and EFBIG in err.splitlines()[-1] and f"{occupied}/out/" in err.splitlines()[-1], err
        assert everything(occupied / "photos")[1] == changed
        assert everything(occupied)[0] == before[0]
        assert files(occupied / "out") == {p.relative_to("out"): v for p, v in before[1].items() if p.parts[0] == "out"}


@pytest.mark.parametrize(
    "error, reason",
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("4096 requested and 512 written"), "No space left on device"),
        (
            OSError("Can't write data (errno = 28, error message = 'No space left on device')"),
            "No space left on device",
        ),
        (RuntimeError("/a.index.tempstate1; No space left on device"), "No space left on device"),
        (RuntimeError("I/O error: Read-only file system (os error 30)"), "Read-only file system"),
        (OSError(122, "Disk quota exceeded", "x"), "Disk quota exceeded"),
        (ValueError("a shape is wrong"), None),
        (KeyError("x"), None),
    ],
)
def test_a_failure_to_write_has_a_reason_and_others_are_left_alone(error, reason):
    assert refusal(error) == reason
    message = "x/y: cannot be written" if reason else None
    with pytest.raises(NotWritten if reason else type(error), match=message), writing("x/y"):
        raise error


SCRIPT = """
import sys
import sample
from tests.conftest import run
run(sample.main, sys.argv[1:])
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full(occupied):
    disk = occupied / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system of a few pages can be made here")
    try:
        where = ["--ckpt_path", occupied / "tiny", "--save_dir", disk]
        command = [sys.executable, "-c", SCRIPT, *map(str, where), "--n_samples"]
        subprocess.run([*command, "3"], check=True, capture_output=True)
        before = everything(disk)
        result = subprocess.run([*command, "40"], check=False, capture_output=True, text=True)
        assert result.returncode == 1 and "No space left on device" in result.stderr.splitlines()[-1]
        assert everything(disk) == before
    finally:
        subprocess.run(["umount", disk], check=True)
