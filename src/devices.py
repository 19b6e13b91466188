"""One way to run on whatever devices there are: every GPU of every host, a chosen number of them, or CPUs."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from src import hosts
from src.config import InputError


def make_strategy(n_gpu: int | None = None, n_cpu: int | None = None) -> tf.distribute.Strategy:
    """A `tf.distribute` strategy over the current hosts; the CPU is split before any operation has run or not at all.

    Args:
        n_gpu: how many GPUs of a host to use; by default all there are, or the CPU as one device where there is none.
        n_cpu: let the CPU stand for so many devices, which is how replicas are tried without GPUs or other hosts.

    Raises:
        InputError: fewer GPUs than asked for, or not as many on every host; `n_cpu` where there are GPUs or several
            hosts; or a CPU in use that is split otherwise.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if n_gpu is not None and n_gpu > len(gpus):
        raise InputError(f"`n_gpu` {n_gpu}: there are {len(gpus)} GPUs here; take fewer, or split the CPU with `n_cpu`")
    if n_cpu is not None and gpus:
        raise InputError(f"`n_cpu` {n_cpu}: there are GPUs here, which are used instead; choose with `n_gpu`")
    if hosts.current().count > 1:
        return across_hosts(gpus[:n_gpu], n_cpu)
    if n_cpu and n_cpu > 1:
        split_cpu(n_cpu)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")[: n_cpu or 1]
    devices = tuple(device.name for device in devices[:n_gpu])
    return tf.distribute.OneDeviceStrategy(devices[0]) if len(devices) == 1 else mirrored(devices)


def across_hosts(gpus, n_cpu):
    """The strategy of several hosts, each with these GPUs or its CPU; to be made before any operation has run."""
    here = hosts.current()
    if n_cpu is not None:
        raise InputError(f"`n_cpu` {n_cpu}: of several hosts each CPU is one device; leave it out")
    here.agree(**{"the number of GPUs": len(gpus)})
    if gpus:
        tf.config.set_visible_devices(gpus, "GPU")
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": here.addresses}),
        task_type="worker",
        task_id=here.index,
        num_accelerators={"GPU": len(gpus)},
        rpc_layer="grpc",
    )
    tf.get_logger().setLevel("ERROR")  # it warns of collective operations outside of functions, of which we do few
    kinds = tf.distribute.experimental.CommunicationImplementation
    sums = kinds.NCCL if gpus else kinds.RING  # by itself GPUs' gradients would go through remote procedure calls, too
    options = tf.distribute.experimental.CommunicationOptions(implementation=sums)
    return tf.distribute.MultiWorkerMirroredStrategy(resolver, communication_options=options)


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
    """An iterator over a generator of global batches, each cut into equal parts for the replicas of all hosts.

    Args:
        batches: a function without arguments that returns an iterator of tuples of arrays, the same on every host.
        signature: a tuple of `tf.TensorSpec` with the full batch size, a multiple of the number of replicas.
    """
    replicas = strategy.num_replicas_in_sync
    part = signature[0].shape[0] // replicas
    parts = tuple(tf.TensorSpec([part, *spec.shape[1:]], spec.dtype) for spec in signature)

    def here(context):
        own = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * own

        def cut():
            for batch in batches():
                for replica in range(first, first + own):
                    yield tuple(values[replica * part :][:part] for values in batch)

        return tf.data.Dataset.from_generator(cut, output_signature=parts).prefetch(2 * own)

    return iter(strategy.distribute_datasets_from_function(here))


def gathered(strategy: tf.distribute.Strategy, values) -> np.ndarray:
    """What the replicas of all hosts have of a value [n, ...], in order: [replicas * n, ...]."""
    if hosts.current().count == 1:
        return np.concatenate(strategy.experimental_local_results(values))
    return strategy.gather(values, axis=0).numpy()
