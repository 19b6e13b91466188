"""What a generator may be trained with beside SRGAN's own: VGG16, relativistic losses, spectral norm, averages."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import perceptual as perceptual_benchmark
from src.config import InputError
from src.devices import make_strategy
from src.superres import perceptual, verdicts
from src.superres.discriminator import SpectralConv2D, SpectralDense, discriminator
from src.superres.files import load_network
from src.superres.keepsakes import Keepsakes
from src.superres.srgan import Generator
from src.superres.vgg16 import LAYERS, MAPS, vgg16
from src.training.averaging import Average
from tests.conftest import photo
from tests.unit.test_srgan import batch, make_gan, numbers, run_step, values

RNG = np.random.default_rng(0)
START = keras.initializers.GlorotUniform(seed=0)
MEANS = np.float32([103.939, 116.779, 123.68])  # of blue, green, red in 0..255


def write_edge_detector(path, weights):
    """Write kernels and biases of VGG16, or the first of them, as the edge detector's package does."""
    with h5py.File(path, "w") as file:
        places = [(i, j) for i, block in enumerate(MAPS, 1) for j, _ in enumerate(block)]
        for (i, j), pair in zip(places, zip(weights[::2], weights[1::2])):
            for k, array in enumerate(pair):
                file[f"block{i}/layers/conv2d{f'_{j}' if j else ''}/vars/{k}"] = array
        file["fuse/vars/0"] = np.ones([1, 1, 5, 1], np.float32)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """(the weights of a VGG16, its file as Keras writes it, as the edge detector's package does)."""
    folder = tmp_path_factory.mktemp("vgg")
    network = keras.applications.VGG16(include_top=False, weights=None)
    arrays = [1.5 * w if w.ndim == 4 else w + 0.1 * RNG.random(w.shape) for w in network.get_weights()]
    network.set_weights([np.float32(w) for w in arrays])
    network.save_weights(folder / "keras.weights.h5")
    write_edge_detector(folder / "edges.weights.h5", network.get_weights())
    return network.get_weights(), folder / "keras.weights.h5", folder / "edges.weights.h5"


def plain_features(x, weights, convolutions):
    """VGG16 written out: what so many convolutions make of images [b, h, w, 3] in 0..1."""
    x, done = 255 * x[..., ::-1] - MEANS, 0
    for block in MAPS:
        for _ in block:
            kernel, bias = weights[2 * done : 2 * done + 2]
            x, done = np.maximum(tf.nn.conv2d(x, kernel, 1, "SAME") + bias, 0), done + 1
            if done == convolutions:
                return x
        b, h, w, c = x.shape
        x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


@pytest.mark.parametrize("kind, convolutions, rms", [("vgg16_22", 4, 30), ("vgg16_33", 7, 14), ("vgg16_43", 10, 4)])
def test_vgg16_content_is_the_network_written_out(kind, convolutions, rms, vgg):
    weights, *files = vgg
    a, b = RNG.random([2, 2, 18, 20, 3], np.float32)
    fa, fb = (plain_features(x, weights, convolutions) / rms for x in (a, b))
    for file in files:
        loss = perceptual.make_content_loss(kind, file)
        np.testing.assert_allclose(loss(a, b), ((fa - fb) ** 2).mean(axis=(1, 2, 3)), rtol=1e-4)
    network = vgg16([LAYERS[kind]], files[1])
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in network.layers) == convolutions  # no more is built
    assert not network.trainable_weights


def test_vgg16_gives_several_layers_at_once(vgg):
    weights, file, _ = vgg
    x = RNG.random([1, 16, 16, 3], np.float32)
    for made, convolutions in zip(vgg16(["block1_conv2", "block3_conv3"], file)(x), (2, 7), strict=True):
        np.testing.assert_allclose(made, plain_features(x, weights, convolutions), rtol=1e-3, atol=1e-3)


def test_files_that_are_not_vgg16s(vgg, tmp_path):
    weights = vgg[0]
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    keras.applications.VGG19(include_top=False, weights=None).save_weights(tmp_path / "vgg19.weights.h5")
    write_edge_detector(tmp_path / "short.weights.h5", weights[:6])
    write_edge_detector(tmp_path / "shape.weights.h5", [w[..., :-1] if i == 4 else w for i, w in enumerate(weights)])
    write_edge_detector(tmp_path / "nan.weights.h5", [w * np.nan if i == 5 else w for i, w in enumerate(weights)])
    with h5py.File(tmp_path / "other.weights.h5", "w") as file:
        file["block2/layers/conv2d/vars/0"] = weights[4]
    for name, message in (
        ("none.h5", "no such file"),
        ("bad.h5", "give a file of VGG16's weights"),
        ("vgg19.weights.h5", "not weights of Keras' VGG16, no top, nor of the edge detector"),
        ("short.weights.h5", r"block2/layers/conv2d_1/vars/0 is missing"),
        (
            "shape.weights.h5",
            r"block2/layers/conv2d/vars/0 has the shape \(3, 3, 64, 127\), expected \(3, 3, 64, 128\)",
        ),
        ("nan.weights.h5", "holds NaN or infinity"),
    ):
        with pytest.raises(InputError, match=message) as error:
            perceptual.make_content_loss("vgg16_22", tmp_path / name)
        assert str(error.value).startswith(f"`vgg_weights` {tmp_path / name}") and "\n" not in str(error.value)


def test_the_distance_in_four_layers_is_numpys(vgg):
    weights, file, _ = vgg
    images = [photo(32, 40, seed) for seed in (0, 1)]
    expected = 0
    for convolutions in (2, 4, 7, 10):
        maps = (plain_features(np.float32(x)[None] / 255, weights, convolutions).astype(float) for x in images)
        a, b = (each / np.maximum(np.linalg.norm(each, axis=-1, keepdims=True), 1e-9) for each in maps)
        expected += ((a - b) ** 2).sum(-1).mean()
    distance = perceptual_benchmark.over_tiles(perceptual.make_distance(file))
    assert distance(*images) == pytest.approx(expected, rel=1e-3)
    assert distance(images[0], images[0]) == 0
    a, b = (np.float32(x)[None] / 255 for x in images)
    np.testing.assert_allclose(perceptual.make_content_loss("vgg16", file)(a, b), [expected / 7], rtol=1e-3)


def plain_grid_distance(a, b, scale, window=6):
    """Window by window of low-resolution pixels, place by place in them."""
    error = (a - b).astype(np.float64)
    h, w = (side // scale for side in error.shape[:2])
    rows, columns = min(window, h), min(window, w)
    found = []
    for y in range(h - rows + 1):
        for x in range(w - columns + 1):
            part = error[y * scale : (y + rows) * scale, x * scale : (x + columns) * scale]
            means = np.array([[part[i::scale, j::scale].mean((0, 1)) for j in range(scale)] for i in range(scale)])
            found.append(np.abs(means - means.mean((0, 1))).mean())
    return np.mean(found)


@pytest.mark.parametrize("shape, scale", [((32, 40, 3), 4), ((16, 12, 3), 2), ((16, 48, 1), 4)])
def test_the_distance_of_a_grid_is_that_of_the_means_at_each_place(shape, scale):
    a, b = RNG.random([2, 2, *shape], np.float32)
    expected = [plain_grid_distance(*pair, scale) for pair in zip(a, b)]
    np.testing.assert_allclose(perceptual.grid_distance(a, b, scale), expected, rtol=1e-4)


def plain_line_distance(a, b, scale, window=6):
    """Row by row of places, window by window along it; then the same of columns."""
    found = []
    for error in (a - b, (a - b).swapaxes(0, 1)):
        length = min(window * scale, error.shape[1])
        starts = range(0, error.shape[1] - length + 1, scale)
        parts = [error[:, x : x + length].astype(np.float64) for x in starts]
        means = np.array([[part[:, i::scale].mean(1) for i in range(scale)] for part in parts])
        found.append(np.abs(means - means.mean(1, keepdims=True)).mean())
    return sum(found)


@pytest.mark.parametrize("shape, scale", [((32, 40, 3), 4), ((16, 12, 3), 2), ((16, 48, 1), 4)])
def test_the_distance_of_lines_is_that_of_the_means_along_rows_and_columns(shape, scale):
    a, b = RNG.random([2, 2, *shape], np.float32)
    expected = [plain_line_distance(*pair, scale) for pair in zip(a, b)]
    np.testing.assert_allclose(perceptual.line_distance(a, b, scale), expected, rtol=1e-4)


@pytest.mark.parametrize("axes", [(1, 2), (2, 1)])
def test_dots_along_an_edge_count_twice_as_much_in_lines_as_in_areas(axes):
    edge = np.zeros([1, 96, 96, 1], np.float32)
    edge[:, 48:] = 1
    dotted, less_sharp = edge.copy(), edge.copy()
    dotted[:, 47:49, ::4] = less_sharp[:, 47:49] = 0.5
    edge, dotted, less_sharp = (np.moveaxis(image, (1, 2), axes) for image in (edge, dotted, less_sharp))
    lines, areas = (
        distance(dotted, edge, 4)[0] / distance(less_sharp, edge, 4)[0]
        for distance in (perceptual.line_distance, perceptual.grid_distance)
    )
    assert lines > 1.9 * areas
    assert perceptual.line_distance(dotted + 0.1, dotted, 4)[0] < 1e-6


def test_a_grid_is_told_from_detail():
    flat, detail = np.full([1, 96, 96, 3], 0.5, np.float32), np.float32(photo(96, 96))[None] / 255
    checks = np.float32(0.02 * (np.indices([96, 96]).sum(0) % 2 - 0.5))[None, ..., None]
    noise = np.random.default_rng(0).normal(0, 0.1, flat.shape).astype(np.float32)

    def grid(a, b):
        return perceptual.grid_distance(a, b, 4).numpy()[0]

    for image in (flat, detail):
        assert grid(image + 0.1, image) < 1e-6
        assert grid(image + checks, image) == pytest.approx(0.01, rel=1e-3)
    assert grid(flat + noise, flat) < 0.2 * np.abs(noise).mean()


def test_random_vgg16_is_the_same_every_time():
    x, y = RNG.random([2, 1, 16, 16, 3], np.float32)
    first, second = (perceptual.make_content_loss("vgg16_33", None, True)(x, y).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_relativistic_losses_are_numpys():
    """Written as in the paper, with sigmoids."""
    real, fake = (3 * RNG.standard_normal([5, 1]).astype(np.float32) for _ in range(2))
    p, q = sigmoid(real - fake.mean())[:, 0], sigmoid(fake - real.mean())[:, 0]
    of_generator, of_discriminator = verdicts.LOSSES["relativistic"]
    np.testing.assert_allclose(of_discriminator(real, fake), -np.log(p) - np.log(1 - q), rtol=1e-4)
    np.testing.assert_allclose(of_generator(real, fake), -np.log(1 - p) - np.log(q), rtol=1e-4)


def test_relativistic_means_are_of_all_replicas():
    """Values and gradients, which go through the mean of the other replica's logits, too."""
    logits = RNG.standard_normal([2, 4, 1]).astype(np.float32)

    def loss_and_gradients(real, fake):
        with tf.GradientTape() as tape:
            tape.watch([real, fake])
            loss = tf.reduce_sum(verdicts.relativistic_discriminator_loss(real, fake))
        return loss, tape.gradient(loss, [real, fake])

    whole, expected = loss_and_gradients(*map(tf.constant, logits))
    strategy = make_strategy(n_cpu=2)

    @tf.function
    def shared():
        parts = [
            strategy.experimental_distribute_values_from_function(
                lambda c, x=x: tf.constant(x[2 * c.replica_id_in_sync_group :][:2])
            )
            for x in logits
        ]
        return strategy.run(loss_and_gradients, args=parts)

    losses, gradients = shared()
    assert sum(map(float, strategy.experimental_local_results(losses))) == pytest.approx(float(whole), rel=1e-5)
    for each, gradient in zip(gradients, expected):
        np.testing.assert_allclose(np.concatenate(strategy.experimental_local_results(each)), gradient, rtol=1e-4)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (
            SpectralConv2D(
                7, 3, strides=2, padding="same", kernel_initializer=keras.initializers.Orthogonal(3, seed=0)
            ),
            4,
        ),
        (SpectralDense(6, kernel_initializer=keras.initializers.GlorotUniform(seed=0)), 2),
    ],
)
def test_spectral_norm_divides_by_the_largest_singular_value(layer, shape):
    x = tf.constant(RNG.standard_normal([2, 8, 8, 5] if shape == 4 else [2, 5]), tf.float32)
    layer.build(x.shape)
    layer.kernel.assign(RNG.standard_normal(layer.kernel.shape))
    layer.bias.assign(RNG.standard_normal(layer.bias.shape))
    for _ in range(200):
        layer(x, training=True)
    kernel = layer.kernel.numpy()
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    value = np.linalg.svd(matrix, compute_uv=False)[0]
    plain = tf.nn.conv2d(x, kernel / value, 2, "SAME") if shape == 4 else x @ (kernel / value)
    still = layer.direction.numpy()
    np.testing.assert_allclose(layer(x, training=False), plain + layer.bias.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(layer.direction.numpy(), still)  # which training alone moves
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) * tf.constant(plain))
    gradient = tape.gradient(loss, layer.kernel.value)
    assert abs(float(tf.reduce_sum(gradient * kernel))) < 1e-3 * float(tf.norm(gradient) * tf.norm(kernel))


def test_a_spectral_discriminator_normalizes_kernels_and_no_batches():
    plain, spectral = discriminator(16), discriminator(16, spectral=True)
    kinds = [type(layer).__name__ for layer in spectral.layers]
    assert kinds.count("SpectralConv2D") == 8 and kinds.count("SpectralDense") == 2
    assert not any("BatchNormalization" in kind for kind in kinds)
    kernels = [[layer.kernel for layer in net.layers if hasattr(layer, "kernel")] for net in (plain, spectral)]
    for a, b in zip(*kernels, strict=True):
        np.testing.assert_array_equal(a, b)


OPTIONS = {
    "adversarial": "relativistic",
    "spectral_norm": True,
    "pixel_weight": 0.3,
    "grid_weight": 1,
    "line_weight": 1,
    "ema": 0.9,
    "schedule": "cosine",
}


@pytest.mark.parametrize("precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def test_all_of_it_trains_in_mixed_precision(precision):
    task, pair = make_gan(Generator(blocks=1, dtype=precision), **OPTIONS), batch()
    step = tf.function(task.update)
    losses = [numbers(step(*map(tf.constant, pair))) for _ in range(3)]
    assert np.isfinite([list(each.values()) for each in losses]).all()
    assert losses[2]["discriminator"] < losses[0]["discriminator"]


def test_losses_of_pixels_of_a_grid_and_of_lines_are_added():
    weights = {"pixel": 0.3, "grid": 0.7, "line": 0.2, "adversarial": 0.1}
    task, (low, high) = make_gan(**{f"{name}_weight": weight for name, weight in weights.items()}), batch()
    made = task.generator(low, training=True).numpy()
    losses = run_step(task.update, (low, high))
    assert losses["pixel"] == pytest.approx(np.abs(made - high).mean(), rel=1e-4)
    grids = [plain_grid_distance(*pair, task.generator.scale) for pair in zip(made, high)]
    assert losses["grid"] == pytest.approx(np.mean(grids), rel=1e-3)
    lines = [plain_line_distance(*pair, task.generator.scale) for pair in zip(made, high)]
    assert losses["line"] == pytest.approx(np.mean(lines), rel=1e-3)
    expected = losses["content"] + sum(weight * losses[name] for name, weight in weights.items())
    assert float(task.weighted(losses)) == pytest.approx(expected)
    assert not {"pixel", "grid", "line"} & set(run_step(make_gan().update, (low, high)))


@pytest.mark.parametrize("frozen", [False, True])
def test_statistics_of_the_generator_move_if_they_are_not_frozen(frozen):
    task = make_gan(freeze_norm=frozen)
    before = [w.numpy() for w in task.generator.non_trainable_weights]
    trained = [w.numpy() for w in task.generator.trainable_weights]
    run_step(task.update, batch())
    same = [(w == b).numpy().all() for w, b in zip(task.generator.non_trainable_weights, before, strict=True)]
    assert before and all(same) == frozen and any(same) == frozen
    assert any((w != b).numpy().any() for w, b in zip(task.generator.trainable_weights, trained))


def test_the_average_of_the_weights_is_what_is_validated_and_kept(tmp_path):
    """By hand; statistics of batch normalization are averaged, too."""
    task, pair = make_gan(ema=0.75), batch()
    task.keepsakes = Keepsakes(tmp_path)
    task.data.valid[:] = [(photo(8, 8), photo(32, 32))]
    average = [w.copy() for w in task.generator.get_weights()]
    step = tf.function(task.update)
    try:
        for _ in range(3):
            step(*map(tf.constant, pair))
            average = [0.75 * a + 0.25 * w for a, w in zip(average, task.generator.get_weights())]
        last = values(task.generator)
        score = task.validate()["psnr"]
        task.keep(task.recipe.steps)
    finally:
        task.data.valid.clear()
    for a, b in zip(last, values(task.generator)):  # the training goes on from where it was
        np.testing.assert_array_equal(a, b)
    kept = load_network(tmp_path / "last.keras")
    for a, b in zip(kept.get_weights(), average, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(average, last))
    made = task.upscaler(photo(8, 8)[None])
    with task.average.used(task.generator.weights):
        assert (task.upscaler(photo(8, 8)[None]) != made).any()
    assert np.isfinite(score)


def test_without_a_momentum_nothing_is_kept():
    task = make_gan()
    assert "average" not in task.trackables and not Average(task.generator.weights, 0.0).variables


def test_both_rates_fall_along_a_cosine_to_zero_behind_the_head_start():
    task = make_gan(schedule="cosine", lr=0.2, discriminator_lr=0.4, epochs=2, steps=8, head_start=4)
    for optimizer, rate, updates in ((task.generator_optimizer, 0.2, 12), (task.discriminator_optimizer, 0.4, 16)):
        for done in (0, updates // 2, updates):
            optimizer.iterations.assign(done)
            expected = rate * (1 + np.cos(np.pi * done / updates)) / 2
            assert float(optimizer.learning_rate) == pytest.approx(expected, abs=1e-6)
    assert float(make_gan(lr=0.2).generator_optimizer.learning_rate) == pytest.approx(0.2)
