"""What surrounds a command's work."""

import importlib
import io
import json
import resource
import sys
import threading
import time

import pytest
import tensorflow as tf

from src.cli.process import Command, hidden
from tests.conftest import run_command


def pages_after(n):
    """The pages of memory that the system has handed out when n more tensors of 64 MB have come and gone."""
    for _ in range(n):
        tf.fill([1 << 24], 1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is glibc that is told to keep memory")
def test_the_memory_of_a_tensor_is_used_again():
    before = pages_after(20)  # now and then one finds no room among what is kept
    assert pages_after(20) - before < 0.5 * 20 * (64 << 20) / resource.getpagesize()


def test_keras_is_imported_without_what_only_its_wrappers_and_plots_need():
    code = (
        "import sys; from src.cli.process import import_tensorflow; import_tensorflow(); import keras;"
        "print(sorted({'sklearn', 'matplotlib'} & sys.modules.keys()));"
        "import sklearn.linear_model, matplotlib.figure; print('both')"
    )
    assert run_command("-c", code).stdout.splitlines() == ["[]", "both"]


def test_what_is_loaded_is_not_hidden():
    with hidden("json", "wave"), pytest.raises(ImportError):
        assert importlib.import_module("json") is json
        importlib.import_module("wave")
    assert importlib.import_module("wave")


class Slow(io.StringIO):
    """A terminal that takes its time."""

    def write(self, text):
        time.sleep(0.1)
        return super().write(text)


def test_two_threads_complain_once_and_neither_goes_on_before_the_line_stands_there(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Slow())
    Command.begin(test_the_memory_of_a_tensor_is_used_again)
    first = threading.Thread(target=Command.complain, args=["host 1 has gone"])
    first.start()
    time.sleep(0.05)
    Command.complain("host 1 has gone, too")
    assert sys.stderr.getvalue() == "test_process.py: host 1 has gone\n"
    first.join()
