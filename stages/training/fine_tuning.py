"""Which layers a training changes, and how fast: frozen groups and a learning rate for each.

The groups of a network are its stem and its stages, from the input on; the last layer is the head
and in no group. An application of keras.applications is one group.
"""

import keras
from keras import layers

from stages import parameters


def layer_groups(
    network: keras.Model, settings: parameters.Network
) -> list[list[keras.layers.Layer]]:
    """The layers with weights in each group.

    Parameters
    ----------
    network : keras.Model
        As `networks.build_network` or `trainer.build_for_training` build it.
    settings : parameters.Network
    """
    weighted = [layer for layer in network.layers[:-1] if layer.weights]
    # A batch normalisation belongs to the layer that it follows.
    starts = [
        index
        for index, layer in enumerate(weighted)
        if isinstance(layer, layers.Conv2D | layers.Dense | keras.Model)
    ]
    units = [
        weighted[start:end] for start, end in zip(starts, [*starts[1:], len(weighted)], strict=True)
    ]
    match settings:
        case parameters.ResidualStages(widths=widths, blocks=blocks):
            sizes = [1, *[1 + 2 * blocks] * (len(widths) - 1)]
        case _:
            sizes = [1] * len(units)
    assert sum(sizes) == len(units)
    remaining = iter(units)
    return [[layer for _ in range(size) for layer in next(remaining)] for size in sizes]


def freeze(network: keras.Model, settings: parameters.Train, epoch: int) -> None:
    """Freeze the groups that an epoch (from 0 on) does not train; compile the step on a change.

    The batch normalisations of a frozen group use and keep their running statistics.
    """
    head_alone = _frozen_epochs(settings)
    if not (head_alone or settings.init):
        return
    groups = layer_groups(network, settings.network)
    always = settings.init.freeze if settings.init else 0
    frozen = len(groups) if epoch < head_alone else always
    before = len(network.trainable_variables)
    for index, group in enumerate(groups):
        for layer in group:
            layer.trainable = index >= frozen
    if len(network.trainable_variables) != before:
        network.make_train_function(force=True)


def learning_rate_scales(
    network: keras.Model, settings: parameters.Train
) -> list[tuple[keras.Variable, float]]:
    """Factors of the learning rates of all trainable variables but the head's.

    They rise geometrically from `init.learning_rate_scale` in the first group to 1 in the head.
    """
    if settings.init is None or settings.init.learning_rate_scale == 1:
        return []
    groups = layer_groups(network, settings.network)
    return [
        (variable, settings.init.learning_rate_scale ** (1 - index / len(groups)))
        for index, group in enumerate(groups)
        for layer in group
        for variable in layer.trainable_variables
    ]


def _frozen_epochs(settings: parameters.Train) -> int:
    """Number of first epochs in which only the head is trained."""
    if settings.init:
        return settings.init.frozen_epochs
    match settings.network:
        case parameters.Application(frozen_epochs=epochs):
            return epochs
    return 0
