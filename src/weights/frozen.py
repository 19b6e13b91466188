"""A frozen graph of TensorFlow 1, one file of operations and their constants, as a function of TensorFlow 2.

Of the graph only what lies between two of its tensors is taken. Only operations of plain arithmetic are run, so that a
file from elsewhere can read, write and start nothing.
"""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from src.config import InputError, one_line
from src.files import read_bytes

BYTES = 1 << 28  # of a file at most; Inception's has 96 million
ARITHMETIC = (
    "Add AddV2 AvgPool BatchNormWithGlobalNormalization BiasAdd CheckNumerics Concat ConcatV2 Const Conv2D Div "
    "FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Identity MatMul MaxPool Maximum Mean Minimum Mul OnesLike Pad "
    "RealDiv Relu Relu6 Reshape Rsqrt Softmax Square Squeeze Sub"
)
OLD_NORM, NORM = "BatchNormWithGlobalNormalization", "FusedBatchNormV3"


def load_frozen(path: str | Path, source: str, result: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of one tensor of a frozen graph that computes another; it can be traced on any device.

    Args:
        path: the file, a serialized `GraphDef`.
        source: the operation whose first output is given instead of computed.
        result: the operation whose first output is wanted.

    Raises:
        InputError: no such file, not a graph, a graph without these operations, or one of other operations than
            arithmetic.
    """
    graph = parsed(path)
    nodes = {node.name: node for node in graph.node}
    for name in (source, result):
        if name not in nodes:
            raise InputError(f"{path}: another graph than expected, without an operation named {name}")
    kept = tf.Graph().as_graph_def()  # of the version that is running
    kept.node.add(name=source, op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
    for name in needed(nodes, source, result, path):
        for node in modern(nodes[name]):
            kept.node.add().CopyFrom(node)

    def compute(x: tf.Tensor) -> tf.Tensor:
        return tf.graph_util.import_graph_def(kept, {f"{source}:0": x}, [f"{result}:0"])[0]

    return compute


def parsed(path):
    """The GraphDef in a file; InputError where there is none."""
    graph = tf.Graph().as_graph_def()
    try:
        graph.ParseFromString(read_bytes(path, BYTES))
    except InputError:
        raise
    except Exception as error:  # protobuf's own, of a module that is no public one
        raise InputError(f"{path}: not a frozen graph of TensorFlow ({one_line(error)})") from error
    if not graph.node:
        raise InputError(f"{path}: not a frozen graph of TensorFlow (it holds no operation)")
    return graph


def needed(nodes, source, result, path):
    """The names of the operations between two tensors, `source` left out, in the order in which they are found."""
    found, waiting = {}, [result]
    while waiting:
        name = waiting.pop()
        if name in found or name == source:
            continue
        node = nodes.get(name)
        if node is None:
            raise InputError(f"{path}: a damaged graph, in which {one_line(name)} is missing")
        if node.op not in ARITHMETIC.split():
            raise InputError(
                f"{path}: its operation {one_line(name)} is {one_line(node.op)}, not one of the arithmetic that is run"
            )
        found[name] = node
        waiting += [text.removeprefix("^").split(":")[0] for text in node.input]
    if not any(text.split(":")[0] == source for node in found.values() for text in node.input):
        raise InputError(f"{path}: another graph than expected: {result} is not computed from {source}")
    return found


def modern(node):
    """A node as today's TensorFlow takes it: without a device and private attributes, its normalization the fused one.

    The old one is refused in functions of TensorFlow 2 ("removed in version 9"). Where it does not scale, its `gamma`
    stands for ones.
    """
    node.device = ""
    for name in [name for name in node.attr if name.startswith("_")]:
        del node.attr[name]
    if node.op != OLD_NORM:
        return [node]
    x, mean, variance, beta, gamma, *control = node.input
    epsilon, scaled = node.attr["variance_epsilon"].f, node.attr["scale_after_normalization"].b
    kind, graph = node.attr["T"].type, tf.Graph().as_graph_def()
    if not scaled:
        ones = graph.node.add(name=f"{node.name}/ones", op="OnesLike", input=[gamma])
        ones.attr["T"].type = kind
    norm = graph.node.add(name=node.name, op=NORM)
    norm.input.extend([x, gamma if scaled else f"{node.name}/ones", beta, mean, variance, *control])
    norm.attr["T"].type = norm.attr["U"].type = kind
    norm.attr["epsilon"].f, norm.attr["is_training"].b = epsilon, False
    return list(graph.node)
