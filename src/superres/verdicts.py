"""Losses of a discriminator's logits: whether crops are real, or how much more real than the others (relativistic)."""

from collections.abc import Callable

import tensorflow as tf

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def generator_loss(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """-log D(G(x)) of logits [b, 1] for generated images (Ledig et al. 2017, equation 6): [b]."""
    return tf.nn.softplus(-fake)[:, 0]


def discriminator_loss(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """-log D(y) - log(1 - D(G(x))) of logits [b, 1] (equation 2): [b]."""
    return (tf.nn.softplus(-real) + tf.nn.softplus(fake))[:, 0]


def relativistic_discriminator_loss(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """`discriminator_loss` of how far logits [b, 1] lie above the mean of those of the other kind: [b].

    The relativistic average of Jolicoeur-Martineau 2018 (arXiv 1807.00734, equations 10 and 11), as in ESRGAN.
    """
    return discriminator_loss(real - batch_mean(fake), fake - batch_mean(real))


def relativistic_generator_loss(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """The same with real and generated images exchanged: [b]. It has a part in which real ones look less real."""
    return relativistic_discriminator_loss(fake, real)


def batch_mean(logits: tf.Tensor) -> tf.Tensor:
    """The mean of logits [b, 1] over the parts of a batch that all replicas have, inside or outside of a strategy."""
    context = tf.distribute.get_replica_context()
    count = logits.shape[0] * context.num_replicas_in_sync
    total = tf.reduce_sum(logits)
    return (total if context.num_replicas_in_sync == 1 else context.all_reduce("sum", total)) / count


LOSSES = {  # of the generator and of the discriminator
    "standard": (generator_loss, discriminator_loss),
    "relativistic": (relativistic_generator_loss, relativistic_discriminator_loss),
}
