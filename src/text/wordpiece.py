"""BERT's tokenizer, made of what a folder in Hugging Face's layout says: tokenizer.json, or vocab.txt.

Of tokenizer.json only the vocabulary and four options are used, and the rest has to be BERT's: no pattern and no
template of a file from outside is run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config import InputError
from src.files import JSON_BYTES, read_bytes, read_json
from src.schema import Integer, OneOf, Table, check, shown

TOKENIZER, VOCABULARY, OPTIONS = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
SPECIAL = FIRST, LAST, UNKNOWN, MASK, PAD = "[CLS]", "[SEP]", "[UNK]", "[MASK]", "[PAD]"
YES_OR_NO = OneOf((True, False))
SINGLE = [  # how the tokens of one text stand in a template
    {"SpecialToken": {"id": FIRST, "type_id": 0}},
    {"Sequence": {"id": "A", "type_id": 0}},
    {"SpecialToken": {"id": LAST, "type_id": 0}},
]
NORMALIZER = dict.fromkeys(("clean_text", "handle_chinese_chars", "lowercase"), YES_OR_NO)
NORMALIZER |= {"strip_accents": OneOf((None, True, False))}  # null: where it makes lower case
MODEL = {"unk_token": OneOf((UNKNOWN,)), "continuing_subword_prefix": OneOf(("##",))}
MODEL |= {"max_input_chars_per_word": Integer(1, 1000)}
PARTS = {  # of tokenizer.json, each an object, and what they must say
    "normalizer": {"type": OneOf(("BertNormalizer",)), **NORMALIZER},
    "pre_tokenizer": {"type": OneOf(("BertPreTokenizer",))},
    "post_processor": {"type": OneOf(("TemplateProcessing", "BertProcessing")), "single": OneOf((SINGLE,))},
    "model": {"type": OneOf(("WordPiece",)), **MODEL},
}
OPTIONAL = "single", *MODEL
SLOW = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def load_tokenizer(folder: str | Path, size: int) -> Any:
    """The tokenizer (of the package `tokenizers`) in a folder, which neither pads nor cuts off.

    Args:
        size: the network's vocabulary: no token has a number from there on.

    Raises:
        InputError: there is none, it is damaged, or not BERT's.
        ImportError: `tokenizers` is not installed.
    """
    folder = Path(folder)
    if (folder / TOKENIZER).exists():
        return read_tokenizer(folder / TOKENIZER, size)
    if not (folder / VOCABULARY).exists():
        raise InputError(f"{folder}: neither {TOKENIZER} nor {VOCABULARY} is there")
    options = {}
    if (folder / OPTIONS).exists():
        said = read_json(folder / OPTIONS, dict)
        check(said, {name: NORMALIZER[ours] for name, ours in SLOW.items()}, folder / OPTIONS, optional=tuple(SLOW))
        options = {ours: said[name] for name, ours in SLOW.items() if name in said}
    return make(read_vocabulary(folder / VOCABULARY), options, folder / VOCABULARY, size)


def read_tokenizer(path, size):
    """The tokenizer that a tokenizer.json describes."""
    found = read_json(path, dict)
    for name, schema in PARTS.items():
        if not isinstance(found.get(name), dict):
            raise InputError(f"{path}: {name} is {shown(found.get(name))}, expected an object")
        check(found[name], schema, f"{path}: {name}", optional=OPTIONAL)
    vocabulary = found["model"].get("vocab")
    check({"vocab": vocabulary}, {"vocab": Table(Integer(0, 1 << 24))}, f"{path}: model")
    check_added(found.get("added_tokens", []), vocabulary, path)
    options = {name: found["normalizer"][name] for name in NORMALIZER}
    return make(vocabulary, options, path, size, found["model"].get("max_input_chars_per_word", 100))


def check_added(tokens, vocabulary, path):
    """InputError if tokens are added to a vocabulary that are not BERT's own."""
    if not isinstance(tokens, list):
        raise InputError(f"{path}: added_tokens is {shown(tokens)}, expected a list")
    for token in tokens:
        name, number = (token.get(x) if isinstance(token, dict) else None for x in ("content", "id"))
        if name not in SPECIAL or number != vocabulary.get(name):
            raise InputError(f"{path}: added_tokens has {shown(name)}, expected only {', '.join(SPECIAL)} as in vocab")


def read_vocabulary(path):
    """Token to number, of a file with a token a line."""
    try:
        text = read_bytes(path, JSON_BYTES).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a vocabulary in UTF-8 ({error.reason})") from error
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    found = {line: i for i, line in enumerate(lines)}
    if len(found) < len(lines):
        twice = next(line for i, line in enumerate(lines) if found[line] != i)
        raise InputError(f"{path}: the token {shown(twice)} is there twice")
    return found


def make(vocabulary: Mapping[str, int], options: Mapping[str, Any], path: Path, size: int, most: int = 100) -> Any:
    """A tokenizer.

    Args:
        vocabulary: token to number.
        options: of `tokenizers.normalizers.BertNormalizer`.
        path: the vocabulary's, for messages.
        size: as for `load_tokenizer`.
        most: characters of a word that is not unknown.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    missing = [token for token in (FIRST, LAST, UNKNOWN) if token not in vocabulary]
    if missing:
        raise InputError(f"{path}: the token {missing[0]} is missing")
    if max(vocabulary.values()) >= size:
        raise InputError(f"{path}: a token is number {max(vocabulary.values())}, but vocab_size is {size}")
    model = models.WordPiece(
        dict(vocabulary), unk_token=UNKNOWN, continuing_subword_prefix="##", max_input_chars_per_word=most
    )
    made = Tokenizer(model)
    made.normalizer = normalizers.BertNormalizer(**options)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing((LAST, vocabulary[LAST]), (FIRST, vocabulary[FIRST]))
    made.add_special_tokens([token for token in SPECIAL if token in vocabulary])
    return made
