"""What prompt_sr.py does: flags to options of `src.superres`, and what is printed."""

from src.cli import superres
from src.cli.flags import find_devices, precision
from src.cli.parser import Number, options
from src.cli.process import progress_bar

PROMPTS = {"prompt", "strength", "text"}
STRENGTH = Number(float, 0, 1, "1 is the whole edit")


def add_prompt_flags(group):
    """The flags PROMPTS, which `prompts` reads."""
    group.add_argument("--prompt", nargs="+", metavar="TEXT", help="what to make of an image; several: one for each")
    group.add_argument("--strength", type=STRENGTH, default=1.0, help="of the edit, from 0 to 1")
    group.add_argument("--text", metavar="DIR", help="a BERT in Hugging Face's layout; default: the bundled MiniLM")


def prompts(args):
    """What the flags PROMPTS say, as options."""
    from src.superres.prompts import Prompts

    return Prompts(tuple(args.prompt or ()), args.strength, args.text)


def check_prompts(args):
    """See that the network's text encoder takes the prompts, before work that comes first; InputError if not."""
    from src.superres.prompts import Editor

    encoder = Editor(text=args.text).encoder
    for prompt in args.prompt:
        encoder.numbers(prompt)


def upscale(args):
    """Enlarge images, one picture for each prompt; the exit code."""
    from src.superres.upscaling import UpscaleOptions

    chosen = UpscaleOptions(args.save_dir, weights=args.weights, prompts=prompts(args))
    return superres.enlarge(superres.images_to_enlarge(args), "prompted", chosen)


def train(args):
    """Train by the flags, and say what was reached; the exit code."""
    from src.superres.bundled import find_network
    from src.superres.instructed import InstructedOptions
    from src.superres.pixel import PixelRecipe
    from src.superres.prompted import Prompted
    from src.superres.prompting import train_on_triples
    from src.text.encoder import TextEncoder

    strategy = find_devices(args)  # before any operation of TensorFlow, which a folder of --text runs
    encoder = TextEncoder.open(args.text)
    with strategy.scope():
        base, listed = find_network("srresnet")
        words = {"text": encoder.width, "encoder": encoder.fingerprint}
        net = Prompted.around(base, args.skip, maps=args.maps, seed=args.seed, dtype=precision(args), **words)
    superres.check_batch(args, net)
    superres.say(f"enlarged by: {listed}")
    data = options(InstructedOptions, args, triples=tuple(args.triples or ()))
    session = superres.make_session(args, strategy, args.weights)
    done = train_on_triples(net, data, options(PixelRecipe, args), session, encoder)
    print(f"{done.path}: {done.psnr:.2f} dB on {done.images} edited images, unedited {done.baseline:.2f} dB")
    return 0


def evaluate(args):
    """Print how near edits are to what was asked for, by kind of edit, and write that as JSON; the exit code."""
    from src.data.triples import read_triples
    from src.files import write_json
    from src.superres.bundled import find_network
    from src.superres.edit_scoring import PROTOCOL, by_kind, score_edits
    from src.superres.instructed import check_encoder
    from src.text.encoder import TextEncoder

    triples = [t for path in args.eval for t in read_triples(path)]
    net, listed = find_network("prompted", args.weights)
    encoder = TextEncoder.open(args.text)
    check_encoder(net, encoder)
    superres.say(f"network: {listed}")
    print(PROTOCOL)
    found = by_kind(score_edits(net, encoder, triples, args.seed, progress_bar("eval", "triple")))
    names = {name: None for figures in found.values() for name in figures}
    print(f"{'edit':32} " + " ".join(f"{name:>12}" for name in names))
    for kind, figures in found.items():
        shown = (str(value) if isinstance(value, int) else f"{value:.4g}" for value in (figures[n] for n in names))
        print(f"{kind[:32]:32} " + " ".join(f"{value:>12}" for value in shown))
    if args.json:
        write_json(args.json, {"protocol": PROTOCOL} | found)
    return 0
