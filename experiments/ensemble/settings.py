"""experiments/ensemble/params.yaml as types."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stages.errors import UserError
from stages.parameters import (
    Section,
    Seed,
    Share,
    SymmetricLatePooling,
    SymmetricResidual,
    TrainAugmentation,
    VoteLabels,
    read_section,
)

PARAMETERS = Path("experiments/ensemble/params.yaml")


class Vgg(Section):
    """Stages of convolutions without shortcuts."""

    name: Literal["vgg"]
    widths: Annotated[list[Annotated[int, Field(ge=8, multiple_of=2)]], Field(min_length=1)]
    """Channels of the stages; the resolution halves between them."""
    convolutions: Annotated[int, Field(ge=1)]
    """Of each stage."""
    dropout: Share
    normalization: Literal["face", "local_contrast"]
    """Of the input: by the face's mean and deviation, or by those around each pixel."""


class FaceResNet(Section):
    """dlib's face recognition network (CC0) with its weights as start."""

    name: Literal["face_resnet"]
    dropout: Share


Network = Annotated[
    Vgg | FaceResNet | SymmetricResidual | SymmetricLatePooling, Field(discriminator="name")
]


class Member(Section):
    """One network and what it is trained with."""

    network: Network
    size: Annotated[int, Field(ge=32, le=128)]
    """Height and width in pixels that the faces are scaled to."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Of SGD with Nesterov momentum 0.9: the peak of one cycle with a cosine."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Decoupled, as in the pipeline's optimizers."""


class Phase(Section):
    """Networks that are trained side by side, each epoch on the same view of each face."""

    epochs: Annotated[int, Field(ge=1)]
    share: Share
    """Share of the earlier phases' mean probabilities in the targets; the labels have the rest."""
    members: dict[str, Member]


class Ensemble(Section):
    """The whole file."""

    dataset: str
    seed: Seed
    batch_size: Annotated[int, Field(ge=8)]
    warmup: Share
    """Share of the steps in which the learning rate rises."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    """Per step."""
    smallest_class: Share
    """Faces of small classes are repeated until each has this share of the largest."""
    precision: Literal["float32", "mixed_bfloat16"]
    """Type that the steps compute in. XLA's programs for processors gave NaN in bfloat16 (JAX
    0.11.2); its programs for an H100 did not."""
    votes: VoteLabels
    """What the votes of FER+ say of the labels, and their share in these."""
    augmentation: TrainAugmentation
    phases: Annotated[list[Phase], Field(min_length=1)]
    teachers: list[str]
    """Networks that become files of experiments/teachers, which teach the pipeline's students."""
    starts: list[str]
    """Networks that become files from which the pipeline's trainings start."""

    @model_validator(mode="after")
    def _releases_its_own_networks(self) -> Self:
        known = [name for phase in self.phases for name in phase.members]
        for name in [*self.teachers, *self.starts]:
            if name not in known:
                raise ValueError(f"no network '{name}'; the phases have {', '.join(known)}")
        if len(set(known)) < len(known):
            raise ValueError("two networks have the same name")
        return self


def load_ensemble() -> Ensemble:
    """Read experiments/ensemble/params.yaml.

    Raises
    ------
    UserError
        It is missing or does not fit.
    """
    if not PARAMETERS.exists():
        raise UserError(f"{PARAMETERS}: not found; run from the repository's root")
    return read_section(Ensemble, PARAMETERS)
