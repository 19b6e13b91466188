"""What the page's requests are answered with, without a browser."""

import base64
import contextlib
import io
import json
import shutil
import weakref

import numpy as np
import pytest
from PIL import Image

import espcn
import prompt_sr
import sample
import srgan
from src.config import InputError
from src.drawing.sampling import SamplingOptions
from src.page import enlarging, growing, models
from src.page.jobs import understood, worded
from src.page.turns import MOST, Turns
from src.weights.checkpoint import load_model
from tests.conftest import DATA, photo, run_here
from tests.page.conftest import SMALL, ask

DRAWN = {"model": "small", "n_samples": 4, "seed": 7, "temperature": 0.9, "top_k": 9, "top_p": 0.8}
FLAGS = ["--n_samples", 4, "--seed", 7, "--temperature", 0.9, "--top_k", 9, "--top_p", 0.8, "--animate", "webp"]


def contents(steps):
    """Name to bytes of the files that the last steps bring."""
    assert steps[-1] == {"end": True}
    return {name: base64.b64decode(content) for name, content in steps[-2]["files"].items()}


@pytest.mark.parametrize("crop", [None, [10, 5, 40, 40]], ids=["centre", "cropped"])
def test_completions_are_those_of_the_command_line(server, downloads, picture, tmp_path, capsys, crop):
    steps = ask(server, "complete", DRAWN | {"keep_rows": 3, "crop": crop}, picture.read_bytes())
    photograph, save_dir = picture.rename(tmp_path / "photo"), tmp_path / "save"
    flags = ["--image", photograph, "--keep_rows", 3, "--ckpt_path", downloads / "small", "--save_dir", save_dir]
    flags += ["--crop", ",".join(map(str, crop))] if crop else []
    assert run_here(sample.main, flags + FLAGS, capsys)[0] == 0
    files = contents(steps)
    assert list(files) == [
        *(f"photo_completion_{i}.png" for i in range(4)),
        *(f"photo_completions.{x}" for x in ("png", "webp")),
    ]
    for name, content in files.items():
        assert content == (save_dir / name).read_bytes(), name


def test_samples_are_those_of_the_command_line(server, downloads, tmp_path, capsys):
    files = contents(ask(server, "draw", DRAWN))
    flags = ["--ckpt_path", downloads / "small", "--save_dir", tmp_path]
    assert run_here(sample.main, flags + FLAGS, capsys)[0] == 0
    assert list(files) == [*(f"sample_{i}.png" for i in range(4)), "samples.png", "samples.webp"]
    for name, content in files.items():
        assert content == (tmp_path / name).read_bytes(), name


@pytest.mark.parametrize("name, command, scale", [("espcn", espcn, 3), ("espcn", espcn, 4), ("srgan", srgan, 4)])
def test_enlarged_pictures_are_those_of_the_command_line(server, tmp_path, capsys, name, command, scale):
    path = tmp_path / "photo.png"
    Image.fromarray(photo(30, 40)).save(path)
    steps = ask(server, "enlarge", {"networks": [name], "scale": scale}, path.read_bytes())
    files = {step["network"]: base64.b64decode(step["file"]) for step in steps if "file" in step}
    flags = ["--upscale", path, "--save_dir", tmp_path / "save"] + (["--scale", scale] if command is espcn else [])
    assert run_here(command.main, flags, capsys)[0] == 0
    assert list(files) == ["bicubic", name]
    assert files[name] == (tmp_path / "save" / f"photo_{name}_x{scale}.png").read_bytes()


def test_edited_pictures_are_those_of_the_command_line(server, tmp_path, capsys):
    path = tmp_path / "photo.png"
    Image.fromarray(photo(30, 40)).save(path)
    for prompt, name in (("make it darker", "make-it-darker"), ("sepia", "sepia")):
        steps = ask(server, "enlarge", {"networks": [], "scale": 4, "prompt": prompt}, path.read_bytes())
        files = {step["network"]: base64.b64decode(step["file"]) for step in steps if "file" in step}
        assert list(files) == ["bicubic", "prompted"]
        flags = ["--upscale", path, "--prompt", prompt, "--save_dir", tmp_path / "save"]
        assert run_here(prompt_sr.main, flags, capsys)[0] == 0
        assert files["prompted"] == (tmp_path / "save" / f"photo_{name}_x4.png").read_bytes()


def test_every_row_brings_the_colours_that_are_new(server, picture):
    steps = ask(server, "complete", DRAWN | {"keep_rows": 3}, picture.read_bytes())
    rows = [step for step in steps if "colours" in step]
    assert [step["drawn"] for step in rows] == list(range(3 * SMALL.n_px, SMALL.n_positions + 1, SMALL.n_px))
    new = [np.frombuffer(base64.b64decode(step["colours"]), np.uint8).reshape(4, -1, 3) for step in rows]
    whole = np.concatenate(new, axis=1).reshape(4, SMALL.n_px, SMALL.n_px, 3)
    files = contents(steps)
    for i, picture in enumerate(whole):
        with Image.open(io.BytesIO(files[f"photo_completion_{i}.png"])) as image:
            np.testing.assert_array_equal(np.asarray(image), picture)


def test_what_the_model_sees(server, picture):
    (opened, _) = ask(server, "open", {}, picture.read_bytes())
    assert (opened["width"], opened["height"]) == (80, 60)
    (seen, _) = ask(server, "see", {"model": "small"}, picture.read_bytes())
    assert seen["n_px"] == SMALL.n_px
    (cropped, _) = ask(server, "see", {"model": "small", "crop": [0, 0, 30, 30]}, picture.read_bytes())
    assert cropped["seen"] != seen["seen"]


def test_a_look_inside(server, picture):
    _, step, end = ask(server, "inside", {"model": "small", "position": 10}, picture.read_bytes())
    assert end and {name: len(tiles) for name, tiles in step["inside"].items()} == {
        "image": 2,
        "colours": 6,
        "layers": 2,
    }


def test_models_that_are_there_and_those_that_are_not(downloads, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.ckpt-1.index").write_bytes(b"no index")
    (tmp_path / "broken" / "config.json").write_text("[]")
    (tmp_path / "mine" / "state").mkdir(parents=True)
    (tmp_path / "mine" / "state" / "ckpt-5.index").write_bytes(b"a stopped run's")
    shutil.copytree(DATA / "bert", tmp_path / "bert")
    np.save(
        tmp_path / "bert" / "clusters.npy",
        np.zeros([np.load(DATA / "bert" / "expected.npz")["gen_logits"].shape[-1], 3]),
    )
    found = models.listing(models.Models(tmp_path, str(downloads / "small")))
    shown = {entry["name"]: entry for entry in found}
    assert found[0] == {"name": "small", "n_px": 8, "n_vocab": 16, "n_layer": 2}
    assert {"igpt-emoji", "igpt-fashion-mnist", "broken", "bert"} <= set(shown) and "state" not in shown
    assert "BERT" in shown["bert"]["fault"] and str(tmp_path) not in shown["broken"]["fault"]
    assert [entry["missing"] for entry in found if "missing" in entry] == ["s", "m", "l"]


def test_one_model_at_a_time_is_in_memory(downloads, monkeypatch):
    kept = models.Models(downloads)
    small = kept.load("small")
    assert kept.load("small") is small
    model, alive = weakref.ref(small.sampler.model), []
    del small
    monkeypatch.setattr(models, "load_model", lambda prefix: alive.append(model()) or load_model(prefix))
    assert kept.load("igpt-fashion-mnist").hparams.n_px == 28
    assert alive == [None]
    assert kept.load("small").hparams.n_px == SMALL.n_px
    with pytest.raises(InputError, match="no such model"):
        kept.load("../small")


GOOD = {"model": "small", "n_samples": 1, "seed": 0, "temperature": 1.0}
BAD = {  # kind, what is said, a part of the sentence
    "no JSON": ("draw", b"{", "not JSON"),
    "a list": ("draw", b"[]", "type list"),
    "infinity": ("draw", b'{"temperature": Infinity}', "not JSON"),
    "no kind": ("erase", {}, "no kind"),
    "missing": ("draw", {}, "model, n_samples, seed, temperature missing"),
    "unknown": ("open", {"path": "/etc/passwd"}, "'path' is not known"),
    "a path": ("see", {"model": "../../etc/passwd"}, "the name of a model"),
    "too many": ("draw", GOOD | {"n_samples": 64}, "expected 1 or 2"),
    "a seed of text": ("draw", GOOD | {"seed": "7"}, "expected an integer"),
    "a crop of three": ("see", {"model": "small", "crop": [0, 0, 1]}, "a list of 4"),
    "the edit without a prompt": ("enlarge", {"networks": ["prompted"], "scale": 4}, "networks has an item"),
    "no words": ("enlarge", {"networks": [], "scale": 4, "prompt": ""}, "prompt is ''"),
    "another network": ("enlarge", {"networks": ["vgg"], "scale": 4}, "networks has an item"),
}


@pytest.mark.parametrize("kind, said, why", BAD.values(), ids=BAD)
def test_requests_that_say_something_else(kind, said, why):
    with pytest.raises(InputError, match=why):
        understood(kind, said if isinstance(said, bytes) else json.dumps(said).encode())


SENTENCES = {  # kind, options beyond a drawing's, the sentence on the page
    "all rows kept": ("complete", {"keep_rows": 8}, "“Rows to keep” 8"),
    "more colours": ("draw", {"top_k": 17}, "“Top-k” 17"),
    "no colours": ("draw", {"top_p": 0}, "“Top-p” 0"),
    "too cold": ("draw", {"temperature": 1e-9}, "“Temperature”"),
    "crop outside": (
        "complete",
        {"keep_rows": 1, "crop": [70, 0, 20, 20]},
        "“Crop” 70,0,20,20 is not inside its 80x60",
    ),
    "another model": ("draw", {"model": "gone"}, "no such model"),
}


@pytest.mark.parametrize("kind, options, sentence", SENTENCES.values(), ids=SENTENCES)
def test_mistakes_are_one_sentence(server, picture, kind, options, sentence):
    *_, last = ask(server, kind, DRAWN | options, picture.read_bytes())
    assert sentence in last["error"] and "\n" not in last["error"] and "/tmp" not in last["error"]


def test_options_have_the_names_of_the_page():
    assert worded("`top_k` 9: too many; see `n_px`") == "“Top-k” 9: too many; see “n_px”"


def test_pictures_that_would_become_too_large(picture, monkeypatch):
    monkeypatch.setitem(enlarging.PIXELS, "srgan", 100_000)
    note = "80x60 pixels at x4: SRGAN takes up to about 55 squared"
    with pytest.raises(InputError, match=note):
        next(enlarging.enlarge(picture, ["srgan"], 4))
    first, *steps = enlarging.enlarge(picture, ["srgan", "espcn"], 4)  # what can be done is done
    assert first["note"].startswith(note) and [s["network"] for s in steps if "file" in s] == ["bicubic", "espcn"]
    Image.new("RGB", (1, 40_000)).save(picture)  # of few pixels, but many around them
    with pytest.raises(InputError, match="1x40000 pixels at x4: SRResNet takes"):
        next(enlarging.enlarge(picture, ["srresnet"], 4))


def test_turns_come_in_order_and_are_given_up():
    turns = Turns()
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    with first, second:
        one, two = first.enter_context(turns.ticket()), second.enter_context(turns.ticket())
        assert list(turns.places(one)) == []
        places = turns.places(two)
        assert next(places) == 1
        with turns.ticket() as three:
            assert next(turns.places(three)) == 2
        first.close()
        assert list(places) == []
    assert not turns.tickets


def test_a_full_queue_is_refused():
    turns = Turns()
    with contextlib.ExitStack() as stack:
        for _ in range(1 + MOST):  # the first one does not wait
            stack.enter_context(turns.ticket())
        with pytest.raises(InputError, match="others wait already"):
            stack.enter_context(turns.ticket())


def test_drawing_ends_when_its_steps_are_closed(downloads, pace):
    loaded = models.Models(downloads).load("small")
    pace.let(2)
    steps = growing.rows(loaded, np.zeros([1, 0], np.int32), SamplingOptions())
    assert [next(steps)["drawn"] for _ in range(3)] == [0, 8, 16]
    steps.close()
    assert pace.closed.is_set()
