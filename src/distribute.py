"""One way to run on whatever devices there are: every GPU, a chosen number of them, or the CPU as one replica."""

import tensorflow as tf

from src.config import InputError


def split_cpu(n):
    """Let the CPU appear as `n` devices; before any operation has run."""
    if n > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * n)


def make_strategy(n_gpu=None):
    """A `tf.distribute` strategy with `n_gpu` replicas.

    Args:
        n_gpu: None takes every GPU, or the CPU where there is none. Without GPUs, a number counts logical CPU devices
            (`tf.config.set_logical_device_configuration`), which is how replicas are tested.

    Raises:
        InputError: fewer devices than asked for.
    """
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    wanted = n_gpu or (len(gpus) or 1)
    if wanted > len(devices):
        raise InputError(f"--n_gpu {wanted}: only {len(devices)} {devices[0].device_type} device(s) here")
    if wanted == 1:
        return tf.distribute.OneDeviceStrategy(devices[0].name)
    return tf.distribute.MirroredStrategy([d.name for d in devices[:wanted]])


def distributed(strategy, batches, signature):
    """An iterator over a generator of global batches, each cut into equal parts for the replicas.

    Args:
        batches: a function without arguments that returns an iterator of tuples of arrays.
        signature: a tuple of `tf.TensorSpec` with the full batch size, a multiple of the number of replicas.
    """
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return iter(strategy.experimental_distribute_dataset(dataset.with_options(options)))


def summed(strategy, replica):
    """A `tf.function` from one distributed batch to what `replica` makes of each device's part of it, summed."""

    @tf.function
    def step(inputs):
        return strategy.reduce("sum", strategy.run(replica, args=inputs), axis=None)

    return step
