"""What run.py --sample and sample.py do: from flags to drawn pictures, and what is printed."""

from pathlib import Path

from src.cli import flags
from src.cli.parser import options
from src.cli.process import output_folder, progress_bar
from src.config import InputError

OF_PHOTOS = "keep_rows", "keep_pixels", "crop", "pad"


def draw(args, model, prefix, strategy):
    """Draw what the flags ask for with the model of a checkpoint; write PNGs, sheets, tokens: the PNGs' paths."""
    from src.drawing.samples import list_samples
    from src.drawing.sampling import Sampler, SamplingOptions

    for name in OF_PHOTOS:
        if name in args.given and not args.image:
            raise InputError(f"`{name}`: name the photo to complete with `image`")
    if args.save_tokens:
        output_folder(Path(args.save_tokens).parent, "save_tokens")
    sampler = Sampler(model, strategy, n_batch=args.batch_size)
    clusters = flags.load_palette(args, prefix, model.hparams.n_vocab)
    work = draw_completions if args.image else draw_samples
    paths = work(args, sampler, clusters, options(SamplingOptions, args))
    list_samples(args.save_dir, paths, checkpoint=str(prefix), seed=args.seed)
    return paths


def draw_samples(args, sampler, clusters, sampling):
    """Whole images."""
    from src.drawing.samples import write_samples
    from src.utils import color_dequantize

    n_px = sampler.model.hparams.n_px
    tokens = sampler.draw(args.n_samples, sampling, progress=progress_bar("sample", "pixel"))
    save_tokens(args, tokens, clusters)
    paths, sheet = write_samples(args.save_dir, color_dequantize(tokens, clusters, n_px))
    print(f"{sheet}: {len(paths)} images of {n_px}x{n_px}")
    return paths


def draw_completions(args, sampler, clusters, sampling):
    """The rest of photographs."""
    from src.data.images import find_images
    from src.drawing.completion import CompletionOptions, Photos, complete, write_completions

    hparams, completion = sampler.model.hparams, options(CompletionOptions, args)
    given = completion.given(hparams)
    photos = Photos.read(find_images(args.image), clusters, hparams.n_px, completion)
    tokens = complete(sampler, photos, given, args.n_samples, sampling, progress_bar("sample", "pixel"))
    save_tokens(args, tokens.reshape(-1, hparams.n_positions), clusters)
    paths, sheets = write_completions(args.save_dir, photos, given, tokens)
    for sheet in sheets:
        size = f"{hparams.n_px}x{hparams.n_px}"
        print(f"{sheet}: {args.n_samples} completions of {size}, {given} of {hparams.n_positions} pixels given")
    return paths


def save_tokens(args, tokens, clusters):
    from src.data.tokens import save_array, token_type

    if args.save_tokens:
        save_array(args.save_tokens, tokens.astype(token_type(len(clusters))))
