"""The wording of instructions for photographs: forty phrasings of each operation to train on, twenty held out."""

PHOTOGRAPHS = {  # operation of `src.data.edits`: what is seen, what is held out
    "brighter": (
        "make it brighter|brighten the picture|it is too dark, give it more light|lighten it up"
        "|turn up the brightness|more light, please|raise the exposure|let more light in|brighter|brighter, please"
        "|increase the light|add light to the scene|make the whole scene lighter|it looks underexposed, fix that"
        "|flood it with light|a bright version|make it look sunny|open up the shadows, all of it lighter"
        "|up the exposure|make it glow with daylight|brighten it up|can you make this brighter?"
        "|the photo should be brighter|lighten the image|lighter|a lighter picture|add brightness"
        "|boost the brightness|higher exposure|it needs more light|expose it longer|let there be light|light it up"
        "|bring up the light levels|give the picture a lift, it is dark|shine a lamp on it|as on a bright day"
        "|lift the midtones|whiter and lighter overall|gain up, please",
        "it needs to be a lot brighter|lighter, please|increase the brightness|as if the sun had come out"
        "|illuminate the scene|overexpose it a little|it is gloomy, cheer it up with light|lots of light"
        "|give it a high-key look|a picture full of light|I cannot see much, brighten this photo|push the light up"
        "|too dim, correct the exposure upwards|make everything shine brightly|a luminous version"
        "|bring some daylight in|make this image much lighter|raise the brightness level|turn on the lights"
        "|bathe it in light",
    ),
    "darker": (
        "make it darker|darken the picture|it is too bright, take some light away|dim it|turn down the brightness"
        "|less light, please|lower the exposure|make it look like dusk|darker|darker, please|decrease the light"
        "|take light out of the scene|make the whole scene darker|it looks overexposed, fix that|drown it in shadow"
        "|a dark version|make it look like late evening|close down the aperture|cut the exposure|shade it|darken it"
        "|can you make this darker?|the photo should be darker|darken the image|a darker picture"
        "|take away brightness|drop the brightness|lower exposure|it needs less light|expose it shorter"
        "|make it night|switch the lamp off|bring down the light levels|as on a dark day|lower the midtones"
        "|blacker and darker overall|gloomier, please|at night|make it look like night|dark and moody",
        "it should be a lot darker|dimmer, please|reduce the brightness|as if night were falling"
        "|turn down the lights|underexpose it a little|it is glaring, tone it down|hardly any light"
        "|give it a low-key look|a picture full of shadow|the light hurts my eyes, darken this photo"
        "|pull the light down|too bright, correct the exposure downwards|make everything dark and gloomy"
        "|a murky version|shut the daylight out|make this image much darker|lower the brightness level"
        "|switch off the lights|plunge it into darkness",
    ),
    "more contrast": (
        "more contrast, please|raise the contrast|make light and dark stand apart|make it punchier|stronger contrast"
        "|it is flat, strengthen its contrast|deepen the shadows and lift the highlights"
        "|blacker blacks, whiter whites|more contrast|higher contrast|add contrast"
        "|increase the difference between light and dark|make the darks darker and the lights lighter"
        "|push the contrast up|a high-contrast version|make it starker|harden the tones|crank up the contrast"
        "|bolder lights and shadows|a hard look with strong contrast|raise contrast|can you add some contrast?"
        "|the photo should have more contrast|contrastier, please|a contrastier picture|boost contrast"
        "|boost the contrast a lot|it needs more contrast|stretch the tones apart|widen the range from dark to light"
        "|give it punch|steeper tone curve, please|an S-curve on the tones|darker shadows and brighter highlights"
        "|dramatic contrast|stark contrast between dark and bright|expand the tonal range"
        "|separate the tones more clearly|contrast up|strong blacks and strong whites",
        "increase the contrast|it looks too flat|boost the difference between bright and dark|a hard, contrasty look"
        "|maximise the contrast|bright parts brighter, dark parts darker|a contrast-rich picture"
        "|make the tones more extreme|strong lights and deep shadows|whiten the whites, blacken the blacks"
        "|heighten the contrast|this photo is too flat, give it more contrast|contrast enhancement, please"
        "|amplify the contrast|a starker, more contrasty version|intensify light and shadow"
        "|let dark and light differ more|spread the tones out|dramatic lights against deep darks|much more contrast",
    ),
    "less contrast": (
        "less contrast, please|lower the contrast|bring light and dark closer together|make it flatter"
        "|weaker contrast|it is harsh, soften its contrast|lift the shadows and tame the highlights|wash it out"
        "|less contrast|lower contrast, please|take contrast out|decrease the difference between light and dark"
        "|make the darks lighter and the lights darker|pull the contrast down|a low-contrast version"
        "|make it softer in tone|even out the tones|dial down the contrast|gentler lights and shadows"
        "|as if seen through haze|drop the contrast|can you remove some contrast?"
        "|the photo should have less contrast|flatter, please|a flatter picture|cut contrast"
        "|weaken the contrast a lot|it needs less contrast|squeeze the tones together"
        "|narrow the range from dark to light|take the punch out of it|gentler tone curve, please|a flat profile"
        "|brighter shadows and darker highlights|matte look|faint contrast between dark and bright"
        "|compress the tonal range|bring the tones closer to the middle|contrast down"
        "|no deep blacks and no bright whites",
        "reduce the contrast|it looks too harsh|shrink the difference between bright and dark|a flat, faded look"
        "|minimise the contrast|bright parts dimmer, dark parts lighter|a picture poor in contrast"
        "|make the tones less extreme|a hazy, washed-out look|grey out the blacks and the whites"
        "|diminish the contrast|this photo is too harsh, give it less contrast|contrast reduction, please"
        "|soften the contrast|a flatter, less contrasty version|subdue light and shadow"
        "|let dark and light differ less|pull the tones together|pale blacks and dull whites|much less contrast",
    ),
    "warmer": (
        "make it warmer|warmer colours, please|a warm, golden light|shift the colours towards orange"
        "|as if lit by the evening sun|it looks cold, warm it up|give it a yellowish tint|more red and less blue"
        "|warmer|warmer, please|add warmth|make the colours warm|a warmer tone|tint it orange|golden hour light"
        "|more orange, please|make it look like sunset|raise the colour temperature to a warm one"
        "|yellow and red tones all over|a warm filter|warm it|warm the picture up|can you make this warmer?"
        "|the photo should be warmer|warm tones|a warmer picture|warmer white balance|warm up the colours"
        "|it needs warmth|more yellow, please|add some orange|add yellow|tint it yellow|a sunny, golden tint"
        "|golden tones|as by a fireplace|evening light|a summery orange tone|make the whites creamy"
        "|move the white balance towards yellow",
        "warm up the white balance|add a cosy glow|like candlelight|a warm colour temperature|make it feel warm"
        "|sunset colours, please|an orange cast|turn the light golden|amber tones|paint it in warm tones"
        "|bring warmth into this photo|raise the warmth|too cold, shift it to warmer tones"
        "|make everything glow orange|a warmer, more golden version|as at sunset|give this image a warm tint"
        "|towards yellow and orange|bathed in warm evening sun|honey-coloured light",
    ),
    "cooler": (
        "make it cooler|cooler colours, please|a cold, bluish light|shift the colours towards blue"
        "|as if lit by the moon|it looks warm, cool it down|give it a blue tint|more blue and less red|cooler"
        "|cooler, please|add coolness|make the colours cold|a cooler tone|tint it blue|icy light|more blue, please"
        "|make it look like a winter night|shift the colour temperature to a cold one|blue tones all over"
        "|a cold filter|cool it|cool the picture down|can you make this cooler?|the photo should be cooler"
        "|cold tones|a cooler picture|cooler white balance|cool down the colours|it needs to be colder|colder"
        "|colder, please|add some blue|add blue|tint it bluish|a frosty, blue tint|blue tones|as in the arctic"
        "|moonlight|a wintry blue tone|move the white balance towards blue",
        "cool down the white balance|add a chilly mood|like a winter morning|a cold colour temperature"
        "|make it feel cold|icy colours, please|a blue cast|turn the light bluish|arctic tones"
        "|paint it in cold tones|bring coolness into this photo|lower the warmth|too warm, shift it to colder tones"
        "|make everything look icy blue|a colder, bluer version|as in deep winter|give this image a cool tint"
        "|towards blue and cyan|bathed in cold moonlight|steel-blue light",
    ),
    "hue": (
        "shift the hue|rotate the colours|turn every colour into another one|change all the colours"
        "|move the hues around the colour wheel|swap the colours for others|give it wrong colours|strange colours"
        "|change the hue|different hues|rotate the hue|turn red into green and green into blue"
        "|shift all colours around|recolour everything|another set of colours|exchange the colours"
        "|make the colours wrong|psychedelic colours|cycle the colours|replace each colour with another|rotate hue"
        "|can you shift the hue?|the photo should have other colours|other colours, please|colours rotated"
        "|a hue rotation|hue rotation by a third|move red to green|red becomes green, green becomes blue"
        "|permute the colours|shuffle the colours|swap the colour channels|exchange red, green and blue"
        "|turn the colour wheel|all colours different|wrong hues|change every hue|alien colours"
        "|new colours for everything|recolour the picture completely",
        "alter the hue|spin the colour wheel|give everything a different colour|false colours, please"
        "|hue shift, please|move every colour to the next one|make the colours look alien|switch the colours around"
        "|unnatural colours|every colour should be a different one|modify all hues"
        "|this photo wants other colours everywhere|hue change, please|turn the hues round"
        "|a version with switched colours|rotate through the colour circle|let every colour become another"
        "|mix up the colours|colours swapped among each other|green for red and blue for green",
    ),
    "more saturated": (
        "make the colours more vivid|more saturation, please|richer colours|make it more colourful"
        "|turn up the saturation|stronger colours|the colours are dull, intensify them|make the colours pop"
        "|more saturated|higher saturation|add saturation|vivid colours|colours that shine"
        "|increase the colour intensity|brilliant colours, please|saturate it|vibrant, please|more vibrant colours"
        "|deeper colours|make the colours scream|saturate|can you saturate it more?"
        "|the photo should be more colourful|more colour|more colour, please|a more colourful picture"
        "|boost saturation|boost the colours|it needs more colour|intense colours|glowing colours"
        "|bright, bold colours|strengthen the colours|make every colour stronger|purer colours|punchy colours"
        "|candy colours|colours up|turn up the colours|rich and vivid",
        "boost the saturation|livelier colours, please|I want bold, intense colours|it looks pale, add colour"
        "|increase the saturation|crank up the colours|lush, vivid tones|heighten the colours|more intense colours"
        "|fiercer, more colourful colours|saturate the photo strongly|these colours are too pale, make them stronger"
        "|saturation enhancement, please|amplify the colours|a more vivid, more colourful version"
        "|let the colours glow|oversaturate it|full, strong colour|heavier, richer colour|much more saturation",
    ),
    "less saturated": (
        "make the colours paler|less saturation, please|muted colours|make it less colourful"
        "|turn down the saturation|weaker colours|the colours are too loud, quieten them|pastel colours"
        "|less saturated|lower saturation|take saturation out|pale colours|colours that fade"
        "|decrease the colour intensity|faded colours, please|desaturate it a little|less vibrant"
        "|less vibrant colours|softer, paler colours|make the colours whisper|desaturate"
        "|can you desaturate it a bit?|the photo should be less colourful|less colour|less colour, please"
        "|a less colourful picture|cut saturation|weaken the colours|it needs less colour|pastel tones"
        "|washed colours|dim, quiet colours|tone the colours down a little|make every colour weaker|greyer colours"
        "|muted|dusty colours|colours down|turn down the colours|pale and muted",
        "reduce the saturation|subdued colours, please|I want faint, dull colours"
        "|it looks gaudy, take some colour out|decrease the saturation|tone down the colours|dull, muted tones"
        "|drain some of the colour|less intense colours|thinner, less colourful colours|desaturate the photo partly"
        "|these colours are too strong, make them weaker|saturation reduction, please|soften the colours"
        "|a paler, less colourful version|let the colours fade|undersaturate it|thin, weak colour"
        "|greyish, quiet colour|much less saturation",
    ),
    "blur": (
        "blur it|make it blurry|out of focus, please|smooth away the details|make it look unfocused"
        "|soften the picture|a soft blur all over|take the sharpness away|blur|blurrier|blurred, please|add blur"
        "|apply a blur|make it out of focus|a blurry version|hide the details|lose the fine detail|Gaussian blur"
        "|make everything fuzzy|as if the lens were out of focus|blur the picture|blur the image, please"
        "|can you blur this?|the photo should be blurry|a blurry picture|blur everything|Gaussian blur, please"
        "|soft focus|soft focus, please|throw it out of focus|misted up|like looking without glasses"
        "|remove the fine detail|low-pass filter it|smooth it|make the details vanish|wipe out the fine structure"
        "|unclear outlines|dreamy blur|shake the camera",
        "defocus the shot|it should look smeared|as if seen through frosted glass|less sharp, please"
        "|make it hazy and unsharp|unfocus it|fuzzy, please|smear the details|a blurred picture"
        "|make the outlines soft and indistinct|blur this photo strongly|too sharp, blur it|a blur effect, please"
        "|make everything unsharp|a softer, blurrier version|as through a wet window|out-of-focus look"
        "|let the details melt away|smudge it|no sharp edges any more",
    ),
    "sharpen": (
        "sharpen it|make it sharper|crisper edges, please|bring out the details|make it look more in focus"
        "|enhance the sharpness|strengthen the edges|it is soft, make it crisp|sharpen|sharper|sharper, please"
        "|add sharpness|apply sharpening|make it crisp|a crisp version|show the details more clearly"
        "|emphasise fine detail|unsharp mask|make the edges stand out|as if it were in perfect focus"
        "|sharpen the picture|sharpen the image, please|can you sharpen this?|the photo should be sharper"
        "|a sharp picture|sharpen everything|sharpening, please|sharp focus|sharp focus, please|bring it into focus"
        "|more detail|finer detail, please|reveal the fine detail|high-pass filter it|crisper|crispen it"
        "|make the details visible|strengthen the fine structure|clear outlines|razor-sharp",
        "increase the sharpness|clearer details, please|as if the lens were better|more definition"
        "|make it clear and sharp|focus it better|crisp, please|accentuate the details|a sharper picture"
        "|make the outlines hard and distinct|sharpen this photo strongly|too blurry, sharpen it"
        "|a sharpening effect, please|make everything crisp|a crisper, sharper version|as through a better lens"
        "|tack-sharp look|let the details stand out|hone the edges|harder, sharper edges",
    ),
    "noise": (
        "add noise|make it grainy|film grain, please|sprinkle random specks over it|make it look noisy"
        "|like a shot at high ISO|put grain on it|a rough, noisy look|noise|noisier|noise, please|more noise"
        "|apply noise|grain all over|a grainy version|disturb it with random dots|salt it with specks|Gaussian noise"
        "|make it look like a bad television signal|as if shot in the dark with a phone|add noise to the picture"
        "|noise in the image, please|can you add grain?|the photo should be noisy|a noisy image|noise everywhere"
        "|random noise, please|grain|grain, please|more grain|sensor noise|like an old film with grain|add specks"
        "|sprinkle noise|grainy|roughen it with grain|television snow|random dots|like sandpaper"
        "|shot at a very high ISO",
        "introduce random noise|speckled, please|like a cheap old camera at night|cover it with grains"
        "|make it grainy and rough|static all over|grainy, please|random speckles everywhere|a noisy picture"
        "|make the picture crackle with grain|make this photo noisy|too clean, add noise|a noise effect, please"
        "|make everything grainy|a rougher, grainier version|as on bad film stock|high-ISO look|scatter dots over it"
        "|dirty it with random grain|pepper it with noise",
    ),
    "greyscale": (
        "make it black and white|turn it into greyscale|remove all colour|grey tones only|black and white, please"
        "|no colours at all|a monochrome picture|desaturate it completely|greyscale|grayscale, please"
        "|black and white|in black and white|without colour|drop the colours|a black and white version"
        "|strip away the colours|make everything grey|monochrome, please|turn it grey|an old black and white film"
        "|greyscale the picture|grey it out|can you make this black and white?|the photo should be black and white"
        "|a black and white picture|b&w|b/w, please|grayscale|monochrome|take all the colour out|no colour"
        "|zero saturation|completely desaturated|only shades of grey|in grey|grey|make it grey"
        "|turn it black and white|a monochrome version|like a charcoal drawing",
        "convert it to grayscale|take every colour away|like a newspaper photo|shades of grey|remove the colours"
        "|a grey picture|colourless, please|only black, white and grey|convert it to monochrome"
        "|leave no colour, only grey tones|make this photo monochrome|too colourful, take all of it away"
        "|a black-and-white effect, please|make everything colourless|a grey, colourless version"
        "|as on a black-and-white television|a photo without any colour|let all colour disappear|reduce it to greys"
        "|nothing but grey",
    ),
    "sepia": (
        "make it sepia|a sepia tone, please|tint it brown like an old photograph|an antique, brownish look"
        "|like a photo from 1900|turn it into sepia|give it a vintage brown tone|age it|sepia|sepia, please"
        "|a sepia filter|in sepia|brown tones|an old brown photograph|a sepia version|turn it brown and old"
        "|vintage, please|like an antique photograph|nostalgic brown tones|a faded brown print"
        "|sepia tone the picture|sepia toning, please|can you make this sepia?|the photo should be sepia"
        "|a sepia photograph|brown like an old print|brownish|sepia tones|sepia effect|an old-time brown look"
        "|the look of old photos|old photo effect|yellowed and brown with age|turn it into an old photograph"
        "|as a Victorian photograph|vintage photo|antique|retro brown|in old brown tones|daguerreotype look",
        "apply a sepia filter|as if from grandmother's album|old-fashioned brown tones|make it look a century old"
        "|make it look vintage|a sepia picture|an aged, brown photo|tone it sepia"
        "|like a photograph from the nineteenth century|tones of old brown paper|make this photo sepia"
        "|too modern, make it look ancient and brown|a sepia effect, please|make everything brown like old paper"
        "|a browner, older version|as in a family album of long ago|an antique print|let it look a hundred years old"
        "|give it an aged brown tint|brown monochrome",
    ),
    "invert": (
        "invert the colours|turn it into a negative|make light dark and dark light|like a film negative"
        "|a negative, please|reverse the colours|swap black and white|show the inverse|invert|inverted, please"
        "|invert it|negative|a negative version|opposite colours|replace each colour by its complement"
        "|black becomes white and white becomes black|inverse colours|make it a negative"
        "|complementary colours everywhere|turn dark into bright and bright into dark|invert the picture"
        "|inversion, please|can you invert this?|the photo should be inverted|a negative image|invert everything"
        "|negative, please|colour negative|a film negative|reverse all colours|reverse light and dark"
        "|complementary colours|turn white to black|white to black and black to white|the photographic negative"
        "|opposite colours, please|like on a strip of negatives|swap light and dark"
        "|flip the colours to their opposites|X-ray look",
        "apply colour inversion|a photographic negative|flip every colour to its opposite|as an X-ray would look"
        "|inverted colours|show it as a negative|the opposite of every colour|exchange light and dark"
        "|an inverted picture|the reverse of all its colours|make this photo a negative"
        "|bright becomes dark, dark becomes bright|an inversion effect, please|make everything the opposite colour"
        "|a reversed-colour version|as on undeveloped film|a negative print"
        "|let light turn into dark and dark into light|all colours into their complements|inverse image",
    ),
    "crop": (
        "zoom in|crop to the middle|show only the centre|enlarge the middle part|move closer|cut away the borders"
        "|get closer to the subject|magnify the centre|crop|crop it|zoom|zoom in, please|a close-up of the centre"
        "|zoom in on the middle|only the middle, enlarged|closer, please|get nearer|crop it tightly"
        "|show the centre larger|go in closer|crop the picture|zoom into the picture|can you zoom in?"
        "|the photo should be closer|a close-up|crop everything but the middle|zoom, please|closer|nearer|magnify it"
        "|enlarge the centre|make the middle bigger|take a step closer|cut off the edges|cut the outer part away"
        "|only the central part|bring the centre closer|tighter framing|telephoto view|two times zoom",
        "zoom into the middle half|a close-up, please|trim the edges|fill the frame with the centre|zoom in closer"
        "|bring the middle nearer|a tighter crop|blow up the central part|remove the edges and enlarge the rest"
        "|only the middle half, larger|zoom into this photo|too far away, come closer|a zoom effect, please"
        "|make the centre fill everything|a closer, tighter version|as through a telephoto lens|zoomed in, please"
        "|let the middle fill the picture|crop away what is outside|double the size of the middle",
    ),
    "mirror": (
        "mirror it|flip it horizontally|swap left and right|show it as in a mirror|flip it from left to right"
        "|the mirror image, please|reverse it sideways|turn it round, left to right|mirror|mirrored, please|flip"
        "|flip it|a horizontal flip|left becomes right|exchange left and right|a mirror image"
        "|flip the picture sideways|reflect it left to right|the other way round|reverse left and right"
        "|mirror the picture|mirror image|can you mirror this?|the photo should be mirrored|a mirrored picture"
        "|mirror everything|mirror, please|flip horizontally|flip the image|flip the photo, please"
        "|flip left and right|reverse left to right|reflect the picture|left-right flip|turn left into right"
        "|swap the sides|swap the left and right sides|seen in the mirror|facing the other way|mirror left to right",
        "reflect it horizontally|make the left side the right side|a mirrored version|as seen in a looking glass"
        "|flip it left to right|turn it into its mirror image|horizontally flipped, please"
        "|switch the left and the right side|a reflected version|left and right the other way round"
        "|mirror this photo|wrong way round, flip it|a mirror effect, please|make everything face the other way"
        "|a flipped, reversed version|as a reflection in a mirror|horizontally mirrored|let left be right"
        "|interchange left and right|reverse the sides",
    ),
}
