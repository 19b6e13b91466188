"""Numbers on the command line: those that cannot be meant, or held, are refused in one line with a reason."""

import argparse
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import dataset
import download
import espcn
import prompt_sr
import run
import sample
import srgan
from src import devices, memory
from src.cli.parser import Number, Parser, region, share
from src.cli.probing import layer
from src.cli.process import complaint
from src.config import SIZES, HParams, InputError
from src.drawing import completion
from src.drawing.completion import CompletionOptions, Photos, completion_paths
from src.drawing.sampling import Sampler, SamplingOptions
from src.weights.checkpoint import load_model
from tests.conftest import TINY, files, photo, random_model, run_here

COMMANDS = [run, sample, dataset, download, espcn, srgan, prompt_sr]
CHECKED_LATER = {"valid_fraction", "test_fraction", "temperature"}  # by `EncodeOptions` and `SamplingOptions`
NONE = ["9" * 40, "9" * 5000, "1e400", "nan", "inf", "-1", "1e-400", "", "x", "0x10", "1e12", "1_0\n2", "٣ apples"]


def actions(command, monkeypatch):
    """The flags of a command that take anything but text or one of a few choices."""
    caught = []
    with monkeypatch.context() as patch:
        patch.setattr(Parser, "parse_args", lambda self, argv: caught.append(self) or self.exit())
        with pytest.raises(SystemExit):
            command.parse([])
    return [a for a in caught[0]._actions if a.type and not a.choices and a.dest not in CHECKED_LATER]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.__name__)
def test_every_number_has_bounds(command, monkeypatch):
    for action in actions(command, monkeypatch):
        assert isinstance(action.type, Number) or action.type in (share, region, layer), f"{action.dest} has no bounds"
        refused = [text for text in NONE if is_refused(action.type, text)]
        assert len(refused) >= len(NONE) - 2, f"{action.dest} takes {set(NONE) - set(refused)}"  # 1e12, 1e-400 as 0
        assert is_refused(action.type, "9" * 40) and is_refused(action.type, "nan")


def is_refused(kind, text):
    try:
        kind(text)
    except argparse.ArgumentTypeError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 200
        return True
    return False


@pytest.mark.parametrize(
    "command, flags, message",
    [
        (sample, ["--n_samples", "1e12"], "--n_samples: must be a whole number, not 1e12"),
        (sample, ["--n_samples", 10**12], "--n_samples: must be at most 262,144, not 1000000000000: each is a file"),
        (run, ["--sample", "--n_cpu", 500], "--n_cpu: must be at most "),
        (run, ["--train", "--steps", 10**30], "--steps: must be at most 1,000,000,000"),
        (run, ["--train", "--seed", 2**31], "--seed: must be at most 2,147,483,647, not 2147483648: that is as far as"),
        (run, ["--train", "--lr", "1e300"], "--lr: must be at most 10,000.0, not 1e300: no training survives"),
        (run, ["--train", "--lr", "1e-300"], "--lr: must be at least 1e-10, not 1e-300"),
        (run, ["--train", "--ema", "0.999999999"], "--ema: must be at most 0.999999"),
        (srgan, ["--train", "x", "--stage", "gan", "--adversarial_weight", "1e39"], "--adversarial_weight: must be at"),
        (srgan, ["--train", "x", "--stage", "gan", "--head_start", 10**6], "--head_start: takes all updates"),
        (sample, ["--crop", f"0,0,{10**30},4"], "--crop: must be at most"),
        (sample, ["--crop", "0,0,a,4"], "--crop: must be a whole number, not a"),
    ],
)
def test_what_no_model_takes_is_refused_at_once(command, flags, message, capsys):
    code, err = run_here(command.main, flags, capsys)
    assert code == 2 and message in err and len(err.splitlines()) == 1, err


TRAIN = ["--train", "--data_path", "{}/tokens", "--save_dir", "{}/new", "--n_px", 4, "--n_embd", 8, "--n_head", 2]
DRAW = ["--ckpt_path", "{}/tiny", "--save_dir", "{}/new"]
ESPCN = ["--train", "{}/photos", "--save_dir", "{}/new"]
GAN = [*ESPCN, "--stage", "gan", "--content", "pixel"]


@pytest.mark.parametrize(
    "command, flags, message",
    [
        (run, [*TRAIN, "--n_embd", 10**9], "--n_embd 1000000000, --n_layer 24, --n_px 4, --n_vocab 6: training "),
        (run, [*TRAIN, "--n_px", 10**6], "--n_px 1000000, --n_vocab 6: training 8,000,000,0"),
        (run, [*TRAIN, "--n_vocab", 10**9], "--n_vocab 1000000000: training 16,0"),
        (run, [*TRAIN, "--n_layer", 5_000_000], "--n_layer 5000000: at most 1000"),
        (run, [*TRAIN, "--n_head", 10**9], "is not a multiple of --n_head 1000000000"),
        (run, [*TRAIN, "--n_layer", 1, "--n_sub_batch", 10**9], "--n_sub_batch 1000000000: takes 477 GiB"),
        (run, [*TRAIN, "--n_layer", 1, "--n_batch", 8 * 10**8], "--n_batch 800000000: takes 381 GiB"),
        (run, [*TRAIN, "--n_layer", 1, "--n_batch", 10**9 - 1], "--n_batch 999999999: not a multiple"),
        (sample, [*DRAW, "--top_k", 7], "--top_k 7: the palette has 6 colours; leave it out for all"),
        (sample, [*DRAW, "--top_k", 10**9], "--top_k 1000000000: the palette has 6 colours"),
        (sample, [*DRAW, "--temperature", 1e-300], "--temperature 1e-300: must be 0, or lie in 0.0001..10000"),
        (sample, [*DRAW, "--temperature", 1e299], "--temperature 1e+299: must be 0, or lie in 0.0001..10000"),
        (sample, [*DRAW, "--image", "{}/photos", "--keep_rows", 10**9], "--keep_rows 1000000000: the model draws 4x4"),
        (sample, [*DRAW, "--image", "{}/photos", "--keep_pixels", 10**9], "--keep_pixels 1000000000: the model draws"),
        (sample, [*DRAW, "--image", "{}/photos", "--crop", f"0,0,{10**9},1"], "--crop 0,0,1000000000,1 is not inside"),
        (sample, [*DRAW, "--image", "{}/photos", "--n_samples", 2**18], "at most 262,144 pictures go to one folder"),
        (espcn, [*ESPCN, "--n_batch", 10**9], "--n_batch 1000000000 with --patch 17: takes "),
        (espcn, [*ESPCN, "--patch", 10**9], "--n_batch 16 with --patch 1000000000: takes "),
        (srgan, [*ESPCN, "--blocks", 10**9], "--blocks is 1000000000, expected an integer in 0..256"),
        (srgan, [*GAN, "--n_batch", 10**9], "--n_batch 1000000000 with --patch 24: takes "),
        (espcn, ["--eval", "{}/photos", "--n_px", 10**9], "--n_px 1000000000: 4000000000 on a side are needed"),
    ],
)
def test_what_the_machine_or_the_model_cannot_hold_is_refused(command, flags, message, project, photos, capsys):
    before = files(project)
    code, err = run_here(command.main, [f.format(project) if isinstance(f, str) else f for f in flags], capsys)
    assert code == 1 and message in err and len(err.splitlines()) == 1, err
    assert files(project) == before


@pytest.mark.parametrize(
    "option, cause",
    [({"n_samples": 100_000}, "`n_samples` 100000: takes "), ({"n_samples": 300}, "`batch_size` 256: takes ")],
)
def test_a_drawing_is_measured_by_this_machines_memory(option, cause, monkeypatch):
    sampler = Sampler(random_model(TINY), n_batch=256)
    monkeypatch.setattr(memory, "physical", lambda: 1 << 18)
    with pytest.raises(InputError, match=cause):
        sampler.draw(**option)


def test_a_hundred_thousand_images_of_the_release_are_not_too_many(monkeypatch):
    monkeypatch.setattr(memory, "physical", lambda: 8 << 30)
    sampler = Sampler(random_model(TINY))
    monkeypatch.setattr(sampler.model, "hparams", SIZES["s"])
    sampler.check_bounds(100_000, SamplingOptions(top_k=512))
    sampler.check_bounds(sample.parse(["--n_samples", str(2**18)]).n_samples, SamplingOptions())


def test_what_is_accepted_at_the_bounds_draws():
    sampler = Sampler(random_model(TINY), n_batch=10**9)

    def draw(**options):
        return sampler.draw(40, SamplingOptions(**options))

    cold, hot = draw(temperature=1e-4), draw(temperature=1e4)
    assert (cold == cold[0]).all() and len(np.unique(hot)) == 6
    assert not (draw(seed=2**31 - 1) == draw()).all()
    np.testing.assert_array_equal(draw(top_k=6, top_p=1e-6), cold)


def test_more_images_at_a_time_than_there_are_score_the_same(project, capsys):
    out, where = project / "x.json", ["--ckpt_path", project / "tiny", "--data_path", project / "tokens"]
    run.main([str(f) for f in ("--eval", "--splits", "test", *where, "--json", out, "--n_sub_batch", 10**9)])
    losses = load_model(project / "tiny")(np.load(project / "tokens_teX.npy"))["gen_losses"]
    assert json.loads(out.read_text())["splits"]["test"]["gen"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_parameters_of_a_model_are_counted_without_their_names():
    for hparams in (TINY, SIZES["s"], HParams(n_px=2, n_embd=4, n_head=2, n_layer=3, n_vocab=5, bert=True, classes=7)):
        assert memory.parameters(hparams) == sum(int(np.prod(s)) for s in hparams.variable_shapes().values())
    assert memory.parameters(HParams(n_layer=10**9, n_embd=8)) > 10**11


def test_names_of_photographs_are_cut_where_those_of_completions_would_be_too_long(tmp_path, monkeypatch):
    for name in ("x" * 250, "x" * 240, "写" * 80, "a"):
        Image.fromarray(photo(8, 8)).save(tmp_path / f"{name}.png")
    clusters = np.linspace(-1, 1, 6, dtype=np.float32)[:, None].repeat(3, 1)
    photos = Photos.read(sorted(tmp_path.glob("*.png")), clusters, 4, CompletionOptions())
    assert len(set(photos.names)) == 4 and all(len(name.encode()) < 170 for name in photos.names)
    monkeypatch.setattr(completion, "MOST_PICTURES", 12)
    assert len({path for paths, shown in completion_paths(tmp_path, photos, 3) for path in [*paths, shown]}) == 16
    with pytest.raises(InputError, match=r"`n_samples` 4: at most 12 pictures go to one folder"):
        completion_paths(tmp_path, photos, 4)


@pytest.mark.parametrize(
    "error, message",
    [
        (MemoryError("Unable to allocate 3.64 TiB"), "not enough memory (Unable to allocate 3.64 TiB)"),
        (MemoryError(), "not enough memory (no more is to be had)"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when\nallocating"),
            "not enough memory (OOM when allocating)",
        ),
        (OSError(28, "No space left on device", "x.png"), "x.png: No space left on device"),
        (InputError("`n_px` 0: is none"), "--n_px 0: is none"),
        (ValueError("a bug"), None),
        (tf.errors.InvalidArgumentError(None, None, "a bug"), None),
    ],
)
def test_a_machine_that_is_too_small_says_so_in_one_line(error, message):
    line = complaint(error)
    assert line is None if message is None else line.startswith(message) and len(line.splitlines()) == 1


def test_a_cpu_in_use_is_not_split_again():
    tf.constant(1.0) + 1
    with pytest.raises(InputError, match="`n_cpu` 3: the CPU is in use already"):
        devices.make_strategy(n_cpu=3)
