"""What prompts make of pictures: one upscaler for each."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Sequence

from src.files import unique
from src.superres.bundled import find_network
from src.superres.instructed import check_encoder
from src.superres.prompted import Told
from src.superres.upscaler import Upscaler
from src.text.encoder import TextEncoder

LETTERS = 40  # of a prompt that stand in a file's name


@dataclasses.dataclass(frozen=True)
class Prompts:
    """What is to be made of pictures.

    Attributes:
        prompts: one picture is made for each; without any, the plain enlargement.
        strength: of the edit, in 0..1.
        text: folder of the text encoder; by default the bundled one.
    """

    prompts: tuple[str, ...] = ()
    strength: float = 1.0
    text: str | None = None


class Editor:
    """A prompt-guided network with its text encoder, which is opened when there is a prompt.

    Args:
        weights: files of a trained network, of several the mean; by default the bundled one.
        text: folder of the text encoder; by default the bundled one.
        report: called with a line that says which network is used.

    Raises:
        InputError: not a prompt-guided network.
    """

    def __init__(
        self,
        weights: Sequence[str] = (),
        text: str | None = None,
        report: Callable[[str], None] = lambda line: None,
    ):
        self.net, listed = find_network("prompted", weights)
        report(f"network: {listed}")
        self.text, self.told = text, Told(self.net)
        self.plain, self.upscaler = Upscaler(self.net.base), Upscaler(self.told)

    @functools.cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder; InputError if there is none, or it is not the network's."""
        encoder = TextEncoder.open(self.text)
        check_encoder(self.net, encoder)
        return encoder

    def edits(self, prompts: Sequence[str], strength: float = 1.0) -> Iterator[tuple[str, Upscaler]]:
        """Yield (prompt, upscaler) for each; the upscaler does it until the next is asked for.

        Raises:
            InputError: not a prompt or a strength, and what `encoder` raises.
        """
        encoded = [self.encoder.encode([prompt]) for prompt in prompts]  # complains before any work is done
        for prompt, name, ((tokens,), (mask,)) in zip(prompts, unique([slug(prompt) for prompt in prompts]), encoded):
            self.told.tell(tokens, mask, strength, name)
            yield prompt, self.upscaler


def slug(prompt: str) -> str:
    """A prompt as part of a file's name: `Make it night!` as `make-it-night`."""
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:LETTERS].strip("-") or "prompt"
