"""Guided drawing against both networks without a cache, and what a guide may be."""

import dataclasses

import numpy as np
import pytest

from src.config import InputError
from src.drawing.guidance import Guide
from src.drawing.sampling import Sampler, SamplingOptions, pick, uniforms
from tests.conftest import TINY, random_model, random_tokens

SMALLER = dataclasses.replace(TINY, n_embd=TINY.n_embd // 2, n_layer=1)


@pytest.fixture(scope="module")
def model():
    return random_model(TINY)


@pytest.fixture(scope="module")
def worse():
    return random_model(SMALLER, seed=1)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("given", [0, 6])
def test_guided_drawing_equals_both_networks_side_by_side(model, worse, given, compiled):
    prefix, u = random_tokens(5)[:, :given], uniforms(3, range(5), TINY.n_positions)
    tokens = np.pad(prefix, [[0, 0], [0, TINY.n_positions - given]])
    for t in range(given, TINY.n_positions):
        better, guide = (m(tokens)["gen_logits"][:, t] for m in (model, worse))
        tokens[:, t] = pick(1.5 * better - 0.5 * guide, u[:, t])
    sampler = Sampler(model, guide=Guide(worse, 0.5), compiled=compiled)
    np.testing.assert_array_equal(sampler.draw(options=SamplingOptions(seed=3), prefix=prefix), tokens)
    plain = Sampler(model, compiled=compiled).draw(options=SamplingOptions(seed=3), prefix=prefix)
    assert (plain != tokens).any()


def test_a_model_that_guides_itself_changes_nothing(model):
    guided = Sampler(model, guide=Guide(model, 2.0)).draw(8)
    np.testing.assert_array_equal(guided, Sampler(model).draw(8))


def test_guided_images_are_the_same_for_any_batch_size(model, worse):
    guide = Guide(worse, 0.3)
    expected = Sampler(model, guide=guide).draw(9)
    for n_batch in (1, 2, 4):
        np.testing.assert_array_equal(Sampler(model, n_batch=n_batch, guide=guide).draw(9), expected)


@pytest.mark.parametrize("name, value", [("n_px", 2), ("n_vocab", 16), ("bert", True)])
def test_a_guide_of_other_images_is_refused(model, name, value):
    other = random_model(dataclasses.replace(SMALLER, **{name: value}))
    with pytest.raises(InputError, match=f"`guide`: has {name} {value}, the model {getattr(TINY, name)}"):
        Sampler(model, guide=Guide(other, 0.3))


@pytest.mark.parametrize("guidance", [0, -0.5, 11, float("nan")])
def test_guidance_out_of_its_range_is_refused(worse, guidance):
    with pytest.raises(InputError, match="`guidance`"):
        Guide(worse, guidance)
