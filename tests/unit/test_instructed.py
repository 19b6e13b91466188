"""Triples as batches, the training on them, what prompts make of files, and how edits are scored."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from src.config import InputError
from src.data.pictures import read_picture
from src.data.triples import read_triples
from src.superres.bundled import find_network
from src.superres.degradation import resized
from src.superres.edit_scoring import EditScore, by_kind, score_edits
from src.superres.instructed import Instructed, InstructedOptions, Recent, find_triples, load_instructed, split
from src.superres.pixel import PixelRecipe
from src.superres.prompted import STAGES, Prompted
from src.superres.prompting import PromptTask, asked_for, train_on_triples
from src.superres.prompts import Editor, Prompts, slug
from src.superres.stages import Session
from src.superres.upscaler import Upscaler
from src.superres.upscaling import UpscaleOptions, compared, upscale_paths
from src.text.encoder import TextEncoder
from tests.conftest import photo

EDITS = {"invert it": lambda x: 255 - x, "make it dark": lambda x: x // 4}
ENCODER = TextEncoder.open()
TINY = {"maps": 4, "blocks": 1, "encoder": ENCODER.fingerprint}


def make_triples(folder, name="train", images=3, size=32, first=0):
    """Triples of `images` photographs and EDITS, and a kind that has a single one."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []

    def picture(stem, pixels):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{stem}.png")
        return f"images/{stem}.png"

    for i in range(first, first + images):
        pixels = photo(size, size + 4, i)
        image = picture(f"{name}{i}", pixels)
        for number, (instruction, edit) in enumerate(EDITS.items()):
            edited = picture(f"{name}{i}-{number}", edit(pixels))
            notes = {"kind": instruction.split()[0], "phrasing": "seen" if i % 2 else "held out"}
            lines.append({"image": image, "instruction": instruction, "edited": edited} | notes)
    lines.append(lines[0] | {"instruction": "turn every colour into its opposite, please", "kind": "rare"})
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / f"{name}.jsonl"


def test_a_batch_is_a_crop_of_both_images_at_one_place(tmp_path):
    """At one of the places where film grain begins, which is laid over some of them."""
    triples = read_triples(make_triples(tmp_path, size=72))[:-1]
    data = Instructed(triples, ENCODER, InstructedOptions(str(tmp_path), patch=5))
    (batch,) = data.batches(64, 3, 4)
    assert [(x.shape, x.dtype) for x in batch] == [(tuple(s.shape), np.float32) for s in data.signature(64)]
    places = {}
    for triple in triples:
        before, after = (np.asarray(Image.open(p)) for p in (triple.image, triple.edited))
        low = resized(before, (18, 19))
        for y, x in itertools.product((0, 12), (0, 12)):
            key = low[y : y + 5, x : x + 5].tobytes(), after[4 * y : 4 * y + 20, 4 * x : 4 * x + 20].tobytes()
            places[key] = (triple.image, y, x), triple.instruction
    found = []
    for low, tokens, mask, high in zip(*batch):
        place, instruction = places[tuple(np.uint8(np.rint(a * 255)).tobytes() for a in (low, high))]
        found.append(place)
        (expected,), (real,) = ENCODER.encode([instruction])
        n = len(real)
        np.testing.assert_array_equal(tokens[:n], expected)
        assert mask.sum() == n and not tokens[n:].any()
    assert len(set(found)) == 12


def test_batches_follow_from_the_seed_and_their_step(tmp_path):
    triples = read_triples(make_triples(tmp_path))

    def data(**options):
        return Instructed(triples, ENCODER, InstructedOptions(str(tmp_path), **{"patch": 4, "noise": 0.1} | options))

    def same(a, b):
        return all(np.array_equal(x, y) for x, y in zip(a, b))

    first, second, third = data().batches(3, 0, 3)
    assert same(next(data().batches(3, 2, 3)), third) and not same(first, second)
    assert not same(next(data(seed=1).batches(3, 0, 1)), first)
    (clean,) = data(noise=0.0).batches(3, 0, 1)
    assert not same(clean, first)


def test_images_in_memory_are_bounded_by_their_bytes():
    asked = []

    def make(n):
        asked.append(n)
        return np.zeros(n, np.uint8), np.zeros(n, np.uint8)

    recent = Recent(make, 10)
    for n in (1, 2, 1, 3, 2, 1, 9, 1):
        assert recent(n)[0].shape == (n,)
        assert recent.bytes <= 10 or len(recent.found) == 1
    assert asked == [1, 2, 3, 2, 1, 9, 1]  # 3 took the place of 2, which had been used before 1 was


def test_a_run_knows_what_it_is_validated_on(tmp_path):
    make_triples(tmp_path)
    net, found = Prompted(**TINY), []
    for images in (2, 3, 3):
        make_triples(tmp_path, "valid", images, first=90)
        options = InstructedOptions(str(tmp_path), ("train.jsonl",), patch=4)
        found.append(load_instructed(options, net, ENCODER).description)
    assert found[0] != found[1] == found[2]


def test_noise_is_added_to_low_resolution_alone(tmp_path):
    (triple, *_) = read_triples(make_triples(tmp_path, images=1))
    noisy, clean = (Instructed([triple], ENCODER, InstructedOptions(str(tmp_path), (), 8, noise)) for noise in (0.2, 0))
    (low, *_, high), (original, *_, same) = (x.example(triple, np.random.default_rng(0)) for x in (noisy, clean))
    assert 0.15 < np.std(low - original) < 0.25
    np.testing.assert_array_equal(high, same)
    np.testing.assert_array_equal(noisy.example(triple, None)[0], clean.example(triple, None)[0])


def test_small_stages_take_edited_images_as_small_as_the_others(tmp_path):
    (triple, *_) = read_triples(make_triples(tmp_path, images=1))
    large, small = (
        Instructed([triple], ENCODER, InstructedOptions(str(tmp_path), patch=8, stage=s)) for s in STAGES[2:0:-1]
    )
    assert large.signature(2)[-1].shape == (2, 32, 32, 3) and small.signature(2)[-1].shape == (2, 8, 8, 3)
    assert all(x.shape == (8, 9, 3) for x in small.picture(triple.image))  # and holds no large ones
    (low, *_, high), (same, *_, edited) = large.example(triple, None), small.example(triple, None)
    np.testing.assert_array_equal(low, same)
    whole = resized(np.uint8(np.rint(255 * high)), (8, 8)) / 255
    np.testing.assert_allclose(edited, whole, atol=0.05)  # at its borders the crop sees less than the image
    assert np.abs(edited - low).mean() > 0.1


def test_noise_of_words_moves_all_tokens_alike(tmp_path):
    (triple, *_) = read_triples(make_triples(tmp_path, images=1))
    noisy = Instructed([triple], ENCODER, InstructedOptions(str(tmp_path), patch=8, word_noise=0.5))
    (_, tokens, mask, _), (_, moved, same, _) = (noisy.example(triple, rng) for rng in (None, np.random.default_rng(0)))
    np.testing.assert_array_equal(mask, same)
    np.testing.assert_allclose(moved - tokens, (moved - tokens)[:1].repeat(len(tokens), 0), atol=1e-5)
    before, after = (x[mask > 0].mean(axis=0) for x in (tokens, moved))
    assert 0.4 < np.std(after - before) / np.sqrt(np.mean(before**2)) < 0.6


def test_rare_kinds_are_drawn_by_the_square_root_of_their_number(tmp_path):
    triples = read_triples(make_triples(tmp_path, images=16, size=16))
    data = Instructed(triples, ENCODER, InstructedOptions(str(tmp_path), patch=4))
    by = {kind: sum(p for p, t in zip(data.share, triples) if t.kind == kind) for kind in ("invert", "make", "rare")}
    np.testing.assert_allclose([by["invert"], by["make"], by["rare"]], [4 / 9, 4 / 9, 1 / 9])


def test_which_files_and_what_is_held_out(tmp_path):
    one, two = make_triples(tmp_path / "a"), make_triples(tmp_path / "b" / "c", images=60, first=3)
    assert find_triples(InstructedOptions(str(tmp_path))) == [one, two]
    assert find_triples(InstructedOptions(str(tmp_path), ("a/train.jsonl",))) == [one]
    train, valid = split([one, two])
    assert len(train) + len(valid) == 2 * 63 + 2 and 2 <= len(valid) <= 16
    assert not {t.image for t in train} & {t.image for t in valid}
    make_triples(tmp_path / "a", "valid", images=40)
    train, valid = split([one, two])
    assert len(train) + 16 >= 2 * 63 + 2 and len(valid) == 64
    assert {t.image.parent.parent.name for t in valid} == {"a", "c"} and not {t.image for t in train} & {
        t.image for t in valid
    }
    (train, valid) = split([one])
    assert len(train) == 7 and len(valid) == 64 and {t.image.parent.parent.name for t in valid} == {"a"}
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    moved = split([tmp_path / "elsewhere" / "train.jsonl"])[1]
    assert [t.edited.name for t in moved] == [t.edited.name for t in valid]


def test_no_image_that_validates_is_learnt_from_as_an_edit(tmp_path):
    path = make_triples(tmp_path, images=60)
    there = [json.loads(line) for line in path.read_text().splitlines()]
    back = [line | {"image": line["edited"], "edited": line["image"]} for line in there]
    path.write_text("".join(json.dumps(line) + "\n" for line in there + back))
    train, valid = split([path])
    assert len(valid) > 4 and len(train) > 180
    assert not {t.image for t in valid} & {image for t in train for image in (t.image, t.edited)}


def test_mistakes(tmp_path):
    net = Prompted(**TINY)

    def load(folder, net=net, **options):
        return load_instructed(InstructedOptions(str(folder), **{"patch": 4} | options), net, ENCODER)

    path = make_triples(tmp_path, images=30)
    Image.fromarray(photo(32, 40)).save(tmp_path / "images" / "train0-0.png")
    (tmp_path / "nothing").mkdir()
    few = make_triples(tmp_path / "few", images=1)
    triples = read_triples(path)
    for wrong, message in (
        (lambda: load(tmp_path / "gone"), "gone: no such folder"),
        (lambda: load(tmp_path / "nothing"), "nothing: no train.jsonl in it; make one with triples.py"),
        (lambda: load(tmp_path, triples=("other.jsonl",)), "other.jsonl"),
        (lambda: load(few.parent), "few/train.jsonl: too few images to train and to validate on"),
        (lambda: load(tmp_path, patch=9, stage="small"), "36x32 pixels, but `patch` 9 needs 36 on a side; take fewer"),
        (lambda: load(tmp_path, patch=9), "but `patch` 9 needs 36 on a side; take fewer"),
        (lambda: load(tmp_path, Prompted(maps=1, blocks=0, encoder="0" * 16)), "`text`: an encoder of 384 numbers"),
        (lambda: load(tmp_path, Prompted(maps=1, blocks=0, text=8)), "the network was trained with 8 and any"),
        (lambda: score_edits(net, ENCODER, triples[:1]), "train0-0.png: images of a triple differ in size"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()


@pytest.mark.slow
def test_stages_go_on_from_each_other_and_teach_the_whole(tmp_path):
    """Small pictures teach what becomes of large ones; what a prompt decides alone leaves all other weights alone."""
    make_triples(tmp_path / "data", images=40, size=16)
    net, first = Prompted("first", **TINY | {"maps": 8}), Prompted("first", **TINY | {"maps": 8})
    recipe = PixelRecipe("adam", 0.01, epochs=2, steps=40, n_batch=8)
    weights, whole = (), train_options(tmp_path, "large")
    for stage in STAGES[:2]:
        session = Session(tmp_path / stage, weights)
        done = train_on_triples(net, train_options(tmp_path, stage), recipe, session, ENCODER)
        assert done.psnr > done.baseline + 5
        if stage == "words":
            moved = [not np.array_equal(a, b) for a, b in zip(first.get_weights(), net.get_weights())]
            assert sum(moved) == len(net.part("words").trainable_variables) < len(moved)
        weights = (str(done.path),)
    large = load_instructed(whole, net, ENCODER)
    task = PromptTask(net, large, recipe, tmp_path / "unused.keras")
    assert task.validate()["psnr"] > done.baseline + 5
    with pytest.raises(InputError, match="stage"):
        train_on_triples(net, whole, recipe, session, ENCODER)


def test_frozen_words_stay(tmp_path):
    make_triples(tmp_path / "data", images=40, size=16)
    net, recipe = Prompted(**TINY), PixelRecipe("adam", 0.01, epochs=1, steps=2, n_batch=2)
    before, frozen = [v.numpy() for v in net.variables], {id(v) for v in net.part("words").variables}
    options = dataclasses.replace(train_options(tmp_path, "small"), freeze_words=True)
    train_on_triples(net, options, recipe, Session(tmp_path / "run"), ENCODER)
    moved = {id(v) for v, old in zip(net.variables, before) if not np.array_equal(v, old)}
    assert moved == {id(v) for v in net.variables} - frozen - {id(v) for v in net.base.variables}


def train_options(folder, stage):
    return InstructedOptions(str(folder / "data"), patch=4, stage=stage)


@pytest.mark.slow
def test_training_learns_edits_and_keeps_srresnet(tmp_path):
    make_triples(tmp_path / "data", images=40, size=16)
    net = Prompted("attention", **TINY | {"maps": 8})
    base = net.base.get_weights()
    recipe = PixelRecipe("adam", 0.01, epochs=3, steps=40, n_batch=8)
    options = InstructedOptions(str(tmp_path / "data"), patch=4)
    done = train_on_triples(net, options, recipe, Session(tmp_path), ENCODER)
    assert done.path == tmp_path / "prompted_x4" / "best.keras" and done.path.exists()
    assert done.psnr > done.baseline + 5
    assert all(np.array_equal(a, b) for a, b in zip(base, net.base.get_weights()))
    again = train_on_triples(Prompted("attention", **TINY | {"maps": 8}), options, recipe, Session(tmp_path), ENCODER)
    assert again == done
    with pytest.raises(InputError, match="noise"):
        other = InstructedOptions(str(tmp_path / "data"), patch=4, noise=0.1)
        train_on_triples(net, other, recipe, Session(tmp_path), ENCODER)
    figures = by_kind(score_edits(net, ENCODER, read_triples(tmp_path / "data" / "train.jsonl")))
    assert figures["all"]["nearest"] > 0.7 and figures["all"]["heard"] > 1
    assert figures["all, seen"]["triples"] + figures["all, held out"]["triples"] == 81 == figures["all"]["triples"]


def test_a_small_edit_weighs_nearly_as_much_as_a_large_one():
    low, change = np.full([2, 3, 5, 3], 0.4, np.float32), np.float32([0.5, 0.1]).reshape(2, 1, 1, 1)
    unedited = low.repeat(4, 1).repeat(4, 2)
    edited = unedited + change
    np.testing.assert_allclose(asked_for(low, edited), [0.5, 0.1], rtol=1e-5)
    errors = PromptTask.errors(low, unedited, edited)
    np.testing.assert_allclose(errors, np.log([1 + 0.5 / 0.515, 1 + 0.1 / 0.115]), rtol=1e-5)
    np.testing.assert_allclose(PromptTask.errors(low, edited, edited), 0)


def test_beyond_white_and_black_nothing_is_wrong():
    low, white = np.full([1, 2, 2, 3], 0.4, np.float32), np.ones([1, 8, 8, 3], np.float32)
    for made, right in ((1.5, True), (1.0, True), (0.9, False)):
        assert (PromptTask.errors(low, made * white, white) == 0).numpy().all() == right
        assert (PromptTask.errors(low, (1 - made) * white, 0 * white) == 0).numpy().all() == right
    assert (PromptTask.errors(low, 1.5 * white, 0.9 * white) > 0).numpy().all()


def heard(net):
    """The network with weights at random where it edits, so that each prompt does something else."""
    rng = np.random.default_rng(0)
    for v in net.trainable_variables:
        v.assign(rng.normal(0, 0.08, v.shape))  # of larger ones every pixel would be black or white
    return net


def test_scores_are_numpys(tmp_path):
    """Against each image in turn, by what an `Upscaler` makes of the image with the prompt of the triple."""
    net, triples = heard(Prompted(**TINY)), read_triples(make_triples(tmp_path, images=2, size=24))
    net.save(tmp_path / "net.keras")
    editor = Editor([str(tmp_path / "net.keras")])

    def decibels(a, path):
        return 10 * np.log10(255**2 / np.mean((a.astype(float) - np.asarray(Image.open(path))) ** 2))

    told = []
    for triple, score in zip(triples, score_edits(net, ENCODER, triples, progress=lambda *at: told.append(at))):
        ((_, upscaler),) = editor.edits([triple.instruction])
        made = upscaler(resized(np.asarray(Image.open(triple.image)), (6, 7))[None])[0]
        others = {t.edited for t in triples if t.image == triple.image} - {triple.edited}
        expected = [decibels(made, triple.edited), decibels(made, triple.image), max(decibels(made, p) for p in others)]
        np.testing.assert_allclose([score.right, score.unedited, score.sibling], expected, atol=0.02)
        assert score.triple == triple and score.nearest == (expected[0] > max(expected[1:]))
    assert told == [(i + 1, 5) for i in range(5)]


def test_figures_are_means():
    def score(kind, right, unedited, sibling, shuffled):
        triple = type("T", (), {"kind": kind, "phrasing": ""})
        return EditScore(triple, right, unedited, sibling, shuffled)

    found = by_kind([score("a", 30, 20, 25, 10), score("a", 20, 22, 10, 20), score("b", 9, 5, -np.inf, 9)])
    assert list(found) == ["a", "b", "all"]
    assert found["a"] == pytest.approx(
        {"triples": 2, "psnr": 25, "margin": 4, "over sibling": 7.5, "nearest": 0.5, "heard": 10}
    )
    assert found["all"]["nearest"] == pytest.approx(2 / 3) and found["all"]["over sibling"] == 7.5
    assert np.isnan(found["b"]["over sibling"])


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "tiny.keras"
    heard(Prompted(**TINY)).save(path)
    return path


def test_a_file_for_each_prompt_and_a_sheet(tmp_path, network):
    for i in range(2):
        Image.fromarray(photo(6, 8, i)).save(tmp_path / f"{i}.png")
    paths, lines, told = [tmp_path / "0.png", tmp_path / "1.png"], [], []
    (tmp_path / "out").mkdir()
    prompts = Prompts(("Make it night!", "make it night", "夜"), 0.5)
    options = UpscaleOptions(tmp_path / "out", weights=(str(network),), prompts=prompts)
    done = upscale_paths(paths, "prompted", options, lambda *at: told.append(at), lines.append)
    names = ["make-it-night", "make-it-night-2", "prompt"]
    assert [p.name for p in done.paths] == [f"{i}_{name}_x4.png" for i in range(2) for name in names]
    assert done.columns == ["input", "bicubic", "srresnet", *prompts.prompts] and told[-1] == (6, 6)
    assert done.sheet == tmp_path / "out" / "prompted.png" and done.sheet.exists()
    made = [np.asarray(Image.open(p)) for p in done.paths]
    assert made[0].shape == (24, 32, 3) and (made[0] != made[2]).any() and (made[0] != made[3]).any()
    assert (made[0] != made[1]).any()  # "!" is heard
    assert lines[0] == f"network: {network}"


def test_edits_stand_beside_the_srresnet_that_was_edited(tmp_path):
    """Of few colours, too, of which another SRResNet knows more."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    edits = UpscaleOptions(tmp_path, prompts=Prompts(("make it night",)))
    for name, options, degradation in (("prompted", edits, "clean"), ("srgan", UpscaleOptions(tmp_path), "palette")):
        shown, (net, _) = compared(name, options)["srresnet"](picture).net, find_network("srresnet", (), 4, degradation)
        assert all((a == b).all() for a, b in zip(shown.get_weights(), net.get_weights()))


def test_without_a_prompt_it_is_srresnet(tmp_path, network):
    Image.fromarray(photo(6, 8)).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    options = UpscaleOptions(tmp_path / "out", weights=(str(network),))
    done = upscale_paths([tmp_path / "a.png"], "prompted", options)
    assert [p.name for p in done.paths] == ["a_srresnet_x4.png"] and done.columns == ["input", "bicubic", "srresnet"]
    made = Upscaler(Editor([str(network)]).net.base)(photo(6, 8)[None])[0]
    np.testing.assert_array_equal(np.asarray(Image.open(done.paths[0])), made)


def test_wrong_prompts_are_refused_before_anything_is_written(tmp_path, network):
    Image.fromarray(photo(6, 8)).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    for prompts, message in (
        (Prompts(("dark", "")), "`prompt` '': 0 characters; write 1 to 256"),
        (Prompts(("x" * 10_000,)), "10000 characters; write 1 to 256"),
        (Prompts(("dark",), 1.5), "`strength` is 1.5"),
        (Prompts(("dark",), text=str(tmp_path / "gone")), "gone: no such folder"),
    ):
        with pytest.raises(InputError, match=message):
            upscale_paths(
                [tmp_path / "a.png"],
                "prompted",
                UpscaleOptions(tmp_path / "out", weights=(str(network),), prompts=prompts),
            )
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "prompt, name",
    [("Make it night!", "make-it-night"), ("../../etc", "etc"), ("夜", "prompt"), ("a " * 60, "a-" * 19 + "a")],
)
def test_a_prompt_as_part_of_a_name(prompt, name):
    assert slug(prompt) == name
