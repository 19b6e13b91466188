"""prompt_sr.py from the command line: mistakes in one line, a training, its pictures, its figures."""

import json

import pytest
from PIL import Image

import prompt_sr
import sample
from tests.conftest import files, photo, run_here
from tests.unit.test_instructed import make_triples
from tests.unit.test_text import make_bert

MISTAKES = {
    "nothing to do": ([], "say what to do: --upscale, --train, --eval"),
    "empty prompt": (["--upscale", "a.png", "--prompt", " "], "--prompt '': 0 characters; write 1 to 256"),
    "long prompt": (["--upscale", "a.png", "--prompt", "x" * 10_000], "10000 characters; write 1 to 256"),
    "only marks": (["--upscale", "a.png", "--prompt", "\u200b"], "--prompt"),
    "no encoder": (["--upscale", "a.png", "--prompt", "dark", "--text", "gone"], "gone: no such folder; --text takes"),
    "strength alone": (["--upscale", "a.png", "--strength", "0.5"], "--strength: is that of an edit"),
    "encoder alone": (["--upscale", "a.png", "--text", "x"], "--text: hears a prompt, and there is none"),
    "too strong": (["--upscale", "a.png", "--prompt", "dark", "--strength", "2"], "must be at most 1"),
    "no strength": (["--upscale", "a.png", "--prompt", "dark", "--strength", "nan"], "must be a number, not nan"),
    "prompt in training": (["--train", "x", "--prompt", "dark"], "--prompt: --train does not read it"),
    "other scale": (["--upscale", "a.png", "--scale", "2"], "unrecognized arguments: --scale 2"),
    "no words to freeze": (["--train", "x", "--stage", "small", "--freeze_words"], "--freeze_words: is for --stage"),
    "no such image": (["--upscale", "b.png", "--prompt", "dark"], "b.png: no such file"),
    "no triples": (["--train", "."], ".: no train.jsonl in it; make one with triples.py"),
    "no such folder": (["--train", "gone"], "gone: no such folder"),
    "no such file": (["--eval", "gone.jsonl"], "gone.jsonl"),
    "missing field": (["--eval", "field.jsonl"], "field.jsonl: line 1: instruction missing"),
    "missing image": (["--eval", "image.jsonl"], "image.jsonl: line 1: edited names b.png, which is no file in"),
    "another network": (
        ["--upscale", "a.png", "--prompt", "dark", "--weights", "srresnet"],
        "--weights {srresnet}: a network of the kind of srresnet, not of prompted",
    ),
}


@pytest.mark.parametrize("flags, line", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line(flags, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(8, 8)).save("a.png")
    (tmp_path / "field.jsonl").write_text('{"image": "a.png", "edited": "a.png"}\n')
    (tmp_path / "image.jsonl").write_text('{"image": "a.png", "instruction": "dark", "edited": "b.png"}\n')
    before = files(tmp_path)
    srresnet = str(prompt_sr.SAVE_DIR.parent / "pretrained" / "srgan" / "srresnet.keras")
    flags = [srresnet if flag == "srresnet" else flag for flag in flags]
    code, error = run_here(prompt_sr.main, [*flags, "--save_dir", "out"] if "--eval" not in flags else flags, capsys)
    assert code and line.replace("{srresnet}", srresnet) in error and error.count("\n") == 1, error
    assert {path: data for path, data in files(tmp_path).items() if path.parts[0] != "out"} == before


@pytest.mark.slow
def test_from_triples_to_pictures(tmp_path, capsys):
    make_triples(tmp_path / "data", images=40, size=16)
    recipe = ["--optimizer", "adam", "--epochs", 1, "--steps", 3, "--n_batch", 2]
    sizes = ["--maps", 2, "--patch", 4, "--skip", "first", "--noise", 0.05]
    code, _ = run_here(
        prompt_sr.main, ["--train", tmp_path / "data", *sizes, *recipe, "--save_dir", tmp_path / "run"], capsys
    )
    weights = tmp_path / "run" / "prompted_x4" / "best.keras"
    assert not code and weights.exists()
    Image.fromarray(photo(6, 8)).save(tmp_path / "a.png")
    enlarge = ["--upscale", tmp_path / "a.png", "--weights", weights, "--prompt", "make it dark", "invert it"]
    code, _ = run_here(prompt_sr.main, [*enlarge, "--save_dir", tmp_path / "out"], capsys)
    assert not code
    names = ["a_invert-it_x4.png", "a_make-it-dark_x4.png", "prompted.png"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    assert Image.open(tmp_path / "out" / names[0]).size == (32, 24)
    figures = tmp_path / "figures.json"
    score = ["--eval", tmp_path / "data" / "train.jsonl", "--weights", weights, "--json", figures]
    code, _ = run_here(prompt_sr.main, score, capsys)
    found = json.loads(figures.read_text())
    assert not code and found["all"]["triples"] == 81 and found["invert, seen"]["triples"] == 20
    before = files(tmp_path / "run")
    code, error = run_here(
        prompt_sr.main,
        ["--train", tmp_path / "data", *sizes, *recipe, "--save_dir", tmp_path / "run", "--lr", 1],
        capsys,
    )
    assert code and "lr" in error and files(tmp_path / "run") == before


def test_samples_are_edited_at_once(tmp_path, capsys):
    for flags, line in (
        (["--upscale", "prompt"], "--upscale prompt: say with --prompt what to make of the images"),
        (["--prompt", "dark"], "--prompt: belongs to --upscale prompt; give it, too"),
        (["--upscale", "srgan", "--strength", "0.5"], "--strength: belongs to --upscale prompt"),
    ):
        code, error = run_here(sample.main, [*flags, "--save_dir", tmp_path / "out"], capsys)
        assert code == 2 and line in error and not (tmp_path / "out").exists()


def test_a_prompt_that_is_none_is_said_before_anything_is_drawn(tmp_path, capsys):
    for flags, line in (
        (["--prompt", " "], "--prompt '': 0 characters"),
        (["--prompt", "dark", "--text", "gone"], "gone: no such folder"),
        (["--prompt", "dark", "--text", make_bert(tmp_path / "bert")], "--text: an encoder of 8 numbers"),
    ):
        flags = ["--upscale", "prompt", *flags, "--save_dir", tmp_path / "out"]
        code, error = run_here(sample.main, flags, capsys)
        assert code and line in error and not list((tmp_path / "out").iterdir())
