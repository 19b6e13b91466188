"""Hugging Face's ImageGPT folders, in and out: config.json, model.safetensors (whole or in shards), the palette.

Theirs stores the start vector as the embedding of one more token, queries, keys and values in one matrix, and biases,
which the release does not have: they must be zero. Pickled weights are never opened.
"""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from src.config import HParams, InputError, check_shapes, square_side
from src.files import read_json, together
from src.schema import Integer, OneOf, check
from src.weights.shards import WEIGHTS, Weights
from src.writing import writing

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
SIZE = Integer(1, 1 << 20)
NETWORK = {
    "model_type": OneOf(("imagegpt",)),
    **dict.fromkeys(("n_positions", "n_embd", "n_head", "n_layer"), SIZE),
    "vocab_size": Integer(2, 1 << 20),
}
ARITHMETIC = {  # what the network needs a config to say, where it says it
    "activation_function": "quick_gelu",
    "tie_word_embeddings": False,
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
FIXED = {name: OneOf((value,)) for name, value in ARITHMETIC.items()}
MASKS = re.compile(r"^h\.\d+\.attn\.(bias|masked_bias)$")  # in old files; not weights


def is_folder(path: str | Path) -> bool:
    """Whether `path` is a folder that holds a Hugging Face model."""
    return (Path(path) / CONFIG).is_file()


def is_image_gpt(folder: str | Path) -> bool:
    """Whether such a folder's model is an Image GPT, as far as its configuration can be read."""
    try:
        return read_json(Path(folder) / CONFIG, dict).get("model_type") == "imagegpt"
    except InputError:
        return False


def read_hparams(folder: str | Path) -> HParams:
    """The sizes in config.json.

    Raises:
        InputError: not a configuration, or that of a network that computes something else.
    """
    path = Path(folder) / CONFIG
    config = read_json(path, dict)
    check(config, NETWORK, path)
    check(config, FIXED, path, optional=tuple(FIXED))
    check(config, {"n_inner": OneOf((None, 4 * config["n_embd"]))}, path, optional=("n_inner",))
    return HParams(
        n_px=square_side(config["n_positions"], f"{path}: n_positions"),
        n_embd=config["n_embd"],
        n_head=config["n_head"],
        n_layer=config["n_layer"],
        n_vocab=config["vocab_size"] - 1,
    )


def shapes(hparams):
    """Their name to shape for every weight, without `transformer.`; biases are `.bias` of the same layer."""
    d = hparams.n_embd
    out = {"wte.weight": (hparams.n_vocab + 1, d), "wpe.weight": (hparams.n_positions, d), "ln_f.weight": (d,)}
    out["lm_head.weight"] = (hparams.n_vocab, d)
    layers = {"ln_1": (d,), "ln_2": (d,), "attn.c_attn": (d, 3 * d), "attn.c_proj": (d, d)}
    layers |= {"mlp.c_fc": (d, 4 * d), "mlp.c_proj": (4 * d, d)}
    for i in range(hparams.n_layer):
        out |= {f"h.{i}.{name}.weight": shape for name, shape in layers.items()}
    if hparams.classes:
        out["score.weight"] = (hparams.classes, d)
    return out


def values(weights, hparams):
    """Yield the release's variables, name and value, from theirs."""
    d, heads = hparams.n_embd, (hparams.n_head, hparams.n_embd // hparams.n_head, hparams.n_embd)
    wte = weights["wte.weight"]
    yield from (("model/wte", wte[:-1]), ("model/sos", wte[-1]))
    yield from (("model/wpe", weights["wpe.weight"]), ("model/wtet", weights["lm_head.weight"]))
    yield "model/ln_f/g", weights["ln_f.weight"]
    if hparams.classes:
        yield "model/clf/wclf", weights["score.weight"]
    for i in range(hparams.n_layer):
        theirs, ours = f"h.{i}.", f"model/h{i}/"
        qkv = weights[theirs + "attn.c_attn.weight"]
        for j, name in enumerate("qkv"):
            yield f"{ours}attn/{name}_proj", qkv[:, j * d : (j + 1) * d].T.reshape(heads)
        yield f"{ours}attn/c_proj", weights[theirs + "attn.c_proj.weight"].reshape(heads)
        for name in ("ln_1", "ln_2"):
            yield f"{ours}{name}/g", weights[f"{theirs}{name}.weight"]
        for name in ("c_fc", "c_proj"):
            yield f"{ours}mlp/{name}/w", weights[f"{theirs}mlp.{name}.weight"]


def tensors(params, hparams):
    """Their tensors, name to value, from the release's variables; `values` backwards."""
    p, d = {name: np.asarray(v) for name, v in params.items()}, hparams.n_embd
    out = {"transformer.wte.weight": np.concatenate([p["model/wte"], p["model/sos"][None]])}
    out |= {"transformer.wpe.weight": p["model/wpe"], "lm_head.weight": p["model/wtet"]}
    out["transformer.ln_f.weight"] = p["model/ln_f/g"]
    if hparams.classes:
        out["score.weight"] = p["model/clf/wclf"]
    for i in range(hparams.n_layer):
        theirs, ours = f"transformer.h.{i}.", f"model/h{i}/"
        qkv = [p[f"{ours}attn/{name}_proj"].reshape(d, d).T for name in "qkv"]
        out[theirs + "attn.c_attn.weight"] = np.concatenate(qkv, axis=1)
        out[theirs + "attn.c_proj.weight"] = p[f"{ours}attn/c_proj"].reshape(d, d)
        for name in ("ln_1", "ln_2"):
            out[f"{theirs}{name}.weight"] = p[f"{ours}{name}/g"]
        for name in ("c_fc", "c_proj"):
            out[f"{theirs}mlp.{name}.weight"] = p[f"{ours}mlp/{name}/w"]
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
            out[f"{theirs}{name}.bias"] = np.zeros(out[f"{theirs}{name}.weight"].shape[1], np.float32)
    return {name: np.ascontiguousarray(value) for name, value in out.items()}


def open_folder(folder: str | Path) -> tuple:
    """(HParams, pairs of the release's name and value, read one at a time) of a Hugging Face folder, checked.

    Raises:
        InputError: another network, a damaged file, a bias not zero, a weight missing, unexpected or misshapen.
    """
    hparams, weights = read_hparams(folder), Weights(folder, "transformer.", MASKS.search)
    if hparams.n_layer > len(weights.names):  # before every name is made
        raise InputError(
            f"{Path(folder) / CONFIG}: n_layer is {hparams.n_layer}, but the weights are {len(weights.names)} tensors"
        )
    if "score.weight" in weights.names:
        classes = next(iter(weights.shapes["score.weight"]), 0)
        hparams = dataclasses.replace(hparams, classes=classes)
    expected = shapes(hparams)
    biases = {name.replace(".weight", ".bias") for name in expected if ".attn." in name or ".mlp." in name}
    for name in sorted(biases & set(weights.names)):
        if weights[name].any():
            raise InputError(f"{folder}: {name} is not zero; Image GPT has no biases")
    extra = sorted(set(weights.names) - set(expected) - biases)
    if extra:
        raise InputError(f"{folder}: unexpected weights: {', '.join(extra[:8])}")
    check_shapes({name: weights.shapes[name] for name in expected if name in weights.names}, expected)
    return hparams, values(weights, hparams)


def export_folder(model, clusters: np.ndarray, folder: str | Path):
    """Write a model as a folder that `transformers` loads: all files together, complete or not at all.

    Raises:
        InputError: the model has the BERT objective, which Hugging Face's class does not know, or a file cannot be
            written.
    """
    hparams, folder = model.hparams, Path(folder)
    if hparams.bert:
        raise InputError(
            "`export_hf`: Hugging Face's ImageGPT is autoregressive; this checkpoint has the BERT objective"
        )
    config = {
        "architectures": ["ImageGPTForCausalImageModeling"],
        "model_type": "imagegpt",
        "vocab_size": hparams.n_vocab + 1,
        "n_positions": hparams.n_positions,
        **{name: getattr(hparams, name) for name in ("n_embd", "n_layer", "n_head")},
        **{"n_inner": None, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        **ARITHMETIC,
    }
    if hparams.classes:
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(hparams.classes)}
    processor = {
        "image_processor_type": "ImageGPTImageProcessor",
        "clusters": np.asarray(clusters).tolist(),
        "size": {"height": hparams.n_px, "width": hparams.n_px},
        **{"do_resize": True, "resample": 2, "do_normalize": True, "do_color_quantize": True},
    }
    with together() as part:
        with writing(folder / WEIGHTS):
            save_file(tensors(model.params, hparams), part(folder / WEIGHTS), metadata={"format": "pt"})
            part(folder / WEIGHTS).chmod(0o644)  # the library lets nobody else read it
        for name, content in ((PROCESSOR, processor), (CONFIG, config)):
            with writing(folder / name):
                part(folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
