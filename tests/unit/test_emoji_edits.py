"""Pairs of emoji: which names differ in one word, what is asked for, and which lines an image gets."""

import collections
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.config import InputError
from src.data.emoji_edits import EmojiOptions, balanced, find_edits, find_emoji, write_emoji
from src.data.emoji_names import pronouns, read_name
from src.data.phrasings import EMOJI, HELD_OUT, SEEN
from src.data.triples import new_triples, read_triples
from tests.conftest import photo

DARK, LIGHT = "dark-skin-tone", "medium-light-skin-tone"


def drawing(place):
    split, category, name = place.split("/")
    return read_name(Path(f"{name}.png"), split, category)


def edits(*places):
    """(kind, image, edited, word) of all edits among some emoji."""
    found = find_edits(filter(None, map(drawing, places)))
    return sorted((e.kind, e.image.stem, e.edited.stem, e.word) for e in found)


def people(*names, split="train"):
    return [f"{split}/people-body/{name}" for name in names]


@pytest.mark.parametrize(
    "places, kind, first, second",
    [
        (people("noto-woman-judge", f"noto-woman-judge-{DARK}"), "skin tone", "yellow", "dark"),
        (people(f"noto-man-{LIGHT}-beard", f"noto-man-{DARK}-beard"), "skin tone", "dark", "medium-light"),
        (people("fluent-thumbs-up-dark", "fluent-thumbs-up-medium-light"), "skin tone", "dark", "medium-light"),
        (people("fluent-flat-woman", "fluent-flat-woman-dark"), "skin tone", "yellow", "dark"),
        (people("noto-judge", "noto-man-judge"), "person", "a gender-neutral person", "a man"),
        (people(f"noto-man-judge-{DARK}", f"noto-woman-judge-{DARK}"), "person", "a man", "a woman"),
        (people("noto-mermaid", "noto-merperson"), "person", "a woman", "a gender-neutral person"),
        (people("noto-boy", "noto-girl"), "person", "a boy", "a girl"),
        (people("noto-men-wrestling", "noto-people-wrestling"), "person", "men", "gender-neutral people"),
        (people("noto-older-person", "noto-old-woman"), "person", "a woman", "a gender-neutral person"),
        (people(f"noto-man-{DARK}-red-hair", f"noto-man-{DARK}-bald"), "hair", "a bald head", "red hair"),
        (people("noto-woman", "noto-woman-blond-hair"), "hair", "plain hair", "blond hair"),
        (people("noto-man-running", "noto-man-running-facing-right"), "direction", "left", "right"),
        (people("noto-left-facing-fist", "noto-right-facing-fist"), "direction", "left", "right"),
        (people("noto-leftwards-hand", "noto-rightwards-hand"), "direction", "left", "right"),
        (["train/symbols/noto-left-arrow", "train/symbols/noto-right-arrow"], "direction", "left", "right"),
        (["train/smileys-emotion/noto-light-blue-heart", "train/smileys-emotion/noto-red-heart"], *("colour",) * 3),
        (["train/objects/noto-blue-book", "train/objects/noto-closed-book"], "colour", "blue", "red"),
        (
            ["train/travel-places/noto-two-oclock", "train/travel-places/noto-two-thirty"],
            *("clock", "two o'clock", "half past two"),
        ),
        (
            ["train/smileys-emotion/noto-angry-face", "train/smileys-emotion/noto-grinning-face"],
            *("mood", "angry", "grinning"),
        ),
    ],
)
def test_names_that_differ_in_one_word(places, kind, first, second):
    found = edits(*places)
    words = {"light blue", "red"} if first == second else {first, second}
    assert len(found) == 2 and {e[0] for e in found} == {kind} and {e[3] for e in found} == words
    assert {(e[1], e[2]) for e in found} == {tuple(p.split("/")[2] for p in order) for order in (places, places[::-1])}
    for _, _, edited, word in found:  # the word is what the edited picture has
        other = next(e for e in found if e[1] == edited)
        assert other[3] != word


@pytest.mark.parametrize(
    "places",
    [
        people("noto-woman-judge", f"noto-man-judge-{DARK}"),  # two words
        people("noto-women-holding-hands", f"noto-women-holding-hands-{DARK}-{LIGHT}"),  # two tones
        people(f"noto-handshake-{LIGHT}-{DARK}", f"noto-handshake-{DARK}-{LIGHT}"),
        people("noto-woman-judge", f"twemoji-woman-judge-{DARK}"),  # two sets
        people("fluent-woman", "fluent-flat-woman-dark"),
        people("noto-judge") + people("noto-man-judge", split="test"),  # two splits
        people("noto-boy", "noto-man"),
        people("noto-man", "noto-men-wrestling"),
        people("noto-kiss-man-man", "noto-kiss-woman-man"),
        people("noto-family-man-boy", "noto-family-woman-boy"),
        people("noto-man-red-hair", f"noto-man-{DARK}-bald"),
        people("noto-man-red-hair", "noto-woman-bald"),
        ["train/symbols/noto-left-right-arrow", "train/symbols/noto-right-arrow"],
        ["train/travel-places/noto-two-oclock", "train/travel-places/noto-three-thirty"],
        ["train/travel-places/noto-police-car-light", "train/travel-places/noto-police-car"],
        ["train/symbols/noto-red-circle", "train/symbols/noto-blue-square"],
    ],
)
def test_names_that_do_not(places):
    assert edits(*places) == []


def test_every_sibling_is_there():
    tones = ["", *(f"-{tone}-skin-tone" for tone in ("light", "medium-light", "medium", "medium-dark", "dark"))]
    names = [f"noto-{who}cook{tone}" for who in ("", "man-", "woman-") for tone in tones]
    found = find_edits(map(drawing, people(*names)))
    each = collections.Counter((e.image.stem, e.kind) for e in found)
    assert len(found) == 18 * 7 and set(each.values()) == {5, 2}
    assert len({e.line for e in found}) == len(found)


def test_balance():
    tones = ["", *(f"-{tone}-skin-tone" for tone in ("light", "medium-light", "medium", "medium-dark", "dark"))]
    found = find_edits(map(drawing, people(*(f"noto-{who}cook{t}" for who in ("", "man-", "woman-") for t in tones))))
    own = [e for e in found if e.image.stem == "noto-cook"]
    kinds = collections.Counter(e.kind for e in balanced(own, 4))
    assert kinds == {"person": 2, "skin tone": 2} and len(balanced(own, 12)) == 7
    assert balanced(own, 4) == balanced(own[::-1], 4)


@pytest.mark.parametrize(
    "name, them",
    [
        ("woman-judge", "her her"),
        ("santa-claus", "him his"),
        ("judge", "them their"),
        ("women-wrestling", "them their"),
        ("thumbs-up", "it the"),
        ("backhand-index-pointing-left", "it the"),
        ("person-raising-hand", "them their"),
    ],
)
def test_pronouns(name, them):
    assert " ".join(pronouns(drawing(f"train/people-body/noto-{name}")).values()) == them
    assert pronouns(drawing("train/symbols/noto-red-circle")) == {"them": "it", "their": "the"}


@pytest.fixture
def folder(tmp_path):
    """Emoji of three splits, one damaged, two alike, one transparent."""
    places = [
        *(f"{split}/people-body/noto-woman-{role}{tone}" for split, role in zip(("train", "valid", "test"), "abc")
          for tone in ("", f"-{DARK}", f"-{LIGHT}")),
        "train/objects/noto-blue-book", "train/objects/noto-green-book", "train/objects/noto-red-book",
        "train/objects/noto-orange-book", "train/objects/README",
    ]  # fmt: skip
    for i, place in enumerate(places):
        path = tmp_path / "emoji" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(20, 20, 0 if "green" in place or "blue" in place else i)).convert("RGBA").save(path)
    nearly = photo(20, 20, 0)
    nearly[3, 4] ^= 8
    Image.fromarray(nearly).save(tmp_path / "emoji" / "train/objects/noto-green-book.png")
    wide = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    wide.paste("black", (30, 0, 40, 20))
    wide.save(tmp_path / "emoji" / "test/people-body/noto-woman-c.png")
    (tmp_path / "emoji" / "train/objects/noto-red-book.png").write_bytes(b"damaged")
    Image.fromarray(photo(9, 9)).save(tmp_path / "emoji" / "loose.png")
    return tmp_path


def made(folder, **options):
    said, done = [], []
    with new_triples(folder / "out", ["train", "valid", "test"]) as writer:
        write_emoji(writer, folder / "emoji", EmojiOptions(**options), lambda *n: done.append(n), said.append)
    assert done[-1][0] == done[-1][1]
    return {s: read_triples(folder / "out" / f"{s}.jsonl") for s in ("train", "valid", "test")}, said


def test_lines_of_a_folder(folder):
    found, said = made(folder, size=16)
    assert len(said) == 1 and "noto-red-book.png: not a readable image" in str(said[0])
    kinds = {split: collections.Counter((t.kind, t.phrasing) for t in lines) for split, lines in found.items()}
    assert kinds["valid"] == {("skin tone", SEEN): 6}
    assert kinds["test"] == {("skin tone", SEEN): 6, ("skin tone", HELD_OUT): 6}
    assert kinds["train"] == {("skin tone", SEEN): 6, ("colour", SEEN): 4}  # blue and green look the same
    assert not any({t.image.stem, t.edited.stem} == {"noto-blue-book", "noto-green-book"} for t in found["train"])
    for triple in found["train"] + found["test"]:
        assert Image.open(triple.image).size == Image.open(triple.edited).size == (16, 16)
        assert Image.open(triple.image).mode == "RGB"
        if triple.kind == "skin tone":
            tone = next((t for t in ("medium-light", "dark") if t in triple.edited.stem), "yellow")
            assert f" {tone}" in f" {triple.instruction}" and triple.phrasing in (SEEN, HELD_OUT)
    wide = np.asarray(Image.open(next(t.image for t in found["test"] if t.image.stem == "noto-woman-c")))
    assert (wide[:4] == 255).all() and (wide[12:] == 255).all() and (wide[:, :10] == 255).all()
    assert (wide[5:11, 14:] < 20).all()


def test_images_for_training_get_so_many_lines(folder):
    found, _ = made(folder, size=16, n_lines=1)
    assert set(collections.Counter(t.image for t in found["train"]).values()) == {1}
    assert set(collections.Counter(t.image for t in found["test"]).values()) == {4}


def test_folders_without_emoji(tmp_path, photos):
    for folder, message in ((tmp_path / "none", "no such folder"), (photos, "no emoji in it")):
        with pytest.raises(InputError, match=message):
            find_emoji(folder)


def test_every_kind_has_words():
    assert set(EMOJI) == {"skin tone", "person", "hair", "colour", "direction", "clock", "mood"}
