"""The reader of frozen graphs, on one made by hand with the names of Inception's, and features by it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from src.config import InputError
from src.devices import make_strategy
from src.measuring.inception import Extractor, Network, load_network
from src.weights.frozen import load_frozen
from tests import graphs
from tests.conftest import photo


def written(path, graph):
    path.write_bytes(graph.proto.SerializeToString())
    return path


def pictures(n, height=28, width=28):
    return [photo(height, width, i) for i in range(n)]


@pytest.mark.parametrize("scaled", [True, False])
def test_a_frozen_graph_computes_what_its_operations_say(scaled, tmp_path):
    graph = graphs.inception(scaled=scaled)
    compute = tf.function(load_frozen(written(tmp_path / "graph.pb", graph), "ResizeBilinear", "pool_3"))
    pixels = np.random.default_rng(0).uniform(0, 255, [3, 299, 299, 3]).astype(np.float32)
    found = compute(tf.constant(pixels)).numpy()
    assert found.shape == (3, 1, 1, 16)
    np.testing.assert_allclose(found[:, 0, 0], graphs.features(graph, pixels, scaled=scaled), rtol=1e-5)


def test_features_are_of_pillows_bicubic(tmp_path):
    graph, images = graphs.inception(), pictures(5)
    network = load_network(written(tmp_path / "graph.pb", graph))
    found = np.concatenate(list(Extractor(network, make_strategy(), 2).features(images)))
    resized = [np.asarray(Image.fromarray(x).resize((299, 299), Image.Resampling.BICUBIC)) for x in images]
    np.testing.assert_allclose(found, graphs.features(graph, np.stack(resized)), rtol=1e-4)
    assert network.resizing == "Pillow's bicubic to 299x299" and network.is_inception


def test_shrinking_is_antialiased():
    stripes = np.tile(np.uint8([0, 255]), [598, 299])[..., None].repeat(3, 2)
    network = Network("any", "0" * 16, (299, 299), None)
    assert np.ptp(network.resized(stripes)[:, 20:-20]) < 20


@pytest.mark.parametrize("kind", ["graph", "keras"])
def test_batches_and_devices_change_nothing(kind, tmp_path):
    images, found = pictures(7), []
    if kind == "graph":
        path = written(tmp_path / "graph.pb", graphs.inception())
    else:
        path = tmp_path / "net.keras"
        small_network().save(path)
    for n_cpu, n_batch in ((1, 7), (1, 3), (2, 4), (2, 8)):
        strategy = make_strategy(n_cpu=n_cpu)
        assert strategy.num_replicas_in_sync == n_cpu
        with strategy.scope():
            network = load_network(path)
        found.append(np.concatenate(list(Extractor(network, strategy, n_batch).features(images))))
        np.testing.assert_allclose(found[-1], found[0], rtol=1e-5, atol=1e-6)
    assert found[0].std(0).min() > 0


def small_network(size=(20, 24), outputs=6):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((*size, 3))
    x = keras.layers.Conv2D(outputs, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def test_another_network(tmp_path):
    net, images = small_network(), pictures(3)
    net.save(tmp_path / "net.keras")
    network = load_network(tmp_path / "net.keras")
    assert (network.name, network.size, network.is_inception) == ("net.keras", (20, 24), False)
    found = np.concatenate(list(Extractor(network, make_strategy(), 3).features(images)))
    resized = np.stack([np.asarray(Image.fromarray(x).resize((24, 20), Image.Resampling.BICUBIC)) for x in images])
    np.testing.assert_allclose(found, net.predict(resized.astype(np.float32), verbose=0), rtol=1e-4, atol=1e-6)


def test_a_network_of_any_size_takes_images_as_they_are(tmp_path):
    small_network((None, None)).save(tmp_path / "net.keras")
    network = load_network(tmp_path / "net.keras")
    assert network.resizing == "none" and network.resized(photo(28, 30)).shape == (28, 30, 3)


def without(name):
    graph = graphs.inception()
    kept = [node for node in graph.proto.node if node.name != name]
    del graph.proto.node[:]
    graph.proto.node.extend(kept)
    return graph.proto.SerializeToString()


def with_file_reader():
    graph = graphs.inception()
    for node in graph.proto.node:
        if node.name == "conv/weights":
            node.op = "ReadFile"
    return graph.proto.SerializeToString()


def unconnected():
    graph = graphs.inception()
    for node in graph.proto.node:
        if node.name == "Sub":
            node.input[0] = "Sub/y"
    return graph.proto.SerializeToString()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "holds no operation"),
        (b"a page instead of a file" * 9, "not a frozen graph"),
        (without("pool_3"), "without an operation named pool_3"),
        (without("ResizeBilinear"), "without an operation named ResizeBilinear"),
        (without("conv/gamma"), "conv/gamma is missing"),
        (with_file_reader(), "conv/weights is ReadFile, not one of the arithmetic"),
        (unconnected(), "pool_3 is not computed from ResizeBilinear"),
        (None, "no such file"),
    ],
)
def test_what_is_no_such_graph_is_refused(content, message, tmp_path):
    path = tmp_path / "graph.pb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_network(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: path.write_bytes(b"PK"), "not a network that Keras can load"),
        (lambda path: keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()]).save(path), "RGB images"),
        (lambda path: keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]).save(path), "RGB images"),
        (lambda path: keras.Sequential([keras.Input((None, 4, 3)), keras.layers.ReLU()]).save(path), "of one length"),
        (
            lambda path: keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Lambda(abs)]).save(path),
            "Keras can load",
        ),
        (lambda path: small_network((20, 24), 1 << 18).save(path), "262144 features: takes 2,048 GiB"),
    ],
)
def test_what_is_no_such_network_is_refused(make, message, tmp_path):
    path = tmp_path / "net.keras"
    make(path)
    with pytest.raises(InputError, match=message) as error:
        load_network(path)
    assert str(path) in str(error.value)


def test_features_that_are_no_numbers():
    network = Network("bad.keras", "0" * 16, None, lambda x: tf.reduce_mean(x, [1, 2]) / 0)
    with pytest.raises(InputError, match=r"bad\.keras: its features of these images hold NaN"):
        list(Extractor(network, make_strategy(), 2).features(pictures(2)))


def test_one_trace_for_all_batches():
    traced = []
    network = Network("net", "0" * 16, (8, 8), lambda x: traced.append(1) or tf.reduce_mean(x, [1, 2]))
    list(Extractor(network, make_strategy(), 2).features(pictures(7)))
    assert len(traced) == 1
