"""The wording of instructions: of each kind of edit a third of the phrasings is held out, the others train.

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
        "|turn up the brightness|more light, please|raise the exposure|let more light in|brighter"
        "|brighter, please|increase the light|add light to the scene|make the whole scene lighter"
        "|it looks underexposed, fix that|flood it with light|a bright version|make it look sunny"
        "|open up the shadows, all of it lighter|up the exposure|make it glow with daylight",
        "it needs to be a lot brighter|lighter, please|increase the brightness|as if the sun had come out"
        "|illuminate the scene|overexpose it a little|it is gloomy, cheer it up with light|lots of light"
        "|give it a high-key look|a picture full of light",
    ),
    "darker": (
        "make it darker|darken the picture|it is too bright, take some light away|dim it|turn down the brightness"
        "|less light, please|lower the exposure|make it look like dusk|darker|darker, please|decrease the light"
        "|take light out of the scene|make the whole scene darker|it looks overexposed, fix that"
        "|drown it in shadow|a dark version|make it look like late evening|close down the aperture"
        "|cut the exposure|shade it",
        "it should be a lot darker|dimmer, please|reduce the brightness|as if night were falling"
        "|turn down the lights|underexpose it a little|it is glaring, tone it down|hardly any light"
        "|give it a low-key look|a picture full of shadow",
    ),
    "more contrast": (
        "more contrast, please|raise the contrast|make light and dark stand apart|make it punchier"
        "|stronger contrast|it is flat, strengthen its contrast|deepen the shadows and lift the highlights"
        "|blacker blacks, whiter whites|more contrast|higher contrast|add contrast"
        "|increase the difference between light and dark|make the darks darker and the lights lighter"
        "|push the contrast up|a high-contrast version|make it starker|harden the tones|crank up the contrast"
        "|bolder lights and shadows|a hard look with strong contrast",
        "increase the contrast|it looks too flat|boost the difference between bright and dark"
        "|a hard, contrasty look|maximise the contrast|bright parts brighter, dark parts darker"
        "|a contrast-rich picture|make the tones more extreme|strong lights and deep shadows"
        "|whiten the whites, blacken the blacks",
    ),
    "less contrast": (
        "less contrast, please|lower the contrast|bring light and dark closer together|make it flatter"
        "|weaker contrast|it is harsh, soften its contrast|lift the shadows and tame the highlights|wash it out"
        "|less contrast|lower contrast, please|take contrast out|decrease the difference between light and dark"
        "|make the darks lighter and the lights darker|pull the contrast down|a low-contrast version"
        "|make it softer in tone|even out the tones|dial down the contrast|gentler lights and shadows"
        "|as if seen through haze",
        "reduce the contrast|it looks too harsh|shrink the difference between bright and dark|a flat, faded look"
        "|minimise the contrast|bright parts dimmer, dark parts lighter|a picture poor in contrast"
        "|make the tones less extreme|a hazy, washed-out look|grey out the blacks and the whites",
    ),
    "warmer": (
        "make it warmer|warmer colours, please|a warm, golden light|shift the colours towards orange"
        "|as if lit by the evening sun|it looks cold, warm it up|give it a yellowish tint|more red and less blue"
        "|warmer|warmer, please|add warmth|make the colours warm|a warmer tone|tint it orange|golden hour light"
        "|more orange, please|make it look like sunset|raise the colour temperature to a warm one"
        "|yellow and red tones all over|a warm filter",
        "warm up the white balance|add a cosy glow|like candlelight|a warm colour temperature|make it feel warm"
        "|sunset colours, please|an orange cast|turn the light golden|amber tones|paint it in warm tones",
    ),
    "cooler": (
        "make it cooler|cooler colours, please|a cold, bluish light|shift the colours towards blue"
        "|as if lit by the moon|it looks warm, cool it down|give it a blue tint|more blue and less red|cooler"
        "|cooler, please|add coolness|make the colours cold|a cooler tone|tint it blue|icy light"
        "|more blue, please|make it look like a winter night|shift the colour temperature to a cold one"
        "|blue tones all over|a cold filter",
        "cool down the white balance|add a chilly mood|like a winter morning|a cold colour temperature"
        "|make it feel cold|icy colours, please|a blue cast|turn the light bluish|arctic tones"
        "|paint it in cold tones",
    ),
    "hue": (
        "shift the hue|rotate the colours|turn every colour into another one|change all the colours"
        "|move the hues around the colour wheel|swap the colours for others|give it wrong colours|strange colours"
        "|change the hue|different hues|rotate the hue|turn red into green and green into blue"
        "|shift all colours around|recolour everything|another set of colours|exchange the colours"
        "|make the colours wrong|psychedelic colours|cycle the colours|replace each colour with another",
        "alter the hue|spin the colour wheel|give everything a different colour|false colours, please"
        "|hue shift, please|move every colour to the next one|make the colours look alien"
        "|switch the colours around|unnatural colours|every colour should be a different one",
    ),
    "more saturated": (
        "make the colours more vivid|more saturation, please|richer colours|make it more colourful"
        "|turn up the saturation|stronger colours|the colours are dull, intensify them|make the colours pop"
        "|more saturated|higher saturation|add saturation|vivid colours|colours that shine"
        "|increase the colour intensity|brilliant colours, please|saturate it|vibrant, please"
        "|more vibrant colours|deeper colours|make the colours scream",
        "boost the saturation|livelier colours, please|I want bold, intense colours|it looks pale, add colour"
        "|increase the saturation|crank up the colours|lush, vivid tones|heighten the colours"
        "|more intense colours|fiercer, more colourful colours",
    ),
    "less saturated": (
        "make the colours paler|less saturation, please|muted colours|make it less colourful"
        "|turn down the saturation|weaker colours|the colours are too loud, quieten them|pastel colours"
        "|less saturated|lower saturation|take saturation out|pale colours|colours that fade"
        "|decrease the colour intensity|faded colours, please|desaturate it a little|less vibrant"
        "|less vibrant colours|softer, paler colours|make the colours whisper",
        "reduce the saturation|subdued colours, please|I want faint, dull colours"
        "|it looks gaudy, take some colour out|decrease the saturation|tone down the colours|dull, muted tones"
        "|drain some of the colour|less intense colours|thinner, less colourful colours",
    ),
    "blur": (
        "blur it|make it blurry|out of focus, please|smooth away the details|make it look unfocused"
        "|soften the picture|a soft blur all over|take the sharpness away|blur|blurrier|blurred, please|add blur"
        "|apply a blur|make it out of focus|a blurry version|hide the details|lose the fine detail|Gaussian blur"
        "|make everything fuzzy|as if the lens were out of focus",
        "defocus the shot|it should look smeared|as if seen through frosted glass|less sharp, please"
        "|make it hazy and unsharp|unfocus it|fuzzy, please|smear the details|a blurred picture"
        "|make the outlines soft and indistinct",
    ),
    "sharpen": (
        "sharpen it|make it sharper|crisper edges, please|bring out the details|make it look more in focus"
        "|enhance the sharpness|strengthen the edges|it is soft, make it crisp|sharpen|sharper|sharper, please"
        "|add sharpness|apply sharpening|make it crisp|a crisp version|show the details more clearly"
        "|emphasise fine detail|unsharp mask|make the edges stand out|as if it were in perfect focus",
        "increase the sharpness|clearer details, please|as if the lens were better|more definition"
        "|make it clear and sharp|focus it better|crisp, please|accentuate the details|a sharper picture"
        "|make the outlines hard and distinct",
    ),
    "noise": (
        "add noise|make it grainy|film grain, please|sprinkle random specks over it|make it look noisy"
        "|like a shot at high ISO|put grain on it|a rough, noisy look|noise|noisier|noise, please|more noise"
        "|apply noise|grain all over|a grainy version|disturb it with random dots|salt it with specks"
        "|Gaussian noise|make it look like a bad television signal|as if shot in the dark with a phone",
        "introduce random noise|speckled, please|like a cheap old camera at night|cover it with grains"
        "|make it grainy and rough|static all over|grainy, please|random speckles everywhere|a noisy picture"
        "|make the picture crackle with grain",
    ),
    "greyscale": (
        "make it black and white|turn it into greyscale|remove all colour|grey tones only|black and white, please"
        "|no colours at all|a monochrome picture|desaturate it completely|greyscale|grayscale, please"
        "|black and white|in black and white|without colour|drop the colours|a black and white version"
        "|strip away the colours|make everything grey|monochrome, please|turn it grey|an old black and white film",
        "convert it to grayscale|take every colour away|like a newspaper photo|shades of grey|remove the colours"
        "|a grey picture|colourless, please|only black, white and grey|convert it to monochrome"
        "|leave no colour, only grey tones",
    ),
    "sepia": (
        "make it sepia|a sepia tone, please|tint it brown like an old photograph|an antique, brownish look"
        "|like a photo from 1900|turn it into sepia|give it a vintage brown tone|age it|sepia|sepia, please"
        "|a sepia filter|in sepia|brown tones|an old brown photograph|a sepia version|turn it brown and old"
        "|vintage, please|like an antique photograph|nostalgic brown tones|a faded brown print",
        "apply a sepia filter|as if from grandmother's album|old-fashioned brown tones|make it look a century old"
        "|make it look vintage|a sepia picture|an aged, brown photo|tone it sepia"
        "|like a photograph from the nineteenth century|tones of old brown paper",
    ),
    "invert": (
        "invert the colours|turn it into a negative|make light dark and dark light|like a film negative"
        "|a negative, please|reverse the colours|swap black and white|show the inverse|invert|inverted, please"
        "|invert it|negative|a negative version|opposite colours|replace each colour by its complement"
        "|black becomes white and white becomes black|inverse colours|make it a negative"
        "|complementary colours everywhere|turn dark into bright and bright into dark",
        "apply colour inversion|a photographic negative|flip every colour to its opposite|as an X-ray would look"
        "|inverted colours|show it as a negative|the opposite of every colour|exchange light and dark"
        "|an inverted picture|the reverse of all its colours",
    ),
    "crop": (
        "zoom in|crop to the middle|show only the centre|enlarge the middle part|move closer|cut away the borders"
        "|get closer to the subject|magnify the centre|crop|crop it|zoom|zoom in, please|a close-up of the centre"
        "|zoom in on the middle|only the middle, enlarged|closer, please|get nearer|crop it tightly"
        "|show the centre larger|go in closer",
        "zoom into the middle half|a close-up, please|trim the edges|fill the frame with the centre"
        "|zoom in closer|bring the middle nearer|a tighter crop|blow up the central part"
        "|remove the edges and enlarge the rest|only the middle half, larger",
    ),
    "mirror": (
        "mirror it|flip it horizontally|swap left and right|show it as in a mirror|flip it from left to right"
        "|the mirror image, please|reverse it sideways|turn it round, left to right|mirror|mirrored, please|flip"
        "|flip it|a horizontal flip|left becomes right|exchange left and right|a mirror image"
        "|flip the picture sideways|reflect it left to right|the other way round|reverse left and right",
        "reflect it horizontally|make the left side the right side|a mirrored version|as seen in a looking glass"
        "|flip it left to right|turn it into its mirror image|horizontally flipped, please"
        "|switch the left and the right side|a reflected version|left and right the other way round",
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
