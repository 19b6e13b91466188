"""What the name of an emoji says, word by word, so that two of which one word differs are known as a pair."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PEOPLE = "people-body"  # the category in which there are skin tones
FILE = re.compile(r"((?:[a-z]+-flat)|[a-z]+)-([a-z0-9-]+)")
TONE = re.compile(r"-(medium-light|medium-dark|light|medium|dark)(?:-skin-tone(?=-|$)|$)")  # the tone alone: Fluent's
PLAIN = "yellow"  # the skin of those without a tone
ALIASES = {  # names that say a person's sex in a word of their own
    "mermaid": "woman-merperson",
    "merman": "man-merperson",
    "mrs-claus": "woman-claus",
    "santa-claus": "man-claus",
    "mx-claus": "person-claus",
    "prince": "man-royal",
    "princess": "woman-royal",
    "older-person": "old-person",
    "closed-book": "red-book",
}
PERSONS = {  # word of a name: (which words it stands beside, what an instruction calls it, `them` and `their`)
    "man": ("grown", "a man", "him his"),
    "woman": ("grown", "a woman", "her her"),
    "person": ("grown", "a gender-neutral person", "them their"),
    "men": ("several", "men", "them their"),
    "women": ("several", "women", "them their"),
    "people": ("several", "gender-neutral people", "them their"),
    "boy": ("young", "a boy", "him his"),
    "girl": ("young", "a girl", "her her"),
    "child": ("young", "a gender-neutral child", "them their"),
}
PARTS = re.compile(  # of a body: hands and the like, which belong to no person in the picture
    "backhand|biceps|ear|fist|fingers?|foot|hands?|handshake|horns|index|leg|nail|nose|palms?|selfie|thumbs?|victory"
    "|vulcan|you"
)
HAIR = {"red-hair": "red hair", "curly-hair": "curly hair", "white-hair": "white hair", "bald": "a bald head"}
HAIR |= {"blond-hair": "blond hair", "blonde-hair": "blond hair", "beard": "a beard", "": "plain hair"}
COLOURS = r"light-blue|red|orange|yellow|green|blue|purple|brown|black|white|pink|grey"
TIME = re.compile("(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)-(oclock|thirty)")
MOODS = {
    "anguished-face": "anguished",
    "angry-face": "angry",
    "anxious-face-with-sweat": "anxious",
    "astonished-face": "astonished",
    "beaming-face-with-smiling-eyes": "beaming",
    "cold-face": "freezing",
    "confused-face": "confused",
    "crying-face": "crying",
    "disappointed-face": "disappointed",
    "downcast-face-with-sweat": "downcast",
    "drooling-face": "drooling",
    "enraged-face": "furious",
    "expressionless-face": "blank",
    "face-screaming-in-fear": "terrified",
    "face-with-rolling-eyes": "bored",
    "face-with-spiral-eyes": "dizzy",
    "face-with-steam-from-nose": "fuming",
    "face-with-tears-of-joy": "laughing",
    "face-with-thermometer": "feverish",
    "fearful-face": "scared",
    "flushed-face": "embarrassed",
    "frowning-face": "frowning",
    "grimacing-face": "grimacing",
    "grinning-face": "grinning",
    "hot-face": "sweltering",
    "kissing-face": "kissing",
    "loudly-crying-face": "sobbing",
    "nauseated-face": "sick",
    "neutral-face": "neutral",
    "pensive-face": "pensive",
    "pleading-face": "pleading",
    "pouting-face": "furious",
    "relieved-face": "relieved",
    "sleeping-face": "sleeping",
    "sleepy-face": "sleepy",
    "slightly-smiling-face": "slightly smiling",
    "smiling-face-with-halo": "innocent",
    "smiling-face-with-heart-eyes": "lovestruck",
    "smiling-face-with-horns": "devilish",
    "smiling-face-with-smiling-eyes": "happy",
    "smiling-face-with-sunglasses": "cool",
    "smirking-face": "smirking",
    "thinking-face": "thoughtful",
    "tired-face": "tired",
    "unamused-face": "unamused",
    "weary-face": "weary",
    "winking-face": "winking",
    "woozy-face": "tipsy",
    "worried-face": "worried",
    "yawning-face": "yawning",
    "zany-face": "crazy",
}


@dataclasses.dataclass(frozen=True)
class Drawing:
    """An emoji of a set: file, split, set, category, the words of its name without the skin tone, and that or ""."""

    path: Path
    split: str
    family: str
    category: str
    words: tuple[str, ...]
    tone: str

    @property
    def stem(self) -> str:
        return self.path.stem


class Reading(NamedTuple):
    """One word of a name: an edit's kind, the name without the word, and the word as an instruction says it."""

    kind: str
    rest: tuple[str, ...]
    word: str


def read_name(path: Path, split: str, category: str) -> Drawing | None:
    """The emoji of a file SET-NAME.png; None for one that is not named so, or has two skin tones."""
    match = FILE.fullmatch(path.stem)
    if not match:
        return None
    name, tones = match[2], []
    if category == PEOPLE:
        tones = [tone[1] for tone in TONE.finditer(f"-{name}")]
        name = TONE.sub("", f"-{name}").strip("-") or name
    if len(tones) > 1:
        return None
    words = tuple(ALIASES.get(name, name).split("-"))
    return Drawing(path, split, match[1], category, words, tones[0] if tones else "")


def readings(drawing: Drawing) -> Iterator[Reading]:
    """What each word of a name could be instead of another one: those of the same kind and rest are siblings."""
    name, tone = "-".join(drawing.words), drawing.tone
    if drawing.category == PEOPLE:
        yield Reading("skin tone", drawing.words, tone or PLAIN)
        yield from persons(drawing)
    elif colour := re.fullmatch(f"((?:.*?-)??)({COLOURS})(-.*)", name):
        yield Reading("colour", (colour[1], colour[3]), colour[2].replace("-", " "))
    if name in MOODS:
        yield Reading("mood", (), MOODS[name])
    if time := TIME.fullmatch(name):
        said = f"{time[1]} o'clock" if time[2] == "oclock" else f"half past {time[1]}"
        yield from (Reading("clock", (part,), said) for part in time.groups())
    yield from directions(drawing)


def persons(drawing):
    """Who is seen, with what hair. A role without a word for that, such as `judge`, is a person's."""
    found = [word for word in drawing.words if word in PERSONS]
    if len(found) > 1:
        return
    word = found[0] if found else "person"
    group, said, _ = PERSONS[word]
    rest = tuple(w for w in drawing.words if w != word)
    yield Reading("person", (group, *rest, drawing.tone), said)
    if found and group == "grown" and drawing.words[0] == word and (hair := HAIR.get("-".join(rest))):
        yield Reading("hair", (word, drawing.tone), hair)


def directions(drawing):
    """Whether it faces left, which people do by themselves, or right."""
    sides = [re.fullmatch(r"(left|right)(wards)?", word) for word in drawing.words]
    found = [side for side in sides if side]
    if len(found) == 1:
        rest = tuple("side" if side else word for side, word in zip(sides, drawing.words))
        rest = rest[:-2] if rest[-2:] == ("facing", "side") else rest
        yield Reading("direction", (*rest, drawing.tone), found[0][1])
    elif not found and drawing.category == PEOPLE:
        yield Reading("direction", (*drawing.words, drawing.tone), "left")


def pronouns(drawing: Drawing) -> dict[str, str]:
    """`them` and `their` of who is seen."""
    person = next((PERSONS[word][2] for word in drawing.words if word in PERSONS), None)
    if person is None:
        person = "it the" if drawing.category != PEOPLE or any(map(PARTS.fullmatch, drawing.words)) else "them their"
    return dict(zip(("them", "their"), person.split()))
