"""SRGAN's networks, losses and steps."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.config import InputError
from src.superres import adversarial, perceptual, srgan, training
from src.superres.batch_norm import BatchNormalization
from src.superres.espcn import espcn
from src.superres.networks import in_precision, load_mean, load_network, save_network
from src.superres.upscale import Upscaler
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
    net = srgan.generator(kind)
    assert trainable(net) == count
    upscaler = Upscaler(net)
    assert upscaler.scale == 4 and upscaler.padded
    assert net(np.zeros([1, 5, 7, 3])).shape == (1, 20, 28, 3)


def test_inception_a_count_is_pinned():
    assert inception_count() == 1_897_987


@pytest.mark.parametrize("side, count", [(96, 23_565_505), (128, 38_245_569), (224, 107_451_585)])
def test_discriminators(side, count):
    assert trainable(srgan.discriminator(side)) == count


def test_a_discriminator_fits_any_crop():
    for side in (16, 20, 36):
        assert srgan.discriminator(side)(np.zeros([2, side, side, 3])).shape == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_generator_interpolates(kind):
    """Bilinear, or nearest where that is its upsampling, but for the curve of tanh and what is random."""
    low = photo(24, 30)
    method = "bilinear" if kind == "srgan" else "nearest"
    expected = tf.image.resize(low / np.float32(255), [96, 120], method).numpy()[8:-8, 8:-8]
    made = srgan.generator(kind, 2)(low[None] / np.float32(255)).numpy()[0, 8:-8, 8:-8]
    assert np.abs(made - expected).mean() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_gives_the_same(kind):
    net, x = srgan.generator(kind, 2), RNG.random([1, 6, 6, 3], np.float32)
    net.set_weights([w + 0.01 * RNG.random(w.shape, np.float32) for w in net.get_weights()])
    np.testing.assert_array_equal(srgan.like(net)(x), net(x))
    assert srgan.like(espcn(4)) is None


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
    np.testing.assert_allclose(adversarial.adversarial_loss(fake), -np.log(q), rtol=1e-5)
    np.testing.assert_allclose(adversarial.discriminator_loss(real, fake), -np.log(p) - np.log(1 - q), rtol=1e-5)


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


def batch(side=6, n=3):
    return RNG.random([n, side, side, 3], np.float32), RNG.random([n, 4 * side, 4 * side, 3], np.float32)


def weights_of(*networks):
    return [[v.numpy() for v in network.trainable_variables] for network in networks]


def gan_step(networks, optimizers, recipe):
    loss, strategy = perceptual.make_content_loss("pixel"), tf.distribute.get_strategy()
    return adversarial.make_gan_step(networks, optimizers, loss, recipe, strategy)


def test_a_pixel_step_is_gradient_descent_on_the_squared_error():
    net, strategy = srgan.generator(blocks=1), tf.distribute.get_strategy()
    low, high = batch()
    with tf.GradientTape() as tape:
        error = net(low, training=True) - high
        loss = tf.reduce_mean(error**2)
    gradients = tape.gradient(loss, net.trainable_variables)
    (before,) = weights_of(net)
    step = training.make_step(net, keras.optimizers.SGD(1.0), strategy, len(low))
    assert float(step((low, high))) == pytest.approx(float(np.mean(error.numpy() ** 2)), rel=1e-5)
    for old, new, gradient in zip(before, net.trainable_variables, gradients):
        np.testing.assert_allclose(new, old - gradient, atol=1e-5)


def test_an_adversarial_step_moves_each_network_down_its_own_loss():
    generator, discriminator = srgan.generator(blocks=1), srgan.discriminator(24)
    recipe = adversarial.GanRecipe(adversarial_weight=0.1, n_batch=3)
    low, high = batch()
    with tf.GradientTape(persistent=True) as tape:
        made = generator(low, training=True)
        real, fake = discriminator(high, training=True), discriminator(made, training=True)
        content = tf.reduce_mean((made - high) ** 2)
        verdict = tf.reduce_mean(-tf.math.log_sigmoid(fake))
        judged = tf.reduce_mean(-tf.math.log_sigmoid(real) - tf.math.log_sigmoid(-fake))
        aim = content + 0.1 * verdict
    expected = (
        tape.gradient(aim, generator.trainable_variables),
        tape.gradient(judged, discriminator.trainable_variables),
    )
    before = weights_of(generator, discriminator)
    networks, optimizers = (generator, discriminator), (keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))
    step = gan_step(networks, optimizers, recipe)
    np.testing.assert_allclose(step((low, high)), [content, verdict, judged], rtol=1e-4)
    for old, network, gradients in zip(before, networks, expected):
        for a, b, gradient in zip(old, network.trainable_variables, gradients):
            np.testing.assert_allclose(b, a - gradient, atol=1e-4)


@pytest.mark.parametrize("still", [0, 1])
def test_a_network_without_a_rate_stays(still):
    networks = srgan.generator(blocks=1), srgan.discriminator(24)
    optimizers = [keras.optimizers.Adam(0.0 if i == still else 1e-3) for i in range(2)]
    before = weights_of(*networks)
    gan_step(networks, optimizers, adversarial.GanRecipe(n_batch=3))(batch())
    after = weights_of(*networks)
    for i, (a, b) in enumerate(zip(before, after)):
        assert all(np.array_equal(x, y) for x, y in zip(a, b)) == (i == still)


def test_the_discriminator_learns_alone_during_its_head_start():
    networks, recipe = (srgan.generator(blocks=1), srgan.discriminator(24)), adversarial.GanRecipe(head_start=2)
    step, seen = gan_step(networks, recipe.make_optimizers(), recipe), [weights_of(*networks)]
    for _ in range(3):
        step(batch())
        seen.append(weights_of(*networks))
    moved = [[any((x != y).any() for x, y in zip(*pair)) for pair in zip(a, b)] for a, b in itertools.pairwise(seen)]
    assert moved == [[False, True], [False, True], [True, True]]


@pytest.fixture
def precision():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_is_kept_in_float32(policy, precision, tmp_path):
    precision(policy)
    generator, recipe = srgan.generator(blocks=1), adversarial.GanRecipe(n_batch=3)
    step = gan_step((generator, srgan.discriminator(24)), recipe.make_optimizers(), recipe)
    low, high = batch()
    losses = [step((low, high)).numpy() for _ in range(3)]
    assert np.isfinite(losses).all() and losses[2][2] < losses[0][2]
    save_network(tmp_path / "net.keras", generator)
    precision("float32")
    kept = load_network(tmp_path / "net.keras").net
    assert {layer.dtype_policy.name for layer in kept.layers} == {"float32"}
    np.testing.assert_allclose(kept(low), generator(low), atol=0.03)


def test_float16_files(tmp_path):
    net, x = srgan.generator(blocks=2), RNG.random([1, 8, 8, 3], np.float32)
    save_network(tmp_path / "half.keras", net, "float16")
    save_network(tmp_path / "full.keras", net)
    assert (tmp_path / "half.keras").stat().st_size < 0.6 * (tmp_path / "full.keras").stat().st_size
    np.testing.assert_allclose(load_network(tmp_path / "half.keras").net(x), net(x), atol=1e-3)
    assert in_precision("float32", net) is net


def test_tiles_of_a_padded_network_fit_together():
    upscaler, images = Upscaler(srgan.generator(blocks=2)), photo(40, 50)[None]
    whole = upscaler(images)
    upscaler.tile = 16
    np.testing.assert_allclose(upscaler(images).astype(int), whole, atol=1)


def test_the_mean_of_files(tmp_path):
    nets = [srgan.generator(blocks=1) for _ in range(3)]
    paths = [tmp_path / f"{i}.keras" for i in range(3)]
    for path, net in zip(paths, nets):
        save_network(path, net)
    for mean, *weights in zip(load_mean(paths).net.get_weights(), *(net.get_weights() for net in nets)):
        np.testing.assert_allclose(mean, sum(weights) / 3, atol=1e-6)
    save_network(paths[1], srgan.generator(blocks=2))
    with pytest.raises(InputError, match=r"1\.keras: another network than .*0\.keras"):
        load_mean(paths)
