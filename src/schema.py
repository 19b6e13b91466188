"""What configuration from outside may hold: names, types and ranges, declared once and checked before any use."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from src.config import InputError, one_line

SHOWN = 60  # characters of a value from outside
KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


def shown(value: Any) -> str:
    """A value of a JSON file as a message shows it: a number or string itself, of the rest what it is."""
    if isinstance(value, (str, float, int)) and not isinstance(value, bool):
        return one_line(ascii(value), SHOWN)
    return str(value) if isinstance(value, bool) else KINDS.get(type(value), type(value).__name__)


@dataclasses.dataclass(frozen=True)
class Real:
    """A number from `low` to `high`; true is none."""

    low: float
    high: float
    kinds: ClassVar[tuple[type, ...]] = (int, float)
    meaning: ClassVar[str] = "a number"

    def fault(self, value: Any) -> str | None:
        fits = type(value) in self.kinds and self.low <= value <= self.high
        return None if fits else f"is {shown(value)}, expected {self.meaning} in {self.low}..{self.high}"


class Integer(Real):
    """An integer from `low` to `high`; neither 2.0 nor true is one."""

    kinds = (int,)
    meaning = "an integer"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of some values, of the same type: 0 is not false."""

    values: tuple

    def fault(self, value: Any) -> str | None:
        fits = any(type(value) is type(allowed) and value == allowed for allowed in self.values)
        return None if fits else f"is {shown(value)}, expected {' or '.join(map(repr, self.values))}"


@dataclasses.dataclass(frozen=True)
class Text:
    """A string that a pattern matches as a whole."""

    pattern: str
    meaning: str

    def fault(self, value: Any) -> str | None:
        fits = isinstance(value, str) and re.fullmatch(self.pattern, value, re.ASCII)
        return None if fits else f"is {shown(value)}, expected {self.meaning}"


@dataclasses.dataclass(frozen=True)
class ListOf:
    """A list of `low` to `high` items, each of which `item` allows."""

    item: Any
    low: int
    high: int

    def fault(self, value: Any) -> str | None:
        if not isinstance(value, list) or not self.low <= len(value) <= self.high:
            found = f"a list of {len(value)}" if isinstance(value, list) else shown(value)
            many = f"{self.low}" if self.low == self.high else f"{self.low}..{self.high}"
            return f"is {found}, expected a list of {many}"
        return next((f"has an item that {fault}" for fault in map(self.item.fault, value) if fault), None)


@dataclasses.dataclass(frozen=True)
class Table:
    """An object of any names, whose values are all of one kind."""

    item: Any

    def fault(self, value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"is {shown(value)}, expected an object"
        faults = ((name, self.item.fault(x)) for name, x in value.items())
        return next((f"names {shown(name)}, which {fault}" for name, fault in faults if fault), None)


def check(config: Mapping[str, Any], schema: Mapping[str, Any], file: str | Path, optional: tuple[str, ...] = ()):
    """See that a JSON object has the names of a schema and what each allows; names beyond it are left alone.

    Raises:
        InputError: a name is missing that is not `optional`, or has a value that its field does not allow.
    """
    missing = [name for name in schema if name not in config and name not in optional]
    if missing:
        raise InputError(f"{file}: {', '.join(missing)} missing")
    for name, field in schema.items():
        if name in config and (fault := field.fault(config[name])):
            raise InputError(f"{file}: {name} {fault}")
