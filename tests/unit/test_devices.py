"""Which devices a strategy takes, and what it refuses."""

import pytest
import tensorflow as tf

from src.config import InputError
from src.devices import make_strategy


@pytest.fixture
def two_gpus(monkeypatch):
    found = {"GPU": ["a GPU", "another one"], "CPU": ["a CPU"]}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: found[kind])


def test_the_cpu_is_one_device():
    assert make_strategy().num_replicas_in_sync == make_strategy(n_cpu=1).num_replicas_in_sync == 1


def test_the_same_devices_have_one_strategy():
    assert make_strategy(n_cpu=2) is make_strategy(n_cpu=2) and make_strategy(n_cpu=2).num_replicas_in_sync == 2


def test_fewer_gpus_than_asked_for():
    with pytest.raises(InputError, match="`n_gpu` 3: there are 0 GPUs here; take fewer, or split the CPU with `n_cpu`"):
        make_strategy(n_gpu=3)


def test_more_gpus_than_there_are(two_gpus):
    with pytest.raises(InputError, match="`n_gpu` 3: there are 2 GPUs here"):
        make_strategy(n_gpu=3)


def test_a_split_cpu_beside_gpus(two_gpus):
    with pytest.raises(InputError, match="`n_cpu` 2: there are GPUs here, which are used instead"):
        make_strategy(n_cpu=2)
