"""The wording of instructions: of each kind of edit a third of the phrasings is held out, the others train.

A held-out phrasing has other words, not other punctuation: what is measured with it is whether the text was understood.
Text encoders hardly tell `brighter` from `darker`, so that each kind is said in ways that have little in common.
"""

import re
from collections.abc import Mapping

from src.data.emoji import number
from src.data.photo_phrasings import PHOTOGRAPHS

SEEN, HELD_OUT = "seen", "held out"

EMOJI = {  # kind of `src.data.emoji_names`: {word} for what is wanted, {them} and {their} for who is seen
    "skin tone": (
        "make {their} skin {word}|{word} skin, please|give {them} {word} skin|change the skin tone to {word}"
        "|I would like {word} skin|{their} skin should be {word}|with {word} skin|use the {word} skin tone"
        "|{word} skin|set the skin tone to {word}|paint {their} skin {word}|show {them} with {word} skin"
        "|I want {their} skin to be {word}|recolour the skin to {word}|make the skin tone {word}"
        "|draw {them} with a {word} skin tone|{their} skin has to be {word}|pick {word} for the skin"
        "|adjust {their} skin to {word}|could you make {their} skin {word}?|render the skin as {word}"
        "|someone with {word} skin|{their} face and hands in {word}|{word} as the skin colour",
        "{word} skin instead|let {their} skin be {word}|turn the skin {word}|can {their} skin tone be {word}?"
        "|colour {their} skin {word}|the same, but with {word} skin|how about {word} skin?|switch to {word} skin"
        "|I prefer {their} skin {word}|let {them} have {word} skin|go for a {word} complexion"
        "|{word} ought to be {their} skin",
    ),
    "person": (
        "make {them} {word}|{word} instead|turn {them} into {word}|change this to {word}"
        "|it should be {word}|show {word}|{word}, please|I want {word} here",
        "swap {them} for {word}|let this be {word}|replace {them} with {word}|could it be {word}?",
    ),
    "hair": (
        "give {them} {word}|{word}, please|I want {word}|let {them} have {word}"
        "|show {them} with {word}|{word} instead|make it {word}|with {word}",
        "how about {word}?|I would prefer {word}|the same, but with {word}|a version with {word}",
    ),
    "colour": (
        "make it {word}|{word}, please|change the colour to {word}|paint it {word}"
        "|turn it {word}|a {word} one instead|I want it in {word}|use {word} as the colour",
        "recolour it {word}|let it be {word}|could it be {word}?|the same in {word}",
    ),
    "direction": (
        "turn {them} to the {word}|facing {word}, please|point {word}|look {word}"
        "|make it face {word}|towards the {word} side|flip it so that it faces {word}|{word} instead",
        "the other way, to the {word}|direct it to the {word}|let it go {word}|face the {word} edge",
    ),
    "clock": (
        "set the clock to {word}|make it {word}|{word}, please|change the time to {word}"
        "|the clock should show {word}|turn the hands to {word}|show {word}|move the hands to {word}",
        "it is {word} now|let it be {word}|adjust the clock to {word}|{word} instead",
    ),
    "mood": (
        "make it look {word}|a {word} face, please|turn it into a {word} face|let the face look {word}"
        "|it should look {word}|give it a {word} expression|{word}, please|I want a {word} face",
        "let it be {word}|a {word} look instead|could it seem {word}?|swap the expression for a {word} one",
    ),
}


def phrasings(kind: str, phrasing: str) -> list[str]:
    """The phrasings of a kind of edit, SEEN or HELD_OUT; those of emoji are to be filled in."""
    return (PHOTOGRAPHS | EMOJI)[kind][phrasing == HELD_OUT].split("|")


def instruction(kind: str, phrasing: str, line: str, words: Mapping[str, str] | None = None) -> str:
    """What asks for an edit.

    Args:
        kind: of edit.
        phrasing: SEEN or HELD_OUT.
        line: a text that no other line of a data set has: which of the phrasings it gets follows from it.
        words: what fills in `word`, `them` and `their`.
    """
    offered = phrasings(kind, phrasing)
    text = offered[number(line) % len(offered)].format(**words or {})
    return re.sub(r"\ba (?=[aeiou])", "an ", text)
