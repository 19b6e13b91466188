"""Every command that the README shows is one that the scripts accept, and runs on what a clone holds."""

import importlib
import re
import shlex

import pytest

from tests.conftest import ROOT

TEXT = "\n".join(p.read_text() for p in (ROOT / "README.md", *ROOT.glob("pretrained/*/README.md")))
COMMANDS = sorted(set(re.findall(r"^(?:\.venv/bin/)?python ((?:\w+)\.py .*)$", TEXT, re.MULTILINE)))


def test_there_are_commands():
    assert any(c.startswith("run.py --sample") for c in COMMANDS)
    assert len(COMMANDS) >= 5


def test_the_tree_names_every_module():
    named = set(re.findall(r"\w+\.py\b", TEXT.split("## The tree")[1].split("MIT licence")[0]))
    there = {path.name for path in (*ROOT.glob("*.py"), *ROOT.glob("src/**/*.py"))}
    assert named == there - {"__init__.py"}


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_accepted(command):
    script, *flags = shlex.split(command, comments=True)
    importlib.import_module(script.removesuffix(".py")).parse(flags)
