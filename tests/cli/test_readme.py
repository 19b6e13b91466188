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


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_accepted(command):
    script, *flags = shlex.split(command, comments=True)
    importlib.import_module(script.removesuffix(".py")).parse(flags)
