"""What surrounds a command's work."""

import resource
import sys

import pytest
import tensorflow as tf


def pages_after(n):
    """The pages of memory that the system has handed out when n more tensors of 64 MB have come and gone."""
    for _ in range(n):
        tf.fill([1 << 24], 1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is glibc that is told to keep memory")
def test_the_memory_of_a_tensor_is_used_again():
    before = pages_after(20)  # now and then one finds no room among what is kept
    assert pages_after(20) - before < 0.5 * 20 * (64 << 20) / resource.getpagesize()
