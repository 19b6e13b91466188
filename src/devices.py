"""One way to run on whatever devices there are: every GPU, a chosen number of them, or the CPU as one replica."""

import functools
from collections.abc import Callable, Iterator

import tensorflow as tf

from src.config import InputError


def make_strategy(n_gpu: int | None = None, n_cpu: int | None = None) -> tf.distribute.Strategy:
    """A `tf.distribute` strategy; the CPU is split before any operation has run or not at all.

    Args:
        n_gpu: how many GPUs to use; by default all there are, or the CPU as one device where there is none.
        n_cpu: let the CPU stand for so many devices, which is how replicas are tried without GPUs.

    Raises:
        InputError: fewer GPUs than asked for, `n_cpu` where there are GPUs, or a CPU in use that is split otherwise.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if n_gpu is not None and n_gpu > len(gpus):
        raise InputError(f"`n_gpu` {n_gpu}: there are {len(gpus)} GPUs here; take fewer, or split the CPU with `n_cpu`")
    if n_cpu is not None and gpus:
        raise InputError(f"`n_cpu` {n_cpu}: there are GPUs here, which are used instead; choose with `n_gpu`")
    if n_cpu and n_cpu > 1:
        split_cpu(n_cpu)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")[: n_cpu or 1]
    devices = tuple(device.name for device in devices[:n_gpu])
    return tf.distribute.OneDeviceStrategy(devices[0]) if len(devices) == 1 else mirrored(devices)


@functools.cache
def mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One for all who ask: each counts its collective operations from 1, and two would take them for each other's."""
    return tf.distribute.MirroredStrategy(devices)


def split_cpu(n: int):
    """Let the CPU stand for n devices, as it may do already; else to be called before any operation has run."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or []) != n:
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * n)
        except RuntimeError as error:
            raise InputError(f"`n_cpu` {n}: the CPU is in use already; choose before any operation has run") from error


def distributed(strategy: tf.distribute.Strategy, batches: Callable[[], Iterator], signature: tuple) -> Iterator:
    """An iterator over a generator of global batches, each cut into equal parts for the replicas.

    Args:
        batches: a function without arguments that returns an iterator of tuples of arrays.
        signature: a tuple of `tf.TensorSpec` with the full batch size, a multiple of the number of replicas.
    """
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return iter(strategy.experimental_distribute_dataset(dataset.with_options(options)))
