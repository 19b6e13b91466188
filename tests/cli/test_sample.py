"""sample.py as its users run it, and the sampling flags of run.py."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import run
import sample
from src.config import BUNDLED_GREY, InputError
from src.data import images
from src.drawing.animation import UNKNOWN
from src.drawing.guidance import Guide
from src.drawing.samples import newest_samples
from src.drawing.sampling import Sampler
from src.weights.checkpoint import save_model
from tests.conftest import DATA, TINY, files, random_model, run_here

GREYS = np.array([0, 51, 102, 153, 204, 255], np.uint8)  # the tiny model's palette


@pytest.fixture
def photo(project):
    """A photograph of 4x4 pixels in the palette's colours, and its tokens."""
    tokens = np.random.default_rng(1).integers(0, TINY.n_vocab, [4, 4])
    Image.fromarray(GREYS[tokens]).save(project / "photo.png")
    return project / "photo.png", tokens.reshape(-1)


def where(project):
    return ["--ckpt_path", project / "tiny", "--save_dir", project / "out"]


def pixels(path):
    return np.asarray(Image.open(path))


def complete(project, *flags):
    sample.main([str(f) for f in (*where(project), "--save_tokens", project / "tokens.npy", *flags)])
    return np.load(project / "tokens.npy")


@pytest.mark.parametrize("flags, given", [([], 8), (["--keep_rows", 1], 4), (["--keep_pixels", 15], 15)])
def test_completions_keep_what_was_given(project, photo, flags, given):
    path, tokens = photo
    drawn = complete(project, "--image", path, "--n_samples", 3, *flags)
    assert drawn.shape == (3, 16) and drawn.dtype == np.uint8
    assert (drawn[:, :given] == tokens[:given]).all()
    names = sorted(p.name for p in (project / "out").iterdir())
    assert names == [*(f"photo_completion_{i}.png" for i in range(3)), "photo_completions.png", "samples.json"]
    np.testing.assert_array_equal(pixels(project / "out/photo_completion_2.png")[..., 0].ravel(), GREYS[drawn[2]])
    sheet = pixels(project / "out/photo_completions.png")
    assert sheet.shape == (4 + 18 + 132, 4 + 6 * 132, 3)  # under a line of captions
    tiles = sheet[22:150, 4:].reshape(128, 6, 132, 3)[:, :, :128].transpose(1, 0, 2, 3)[:, 16::32, 16::32]
    np.testing.assert_array_equal(sheet[22:150, 4:132], images.square(images.read_image(path), 128))
    np.testing.assert_array_equal(tiles[1][..., 0].ravel(), GREYS[tokens])  # quantized
    shown = tiles[2].reshape(16, 3)  # given
    assert (shown[:given, 0] == GREYS[tokens[:given]]).all() and (shown[given:] == UNKNOWN).all()
    np.testing.assert_array_equal(tiles[3:, ..., 0].reshape(3, 16), GREYS[drawn])


def test_a_photos_completions_do_not_depend_on_its_neighbours_or_the_batch(project, photo):
    path, _ = photo
    other = project / "more" / "photo.png"
    other.parent.mkdir()
    Image.new("L", (50, 30), 255).save(other)
    alone = complete(project, "--image", path, "--n_samples", 3)
    both = complete(project, "--image", other, path, "--n_samples", 3, "--batch_size", 4)
    np.testing.assert_array_equal(both[3:], alone)
    assert {"photo_completions.png", "photo-2_completions.png"} <= {p.name for p in (project / "out").iterdir()}


def test_crop(project):
    quarters = np.array([[0, 1], [2, 3]]).repeat(20, 0).repeat(30, 1)
    Image.fromarray(GREYS[quarters]).save(project / "photo.png")
    drawn = complete(project, "--image", project / "photo.png", "--crop", "30,0,30,20", "--keep_rows", 3)
    assert drawn.shape == (16, 16) and (drawn[:, :12] == 1).all()


def test_pad_keeps_a_wide_photo_whole(project):
    Image.fromarray(GREYS[np.array([[1, 2]]).repeat(20, 0).repeat(20, 1)]).save(project / "photo.png")
    drawn = complete(project, "--image", project / "photo.png", "--pad", "white", "--keep_rows", 3)
    assert drawn[0, :12].tolist() == [5, 5, 5, 5, 1, 1, 2, 2, 1, 1, 2, 2]
    cut = complete(project, "--image", project / "photo.png", "--keep_rows", 3)
    assert set(cut[0, :12]) == {1, 2}


def test_a_folder_of_photos_however_deep(project, photo):
    deep = project / "photos" / "more"
    deep.mkdir(parents=True)
    photo[0].rename(deep / "b.png")
    Image.fromarray(GREYS[np.zeros([4, 4], int)]).save(project / "photos" / "a.png")
    drawn = complete(project, "--image", project / "photos", "--n_samples", 1)
    assert drawn.shape == (2, 16) and not drawn[0, :8].any() and (drawn[1, :8] == photo[1][:8]).all()


def test_the_newest_samples_are_what_one_run_wrote(project):
    folder = project / "out"
    for n in (3, 2):
        sample.main([str(f) for f in (*where(project), "--n_samples", n)])
    assert newest_samples(folder) == [folder / f"sample_{i}.png" for i in range(2)]
    assert (folder / "sample_2.png").exists()
    (folder / "sample_1.png").unlink()
    with pytest.raises(InputError, match=r"sample_1.png: no such file"):
        newest_samples(folder)
    with pytest.raises(InputError, match=r"tiny: no samples.json there"):
        newest_samples(project / "tiny")


def test_unconditional_and_run_py_sample_are_the_same(project):
    flags = ["--n_samples", 5, "--top_k", 3, "--top_p", 0.9, "--temperature", 0.8, "--seed", 7]
    drawn = complete(project, *flags)
    first = files(project / "out")
    where_to = ["--ckpt_path", project / "tiny", "--save_dir", project / "again", "--save_tokens", project / "b.npy"]
    run.main([str(f) for f in ("--sample", *where_to, *flags, "--batch_size", 2, "--n_cpu", 2)])
    assert files(project / "again") == first and len(first) == 7
    np.testing.assert_array_equal(np.load(project / "b.npy"), drawn)


@pytest.mark.parametrize("command", [sample, run])
def test_a_guide_leads_the_model_away_from_its_own_images(project, command, capsys):
    worse = random_model(TINY, seed=1)
    (project / "worse").mkdir()
    save_model(worse, project / "worse/model.ckpt-2")
    shutil.copy(project / "tiny/clusters.npy", project / "worse")
    mode = ["--sample"] if command is run else []
    guided = ["--guide", project / "worse", "--guidance", 0.5, "--save_tokens", project / "tokens.npy"]
    command.main([str(f) for f in (*mode, *where(project), "--n_samples", 3, *guided)])
    expected = Sampler(random_model(TINY), guide=Guide(worse, 0.5)).draw(3)
    np.testing.assert_array_equal(np.load(project / "tokens.npy"), expected)
    assert f"guide: {project / 'worse/model.ckpt-2'}, guidance 0.5\n" in capsys.readouterr().out
    listed = json.loads((project / "out/samples.json").read_text())
    assert (listed["guide"], listed["guidance"]) == (str(project / "worse/model.ckpt-2"), 0.5)


@pytest.mark.parametrize(("flags", "ending"), [([], "webp"), (["webp"], "webp"), (["gif"], "gif")])
@pytest.mark.parametrize("command", [sample, run])
def test_an_animation_ends_as_the_sheet(project, command, flags, ending):
    mode = ["--sample"] if command is run else []
    command.main([str(f) for f in (*mode, *where(project), "--n_samples", 3, "--animate", *flags)])
    shown = Image.open(project / f"out/samples.{ending}")
    assert shown.n_frames == 5  # nothing, and four rows
    shown.seek(4)
    np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), pixels(project / "out/samples.png"))


def test_every_photo_has_an_animation_that_begins_with_what_was_given(project, photo, capsys):
    Image.new("L", (50, 30), 255).save(project / "white.v2.png")
    images = [photo[0], project / "white.v2.png"]
    complete(project, "--image", *images, "--n_samples", 2, "--keep_rows", 3, "--animate")
    printed = capsys.readouterr().out
    for name in ("photo", "white.v2"):
        shown, sheet = (
            Image.open(project / f"out/{name}_completions.webp"),
            pixels(project / f"out/{name}_completions.png"),
        )
        assert shown.n_frames == 2
        before = np.asarray(shown.convert("RGB"))
        np.testing.assert_array_equal(before[22:118], sheet[22:118])
        np.testing.assert_array_equal(before[118:150, 4 + 3 * 132 :][:, :128], np.full([32, 128, 3], UNKNOWN))
        shown.seek(1)
        np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), sheet)
        assert f"{name}_completions.webp: 2 images as they grew\n" in printed


@pytest.mark.parametrize("flags", [[], ["--image", "{}/photo.png"]])
def test_an_animation_that_cannot_be_written_changes_nothing(project, photo, flags, capsys):
    name = "photo_completions.gif" if flags else "samples.gif"
    (project / "out" / name).mkdir(parents=True)
    (project / "out" / "keep.txt").write_text("")
    before = files(project)
    flags = [f.format(project) for f in flags]
    code, stderr = run_here(sample.main, [*where(project), *flags, "--animate", "gif"], capsys)
    assert code == 1 and f"{name}: is not a file but in the way of one" in stderr
    assert files(project) == before


@pytest.mark.slow
def test_the_bundled_models_images_are_the_same_for_any_batch_size_and_number_of_devices(tmp_path):
    clusters = np.load(BUNDLED_GREY / "clusters.npy")
    image = np.rint(127.5 * (clusters + 1)).astype(np.uint8)[np.load(DATA / "fashion_mnist_teX.npy")[0]]
    Image.fromarray(image.reshape(28, 28, 3)).save(tmp_path / "boot.png")
    tokens = []
    for flags in (["--batch_size", 1], ["--batch_size", 3], ["--batch_size", 16], ["--n_cpu", 2]):
        out = ["--save_dir", tmp_path, "--save_tokens", tmp_path / "tokens.npy"]
        for image in ([], ["--image", tmp_path / "boot.png"]):
            given = ["--ckpt_path", BUNDLED_GREY, "--n_samples", 16, *out, *flags, *image]
            sample.main([str(flag) for flag in given])
            tokens.append(np.load(tmp_path / "tokens.npy"))
    for i, drawn in enumerate(tokens):
        np.testing.assert_array_equal(drawn, tokens[i % 2])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not an image")


def repaint(path):
    """Beside the photo a checkpoint `other` like `tiny`, of other colours."""
    other = shutil.copytree(path.parent / "tiny", path.parent / "other")
    np.save(other / "clusters.npy", -np.load(other / "clusters.npy"))


@pytest.mark.parametrize(
    "damage, flags, code, message",
    [
        (None, ["--keep_rows", 4], 1, "--keep_rows 4: the model draws 4x4; keep at most 3"),
        (None, ["--keep_pixels", 16], 1, "--keep_pixels 16: the model draws 4x4; keep at most 15"),
        (None, ["--keep_rows", -1], 2, "--keep_rows"),
        (None, ["--keep_rows", 1, "--keep_pixels", 4], 2, "not allowed with"),
        (None, ["--top_p", 0], 2, "--top_p: must lie above 0 and be at most 1"),
        (None, ["--top_p", 1.5], 2, "--top_p: must lie above 0 and be at most 1"),
        (None, ["--top_k", 0], 2, "--top_k"),
        (None, ["--temperature", "nan"], 2, "--temperature"),
        (None, ["--seed", -1], 2, "--seed"),
        (None, ["--animate", "png"], 2, "--animate: invalid choice: 'png'"),
        (None, ["--crop", "1,2,3"], 2, "--crop"),
        (None, ["--crop", "0,0,5,4"], 1, "photo.png: --crop 0,0,5,4 is not inside its 4x4 pixels"),
        (None, ["--image", "{}/none.png"], 1, "/none.png: no such file"),
        (empty, [], 1, "photo.png: not a readable image"),
        (text, [], 1, "photo.png: not a readable image"),
        (None, ["--save_tokens", "{}/photo.png"], 1, "photo.png: is a photo to complete, and a file of the drawing"),
        (None, ["--temperature", 0, "--top_k", 3], 1, "--top_k: --temperature 0 takes the likeliest colour; leave"),
        (None, ["--temperature", 0, "--seed", 3], 1, "--seed: --temperature 0 takes the likeliest colour; leave"),
        (None, ["--guidance", 0.5], 1, "--guidance: says how far from --guide to go; name that checkpoint, too"),
        (None, ["--guide", "{}/tiny", "--guidance", 0], 2, "--guidance: must be at least 0.001, not 0"),
        (None, ["--guide", "{}/none"], 1, "none: no such checkpoint"),
        (repaint, ["--guide", "{}/other"], 1, "model.ckpt-1: has another palette than the model; take one of the same"),
        (None, ["--save_tokens", "{}/photo.png/t.npy"], 1, "--save_tokens {}/photo.png: cannot be written"),
    ],
)
def test_mistakes_get_one_line_and_change_nothing(damage, flags, code, message, project, photo, capsys):
    if damage:
        damage(photo[0])
    (project / "out").mkdir()
    before = files(project)
    flags = [f.format(project) if isinstance(f, str) else f for f in flags]
    got, stderr = run_here(sample.main, [*where(project), "--image", photo[0], *flags], capsys)
    assert got == code, stderr
    assert message.format(project) in stderr
    assert len(stderr.splitlines()) == 1 and stderr.startswith("sample.py: ")
    assert files(project) == before


@pytest.mark.parametrize("flag", ["--keep_rows", "--keep_pixels", "--crop", "--pad"])
def test_flags_of_a_photo_need_one(project, capsys, flag):
    value = {"--crop": "0,0,4,4", "--pad": "white"}.get(flag, 2)
    code, stderr = run_here(sample.main, [*where(project), flag, value], capsys)
    assert code == 1 and stderr == f"sample.py: {flag}: name the photo to complete with --image\n"


def test_enlarges_what_it_drew(project):
    flags = ["--ckpt_path", project / "tiny", "--n_samples", 2, "--upscale", "espcn", "--save_dir", project]
    sample.main([str(flag) for flag in flags])
    assert [Image.open(project / f"sample_{i}_espcn_x4.png").size for i in range(2)] == [(16, 16)] * 2
    assert (project / "espcn.png").exists()
