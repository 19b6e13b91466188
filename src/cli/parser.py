"""argparse that says a mistake in one line, and knows which mode reads which flag."""

import argparse
import dataclasses
import math

from src.config import GUIDANCES, one_line

UNSET = object()


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with defaults, where there are any."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line on standard error and exit code 2.

    Args:
        reads: mode (the name of the flag that asks for it) to the names of all other flags that it reads, or None for a
            command that has a single mode. A flag that is given but that none of the modes asked for reads is an error.
    """

    def __init__(self, *, reads=None, **options):
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)
        self.reads = reads or {}

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def parse_args(self, args=None, namespace=None):
        """The flags; as `given` the names of those that stood on the command line, as `modes` the modes among them."""
        defaults = {a.dest: a.default for a in self._actions if a.default is not argparse.SUPPRESS}
        parsed = super().parse_args(args, argparse.Namespace(**dict.fromkeys(defaults, UNSET)))
        parsed.given = frozenset(name for name in defaults if getattr(parsed, name) is not UNSET)
        for name in defaults.keys() - parsed.given:
            setattr(parsed, name, defaults[name])
        parsed.modes = parsed.given & self.reads.keys()
        self.check_modes(parsed.given)
        return parsed

    def check_modes(self, given):
        """Refuse flags that none of the modes among them reads; without a mode say which there are."""
        modes = [mode for mode in self.reads if mode in given]
        if not modes and self.reads:
            self.error(f"say what to do: {', '.join(f'--{mode}' for mode in self.reads)}")
        for name in sorted(given - self.reads.keys()) if modes else ():
            if not any(name in self.reads[mode] for mode in modes):
                readers = [f"--{mode}" for mode in self.reads if name in self.reads[mode]]
                asked = " and ".join(f"--{mode}" for mode in modes)
                self.error(f"--{name}: {asked} does not read it; it belongs to {', '.join(readers)}")


def options(kind, args, **more):
    """A frozen dataclass of options, its fields the flags of the same names; `more` stands in for some of them."""
    names = [field.name for field in dataclasses.fields(kind) if hasattr(args, field.name)]
    return kind(**{name: getattr(args, name) for name in names} | more)


@dataclasses.dataclass(frozen=True)
class Number:
    """An argparse type: a number of a kind from `low` to `high`, and why there is none beyond; NaN is none."""

    kind: type
    low: float
    high: float
    why: str

    def __call__(self, text):
        try:
            value = self.kind(text)
            if value != value:
                raise ValueError("NaN")
        except ValueError:
            meaning = "a whole number" if self.kind is int else "a number"
            raise argparse.ArgumentTypeError(f"must be {meaning}, not {one_line(text, 24)}") from None
        if value > self.high:
            raise argparse.ArgumentTypeError(f"must be at most {self.high:,}, not {one_line(text, 24)}: {self.why}")
        if value < self.low:
            raise argparse.ArgumentTypeError(f"must be at least {self.low:,}, not {one_line(text, 24)}")
        return value


def at_most(high, why):
    """An argparse type: an integer of at least 1, and no more than makes sense."""
    return Number(int, 1, high, why)


MANY = 10**9, "no machine does or holds so many"
positive = Number(int, 1, *MANY)
natural = Number(int, 0, *MANY)
seed = Number(int, 0, 2**31 - 1, "that is as far as the seeds of TensorFlow's random numbers go")
rate = Number(float, 1e-10, 1e4, "no training survives such updates")
weight = Number(float, 0, 1e6, "in float32 nothing is left of what it is added to")
non_negative = Number(float, 0, 1e300, "float64 ends there")
guidance = Number(float, *GUIDANCES, "from 1 on images become worse")
fraction = Number(float, 1e-6, 1 - 1e-6, "float32 tells little of it from 1")


def share(text):
    """An argparse type: a number above 0 and at most 1."""
    if not 0 < (value := Number(float, -math.inf, math.inf, "")(text)) <= 1:
        raise argparse.ArgumentTypeError(f"must lie above 0 and be at most 1, not {one_line(text, 24)}")
    return value


def region(text):
    """An argparse type: x,y,width,height."""
    numbers = text.split(",")
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"must be X,Y,W,H, four whole numbers, not {one_line(text, 48)}")
    return tuple(map(natural, numbers))
