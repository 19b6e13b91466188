"""Training on pixels and against a discriminator, in a run folder."""

import json

import numpy as np
import pytest
from PIL import Image

from src.config import InputError
from src.measuring import metrics
from src.superres.adversarial import GanRecipe
from src.superres.bundled import FILES
from src.superres.espcn import Espcn
from src.superres.files import load_network, save_network
from src.superres.photographs import DataOptions
from src.superres.pixel import PixelRecipe
from src.superres.srgan import Generator
from src.superres.stages import Reports, Session, starting_generator, train_against_discriminator, train_on_pixels
from src.superres.upscaler import Upscaler
from tests.conftest import photo

SHORT = PixelRecipe(lr=0.002, epochs=3, steps=5, n_batch=2)


def train(photos, folder, *, recipe=SHORT, reports=None, **options):
    """ESPCN at x2 on photographs, validated on the second of the three."""
    options = DataOptions(**{"train": str(photos), "patch": 9} | options)
    return train_on_pixels(Espcn(2), options, recipe, Session(folder, reports=reports or Reports()))


def test_training_learns_and_keeps_the_best_network(photos, tmp_path):
    seen = []
    reports = Reports(figures=lambda step, figures: seen.append((step, *figures)))
    done = train(photos, tmp_path, recipe=PixelRecipe(lr=0.002, epochs=6, steps=5, n_batch=2), reports=reports)
    rows = map(json.loads, (tmp_path / "espcn_x2" / "log.jsonl").read_text().splitlines())
    scores = [row["psnr/valid"] for row in rows if "psnr/valid" in row]
    assert len(scores) == 6 and scores[-1] > scores[0] + 1
    assert seen[:2] == [(5, "loss/train"), (5, "psnr/valid")]
    assert (done.path, done.images) == (tmp_path / "espcn_x2" / "best.keras", 1)
    high = np.asarray(Image.open(photos / "1.png"))
    low = np.asarray(Image.fromarray(high).resize((55, 45), Image.Resampling.BICUBIC))
    assert done.psnr == max(scores)
    for name, score in (("best", done.psnr), ("last", scores[-1])):
        kept = Upscaler(load_network(done.path.with_name(f"{name}.keras"), 2))(low[None])[0]
        assert metrics.psnr(kept, high, border=2) == pytest.approx(score, abs=1e-6)
    assert (tmp_path / "espcn_x2" / "log.png").stat().st_size > 1000


def test_interrupted_training_goes_on_to_the_same_weights(photos, tmp_path):
    """With SOAP, whose bases and moments must be restored, too."""

    def stop(step, figures):
        if step == 10 and "psnr/valid" in figures:  # before the state of step 10 is kept
            raise KeyboardInterrupt

    whole = train(photos, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(photos, tmp_path / "halves", reports=Reports(figures=stop))
    halves = train(photos, tmp_path / "halves")
    logs = [(tmp_path / name / "espcn_x2" / "log.jsonl").read_text() for name in ("whole", "halves")]
    assert logs[0] == logs[1] and whole.psnr == halves.psnr
    for a, b in zip(*(load_network(done.path).get_weights() for done in (whole, halves))):
        np.testing.assert_array_equal(a, b)
    assert train(photos, tmp_path / "halves") == halves  # nothing is left to do


def test_early_stopping(photos, tmp_path):
    train(photos, tmp_path, recipe=PixelRecipe(lr=1e-12, epochs=9, steps=2, n_batch=2, patience=2))
    last = json.loads((tmp_path / "espcn_x2" / "log.jsonl").read_text().splitlines()[-1])["step"]
    assert last < 18


def test_a_run_goes_on_with_its_own_data_alone(photos, tmp_path):
    """It once went on with whatever photographs and settings the same command named the next time."""
    train(photos, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    for i in range(2):
        Image.fromarray(photo(90, 110, 5 + i)).save(other / f"{i}.png")
    with pytest.raises(InputError, match=r"photographs 2 of hash \w+ -> 1 of hash"):
        train(other, tmp_path)
    with pytest.raises(InputError, match=r"validation photographs 1 of hash \w+ -> 2 of hash"):
        train(photos, tmp_path, valid=str(other))
    np.save(tmp_path / "black.npy", np.full([2, 3], -1, np.float32))
    for options, difference in (
        ({"n_px": 20}, "n_px None -> 20"),
        ({"patch": 8}, "patch 9 -> 8"),
        ({"augment": "varied"}, "augment plain -> varied"),
        ({"degradation": "palette", "color_cluster_path": tmp_path / "black.npy"}, r"palette None -> \w{16}"),
    ):
        with pytest.raises(InputError, match=difference):
            train(photos, tmp_path, **options)


def test_weights_to_start_from_are_of_the_same_network(photos, tmp_path):
    save_network(tmp_path / "relu.keras", Espcn(2, activation="relu"))
    session = Session(tmp_path, (str(tmp_path / "relu.keras"),))
    with pytest.raises(InputError, match=r"relu\.keras: another network than the one to be trained"):
        train_on_pixels(Espcn(2), DataOptions(str(photos), patch=9), SHORT, session)


@pytest.mark.parametrize("degradation, kind", [("clean", "clean"), ("palette", "palette"), ("mixed", "clean")])
def test_the_adversarial_stage_starts_from_the_bundled_srresnet_of_its_kind(degradation, kind, tmp_path):
    assert starting_generator(tmp_path, (), "float32", degradation)[1] == (str(FILES["srresnet", 4, kind]),)


def test_the_adversarial_stage_goes_on_from_a_generator_and_keeps_what_is_asked_for(photos, tmp_path):
    start = Generator(blocks=1, seed=3)
    (tmp_path / "srresnet_x4").mkdir()
    save_network(tmp_path / "srresnet_x4" / "best.keras", start)
    net, files = starting_generator(tmp_path, (), "float32")
    assert (net.name, files) == ("srgan", (str(tmp_path / "srresnet_x4" / "best.keras"),))
    for a, b in zip(net.get_weights(), start.get_weights()):
        np.testing.assert_array_equal(a, b)
    recipe = GanRecipe(content="pixel", head_start=3, epochs=2, steps=3, n_batch=2)
    session, options = Session(tmp_path, files), DataOptions(str(photos), patch=4)
    done = train_against_discriminator(net, options, recipe, session, keep_every=2, picture_every=1)
    folder = tmp_path / "srgan_x4"
    kept = {p.name for p in folder.iterdir() if p.is_file()}
    assert kept == {"recipe.json", "log.jsonl", "log.png", "epoch-1.png", "epoch-2.png", "epoch-2.keras", "last.keras"}
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [set(row) - {"step"} for row in rows] == [
        {"discriminator/train"},
        {"psnr/valid"},
        {"content/train", "adversarial/train", "discriminator/train"},
        {"psnr/valid"},
    ]
    assert done.path == folder / "last.keras" and done.psnr == rows[-1]["psnr/valid"]
    made = load_network(done.path)
    assert (made.name, made.blocks) == ("srgan", 1)
    assert any((a != b).any() for a, b in zip(made.get_weights(), start.get_weights()))
    with pytest.raises(InputError, match=r"x2\.keras: not a generator"):
        save_network(tmp_path / "x2.keras", Espcn(2))
        starting_generator(tmp_path, [str(tmp_path / "x2.keras")], "float32")
