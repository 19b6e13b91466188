"""The prompt-guided network against plain NumPy, its sizes, how far it sees, and that it hears its prompt."""

import functools
import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import prompt_sr
from src.config import InputError
from src.data.grain import grain, plane
from src.superres import composition
from src.superres import upscaler as upscaler_module
from src.superres.batch_norm import BatchNormalization
from src.superres.composition import Prompt
from src.superres.edit_scoring import itself
from src.superres.network import Layers
from src.superres.nine_blocks import SKIPS, CutLike, Smoothed, enlarged, residual
from src.superres.prompted import STAGES, Prompted, Told
from src.superres.srgan import Generator
from src.superres.upscaler import Upscaler
from src.superres.views import VIEWS, Viewed, middle, one_of, seen
from tests.conftest import photo

RNG = np.random.default_rng(0)
MAPS, TEXT = 3, 5  # of a small network
MEANS = np.full([4, 3], 0.4, np.float32)


@pytest.fixture(autouse=True)
def same_numbers_whatever_ran_before(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(0))


def numbers(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def randomised(net):
    """The network with no weight at its start, so that nothing can hide."""
    rng = np.random.default_rng(1)
    for w in net.weights:
        low, high = (0.5, 1.5) if "variance" in w.path else (-0.4, 0.4)
        w.assign(rng.uniform(low, high, w.shape) + ("gamma" in w.path))
    return net


@functools.cache  # nothing trains these
def small(skip="attention", **options):
    net = Prompted(skip, maps=MAPS, blocks=1, text=TEXT, **options)
    base = net.base.get_weights()
    randomised(net).base.set_weights(base)  # at random its tanh hides all
    return net


def make_batch(n=2, h=6, w=8, t=4):
    """(images, tokens, mask): the first prompt has one token less than the others."""
    mask = np.ones([n, t], np.float32)
    mask[0, -1] = 0
    return RNG.random([n, h, w, 3], np.float32), numbers(n, t, TEXT), mask


# In NumPy, in float64.


def conv(x, kernel, bias, stride=1):
    """A padded convolution, as zeros had stood around x."""
    (_, h, w, _), n = x.shape, len(kernel)
    before = (n - stride) // 2
    x = np.pad(x, [(0, 0), (before, n), (before, n), (0, 0)])
    rows, columns = range(0, h, stride), range(0, w, stride)
    parts = [[np.tensordot(x[:, i : i + n, j : j + n], kernel, 3) for j in columns] for i in rows]
    return np.stack([np.stack(row, axis=1) for row in parts], axis=1) + bias


def relu(x):
    return np.maximum(x, 0)


def shuffle(x, r):
    """depth_to_space, pixel by pixel."""
    b, h, w, c = x.shape
    out = np.empty([b, h * r, w * r, c // r**2])
    for i, j in itertools.product(range(r), range(r)):
        first = (i * r + j) * out.shape[-1]
        out[:, i::r, j::r] = x[..., first : first + out.shape[-1]]
    return out


def norm(x):
    return np.linalg.norm(x, axis=-1, keepdims=True)


class Reference:
    """The parts of a network in NumPy, each of which takes the weights of layers in the order of their making."""

    def __init__(self, net):
        def made(layer):
            return int((re.findall(r"_(\d+)$", layer.name) or [0])[0])

        self.net, self.weights = net, {}
        for kind in (keras.layers.Conv2D, keras.layers.Dense, BatchNormalization, composition.GatedSum):
            found = sorted((x for x in net.layers if type(x) is kind and x.name != "view"), key=made)
            self.weights[kind] = iter([[w.astype(np.float64) for w in layer.get_weights()] for layer in found])

    def take(self, kind):
        return next(self.weights[kind])

    def conv(self, x, **options):
        return conv(x, *self.take(keras.layers.Conv2D), **options)

    def dense(self, x):
        kernel, *bias = self.take(keras.layers.Dense)
        return x @ kernel + sum(bias)

    def told(self, x, words):
        scale, shift = np.split(self.over_space(self.dense(words), x), 2, axis=-1)
        return x * (1 + scale) + shift

    def residual(self, x, words):
        return x + self.conv(relu(self.told(self.conv(x), words)))

    def told_pixels(self, x, words):
        return relu(self.told(self.conv(x), words))

    def enlarged(self, x):
        return smoothed(shuffle(self.conv(x), 2))

    def over_space(self, vector, x):
        return np.ones([*x.shape[:3], 1]) * vector[:, None, None]

    def inner(self, z):
        gamma, beta, mean, variance = self.take(BatchNormalization)
        z = gamma * (z - mean) / np.sqrt(variance + 1e-3) + beta
        return relu(self.conv(relu(z)))

    def tirg(self, x, vector):
        z = np.concatenate([x, self.over_space(vector, x)], axis=-1)
        of_gate, of_residual = self.inner(z), self.inner(z)
        gate, r = self.conv(of_gate), self.conv(of_residual)
        w_g, w_r = self.take(composition.GatedSum)
        return w_g / (1 + np.exp(-gate)) * x + w_r * r

    def fusion(self, x, vector, composed):
        return self.conv(np.concatenate([x, self.over_space(vector, x), composed], axis=-1))

    def attended(self, x, tokens, mask):
        """Each place by itself, tokens that are masked left out."""
        queries, keys, values = self.conv(x), self.dense(tokens), self.dense(tokens)
        out = np.empty_like(x)
        for b, i, j in np.ndindex(x.shape[:3]):
            real = mask[b] > 0
            weights = np.exp(keys[b, real] @ queries[b, i, j] / np.sqrt(queries.shape[-1]))
            scale, shift = np.split(weights / weights.sum() @ values[b, real], 2)
            out[b, i, j] = x[b, i, j] * (1 + scale) + shift
        return out

    def prompt(self, tokens, mask):
        mean = (tokens * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        words = relu(self.dense(np.sqrt(TEXT) * mean / norm(mean)))
        return words, self.dense(words), np.sqrt(TEXT) * tokens / norm(tokens), mask

    def change(self, skip, images, words, vector, tokens, mask):
        """All nine blocks, for images of even size: the changes of colour."""
        one = self.conv(2.0 * images - 1)
        two = self.residual(self.conv(one, stride=2), words)
        three, four = two, self.tirg(two, vector)
        six = self.residual(self.fusion(three, vector, four), words)
        to_7, to_8, to_9 = 0, 0, 0
        if skip == "attention":
            to_8, to_7, edited = (self.attended(x, tokens, mask) for x in (one, three, six))
            to_9 = self.enlarged(edited)
        elif skip != "none":
            to_9 = self.conv(one) if skip == "first" else self.enlarged(six)
        seven = self.enlarged(six + to_7)
        eight = self.told_pixels(self.told_pixels(seven + to_8, words), words)
        return self.conv(self.told_pixels(eight + to_9, words))

    def network(self, skip, base, images, tokens, mask, strength, small=False):
        words, *prompt = self.prompt(tokens, mask)
        kernel, bias = self.net.get_layer("view").get_weights()
        weights = softmax(words @ kernel + bias)
        large, low = viewed(base, weights), viewed(images, weights)
        change = self.change(skip, low, words, *prompt)
        everywhere = of_differences(self.dense(softmax(self.dense(words))), low.mean(axis=(1, 2)))
        if small:
            return recoloured(images, low, change, everywhere, strength, 1)
        return recoloured(base, large, bilinear(change, 4), everywhere, strength, 4)


def smoothed(x):
    """Under 1 2 1 in rows and columns, pixel by pixel; beyond the borders as at them."""
    _, h, w, _ = x.shape
    out = np.zeros_like(x)
    for i, j in np.ndindex(h, w):
        for di, dj in itertools.product((-1, 0, 1), (-1, 0, 1)):
            weight = (2 - abs(di)) * (2 - abs(dj)) / 16
            out[:, i, j] += weight * x[:, min(max(i + di, 0), h - 1), min(max(j + dj, 0), w - 1)]
    return out


def of_differences(changes, means):
    """A C + B (c - C) + M (m - C) + n g + s, of the colour C, the blurred one c, the mean m and grain g.

    As factors of C, c, g and 1.
    """
    a, b, m, n, s = np.split(changes.reshape(-1, 3, 11), [3, 6, 9, 10], axis=-1)
    return np.concatenate([a - b - m, b, n, s + m @ means[:, :, None]], axis=-1).reshape(-1, 24)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def viewed(x, weights):
    """Images by weights of themselves, their mirror images and their middles."""
    return np.stack([a * y + b * y[:, ::-1] + c * m for y, m, (a, b, c) in zip(x, middle(x), weights)])


def bilinear(x, n):
    """Images [b, h, w, c], n times as large: between the middles of their pixels, beyond the outermost as these."""

    def rows(size):
        at = np.clip((np.arange(n * size) + 0.5) / n - 0.5, 0, size - 1)
        return np.maximum(0, 1 - abs(at[:, None] - np.arange(size)))

    return np.einsum("ih,jw,bhwc->bijc", rows(x.shape[1]), rows(x.shape[2]), x)


def blurred(x, sigma):
    """An image [h, w, c] under a Gaussian, cut off after three times its deviation, weights adding up to 1."""

    def rows(n):
        d = np.arange(n)[:, None] - np.arange(n)
        weights = np.exp(-((d / sigma) ** 2) / 2) * (abs(d) <= 3 * np.ceil(sigma))
        return weights / weights.sum(axis=1, keepdims=True)

    return np.einsum("ih,jw,hwc->ijc", rows(x.shape[0]), rows(x.shape[1]), x)


def recoloured(plain, x, change, everywhere, strength, scale):
    """Pixel by pixel."""
    out, around, grain = np.empty(x.shape), np.stack([blurred(y, 1.6 * scale) for y in x]), plane(4 // scale)
    for b, i, j in np.ndindex(x.shape[:3]):
        place, side = (b, i, j), len(grain)
        here, overall = change[place].reshape(3, 4), everywhere[b].reshape(3, 8)
        edited = x[place] + here[:, :3] @ x[place] + here[:, 3]
        edited = edited + overall @ [*x[place], *around[place], grain[i % side, j % side], 1]
        out[place] = plain[place] + strength * (edited - plain[place])
    return out


def close(a, b):
    """Equal but for what float32 loses."""
    assert np.shape(a) == np.shape(b)
    assert np.abs(a - b).max() < 2e-5 * max(1, np.abs(b).max())


@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("skip", SKIPS)
def test_the_network_is_numpys(skip, strength):
    net, (images, tokens, mask) = small(skip), make_batch()
    out = net([images, tokens, mask, np.full([2], strength, np.float32)])
    close(out, Reference(net).network(skip, net.base(images).numpy(), images, tokens, mask, strength))
    inputs = net.completed([images, tokens, mask, np.full([2], strength, np.float32)])
    close(net.part("small")(inputs), Reference(net).network(skip, images, images, tokens, mask, strength, small=True))


def one_block(block, *shapes):
    """A model of inputs of these shapes and a `block` that makes layers, with weights at random."""
    inputs = [keras.Input(shape) for shape in shapes]
    return randomised(keras.Model(inputs, block(Layers(0, "float32"), *inputs)))


def test_smoothing_is_its_own_gradient():
    x, weights = tf.constant(numbers(2, 5, 4, MAPS)), numbers(2, 5, 4, MAPS)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = Smoothed()(x)
        aim = tf.reduce_sum(weights * y)
    close(y, smoothed(x.numpy()))
    close(tape.gradient(aim, x), smoothed(weights))


def test_tirg_is_its_formula():
    """f = w_g * sigmoid(gate(z)) * x + w_r * residual(z), z being x and the text at every place."""
    net = one_block(composition.tirg, [4, 5, MAPS], [TEXT])
    x, vector = numbers(2, 4, 5, MAPS), numbers(2, TEXT)
    close(net([x, vector]), Reference(net).tirg(x, vector))


def test_the_command_knows_skips_and_stages():
    assert (prompt_sr.SKIPS, prompt_sr.STAGES) == (SKIPS, STAGES)


def test_what_a_prompt_decides_alone():
    """The change everywhere and the view, and no weight that looks at a picture."""
    net, (images, tokens, mask) = small(), make_batch()
    part = net.part("words")
    made = part(net.completed([images, tokens, mask]))
    none = np.zeros([*images.shape[:3], 12])
    low = viewed(images, np.array(net.view_of([tokens, mask])))
    whole = net.get_layer("everywhere").output
    everywhere = keras.Model(net.inputs, whole)(net.completed([images, tokens, mask])).numpy()
    close(made, recoloured(images, low, none, everywhere, 1.0, 1))
    assert {v.path.split("/")[0].split("_")[0] for v in part.trainable_variables} == {"dense", "view"}
    assert len(part.trainable_variables) == 7 < len(net.part("small").trainable_variables)
    assert len(net.part("small").trainable_variables) == len(net.part("large").trainable_variables)


def test_tirgs_weights_start_at_1_and_10():
    (layer,) = (layer for layer in Prompted(maps=1, blocks=0, text=1).layers if isinstance(layer, composition.GatedSum))
    assert [w.numpy() for w in layer.trainable_weights] == [1, 10]


def test_fusion_is_numpys():
    net = one_block(composition.fusion, [4, 5, MAPS], [TEXT], [4, 5, MAPS])
    x, vector, composed = numbers(2, 4, 5, MAPS), numbers(2, TEXT), numbers(2, 4, 5, MAPS)
    made = net([x, vector, composed])
    assert made.shape == x.shape
    close(made, Reference(net).fusion(x, vector, composed))


def test_an_attention_skip_is_numpys():
    def block(make, x, tokens, mask):
        return composition.attended(make, x, Prompt(None, None, tokens, mask))

    net = one_block(block, [4, 5, MAPS], [6, TEXT], [6])
    x, tokens, mask = numbers(2, 4, 5, MAPS), numbers(2, 6, TEXT), np.float32([[1, 0, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0]])
    close(net([x, tokens, mask]), Reference(net).attended(x, tokens, mask))


def test_residual_and_sub_pixel_blocks_are_numpys():
    x, words = numbers(2, 4, 5, MAPS), numbers(2, TEXT)
    net = one_block(residual, [4, 5, MAPS], [TEXT])
    close(net([x, words]), Reference(net).residual(x, words))
    net = one_block(lambda make, x: enlarged(make, x, 2), [4, 5, MAPS])
    assert net([x]).shape == (2, 8, 10, 2)
    close(net([x]), Reference(net).enlarged(x))


def test_a_prompts_vector_is_the_mean_of_its_tokens_at_the_root_of_their_width():
    tokens, mask = numbers(3, 4, 9), np.float32([[1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]])
    made = composition.PromptVector()([tokens, mask])
    means = np.stack([tokens[0, [0, 1, 3]].mean(axis=0), tokens[1, 2]])
    close(made[:2], 3 * means / norm(means))
    assert not made[2].numpy().any()
    made = composition.TokenVectors()([tokens, mask])
    close(norm(made)[..., 0], 3 * mask)
    close(made[0, 3], 3 * tokens[0, 3] / norm(tokens[0, 3]))


COUNTS = {"none": 906_449, "first": 914_769, "sixth": 939_729, "attention": 1_173_777}


@pytest.mark.parametrize("skip", SKIPS)
def test_parameters_are_pinned_and_a_new_network_edits_little(skip):
    net, low = Prompted(skip), photo(24, 30)[None] / np.float32(255)
    assert sum(int(np.prod(v.shape)) for v in net.trainable_variables) == COUNTS[skip] < 1_200_000
    assert 2 * net.count_params() < 5e6
    prompt = numbers(1, 4, 384), np.ones([1, 4], np.float32)
    assert 1e-4 < np.abs(net([low, *prompt]) - net.base(low)).mean() < 0.05


def test_what_enlarges_is_srresnet_whatever_is_trained():
    net, base, low = Prompted(maps=2, blocks=2, text=TEXT), Generator(blocks=2, seed=5), photo(12, 10)[None] / 255
    net.base.set_weights(base.get_weights())
    np.testing.assert_array_equal(net(low), base(low))
    assert not {id(v) for v in net.trainable_variables} & {id(v) for v in net.base.variables}
    with tf.GradientTape() as tape:
        loss = squared_error(
            net, [low.astype(np.float32), numbers(1, 3, TEXT), np.ones([1, 3])], np.zeros([1, 48, 40, 3])
        )
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
    assert all(np.array_equal(a, b) for a, b in zip(net.base.get_weights(), base.get_weights()))


@pytest.mark.parametrize("skip", SKIPS)
def test_no_strength_is_no_prompt(skip):
    """Bit for bit, example by example; and a prompt without tokens is none."""
    net, (images, tokens, mask) = small(skip), make_batch(3, 5, 7)
    images = np.repeat(images[:1], 3, axis=0)
    plain = net(images).numpy()
    np.testing.assert_array_equal(net.base(images), plain)
    none = net([images, tokens, mask, np.zeros([3], np.float32)]).numpy()
    np.testing.assert_array_equal(none, plain)
    np.testing.assert_array_equal(net([images, tokens, 0 * mask]), plain)
    mixed = net([images, tokens, mask, np.float32([0, 0.5, 1])]).numpy()
    np.testing.assert_array_equal(mixed[0], plain[0])
    heard = [np.abs(mixed[i] - plain[i]).mean() for i in (1, 2)]
    assert min(heard) > 0.01
    np.testing.assert_array_equal(net([images, tokens, mask])[2], mixed[2])  # as strong as can be by default


@pytest.mark.parametrize("skip", ["none", "attention"])
def test_masked_tokens_change_nothing(skip):
    net, (images, tokens, mask) = small(skip), make_batch()
    before = net([images, tokens, mask]).numpy()
    for other in (1e3, np.nan):
        tokens[0, -1] = other
        np.testing.assert_array_equal(net([images, tokens, mask]), before)
    longer = np.pad(tokens, [(0, 0), (0, 3), (0, 0)]), np.pad(mask, [(0, 0), (0, 3)])
    np.testing.assert_allclose(net([images, *longer]), before, atol=1e-5 * np.abs(before).max())
    mask[0, 0] = 0
    assert np.abs(net([images, tokens, mask])[0] - before[0]).mean() > 1e-3


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("h, w", [(1, 1), (1, 6), (5, 3), (7, 4)])
def test_odd_sizes_are_made_even(skip, h, w):
    net, (images, *prompt) = small(skip), make_batch(2, h, w)
    (cut,) = (layer for layer in net.layers if isinstance(layer, CutLike))
    change = keras.Model(net.inputs, cut.output)
    made = change(net.completed([images, *prompt, *itself(2)]))
    assert made.shape == (2, h, w, 12) and net([images, *prompt]).shape == (2, 4 * h, 4 * w, 3)
    even = np.pad(images, [(0, 0), (0, h % 2), (0, w % 2), (0, 0)], mode="edge")
    of_even = change(net.completed([even, *prompt, *itself(2)]))
    np.testing.assert_array_equal(made, of_even[:, :h, :w])


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("place", [40, 41])
def test_how_far_a_pixel_sees(skip, place):
    """Exactly 17 pixels, but for the mean: by the gradient of the 4 x 4 pixels that one becomes."""
    net, images = small(skip), tf.constant(RNG.random([4, 82, 82, 3], np.float32))
    prompt = numbers(4, 3, TEXT), np.ones([4, 3], np.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        made = net([images, *prompt, *itself(4), MEANS])[:, 4 * place : 4 * place + 4, 4 * place : 4 * place + 4]
        aim = tf.reduce_sum(made**2)
    rows, columns = np.nonzero(tape.gradient(aim, images).numpy().any(axis=(0, 3)))
    reach = (rows.min() - place, rows.max() - place, columns.min() - place, columns.max() - place)
    assert reach == ((-16, 17) * 2 if place % 2 == 0 else (-17, 16) * 2)
    assert 2 * 17 + 1 < 64


@pytest.mark.parametrize("skip", SKIPS)
def test_a_tile_equals_the_whole_inside_its_margin(skip):
    net, prompt, m = small(skip), (numbers(1, 3, TEXT), np.ones([1, 3], np.float32)), 20
    image = photo(95, 90)[None] / np.float32(255)
    whole, tile = (net([x, *prompt, *itself(1), MEANS[:1]]).numpy() for x in (image, image[:, 12:83, 24:81]))
    inside = whole[:, 4 * (12 + m) : 4 * (83 - m), 4 * (24 + m) : 4 * (81 - m)]
    np.testing.assert_allclose(tile[:, 4 * m : -4 * m, 4 * m : -4 * m], inside, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize("h, w", [(8, 12), (7, 9), (3, 5), (1, 1)])
def test_views_of_whole_images(h, w):
    images = photo(h, w)[None].repeat(2, axis=0)
    box = w // 4, h // 4, w - w // 4, h - h // 4
    expected = Image.fromarray(images[0]).crop(box).resize((w, h), Image.Resampling.BICUBIC)
    views = [seen(images, i) for i in range(len(VIEWS))]
    assert all(view.dtype == np.uint8 and view.shape == images.shape for view in views)
    np.testing.assert_array_equal(views[0], images)
    np.testing.assert_array_equal(views[1], images[:, :, ::-1])
    np.testing.assert_allclose(views[2][1].astype(int), expected, atol=1)
    low = images / np.float32(255)
    for i, view in enumerate(views):
        np.testing.assert_allclose(
            Viewed()([low, one_of(i)[None].repeat(2, 0)]).numpy().clip(0, 1), view / 255, atol=3e-3
        )
    np.testing.assert_array_equal(Viewed()([low, one_of(0)[None].repeat(2, 0)]), low)
    assert seen(np.uint16([[[[60000], [7]]]]), 1).tolist() == [[[[7], [60000]]]]


def test_a_view_is_chosen_by_the_prompt_of_whole_images_alone():
    """Mirrored where that has the largest weight, from half the strength on; tiles are not mirrored again."""
    net, tokens, mask = Prompted(maps=MAPS, blocks=1, text=TEXT), numbers(3, TEXT), np.ones([3], np.float32)
    logits = net.get_layer("view")
    assert telling(net, tokens, mask).view == 0 and net.views(tokens[None], mask[None]).tolist() == [0]
    itself_, told = Upscaler(telling(net, tokens, mask, 0.6))(photo(20, 34)[None]), Told(net)
    logits.bias.assign([0, 30, 0])
    told.tell(tokens, mask, 0.6)
    upscaler = Upscaler(told)
    assert told.view == 1 and telling(net, tokens, mask, 0.4).view == 0
    np.testing.assert_array_equal(upscaler(photo(20, 34)[None, :, ::-1]), itself_)
    upscaler.tile = 12
    np.testing.assert_allclose(upscaler(photo(20, 34)[None, :, ::-1]).astype(int), itself_, atol=2)
    low = photo(20, 34)[None] / np.float32(255)
    whole = net([low, tokens[None], mask[None]])
    tile = net([low[:, :, ::-1], tokens[None], mask[None], [1], one_of(0)[None]])
    plain, mirrored = (net.base(x).numpy() for x in (low[:, :, ::-1], low))
    assert np.abs(plain - mirrored[:, :, ::-1]).mean() < 0.1  # SRResNet's own asymmetry
    assert np.abs(whole - tile).mean() < 0.1 < np.abs(whole - tile[:, :, ::-1]).mean()


def test_tiles_are_told_the_mean_colours_of_their_images(monkeypatch):
    """An edit whose every pixel is the mean of the whole: of three images, two of which go through it together."""
    monkeypatch.setattr(upscaler_module, "BATCH_PIXELS", 16 * 2 * 40 * 30)
    net, tokens, mask = Prompted(maps=MAPS, blocks=1, text=TEXT), numbers(3, TEXT), np.ones([3], np.float32)
    (edits,) = (x for x in net.layers if isinstance(x, keras.layers.Dense) and x.units == 33)
    edits.kernel.assign(np.tile(np.eye(3, 11, 6).ravel(), (64, 1)))  # colour + 1 * (mean - colour)
    images = np.stack([photo(40, 30, seed) // (1 + seed) for seed in range(3)])
    upscaler, expected = Upscaler(telling(net, tokens, mask)), images.mean((1, 2))[:, None, None]
    for upscaler.tile in (192, 12):
        for colours, means in ((images, expected), (images[..., :1], expected[..., :1])):
            np.testing.assert_allclose(upscaler(colours), np.broadcast_to(means, [3, 160, 120, means.shape[3]]), atol=9)
    assert np.abs(np.diff(expected, axis=0)).min() > 18


def test_grain_goes_on_from_tile_to_tile():
    net, tokens, mask = Prompted(maps=MAPS, blocks=0, text=TEXT), numbers(3, TEXT), np.ones([3], np.float32)
    (edits,) = (x for x in net.layers if isinstance(x, keras.layers.Dense) and x.units == 33)
    upscaler, image, made = Upscaler(telling(net, tokens, mask)), np.full([1, 10, 200, 3], 128, np.uint8), []
    for much in (0, 0.1):
        edits.kernel.assign(np.tile(much * np.eye(11)[9], (64, 3)))
        made.append(upscaler(image).astype(float))
    assert upscaler.tile < 200
    np.testing.assert_allclose(made[1] - made[0], np.tile(25.5 * grain(40, 800)[None, ..., None], 3), atol=3)


def telling(net, *prompt):
    told = Told(net)
    told.tell(*prompt)
    return told


def test_one_prompt_for_whole_images():
    net, tokens, mask = Prompted(maps=MAPS, blocks=1, text=TEXT), numbers(3, TEXT), np.ones([3], np.float32)
    told, images = telling(net, tokens, mask, 0.5), photo(20, 34)[None].repeat(2, axis=0)
    low = images / np.float32(255)
    prompt = tokens[None].repeat(2, 0), mask[None].repeat(2, 0)
    np.testing.assert_array_equal(told(low), net([low, *prompt, [0.5, 0.5], itself(2)[1]]))
    upscaler = Upscaler(told)
    whole = upscaler(images)
    assert whole.shape == (2, 80, 136, 3) and (whole != Upscaler(net)(images)).any()
    upscaler.tile = 12
    np.testing.assert_allclose(upscaler(images).astype(int), whole, atol=2)  # zeros 12 pixels away are seen, hardly
    told.tell(tokens[:2], mask[:2], 0.0)  # a shorter one, by what is compiled
    np.testing.assert_array_equal(Upscaler(told)(images), Upscaler(net.base)(images))
    again = upscaler(images)
    upscaler.tile = 192
    assert (again != whole).any() and (upscaler(images) == Upscaler(net.base)(images)).all()
    assert upscaler.compiled(images.dtype.name, 3, 1).experimental_get_tracing_count() == 1


def test_mistakes():
    net, tokens, mask = Prompted(maps=1, blocks=0, text=TEXT), numbers(3, TEXT), np.ones([3], np.float32)
    for wrong, message in (
        (lambda: Prompted("second"), r"`skip` is 'second', expected 'none' or 'first' or 'sixth' or 'attention'"),
        (lambda: Prompted(maps=0), r"`maps` is 0, expected an integer in 1\.\.128"),
        (lambda: Prompted(text=4096), r"`text` is 4096, expected"),
        (lambda: Prompted(blocks=999), r"`blocks` is 999, expected"),
        (lambda: Prompted(encoder="MiniLM"), r"`encoder` is 'MiniLM', expected 16 hexadecimal digits"),
        (lambda: telling(net, tokens, mask, 1.5), r"`strength` is 1\.5, expected a number in 0\.\.1"),
        (lambda: telling(net, tokens, mask, float("nan")), "`strength` is"),
        (
            lambda: telling(net, numbers(3, 7), mask),
            r"`text` gives embeddings \[3, 7\], expected \[3, 5\]; use the encoder",
        ),
        (lambda: telling(net, tokens, mask[:2]), r"`text` gives embeddings \[3, 5\], expected \[2, 5\]"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()


def squared_error(net, batch, target):
    return tf.reduce_mean((net(batch, training=True) - target) ** 2)


def gradients_of(net, batch, target):
    with tf.GradientTape() as tape:
        loss = squared_error(net, batch, target)
    return loss, tape.gradient(loss, net.trainable_variables)


@pytest.mark.parametrize("skip", SKIPS)
def test_a_step_lowers_the_loss_and_moves_all_that_it_depends_on(skip):
    net, (images, tokens, mask) = Prompted(skip, maps=8, blocks=1, text=TEXT), make_batch(4, 5, 6)
    target, optimizer = RNG.random([4, 20, 24, 3], np.float32), keras.optimizers.Adam(0.001)
    before = [v.numpy() for v in net.trainable_variables]
    loss, gradients = gradients_of(net, [images, tokens, mask], target)
    assert all(np.abs(g).max() > 1e-8 for g in gradients)  # an untrained one could be moved by rounding alone
    optimizer.apply(gradients, net.trainable_variables)
    assert all((old != new).any() for old, new in zip(before, [v.numpy() for v in net.trainable_variables]))
    assert squared_error(net, [images, tokens, mask], target) < loss


@pytest.mark.parametrize("skip", SKIPS)
def test_keras_files(skip, tmp_path):
    net, batch = small(skip, seed=7, name="words"), make_batch()
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras", compile=False, safe_mode=True)
    assert type(again) is Prompted and again.get_config() == net.get_config()
    assert (again.settings["skip"], again.seed, again.name) == (skip, 7, "words")
    np.testing.assert_array_equal(again(batch), net(batch))
    np.testing.assert_array_equal(net.copy_with(seed=1)(batch), net(batch))
    assert net.architecture() == {"skip": skip, "maps": MAPS, "blocks": 1, "text": TEXT, "encoder": ""}


def test_weights_follow_from_the_seed_alone():
    options = {"maps": MAPS, "blocks": 1, "text": TEXT}
    first, _, again = Prompted(**options), tf.random.uniform([3]), Prompted(**options)
    other = Prompted(**options, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights()))
    kernels = [i for i, w in enumerate(first.weights) if w.path.endswith("kernel")]
    assert all((first.get_weights()[i] != other.get_weights()[i]).any() for i in kernels)


def test_mixed_precision_gives_pixels_in_float32():
    net, batch = Prompted(maps=8, blocks=1, text=TEXT), make_batch()
    half = net.copy_with(dtype="mixed_bfloat16")
    assert half(batch).dtype == tf.float32 and half.precision == "mixed_bfloat16"
    assert 0 < np.abs(half(batch) - net(batch)).max() < 0.04


def test_the_prompt_is_heard():
    """Before training two prompts give two pictures; after it each gives what it was trained to, on other images."""
    net, tokens, mask = Prompted("attention", maps=8, blocks=1), numbers(2, 4, 384), np.ones([2, 4], np.float32)
    optimizer = keras.optimizers.Adam(0.003)

    def images(seed):
        return np.stack([photo(8, 8, seed + i) for i in range(4)]) / np.float32(255)

    def inverted_or_dark(high):
        return tf.where(np.reshape([True, False] * 2, [4, 1, 1, 1]), 1 - high, high / 2)

    @tf.function
    def update(batch, target):
        loss, gradients = gradients_of(net, batch, target)
        optimizer.apply(gradients, net.trainable_variables)
        return loss

    optimizer.build(net.trainable_variables)
    prompt, swapped = ([x[order] for x in (tokens, mask)] for order in ([0, 1] * 2, [1, 0] * 2))
    unseen = images(1000)
    assert np.abs(net([unseen, *prompt]) - net([unseen, *swapped])).mean() > 0.005
    for step in range(80):
        low = images(5 * step)
        update([low, *prompt], inverted_or_dark(net.base(low)))
    target = inverted_or_dark(net.base(unseen))
    right, wrong = (float(squared_error(net, [unseen, *p], target)) for p in (prompt, swapped))
    assert 10 * np.log10(wrong / right) > 6, (right, wrong)
