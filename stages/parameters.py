"""params.yaml as types: every key is required, and an unknown one is an error with the nearest key.

A block of params.yaml is one dataset; its sections are the stages. There are no defaults in code:
a run depends on the file alone.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stages.errors import UserError

Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """A group of keys: none unknown, none missing; immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# ---------------------------------------------------------------- fetch


class Rows(Section):
    """Declared number of rows of each split."""

    Training: Annotated[int, Field(ge=1)]
    PublicTest: Annotated[int, Field(ge=1)]
    PrivateTest: Annotated[int, Field(ge=1)]


class SampleSource(Section):
    source: Literal["sample"]
    rows: Rows
    seed: Seed


class KaggleSource(Section):
    source: Literal["kaggle"]
    handle: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+(/versions/\d+)?$")]
    rows: Rows | None


class FileSource(Section):
    source: Literal["file"]
    path: Path
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    rows: Rows | None


class FolderSource(Section):
    source: Literal["folder"]
    path: Path
    rows: Rows | None


Fetch = Annotated[
    SampleSource | KaggleSource | FileSource | FolderSource, Field(discriminator="source")
]


# ---------------------------------------------------------------- validate, balance


class Validate(Section):
    """Limits of the Great Expectations suite."""

    min_std: Annotated[float, Field(ge=0)]
    """An image whose standard deviation (grey levels) is below this is flat."""
    max_rejected: Share
    """Largest share of all rows that may end in quarantine."""
    min_class_share: Share
    max_class_share: Share
    """Bounds on each emotion's share of each split's rows."""
    min_split_rows: Annotated[int, Field(ge=1)]


class BalanceAugmentation(Section):
    """Ranges of the albumentations transforms that make new images."""

    flip: Share
    """Probability of a horizontal flip."""
    rotation: Annotated[float, Field(ge=0, le=45)]
    """Largest angle in degrees, either way."""
    shift: Share
    """Largest shift as a share of the width, either way."""
    scale: Annotated[float, Field(ge=0, lt=1)]
    """Largest relative change of size, either way."""
    brightness: Share
    contrast: Share
    noise: Share
    """Probability of mild Gaussian noise or blur (one of the two)."""
    erasing: Share
    """Probability that one rectangle is erased."""


class Balance(Section):
    strategy: Literal["none", "oversample", "undersample", "augment"]
    target: PositiveShare
    """Smallest class over largest class, after balancing."""
    seed: Seed
    augmentation: BalanceAugmentation


# ---------------------------------------------------------------- train


class FiveBlock(Section):
    name: Literal["five_block"]
    dropout: Share


class FiveLayer(Section):
    name: Literal["five_layer"]
    dropout: Share


class ResNet50(Section):
    name: Literal["resnet50"]
    weights: Literal["imagenet"] | None
    dropout: Share


class ResidualStages(Section):
    """Settings of every residual network."""

    name: str
    widths: Annotated[list[Annotated[int, Field(ge=4)]], Field(min_length=1)]
    """Channels of the stages; the resolution halves at each."""
    blocks: Annotated[int, Field(ge=1)]
    """Residual blocks in each stage."""
    dropout: Share


class Residual(ResidualStages):
    name: Literal["residual"]


class MirrorEquivariant(ResidualStages):
    """A face and its mirror image get the same logits."""

    widths: Annotated[list[Annotated[int, Field(ge=4, multiple_of=2)]], Field(min_length=1)]
    """Channels of the stages; half of each are the mirror images of the other half."""


class SymmetricResidual(MirrorEquivariant):
    """Each stage pools before its widening convolution."""

    name: Literal["symmetric_residual"]


class SymmetricLatePooling(MirrorEquivariant):
    """Each stage pools after its widening convolution."""

    name: Literal["symmetric_late_pooling"]


Network = Annotated[
    FiveBlock | FiveLayer | ResNet50 | Residual | SymmetricResidual | SymmetricLatePooling,
    Field(discriminator="name"),
]

LearningRate = Annotated[float, Field(gt=0)]
WeightDecay = Annotated[float, Field(ge=0)]


class Adam(Section):
    name: Literal["adam", "adamw", "adamax"]
    learning_rate: LearningRate
    weight_decay: WeightDecay


class Sgd(Section):
    name: Literal["sgd"]
    learning_rate: LearningRate
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: WeightDecay


class RmsProp(Section):
    name: Literal["rmsprop"]
    learning_rate: LearningRate
    rho: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: WeightDecay


Optimizer = Annotated[Adam | Sgd | RmsProp, Field(discriminator="name")]


class Constant(Section):
    name: Literal["constant"]


class InverseTime(Section):
    """learning_rate / (1 + decay · step), as Keras 2's `decay=`."""

    name: Literal["inverse_time"]
    decay: Annotated[float, Field(ge=0)]


class Cosine(Section):
    name: Literal["cosine"]
    warmup: Share
    """Share of all steps in which the rate rises linearly from zero."""


class OneCycle(Section):
    """Linear rise from zero, linear fall to zero."""

    name: Literal["one_cycle"]
    warmup: Share


Schedule = Annotated[Constant | InverseTime | Cosine | OneCycle, Field(discriminator="name")]


class CrossEntropy(Section):
    name: Literal["cross_entropy"]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]


class Focal(Section):
    name: Literal["focal"]
    gamma: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]


class LogitAdjusted(Section):
    """Cross-entropy of logits adjusted by class frequency (Menon et al. 2021: `strength` 1)."""

    name: Literal["logit_adjusted"]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    strength: Annotated[float, Field(ge=0)]


Loss = Annotated[CrossEntropy | Focal | LogitAdjusted, Field(discriminator="name")]


class TrainAugmentation(Section):
    """Ranges of the random augmentation, drawn anew for each image in every epoch."""

    flip: Share
    rotation: Annotated[float, Field(ge=0, le=45)]
    """Largest angle in degrees, either way."""
    shift: Annotated[float, Field(ge=0, lt=24)]
    """Largest shift in pixels of the 48×48 face, either way."""
    scale: Annotated[float, Field(ge=0, lt=1)]
    """Largest relative change of size, either way."""
    brightness: Share
    """Largest change as a share of the full range, either way."""
    contrast: Annotated[float, Field(ge=0, lt=1)]
    """Largest relative change, either way."""
    erasing: Share
    """Probability that one rectangle is erased."""
    mixup: Annotated[float, Field(ge=0)]
    """α of mixup's Beta(α, α); 0 disables mixup."""
    downscale: Share
    """Probability that a face is scaled down, to a third of its size at most, and up again."""
    noise: Share
    """Probability of Gaussian noise with a standard deviation of up to 20 grey levels."""


class SelfDistillation(Section):
    """Targets are partly the EMA model's own probabilities of the unchanged face.

    After Kim et al., Self-Knowledge Distillation with Progressive Refinement of Targets, 2021.
    """

    name: Literal["self"]
    share: Share
    """Share of the soft labels in the targets of the last epoch; it grows linearly from 0."""
    every: Annotated[int, Field(ge=1)]
    """Epochs between two predictions of the training faces."""


class Teacher(Section):
    """An ONNX file of `experiments/teachers/`, faces to logits; `stages.teachers` reads it."""

    file: Path
    """Relative to the repository's root."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
    """First 12 hexadecimal digits of the file's SHA-256, or more."""


class TeacherDistillation(Section):
    """Targets are partly the mean probabilities of teachers for the face and its mirror image.

    After Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
    """

    name: Literal["teachers"]
    share: Share
    """Share of the soft labels in the targets of every epoch."""
    teachers: Annotated[list[Teacher], Field(min_length=1)]


Distillation = Annotated[SelfDistillation | TeacherDistillation, Field(discriminator="name")]


class Resolution(Section):
    size: Annotated[int, Field(ge=16, le=96)]
    """Height and width in pixels that the faces are scaled to."""
    share: PositiveShare
    """Share of the epochs spent at this size."""


class Selection(Section):
    """Which epoch's weights are kept, by a metric on PublicTest."""

    monitor: Literal["val_loss", "val_accuracy", "val_macro_f1"]
    patience: Annotated[int, Field(ge=1)] | None
    """Stop after this many epochs without a better one; null disables early stopping."""


class Train(Section):
    seed: Seed
    network: Network
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    resolutions: Annotated[list[Resolution], Field(min_length=1)]
    """Progressive resizing, in order; the last size is the one that is served."""
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    class_weight: Literal["none", "balanced", "square_root", "effective_number"]
    augmentation: TrainAugmentation
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    """Decay of the exponential moving average of the weights, per step; 0 disables it."""
    distillation: Distillation | None
    precision: Literal["float32", "mixed_bfloat16", "fused_bfloat16"]
    """Type that the training steps compute in; weights and exported files are float32.
    `fused_bfloat16` is `mixed_bfloat16` with each batch normalisation in one operation."""
    selection: Selection

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if abs(sum(resolution.share for resolution in self.resolutions) - 1) > 1e-6:
            raise ValueError("the shares of resolutions must add up to 1")
        return self

    @model_validator(mode="after")
    def _faces_are_large_enough(self) -> Self:
        match self.network:
            case ResidualStages(widths=widths):
                halvings = len(widths) - 1
            case FiveBlock():
                halvings = 5
            case _:
                return self
        size = min(resolution.size for resolution in self.resolutions)
        if size < 2**halvings:
            raise ValueError(
                f"network {self.network.name} halves the faces {halvings} times and needs at"
                f" least {2**halvings} pixels, but resolutions has size {size}"
            )
        return self


# ---------------------------------------------------------------- export


class ModelFile(Section):
    """Settings of the served file in every precision."""

    recall_floor: Share
    """Minimum recall of each class on PublicTest; export raises the weakest class's bias until
    each reaches it. 0 raises none."""
    ensemble: list[Teacher]
    """Networks served together with this one: the file's logits are the mean of all. Usually
    empty."""


class Float32(ModelFile):
    precision: Literal["float32"]


class Int8(ModelFile):
    """Weights and activations in eight bits: a quarter of the size."""

    precision: Literal["int8"]
    calibration: Annotated[int, Field(ge=1)]
    """Training faces that determine the ranges of the activations."""
    seed: Seed


Export = Annotated[Float32 | Int8, Field(discriminator="precision")]


# ---------------------------------------------------------------- evaluate


class Evaluate(Section):
    bootstrap: Annotated[int, Field(ge=100)]
    """Resamples behind the 95 % confidence intervals."""
    seed: Seed
    targets: dict[Literal["accuracy", "macro_f1", "min_recall", "ece"], PositiveShare]
    """Metrics to reach on PrivateTest, set before training; the card lists what was missed."""


class Parameters(Section):
    """One dataset's block of params.yaml."""

    fetch: Fetch
    validate_: Annotated[Validate, Field(alias="validate")]
    balance: Balance
    train: Train
    export: Export
    evaluate: Evaluate


def load_parameters(dataset: str, path: Path = Path("params.yaml")) -> Parameters:
    """Read one dataset's block.

    Raises
    ------
    UserError
        The file or block is missing, or a key is unknown, missing or out of range.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from the repository's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected one block per dataset, found {document!r:.40}")
    blocks = {str(name): block for name, block in document.items() if name != "datasets"}
    if dataset not in blocks:
        names = ", ".join(blocks) or "none"
        raise UserError(
            f"{path}: no dataset '{dataset}'{_nearest(dataset, blocks)}; its datasets: {names}"
        )
    try:
        return Parameters.model_validate(blocks[dataset])
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(dataset, blocks[dataset], error)}") from None


def first_problem(place: str, document: dict[str, Any], error: ValidationError) -> str:
    """Format the first problem as `place.section.key: what`, with the nearest right key.

    Parameters
    ----------
    place : str
        Where the document stands in its file, for instance the dataset's name.
    document : dict
        What was validated.
    error : ValidationError
    """
    # An unknown key is reported before a missing one, which it may be a misspelling of.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    keys = _keys_in(document, problem["loc"])
    name = ".".join(filter(None, [place, *map(str, keys)]))
    given = problem["input"]
    found = "" if isinstance(given, (dict, list)) else f", found {given!r}"
    match problem["type"]:
        case "extra_forbidden":
            missing = [
                str(other["loc"][-1])
                for other in problems
                if other["type"] == "missing" and other["loc"][:-1] == problem["loc"][:-1]
            ]
            return f"{name}: unknown key{_nearest(str(keys[-1]), missing)}"
        case "missing":
            return f"{name}: missing; every key must be given"
        case "union_tag_not_found":
            key = problem["ctx"]["discriminator"].strip("'")
            return f"{name}.{key}: missing; every key must be given"
        case "union_tag_invalid":
            key = problem["ctx"]["discriminator"].strip("'")
            expected = problem["ctx"]["expected_tags"]
            return f"{name}.{key}: expected one of {expected}, found {given[key]!r}"
        case "model_type" | "model_attributes_type":
            return f"{name}: expected a section of keys{found}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]}{found}"


def _keys_in(document: dict[str, Any], location: tuple[int | str, ...]) -> list[int | str]:
    """Pydantic's location without the tags of unions, which are not keys of the file."""
    keys: list[int | str] = []
    here: Any = document
    for part in location[:-1]:
        if isinstance(here, dict) and part not in here:
            continue
        keys.append(part)
        indexable = isinstance(here, dict) or (isinstance(here, list) and isinstance(part, int))
        here = here[part] if indexable else None
    return [*keys, *location[-1:]]


def _nearest(name: str, candidates: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    return f", did you mean '{near[0]}'?" if near else ""
