"""SRGAN's networks, losses and steps."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.config import InputError
from src.superres import adversarial, perceptual, verdicts
from src.superres.batch_norm import BatchNormalization
from src.superres.cutting import Cutting
from src.superres.discriminator import discriminator
from src.superres.files import in_precision, load_mean, load_network, save_network
from src.superres.pairs import Pairs
from src.superres.photographs import TrainingData
from src.superres.pixel import PixelRecipe, PixelTask
from src.superres.srgan import Generator
from src.superres.upscaler import Upscaler
from tests.conftest import photo

RNG = np.random.default_rng(0)
KINDS = ["srgan", "report", "inception"]


def trainable(net):
    return sum(int(np.prod(v.shape)) for v in net.trainable_variables)


def inception_count():
    """A kernel has in * out * h * w weights; convolutions before a batch norm have no bias, and it no scale."""
    branches = (64 * 32 + 32) * 3 + (32 * 32 * 9 + 32) + (32 * 48 * 9 + 48) + (48 * 64 * 9 + 64)
    block = branches + (32 + 32 + 64) * 64 + 64
    head, trunk = 3 * 64 * 81 + 64 + 64, 64 * 64 * 9 + 64 + 2 * 64
    return head + 16 * block + trunk + (64 * 256 * 9 + 256) + (256 * 256 * 9 + 256) + (256 * 3 * 81 + 3)


@pytest.mark.parametrize("kind, count", [("srgan", 1_550_659), ("report", 2_039_555), ("inception", inception_count())])
def test_generators(kind, count):
    net = Generator(kind)
    assert trainable(net) == count
    assert (net.scale, net.padded, Upscaler(net).edge) == (4, True, 48)
    assert net(np.zeros([1, 5, 7, 3])).shape == (1, 20, 28, 3)


def test_inception_a_count_is_pinned():
    assert inception_count() == 1_897_987


@pytest.mark.parametrize("side, count", [(96, 23_565_505), (128, 38_245_569), (224, 107_451_585)])
def test_discriminators(side, count):
    assert trainable(discriminator(side)) == count


def test_a_discriminator_fits_any_crop():
    for side in (16, 20, 36):
        assert discriminator(side)(np.zeros([2, side, side, 3])).shape == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_generator_interpolates(kind):
    """Bilinear, or nearest where that is its upsampling, but for the curve of tanh and what is random."""
    low = photo(24, 30)
    method = "bilinear" if kind == "srgan" else "nearest"
    expected = tf.image.resize(low / np.float32(255), [96, 120], method).numpy()[8:-8, 8:-8]
    made = Generator(kind, 2)(low[None] / np.float32(255)).numpy()[0, 8:-8, 8:-8]
    assert np.abs(made - expected).mean() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_its_generator_is(kind, tmp_path):
    """A generator was once recognised by the sizes of its kernels and the number of its layers."""
    net, x = Generator(kind, 2, name="srgan"), RNG.random([1, 6, 6, 3], np.float32)
    net.set_weights([w + 0.01 * RNG.random(w.shape, np.float32) for w in net.get_weights()])
    save_network(tmp_path / "net.keras", net)
    with zipfile.ZipFile(tmp_path / "net.keras") as file:
        described = json.loads(file.read("config.json"))
    assert described["class_name"] == "Generator"
    assert (described["config"]["kind"], described["config"]["blocks"]) == (kind, 2)
    again = load_network(tmp_path / "net.keras")
    assert again.get_config() == net.get_config()
    np.testing.assert_array_equal(again(x), net(x))


def test_weights_follow_from_the_seed_alone():
    """They once followed from the process's, which everything else that drew from it moved on."""
    first, _, again, other = (
        Generator(blocks=1),
        tf.random.uniform([3]),
        Generator(blocks=1),
        Generator(blocks=1, seed=1),
    )
    same = [np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights())]
    assert all(same) and any((a != b).any() for a, b in zip(first.get_weights(), other.get_weights()))
    kernels = [layer.kernel.numpy() for layer in first.layers if layer.name.startswith("conv2d")]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)  # no two layers begin alike
    for a, b in zip(discriminator(16).get_weights(), discriminator(16).get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("scale", [True, False])
def test_batch_normalization_is_keras(scale):
    x, results = tf.constant(3 * RNG.standard_normal([4, 5, 6, 8]) + 1, tf.float32), []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(scale=scale)
        layer.build(x.shape)
        layer.set_weights([np.linspace(0.5, 2, 8) + i for i in range(len(layer.weights))])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y**3)
        results.append([y, *tape.gradient(loss, [x, *layer.trainable_variables]), *layer.weights, layer(x)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_adversarial_losses_are_numpys():
    real, fake = (3 * RNG.standard_normal([5, 1]).astype(np.float32) for _ in range(2))
    p, q = (1 / (1 + np.exp(-x[:, 0].astype(np.float64))) for x in (real, fake))
    np.testing.assert_allclose(verdicts.generator_loss(real, fake), -np.log(q), rtol=1e-5)
    np.testing.assert_allclose(verdicts.discriminator_loss(real, fake), -np.log(p) - np.log(1 - q), rtol=1e-5)


def test_pixel_content_is_numpys():
    a, b = RNG.random([2, 3, 8, 9, 3], np.float32)
    loss = perceptual.make_content_loss("pixel")
    np.testing.assert_allclose(loss(a, b), ((a - b) ** 2).mean(axis=(1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("kind, layer", [("vgg54", "block5_conv4"), ("vgg22", "block2_conv2")])
def test_vgg_content_is_keras_applications(kind, layer, tmp_path):
    vgg = keras.applications.VGG19(include_top=False, weights=None)
    vgg.set_weights([w * 1.5 if w.ndim == 4 else w + 0.1 for w in vgg.get_weights()])
    vgg.save_weights(tmp_path / "vgg.weights.h5")
    a, b = RNG.random([2, 2, 48, 40, 3], np.float32)
    cut = keras.Model(vgg.input, vgg.get_layer(layer).output)
    means = np.float32([103.939, 116.779, 123.68])  # of blue, green, red in 0..255
    fa, fb = (cut(255 * x[..., ::-1] - means).numpy() / 12.75 for x in (a, b))
    loss = perceptual.make_content_loss(kind, tmp_path / "vgg.weights.h5")
    np.testing.assert_allclose(loss(a, b), ((fa - fb) ** 2).mean(axis=(1, 2, 3)), rtol=1e-4)


@pytest.mark.slow
def test_inception_content_is_keras_applications(tmp_path):
    net = keras.applications.InceptionResNetV2(include_top=False, weights=None)
    net.save_weights(tmp_path / "inception.weights.h5")
    a, b = RNG.random([2, 1, 80, 90, 3], np.float32)
    cut = keras.Model(net.input, net.get_layer("block35_10_ac").output)
    fa, fb = (cut(2 * x - 1, training=False).numpy() for x in (a, b))
    loss = perceptual.make_content_loss("inception_resnet_v2", tmp_path / "inception.weights.h5")
    np.testing.assert_allclose(loss(a, b), ((fa - fb) ** 2).mean(axis=(1, 2, 3)), rtol=1e-4)
    assert np.isfinite(loss(a[:, :64, :64], b[:, :64, :64])).all()  # smaller than what the network takes


def test_weights_of_another_network(tmp_path):
    (tmp_path / "bad.weights.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad\.weights\.h5: not weights of Keras' VGG19"):
        perceptual.make_content_loss("vgg22", tmp_path / "bad.weights.h5")
    with pytest.raises(InputError, match=r"none\.h5: no such file"):
        perceptual.make_content_loss("vgg22", tmp_path / "none.h5")


def test_random_features_are_the_same_every_time():
    x, y = RNG.random([2, 1, 32, 32, 3], np.float32)
    first, second = (perceptual.make_content_loss("vgg22", random_features=True)(x, y).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def batch(side=4, n=3):
    return RNG.random([n, side, side, 3], np.float32), RNG.random([n, 4 * side, 4 * side, 3], np.float32)


def weights_of(*networks):
    return [[v.numpy() for v in network.trainable_variables] for network in networks]


DATA = TrainingData(Pairs((), Cutting(4, patch=4), channels="rgb"), [], {})


def make_gan(generator=None, **recipe):
    """An adversarial task for batches of 3 as `batch` makes them."""
    recipe = adversarial.GanRecipe(**{"content": "pixel", "n_batch": 3} | recipe)
    return adversarial.AdversarialTask(generator or Generator(blocks=1), DATA, recipe, None)


def run_step(update, batch):
    """The losses of one update, as the training loop makes it."""
    return numbers(tf.function(update)(*map(tf.constant, batch)))


def numbers(losses):
    return {name: float(loss) for name, loss in losses.items()}


def descend(task):
    """Let a task go down its gradients themselves, by gradient descent with a rate of 1."""
    task.generator_optimizer, task.discriminator_optimizer = keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0)
    for network, optimizer in (
        (task.generator, task.generator_optimizer),
        (task.discriminator, task.discriminator_optimizer),
    ):
        optimizer.build(network.trainable_variables)


def test_a_pixel_step_is_gradient_descent_on_the_squared_error(tmp_path):
    net, (low, high) = Generator(blocks=1), batch()
    task = PixelTask(net, DATA, PixelRecipe(n_batch=3), tmp_path / "best.keras")
    task.optimizer = keras.optimizers.SGD(1.0)
    task.optimizer.build(net.trainable_variables)
    with tf.GradientTape() as tape:
        error = net(low, training=True) - high
        loss = tf.reduce_mean(error**2)
    gradients = tape.gradient(loss, net.trainable_variables)
    (before,) = weights_of(net)
    assert run_step(task.update, (low, high))["loss"] == pytest.approx(float(np.mean(error.numpy() ** 2)), rel=1e-5)
    for old, new, gradient in zip(before, net.trainable_variables, gradients):
        np.testing.assert_allclose(new, old - gradient, atol=1e-5)


def test_an_adversarial_step_moves_each_network_down_its_own_loss():
    """Both gradients are of the networks as they were before it."""
    task, (low, high) = make_gan(adversarial_weight=0.1), batch()
    descend(task)
    with tf.GradientTape(persistent=True) as tape:
        made = task.generator(low, training=True)
        real, fake = task.discriminator(high, training=True), task.discriminator(made, training=True)
        content = tf.reduce_mean((made - high) ** 2)
        verdict = tf.reduce_mean(-tf.math.log_sigmoid(fake))
        judged = tf.reduce_mean(-tf.math.log_sigmoid(real) - tf.math.log_sigmoid(-fake))
        aim = content + 0.1 * verdict
    networks = task.generator, task.discriminator
    expected = [tape.gradient(of, net.trainable_variables) for of, net in zip((aim, judged), networks)]
    before = weights_of(*networks)
    losses = run_step(task.update, (low, high))
    expected_losses = {"content": content, "adversarial": verdict, "discriminator": judged}
    assert losses == pytest.approx(numbers(expected_losses), rel=1e-4)
    for old, network, gradients in zip(before, networks, expected):
        for a, b, gradient in zip(old, network.trainable_variables, gradients):
            np.testing.assert_allclose(b, a - gradient, atol=1e-4)


def values(*objects):
    return [variable.numpy() for each in objects for variable in each.variables]


def test_the_discriminator_learns_alone_during_its_head_start():
    """The generator's statistics and moments once moved with it, and its gradients were computed and thrown away."""
    task, pair = make_gan(head_start=2), [tf.constant(x) for x in batch()]
    assert [task.update_at(step) for step in (0, 1, 2)] == [task.update_discriminator] * 2 + [task.update]
    still, learning = (task.generator, task.generator_optimizer), (task.discriminator, task.discriminator_optimizer)
    before, moving = values(*still), values(*learning)
    alone = tf.function(task.update_discriminator)
    for _ in range(2):
        assert alone(*pair).keys() == {"discriminator"}
    for a, b in zip(before, values(*still)):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(moving, values(*learning)))
    operations = alone.get_concrete_function(*pair).graph.get_operations()
    kernels = [operation for operation in operations if operation.type == "Conv2DBackpropFilter"]
    assert len(kernels) == 2 * 8  # of the discriminator's eight, for real and generated images


@pytest.mark.parametrize("precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def test_mixed_precision_trains_and_is_kept_in_float32(precision, tmp_path):
    task, pair = make_gan(Generator(blocks=1, dtype=precision)), batch()
    assert keras.config.dtype_policy().name == "float32"  # of the process, which a run leaves alone
    layers = [layer for net in (task.generator, task.discriminator) for layer in net.layers]
    assert sum(layer.dtype_policy.name == precision for layer in layers) > len(layers) / 2
    step = tf.function(task.update)
    losses = [numbers(step(*map(tf.constant, pair))) for _ in range(3)]
    assert all(np.isfinite(list(each.values())).all() for each in losses)
    assert losses[2]["discriminator"] < losses[0]["discriminator"]
    save_network(tmp_path / "net.keras", task.generator)
    kept = load_network(tmp_path / "net.keras")
    assert kept.precision == "float32" and {layer.dtype_policy.name for layer in kept.layers} == {"float32"}
    np.testing.assert_allclose(kept(pair[0]), task.generator(pair[0]), atol=0.03)


def test_float16_files(tmp_path):
    net, x = Generator(blocks=2), RNG.random([1, 8, 8, 3], np.float32)
    save_network(tmp_path / "half.keras", net, "float16")
    save_network(tmp_path / "full.keras", net)
    assert (tmp_path / "half.keras").stat().st_size < 0.6 * (tmp_path / "full.keras").stat().st_size
    np.testing.assert_allclose(load_network(tmp_path / "half.keras")(x), net(x), atol=1e-3)
    assert in_precision("float32", net) is net


def test_tiles_of_a_padded_network_fit_together():
    upscaler, images = Upscaler(Generator(blocks=2)), photo(40, 50)[None]
    whole = upscaler(images)
    upscaler.tile = 16
    np.testing.assert_allclose(upscaler(images).astype(int), whole, atol=1)


def test_the_mean_of_files(tmp_path):
    nets = [Generator(blocks=1, seed=seed) for seed in range(3)]
    paths = [tmp_path / f"{i}.keras" for i in range(3)]
    for path, net in zip(paths, nets):
        save_network(path, net)
    for mean, *weights in zip(load_mean(paths).get_weights(), *(net.get_weights() for net in nets)):
        np.testing.assert_allclose(mean, sum(weights) / 3, atol=1e-6)
    save_network(paths[1], Generator(blocks=2))
    with pytest.raises(InputError, match=r"1\.keras: another network than .*0\.keras"):
        load_mean(paths)
