"""BERT in an ONNX file, run by onnxruntime: looked at as a whole before that opens it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from src.config import InputError, one_line
from src.files import read_bytes

BYTES = (1 << 31) - 1  # of a file, the format's own bound
DOMAINS = "", "ai.onnx", "com.microsoft"  # of operations
INPUTS = "input_ids", "attention_mask", "token_type_ids"  # of which the last may be missing
OUTPUTS = "last_hidden_state", "token_embeddings"
SCALED_TOGETHER = ("Dynamic", "QAttention", "QOrdered")  # beginnings of operations that scale by all they see


@dataclasses.dataclass(frozen=True)
class Graph:
    """A network from tokens int64 [b, t] to their embeddings float32 [b, t, d].

    Attributes:
        session: of onnxruntime.
        inputs: those of INPUTS that it takes.
        output: the name of the one that is wanted.
        dynamic: whether what it makes of a text depends on the others that it is given with it.
    """

    session: Any
    inputs: tuple[str, ...]
    output: str
    dynamic: bool

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        values = dict(zip(INPUTS, (ids, np.ones_like(ids), np.zeros_like(ids))))
        try:
            return self.session.run([self.output], {name: values[name] for name in self.inputs})[0]
        except Exception as error:  # the library's, of any kind
            raise InputError(f"`text`: its model.onnx cannot be run ({one_line(error, 200)}); use another") from error


def load_graph(path: str | Path, width: int) -> Graph:
    """The network in an ONNX file.

    Args:
        width: of the embeddings.

    Raises:
        InputError: no such file, not ONNX, one that needs other files, loops or functions, or one from and to
            something else.
        ImportError: onnx or onnxruntime is not installed.
    """
    import onnxruntime

    content = read_bytes(path, BYTES)
    kinds = looked_at(content, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is an error below
    try:  # without its second attempt on the same processor, which it announces on standard output
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        ends = [{x.name: (x.type, x.shape) for x in found} for found in (session.get_inputs(), session.get_outputs())]
    except Exception as error:  # the library's, of any kind
        raise InputError(f"{path}: not a network that onnxruntime can run ({one_line(error, 200)})") from error
    inputs, outputs = ends
    output = next((name for name in OUTPUTS if name in outputs), next(iter(outputs)))
    check_ends(inputs, outputs[output], width, f"{path}: {one_line(output)}")
    return Graph(session, tuple(inputs), output, any(kind.startswith(SCALED_TOGETHER) for kind in kinds))


def looked_at(content: bytes, path: str | Path) -> set[str]:
    """The kinds of operations in an ONNX file that holds nothing but operations one after the other, and its weights.

    Raises:
        InputError: another one: no ONNX, weights in other files, loops, branches, functions or unknown operations.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # the library's, of any kind
        raise InputError(f"{path}: not an ONNX file ({one_line(error)})") from error
    graph = model.graph
    attributes = [(node, x) for node in graph.node for x in node.attribute]
    tensors = [*graph.initializer, *(t for _, x in attributes for t in (x.t, *x.tensors))]
    if any(t.data_location == onnx.TensorProto.EXTERNAL or t.external_data for t in tensors):
        raise InputError(f"{path}: its weights lie in other files, which are not opened; save it as one file")
    if model.functions or graph.sparse_initializer:
        raise InputError(f"{path}: holds functions or sparse weights, which are not used; export it without")
    for node, x in attributes:
        if x.HasField("g") or x.graphs or x.HasField("sparse_tensor") or x.sparse_tensors:
            raise InputError(f"{path}: its operation {one_line(node.op_type)} branches or loops; export it without")
    for node in graph.node:
        if node.domain not in DOMAINS:
            raise InputError(f"{path}: its operation {one_line(node.op_type)} is not of ONNX; export it without")
    return {node.op_type for node in graph.node}


def check_ends(inputs, output, width, where):
    """InputError if a network does not take tokens of any number, or does not give embeddings of a width.

    Args:
        inputs: name to type and shape.
        output: type and shape.
    """
    for name, (kind, shape) in inputs.items():
        if name not in INPUTS:
            raise InputError(f"{where}: takes {one_line(name)}, expected {', '.join(INPUTS)}")
        if kind != "tensor(int64)" or len(shape) != 2 or any(isinstance(n, int) for n in shape):
            raise InputError(f"{where}: takes {name} as {kind} {one_line(shape)}, expected int64 [any, any]")
    if missing := [name for name in INPUTS[:2] if name not in inputs]:
        raise InputError(f"{where}: does not take {' or '.join(missing)}, as a BERT does")
    kind, shape = output
    if kind != "tensor(float)" or len(shape) != 3 or (isinstance(shape[2], int) and shape[2] != width):
        raise InputError(f"{where} is {kind} {one_line(shape)}, expected float [any, any, {width}]")
