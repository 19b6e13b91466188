"""Animations of how images grew, frame by frame against the sheet and the sampler."""

import io

import numpy as np
import pytest
from PIL import Image

from src.config import BUNDLED, InputError
from src.drawing.animation import MOVING, UNKNOWN, AnimationOptions, animation, concealed, grown
from src.drawing.samples import samples_sheet
from src.drawing.sampling import Sampler
from src.utils import color_dequantize
from tests.conftest import DATA, TINY, random_model, random_tokens


def pictures(n, colours, n_px=8, seed=0):
    """Images of so many colours, every one of which occurs."""
    rng = np.random.default_rng(seed)
    palette = rng.permutation(1 << 12)[:colours] * 4095
    palette = np.stack([palette >> 16, palette >> 8 & 255, palette & 255], axis=1).astype(np.uint8)
    return palette[rng.permutation(np.arange(n * n_px * n_px) % colours)].reshape(n, n_px, n_px, 3)


def frames_of(content):
    """The frames [frames, height, width, 3] of an animation as a viewer shows them, and their milliseconds."""
    image, shown, durations = Image.open(io.BytesIO(content)), [], []
    assert image.info["loop"] == 0
    for i in range(image.n_frames):
        image.seek(i)
        shown.append(np.asarray(image.convert("RGB")))
        durations.append(image.info["duration"])
    return np.stack(shown), durations


def test_concealed():
    found = concealed(pictures(3, 9), 19)
    np.testing.assert_array_equal(found.reshape(3, 64, 3)[:, :19], pictures(3, 9).reshape(3, 64, 3)[:, :19])
    assert (found.reshape(3, 64, 3)[:, 19:] == UNKNOWN).all()


@pytest.mark.parametrize("given", [0, 3, 4, 15])
def test_frames_show_what_the_sampler_yields(given):
    rows = list(Sampler(random_model(TINY)).grow(random_tokens(2)[:, :given]))
    greys = (np.arange(6) * 51).astype(np.uint8)[:, None].repeat(3, 1)
    frames = grown(greys[rows[-1]].reshape(2, 4, 4, 3), given, lambda shown: shown.reshape(32, 3))
    assert [[*np.flatnonzero((f == UNKNOWN).all(-1))] for f in frames] == [
        [i for i in range(32) if i % 16 >= known] for known in (given, *(r.shape[1] for r in rows))
    ]
    np.testing.assert_array_equal(frames[-1], greys[rows[-1]].reshape(32, 3))


@pytest.mark.parametrize(("kind", "colours"), [("webp", 500), ("gif", 253)])
def test_every_frame_is_as_it_was(kind, colours):
    """WebP at any number of colours; GIF where they are, with the sheet's two, at most 255."""
    images = pictures(16, colours)
    frames, options = grown(images, 20, samples_sheet), AnimationOptions(kind, row=70, hold=900)
    content = animation(frames, options)
    shown, durations = frames_of(content)
    np.testing.assert_array_equal(shown, np.stack(frames))
    np.testing.assert_array_equal(shown[-1], samples_sheet(images))
    assert durations == [70] * 6 + [900]
    assert animation(frames, options) == content


def test_a_gif_of_too_many_colours_is_near_and_does_not_flicker():
    images = np.stack([np.arange(1024) % 256, np.arange(1024) // 4, np.full(1024, 90)], 1).astype(np.uint8)
    frames = grown(images.reshape(1, 32, 32, 3), 0, samples_sheet)
    shown, _ = frames_of(animation(frames, AnimationOptions("gif")))
    assert len(np.unique(shown[-1].reshape(-1, 3), axis=0)) > 200
    assert np.abs(shown.astype(int) - np.stack(frames)).mean() < 4
    first_row = shown[1:, 4:8, 4:-4]
    assert (first_row == first_row[0]).all()


def test_sixteen_emoji_are_small_files():
    tokens, clusters = np.load(DATA / "emoji_teX.npy")[:16], np.load(BUNDLED / "clusters.npy")
    frames = grown(color_dequantize(tokens, clusters, 32), 0, samples_sheet)
    for kind, most in (("webp", 60_000), ("gif", 200_000)):
        assert len(animation(frames, AnimationOptions(kind))) < most


def test_only_the_first_move():
    (frame, *_), options = grown(pictures(MOVING + 1, 9, n_px=2), 0, lambda shown: shown), AnimationOptions()
    assert len(frame) == MOVING and options.kind == "webp"


def test_another_kind():
    with pytest.raises(InputError, match="`kind` png: an animation is one of webp, gif"):
        AnimationOptions("png")
