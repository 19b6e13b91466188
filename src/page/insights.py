"""What the page shows of what a model thinks of a position of a picture."""

from collections.abc import Iterator
from pathlib import Path

from src.data.images import square
from src.drawing.insight import attention_tiles, colour_tiles, image_tiles
from src.measuring.inside import read
from src.page.models import Loaded
from src.page.uploads import png, read_upload
from src.utils import pixel_tokens


def inside(loaded: Loaded, position: int, path: Path) -> Iterator[dict]:
    """What a model thinks of a position of the picture in a file, taken as it is where it has the model's size.

    Raises:
        InputError: as for `read_upload`, or the image has no such position.
    """
    n_px = loaded.hparams.n_px
    small = square(read_upload(path).on_white(), n_px)
    (tokens,) = pixel_tokens(small[None], loaded.clusters)
    reading = read(loaded.sampler.model, tokens)
    groups = {"image": image_tiles, "colours": colour_tiles, "layers": attention_tiles}
    made = {name: make(reading, position, loaded.clusters) for name, make in groups.items()}
    shown = {name: [{"caption": t.caption, "picture": png(t.picture)} for t in tiles] for name, tiles in made.items()}
    yield {"n_px": n_px, "inside": shown}
