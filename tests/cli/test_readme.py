"""Every command that README and docs show is run, small, in a newcomer's clone; those of the cards are parsed."""

import dataclasses
import importlib
import itertools
import json
import re
import shlex
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from src.config import INCEPTION_GRAPH
from src.model import ImageGPT
from src.weights.checkpoint import checkpoint_prefix, load_model, save_model
from tests import graphs
from tests.conftest import DATA, ROOT, photo, run_command
from tests.unit.test_data import write_mnist
from tests.unit.test_edits import write_textured
from tests.unit.test_frozen import small_network
from tests.unit.test_instructed import make_triples
from tests.unit.test_known import write as write_known
from tests.unit.test_pix2pix import row, write_parquet

PAGES = "\n".join(p.read_text() for p in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))))
CARDS = "\n".join(p.read_text() for p in ROOT.glob("pretrained/*/README.md"))
SHOWN = r"^(?:\.venv/bin/)?python ((?:\w+)\.py .*)$"
IN_TABLES = r"`python ((?:\w+)\.py [^`]*--[^`]*)`"
FOUND = re.findall(SHOWN, PAGES, re.MULTILINE) + re.findall(IN_TABLES, PAGES)
COMMANDS = list(dict.fromkeys(command for line in FOUND for command in re.split(r" && python ", line)))

PARSED = [c for c in COMMANDS if c.startswith(("download.py", "app.py")) or re.search("--(n_cpu|hosts) ", c)]

SMALL = {  # what makes a command quick, behind its own flags
    "dataset.py": ["--save_dir", "encoded"],
    "run.py --sample": ["--n_samples", "2"],
    "run.py --train": ["--n_px", "28", "--n_embd", "8", "--n_layer", "1", "--steps", "2", "--n_sub_batch", "2"],
    "run.py --finetune": ["--steps", "2", "--n_batch", "2", "--n_sub_batch", "2"],
    "run.py --eval": ["--n_sub_batch", "12"],
    "run.py --probe": ["--layers", "1"],
    "run.py --probe --labels_per_class": ["--layers", "1", "concat", "--labels_per_class", "1"],
    "run.py --fid": ["--n_samples", "3"],
    "run.py --fid --images": [],
    "sample.py": ["--n_samples", "2"],
    "espcn.py --train": ["--epochs", "1", "--steps", "2", "--n_batch", "2", "--patch", "8"],
    "srgan.py --train": ["--epochs", "1", "--steps", "2", "--n_batch", "2", "--patch", "8", "--blocks", "1"],
    "prompt_sr.py --train": ["--epochs", "1", "--steps", "2", "--n_batch", "2", "--patch", "8", "--maps", "2"],
    "triples.py photographs": ["--crops", "1", "--size", "32"],
    "srgan.py --train --stage gan": ["--epochs", "1", "--steps", "2", "--n_batch", "1", "--patch", "16"],
}

DRIVER = """
import importlib, json, sys
from src.cli.process import import_tensorflow, run
import_tensorflow()
codes = {}
for script, *flags in json.loads(sys.argv[1]):
    try:
        run(importlib.import_module(script.removesuffix(".py")).main, flags)
    except SystemExit as stop:
        codes[" ".join([script, *flags])] = stop.code or 0
print(json.dumps(codes))
"""


def test_there_are_commands():
    assert {c.split()[0] for c in COMMANDS} == {p.name for p in ROOT.glob("*.py")}


@pytest.mark.parametrize("command", sorted({*re.findall(SHOWN, CARDS, re.MULTILINE)}))
def test_commands_of_the_cards_are_accepted(command):
    script, *flags = shlex.split(command, comments=True)
    importlib.import_module(script.removesuffix(".py")).parse(flags)


def small(command):
    """A command with the flags that make it quick."""
    args = shlex.split(command, comments=True)
    kinds = [kind for kind in SMALL if set(kind.split()) <= set(args)]
    return [*args, *(SMALL[max(kinds, key=len)] if kinds else [])]


def shorten(prefix):
    """Keep one block of a checkpoint: commands that trace a network of seven take minutes in all."""
    model = load_model(prefix)
    hparams = dataclasses.replace(model.hparams, n_layer=1)
    save_model(ImageGPT(hparams, values=[(name, model.params[name]) for name in hparams.variable_shapes()]), prefix)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with the images and data that the pages speak of, its bundled models of one block."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("src", "pretrained"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for model in (folder / "pretrained").glob("igpt-*"):
        shorten(checkpoint_prefix(model))
    for script in ROOT.glob("*.py"):
        shutil.copy(script, folder)
    for i, kind in itertools.product(range(10), ("cats", "dogs")):
        (folder / "path" / "to" / "classes" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(20, 30, i)).save(folder / "path" / "to" / "classes" / kind / f"{i}.png")
    places = folder / "path" / "to" / "photos", folder / "path" / "to" / "images", folder / "folder" / "of" / "images"
    for place in places:
        place.mkdir(parents=True)
        for i in range(3):
            Image.fromarray(photo(130, 150, i)).save(place / f"{i}.png")
    for split in ("train", "test"):
        write_textured(folder / "path" / "to" / "photographs" / split)
        emoji = folder / "downloads" / "emoji" / split / "people-body"
        emoji.mkdir(parents=True)
        for i, name in enumerate(("noto-judge", "noto-woman-judge")):
            Image.fromarray(photo(20, 20, i)).save(emoji / f"{name}.png")
    write_parquet(folder / "path" / "to" / "train-00000.parquet", [row(0), row(1)])
    for name, images in (("train", 40), ("test", 4)):
        make_triples(folder / "path" / "to" / "triples" / "emoji", name, images=images, size=32)
    for name in ("photo.jpg", "photo.png"):
        Image.fromarray(photo()).save(folder / name)
    small_network().save(folder / "network.keras")
    (folder / "downloads" / "inception").mkdir(parents=True)
    graph = folder / "downloads" / "inception" / INCEPTION_GRAPH
    graph.write_bytes(graphs.inception().proto.SerializeToString())
    for network in (keras.applications.VGG16, keras.applications.VGG19):
        network(weights=None, include_top=False).save(folder / f"{network.__name__.lower()}_notop.h5")
    (folder / "path" / "to" / "fashion-mnist").mkdir()
    write_mnist(folder / "path" / "to" / "fashion-mnist")
    for name, kind in (("cifar-100-python", "cifar-100-python"), ("stl10_binary", "stl")):
        write_known(folder / "path" / "to" / name, kind)
    for name in ("fashion_mnist", "imagenet", "mine"):
        for array in "XY":
            given = np.load(DATA / f"fashion_mnist_te{array}.npy")
            np.save(folder / "downloads" / f"{name}_te{array}.npy", given[:12])
            np.save(folder / "downloads" / f"{name}_tr{array}.npy", given[:20])
        shutil.copy(
            ROOT / "pretrained" / "igpt-fashion-mnist" / "clusters.npy", folder / f"downloads/{name}_clusters.npy"
        )
    for name in ("cifar100", "stl10-unlabeled"):
        shutil.copy(ROOT / "pretrained" / "igpt-emoji" / "clusters.npy", folder / f"downloads/{name}_clusters.npy")
    return folder


@pytest.mark.slow
def test_commands_run(clone):
    """In one process but for those that split the CPU; downloads, the page and hosts have tests of their own."""
    runs = [small(c) for c in COMMANDS if c not in PARSED]
    assert len(runs) > 10
    done = run_command("-c", DRIVER, json.dumps(runs), cwd=clone)
    codes = json.loads(done.stdout.splitlines()[-1])
    failed = [command for command, code in codes.items() if code]
    assert len(codes) == len(runs) and not failed, (failed, re.findall(r"^\w+\.py: .*$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize("command", PARSED)
def test_other_commands_are_accepted(command):
    script, *flags = shlex.split(command, comments=True)
    importlib.import_module(script.removesuffix(".py")).parse(flags)


@pytest.mark.slow
def test_the_example_in_python_runs():
    example = re.search(r"```python\n(.+?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)[1]
    printed = run_command("-c", example).stdout.splitlines()
    assert printed[-1] == "(4, 1024)" and "16384 of 16384" in printed
