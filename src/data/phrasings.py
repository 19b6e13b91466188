"""The wording of instructions: for each kind of edit eight phrasings that are seen in training, and four held out.

A held-out phrasing has other words, not other punctuation: what is measured with it is whether the text was understood.
Text encoders hardly tell `brighter` from `darker`, so that each kind is said in ways that have little in common.
"""

import re
from collections.abc import Mapping

from src.data.emoji import number

SEEN, HELD_OUT = "seen", "held out"

PHOTOGRAPHS = {  # operation of `src.data.edits`: what is seen, what is held out
    "brighter": (
        "make it brighter|brighten the picture|it is too dark, give it more light|lighten it up"
        "|turn up the brightness|more light, please|raise the exposure|let more light in",
        "it needs to be a lot brighter|lighter, please|increase the brightness|as if the sun had come out",
    ),
    "darker": (
        "make it darker|darken the picture|it is too bright, take some light away|dim it"
        "|turn down the brightness|less light, please|lower the exposure|make it look like dusk",
        "it should be a lot darker|dimmer, please|reduce the brightness|as if night were falling",
    ),
    "more contrast": (
        "more contrast, please|raise the contrast|make light and dark stand apart|make it punchier|stronger contrast"
        "|it is flat, strengthen its contrast|deepen the shadows and lift the highlights|blacker blacks, whiter whites",
        "increase the contrast|it looks too flat|boost the difference between bright and dark|a hard, contrasty look",
    ),
    "less contrast": (
        "less contrast, please|lower the contrast|bring light and dark closer together|make it flatter|weaker contrast"
        "|it is harsh, soften its contrast|lift the shadows and tame the highlights|wash it out",
        "reduce the contrast|it looks too harsh|shrink the difference between bright and dark|a flat, faded look",
    ),
    "warmer": (
        "make it warmer|warmer colours, please|a warm, golden light|shift the colours towards orange"
        "|as if lit by the evening sun|it looks cold, warm it up|give it a yellowish tint|more red and less blue",
        "warm up the white balance|add a cosy glow|like candlelight|a warm colour temperature",
    ),
    "cooler": (
        "make it cooler|cooler colours, please|a cold, bluish light|shift the colours towards blue"
        "|as if lit by the moon|it looks warm, cool it down|give it a blue tint|more blue and less red",
        "cool down the white balance|add a chilly mood|like a winter morning|a cold colour temperature",
    ),
    "hue": (
        "shift the hue|rotate the colours|turn every colour into another one|change all the colours"
        "|move the hues around the colour wheel|swap the colours for others|give it wrong colours|strange colours",
        "alter the hue|spin the colour wheel|give everything a different colour|false colours, please",
    ),
    "more saturated": (
        "make the colours more vivid|more saturation, please|richer colours|make it more colourful"
        "|turn up the saturation|stronger colours|the colours are dull, intensify them|make the colours pop",
        "boost the saturation|livelier colours, please|I want bold, intense colours|it looks pale, add colour",
    ),
    "less saturated": (
        "make the colours paler|less saturation, please|muted colours|make it less colourful"
        "|turn down the saturation|weaker colours|the colours are too loud, quieten them|pastel colours",
        "reduce the saturation|subdued colours, please|I want faint, dull colours|it looks gaudy, take some colour out",
    ),
    "blur": (
        "blur it|make it blurry|out of focus, please|smooth away the details"
        "|make it look unfocused|soften the picture|a soft blur all over|take the sharpness away",
        "defocus the shot|it should look smeared|as if seen through frosted glass|less sharp, please",
    ),
    "sharpen": (
        "sharpen it|make it sharper|crisper edges, please|bring out the details"
        "|make it look more in focus|enhance the sharpness|strengthen the edges|it is soft, make it crisp",
        "increase the sharpness|clearer details, please|as if the lens were better|more definition",
    ),
    "noise": (
        "add noise|make it grainy|film grain, please|sprinkle random specks over it"
        "|make it look noisy|like a shot at high ISO|put grain on it|a rough, noisy look",
        "introduce random noise|speckled, please|like a cheap old camera at night|cover it with grains",
    ),
    "greyscale": (
        "make it black and white|turn it into greyscale|remove all colour|grey tones only"
        "|black and white, please|no colours at all|a monochrome picture|desaturate it completely",
        "convert it to grayscale|take every colour away|like a newspaper photo|shades of grey",
    ),
    "sepia": (
        "make it sepia|a sepia tone, please|tint it brown like an old photograph|an antique, brownish look"
        "|like a photo from 1900|turn it into sepia|give it a vintage brown tone|age it",
        "apply a sepia filter|as if from grandmother's album|old-fashioned brown tones|make it look a century old",
    ),
    "invert": (
        "invert the colours|turn it into a negative|make light dark and dark light|like a film negative"
        "|a negative, please|reverse the colours|swap black and white|show the inverse",
        "apply colour inversion|a photographic negative|flip every colour to its opposite|as an X-ray would look",
    ),
    "crop": (
        "zoom in|crop to the middle|show only the centre|enlarge the middle part"
        "|move closer|cut away the borders|get closer to the subject|magnify the centre",
        "zoom into the middle half|a close-up, please|trim the edges|fill the frame with the centre",
    ),
    "mirror": (
        "mirror it|flip it horizontally|swap left and right|show it as in a mirror"
        "|flip it from left to right|the mirror image, please|reverse it sideways|turn it round, left to right",
        "reflect it horizontally|make the left side the right side|a mirrored version|as seen in a looking glass",
    ),
}
EMOJI = {  # kind of `src.data.emoji_names`: {word} for what is wanted, {them} and {their} for who is seen
    "skin tone": (
        "make {their} skin {word}|{word} skin, please|give {them} {word} skin|change the skin tone to {word}"
        "|I would like {word} skin|{their} skin should be {word}|with {word} skin|use the {word} skin tone",
        "{word} skin instead|let {their} skin be {word}|turn the skin {word}|can {their} skin tone be {word}?",
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
