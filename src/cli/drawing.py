"""What run.py --sample and sample.py do: from flags to drawn pictures, and what is printed."""

from pathlib import Path

from src import hosts
from src.cli import flags
from src.cli.parser import options
from src.cli.process import progress_bar
from src.config import InputError

OF_PHOTOS = "keep_rows", "keep_pixels", "crop", "pad"
AT_RANDOM = "top_k", "top_p", "seed"  # what is nothing to the likeliest colours


def draw(args, model, prefix, strategy):
    """Draw what the flags ask for with the model of a checkpoint; write PNGs, sheets, tokens: the PNGs' paths.

    All files of a drawing take their places together: those of an earlier one stay where this one cannot be written.
    """
    from src.drawing.sampling import SamplingOptions
    from src.weights.checkpoint import checkpoint_prefix

    for name in OF_PHOTOS:
        if name in args.given and not args.image:
            raise InputError(f"`{name}`: name the photo to complete with `image`")
    check_randomness(args)
    clusters = flags.load_palette(args, prefix, model.hparams.n_vocab)
    sampler = make_sampler(args, model, clusters, strategy)
    work = draw_completions if args.image else draw_samples
    origin = {"checkpoint": str(prefix), "seed": args.seed}
    if args.guide:
        origin |= {"guide": str(checkpoint_prefix(args.guide)), "guidance": args.guidance}
    return work(args, sampler, clusters, options(SamplingOptions, args), origin)


def make_sampler(args, model, clusters, strategy):
    """The `Sampler` of a model of such a palette [n_vocab, 3] that the flags ask for."""
    from src.drawing.sampling import Sampler

    with strategy.scope():
        guide = flags.find_guide(args, clusters)
    return Sampler(model, strategy, n_batch=args.batch_size, guide=guide)


def check_randomness(args):
    """Raise InputError where flags that only what is drawn at random depends on stand beside temperature 0."""
    for name in AT_RANDOM if not args.temperature else ():
        if name in args.given and (name != "seed" or args.modes <= {"sample"}):  # other modes read a seed, too
            raise InputError(f"`{name}`: `temperature` 0 takes the likeliest colour; leave one of them out")


def draw_samples(args, sampler, clusters, sampling, origin):
    """Whole images."""
    from src.drawing.samples import (
        LIST,
        SHEET,
        SHOWN,
        check_places,
        list_samples,
        picture_paths,
        shown_paths,
        write_samples,
    )
    from src.files import together
    from src.utils import color_dequantize

    n_px, folder = sampler.model.hparams.n_px, Path(args.save_dir)
    paths, moving = picture_paths(folder, "sample", args.n_samples), animation_options(args)
    if hosts.current().first:
        check_places(folder, [*paths, *shown_paths(folder / SHEET, moving), folder / LIST], args.save_tokens)
    tokens = sampler.draw(args.n_samples, sampling, progress=progress_bar("sample", "pixel"))
    if not hosts.current().first:
        return paths
    with together(durable=False) as part:
        save_tokens(args, tokens, clusters, part)
        shown, *growing = write_samples(paths, color_dequantize(tokens, clusters, n_px), part, moving)
        list_samples(folder, paths, part, **origin)
    first = f"the first {SHOWN} of " if len(paths) > SHOWN else ""
    print(f"{shown}: {first}{len(paths)} images of {n_px}x{n_px}")
    show_animations(growing, len(paths))
    return paths


def draw_completions(args, sampler, clusters, sampling, origin):
    """The rest of photographs."""
    from src.data.images import find_images
    from src.data.tokens import fingerprint
    from src.drawing.completion import CompletionOptions, Photos, complete, completion_paths, write_completions
    from src.drawing.samples import LIST, check_places, list_samples, shown_paths
    from src.files import together

    hparams, completion = sampler.model.hparams, options(CompletionOptions, args)
    given, folder = completion.given(hparams), Path(args.save_dir)
    files = find_images(args.image)
    photos = Photos.read(files, clusters, hparams.n_px, completion)
    places = completion_paths(folder, photos, args.n_samples)
    paths, moving = [path for pictures, _ in places for path in pictures], animation_options(args)
    shown = [shown_paths(path, moving) for _, path in places]
    if hosts.current().first:
        ours = [*paths, *(path for both in shown for path in both), folder / LIST]
        check_places(folder, ours, args.save_tokens, files)
    hosts.current().agree(photos=fingerprint(photos.tokens))
    tokens = complete(sampler, photos, given, args.n_samples, sampling, progress_bar("sample", "pixel"))
    if not hosts.current().first:
        return paths
    with together(durable=False) as part:
        save_tokens(args, tokens.reshape(-1, hparams.n_positions), clusters, part)
        write_completions(counted(places, "animate") if moving else places, photos, given, tokens, part, moving)
        list_samples(folder, paths, part, **origin)
    for sheet, *growing in shown:
        size = f"{hparams.n_px}x{hparams.n_px}"
        print(f"{sheet}: {args.n_samples} completions of {size}, {given} of {hparams.n_positions} pixels given")
        show_animations(growing, args.n_samples)
    return paths


def counted(photos, desc):
    """Yield the photos, and show how many are done with."""
    show = progress_bar(desc, "photo")
    for done, photo in enumerate(photos):
        show(done, len(photos))
        yield photo
    show(len(photos), len(photos))


def animation_options(args):
    """What --animate asks for, or None."""
    from src.drawing.animation import AnimationOptions

    return AnimationOptions(args.animate) if args.animate else None


def show_animations(paths, images):
    from src.drawing.animation import MOVING

    first = f"the first {MOVING} of " if images > MOVING else ""
    for path in paths:
        print(f"{path}: {first}{images} images as they grew")


def save_tokens(args, tokens, clusters, part):
    from src.drawing.samples import write_tokens

    if args.save_tokens:
        write_tokens(args.save_tokens, tokens, len(clusters), part)
