"""argparse that says a mistake in one line, and knows which mode reads which flag."""

import argparse
import dataclasses

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
        """The flags, and as `given` the names of those that stood on the command line."""
        defaults = {a.dest: a.default for a in self._actions if a.default is not argparse.SUPPRESS}
        parsed = super().parse_args(args, argparse.Namespace(**dict.fromkeys(defaults, UNSET)))
        parsed.given = frozenset(name for name in defaults if getattr(parsed, name) is not UNSET)
        for name in defaults.keys() - parsed.given:
            setattr(parsed, name, defaults[name])
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


def positive(text):
    """An argparse type: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def natural(text):
    """An argparse type: an integer of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, not {value}")
    return value


def unit_interval(text):
    """An argparse type: a number in 0..1, without the ends."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, not {text}")
    return value


def above_zero(text):
    """An argparse type: a finite number greater than 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be greater than 0, not {text}")
    return value


def non_negative(text):
    """An argparse type: a finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value


def share(text):
    """An argparse type: a number above 0 and at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must lie above 0 and be at most 1, not {text}")
    return value


def region(text):
    """An argparse type: x,y,width,height."""
    x, y, width, height = map(int, text.split(","))
    return x, y, width, height
