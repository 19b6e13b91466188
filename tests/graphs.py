"""A small frozen graph made by hand, with the operations and names of the Inception of 2015."""

import numpy as np
import tensorflow as tf

FILTERS = 8


class Graph:
    """A GraphDef of an old version, filled node by node."""

    def __init__(self):
        self.proto, self.constants = tf.Graph().as_graph_def(), {}
        self.proto.versions.producer = 8

    def add(self, op, name, *inputs, **attributes):
        node = self.proto.node.add(op=op, name=name, input=inputs)
        for key, value in attributes.items():
            field = node.attr[key]
            if isinstance(value, np.ndarray):
                field.tensor.CopyFrom(tf.make_tensor_proto(value))
            elif isinstance(value, list):
                field.list.i.extend(value)
            elif isinstance(value, tf.DType):
                field.type = value.as_datatype_enum
            else:
                letter = {bool: "b", int: "i", float: "f", bytes: "s"}[type(value)]
                setattr(field, letter, value)
        return node

    def constant(self, name, value):
        self.constants[name] = np.asarray(value)
        self.add("Const", name, dtype=tf.as_dtype(self.constants[name].dtype), value=self.constants[name])


def inception(*, scaled=True, seed=0):
    """As the graph begins (a JPEG, resized) and ends (`pool_3`), with one convolution in between: 16 features."""
    graph, kind, rng = Graph(), {"T": tf.float32}, np.random.default_rng(seed)
    graph.add("Placeholder", "DecodeJpeg/contents", dtype=tf.string)
    graph.add("DecodeJpeg", "DecodeJpeg", "DecodeJpeg/contents")
    graph.add("Cast", "Cast", "DecodeJpeg", SrcT=tf.uint8, DstT=tf.float32)
    graph.constant("ExpandDims/dim", np.int32(0))
    graph.add("ExpandDims", "ExpandDims", "Cast", "ExpandDims/dim", **kind)
    graph.constant("ResizeBilinear/size", np.int32([299, 299]))
    graph.add("ResizeBilinear", "ResizeBilinear", "ExpandDims", "ResizeBilinear/size", **kind)
    graph.constant("Sub/y", np.float32(128))
    graph.add("Sub", "Sub", "ResizeBilinear", "Sub/y", **kind)
    graph.constant("Mul/y", np.float32(1 / 128))
    graph.add("Mul", "Mul", "Sub", "Mul/y", **kind)
    graph.constant("conv/weights", rng.normal(size=[3, 3, 3, FILTERS]).astype(np.float32))
    graph.add("Conv2D", "conv/Conv2D", "Mul", "conv/weights", **kind, strides=[1, 16, 16, 1], padding=b"VALID")
    for name in ("mean", "variance", "beta", "gamma"):
        graph.constant(f"conv/{name}", rng.uniform(0.5, 2, FILTERS).astype(np.float32))
    inputs = ["conv/Conv2D", *(f"conv/{name}" for name in ("mean", "variance", "beta", "gamma"))]
    more = {"variance_epsilon": 0.001, "scale_after_normalization": scaled}
    graph.add("BatchNormWithGlobalNormalization", "conv/batchnorm", *inputs, **kind, **more)
    graph.add("CheckNumerics", "conv/CheckNumerics", "conv/batchnorm", **kind, message=b"conv")
    node = graph.add("Identity", "conv/control_dependency", "conv/batchnorm", "^conv/CheckNumerics", **kind)
    node.attr["_class"].list.s.append(b"loc:@of_another_graph")
    node.device = "/gpu:7"
    graph.add("Relu", "conv", "conv/control_dependency", **kind)
    graph.constant("mixed/join/concat_dim", np.int32(3))
    graph.add("Concat", "mixed/join", "mixed/join/concat_dim", "conv", "conv", **kind, N=2)
    pool = {"ksize": [1, 19, 19, 1], "strides": [1, 1, 1, 1], "padding": b"VALID"}
    graph.add("AvgPool", "pool_3", "mixed/join", **kind, **pool)
    return graph


def features(graph, pixels, *, scaled=True):
    """What `pool_3` is of pixels [n, 299, 299, 3] in 0..255, by TensorFlow's functions of today: [n, 16]."""
    weights, mean, variance, beta, gamma = (
        graph.constants[f"conv/{name}"] for name in ("weights", "mean", "variance", "beta", "gamma")
    )
    x = tf.nn.conv2d((np.float32(pixels) - 128) / 128, weights, 16, "VALID").numpy().astype(np.float64)
    x = (x - mean) / np.sqrt(variance + 0.001) * (gamma if scaled else 1) + beta
    return np.tile(np.maximum(x, 0).mean((1, 2)), 2)
