"""Training of one Keras network on one accelerator: each epoch is one compiled program of JAX.

The faces stay in the accelerator's memory, and no step waits for Python.
"""

import functools
from typing import Any, NamedTuple

import jax
import keras
import numpy as np
from jax import numpy as jnp

from experiments.ensemble.settings import Ensemble, Member
from stages.dataset.faces import SIZE

MOMENTUM = 0.9
PREDICTED = 1024
"""Faces that are predicted at once."""


class State(NamedTuple):
    """What a step changes."""

    step: Any
    trainable: list[Any]
    others: list[Any]
    """Batch statistics and the state of dropout's random numbers."""
    velocity: list[Any]
    """Of Nesterov's momentum."""
    average: list[Any]
    """Moving averages of `trainable` and `others`."""


class Learner:
    """A network, its state, and the compiled programs that train it and predict with it.

    Parameters
    ----------
    name : str
    network : keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, C]. Its weights are the first.
    member : Member
    settings : Ensemble
    """

    def __init__(self, name: str, network: keras.Model, member: Member, settings: Ensemble):
        self.name, self.network, self.size = name, network, member.size
        self._member, self._settings = member, settings
        self._decays = [
            member.weight_decay if variable.path.endswith("kernel") else 0.0
            for variable in network.trainable_variables
        ]
        trainable = [jnp.array(np.asarray(value)) for value in network.trainable_variables]
        others = [jnp.array(np.asarray(value)) for value in network.non_trainable_variables]
        self.state = State(
            jnp.zeros((), jnp.int32),
            trainable,
            others,
            [jnp.zeros_like(value) for value in trainable],
            [jnp.array(value) for value in [*trainable, *others]],
        )

    def trace(self, faces: int, classes: int, steps: int) -> None:
        """Trace both programs for this number of faces, and of steps in an epoch."""
        images = jax.ShapeDtypeStruct((faces, SIZE, SIZE), np.uint8)
        targets = jax.ShapeDtypeStruct((faces, classes), np.float32)
        order = jax.ShapeDtypeStruct((steps, self._settings.batch_size), np.int32)
        total = jax.ShapeDtypeStruct((), np.float32)
        training = jax.jit(self._train, donate_argnums=0)
        self._training = training.lower(self.state, images, targets, order, total)
        self._prediction = jax.jit(self._predict).lower(self.state.average, images)

    def compile(self) -> None:
        """Compile the traced programs; several learners can do so at once, in threads."""
        self._training = self._training.compile()
        self._prediction = self._prediction.compile()

    def train(self, images: Any, targets: Any, order: Any, steps: int) -> Any:
        """Train an epoch.

        Parameters
        ----------
        images : uint8 [N, 48, 48]
        targets : float32 [N, C]
        order : int32 [steps, batch]
            The faces of each step.
        steps : int
            Of the whole training, for the learning rate.

        Returns
        -------
        float32
            Mean loss, on the accelerator: reading it waits for the epoch's end.
        """
        self.state, loss = self._training(self.state, images, targets, order, np.float32(steps))
        return loss

    def predict(self, images: Any) -> Any:
        """Predict the probabilities of faces by the averaged weights: [N, 48, 48] to [N, C]."""
        return self._prediction(self.state.average, images)

    def averaged_weights(self) -> list[np.ndarray]:
        """The averaged weights, in the order of the network's `get_weights`."""
        variables = [*self.network.trainable_variables, *self.network.non_trainable_variables]
        for variable, value in zip(variables, self.state.average, strict=True):
            variable.assign(value)
        return self.network.get_weights()

    def _train(
        self, state: State, images: Any, targets: Any, order: Any, steps: Any
    ) -> tuple[State, Any]:
        def step(state: State, rows: Any) -> tuple[State, Any]:
            faces = _resized(images[rows], self.size)
            differentiate = jax.value_and_grad(self._loss, has_aux=True)
            (loss, others), gradients = differentiate(
                state.trainable, state.others, faces, targets[rows]
            )
            rate = self._learning_rate(state.step / steps)
            velocity = [
                MOMENTUM * speed + gradient
                for speed, gradient in zip(state.velocity, gradients, strict=True)
            ]
            trainable = [
                value - rate * (gradient + MOMENTUM * speed + decay * value)
                for value, gradient, speed, decay in zip(
                    state.trainable, gradients, velocity, self._decays, strict=True
                )
            ]
            count = state.step + 1
            share = 1 - jnp.minimum(self._settings.ema_decay, (1 + count) / (10 + count))
            average = [
                mean + share * (value - mean) if value.dtype == jnp.float32 else value
                for mean, value in zip(state.average, [*trainable, *others], strict=True)
            ]
            return State(count, trainable, others, velocity, average), loss

        state, losses = jax.lax.scan(step, state, order)
        return state, losses.mean()

    def _learning_rate(self, progress: Any) -> Any:
        """One cycle: a linear rise, then half a cosine down to 0."""
        warmup = self._settings.warmup
        fall = (1 + jnp.cos(jnp.pi * (progress - warmup) / (1 - warmup))) / 2
        return self._member.learning_rate * jnp.where(progress < warmup, progress / warmup, fall)

    def _loss(self, trainable: Any, others: Any, faces: Any, targets: Any) -> tuple[Any, Any]:
        logits, others = self.network.stateless_call(trainable, others, faces, training=True)
        return -(targets * jax.nn.log_softmax(logits)).sum(axis=1).mean(), others

    def _predict(self, average: list[Any], images: Any) -> Any:
        count = len(self.network.trainable_variables)
        call = functools.partial(
            self.network.stateless_call, average[:count], average[count:], training=False
        )

        def probabilities(chunk: Any) -> Any:
            return jax.nn.softmax(call(_resized(chunk, self.size))[0])

        padding = -len(images) % PREDICTED
        padded = jnp.pad(images, ((0, padding), (0, 0), (0, 0)))
        chunks = padded.reshape(-1, PREDICTED, *images.shape[1:])
        predicted = jax.lax.map(probabilities, chunks)
        return predicted.reshape(-1, predicted.shape[-1])[: len(images)]


def _resized(images: Any, size: int) -> Any:
    faces = images.astype(jnp.float32)
    if size != images.shape[-1]:
        shape = (len(images), size, size)
        faces = jax.image.resize(faces, shape, "linear", antialias=False)
    return faces[..., None]
