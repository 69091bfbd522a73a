"""params/DATASET.yaml as types: complete, checked, with the place of what is wrong.

The sections of a file are the stages. Few keys have a default in code, which changes
nothing: the file says what a run used.

Where a section is a choice, as `optimizer`, the file has the settings of each choice under its own
name, so that another one is chosen by one value:

    optimizer:
      name: sgd
      sgd: {learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.005}
      adam: {learning_rate: 0.002, weight_decay: 0}

All of them are checked; the typed section has the chosen one only.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from recognizer.regular_file import read_regular_file
from stages.errors import UserError
from stages.wording import nearest

Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
DigestStart = Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
"""First 12 hexadecimal digits of a SHA-256, or more."""


class Section(BaseModel):
    """A group of keys: none unknown, and none missing but those with a default; immutable.

    JSON leaves out a key that has its default, so that a new key changes no digest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_value_is_a_number(cls, section: Any) -> Any:
        """YAML reads `on`, `yes` and `true` as a truth value, pydantic reads that as 1."""
        for key, value in section.items() if isinstance(section, dict) else ():
            field = cls.model_fields.get(key)
            types = set(_types(field.annotation)) if field else set()
            if isinstance(value, bool) and bool not in types and types & {int, float}:
                raise PydanticCustomError(
                    "no_number", "expected a number", {"key": key, "of": value}
                )
        return section

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = {
            key
            for name, field in type(self).model_fields.items()
            if not field.is_required() and getattr(self, name) == field.default
            for key in (name, field.alias)
        }
        return {key: value for key, value in serialize(self).items() if key not in defaults}


Kind = TypeVar("Kind", bound=Section)
Place = tuple[str | int, ...]
"""The keys that lead to a value of a file."""


class ParameterError(Exception):
    """What is wrong with a document, and where."""

    def __init__(self, place: Place, what: str):
        super().__init__(f"{'.'.join(map(str, place))}: {what}")
        self.place = place


class Choice:
    """A section of which one of several kinds is chosen by the value of a key.

    Parameters
    ----------
    key : str
        The key that names the choice, for instance `name`.
    union : Any
        The kinds, as a discriminated union, or the only kind.
    shared : Sequence[str]
        Keys that every kind has; the file has them once, beside the name.
    none : bool
        Whether `none` is a choice; the typed section is None then.
    """

    def __init__(self, key: str, union: Any, shared: Sequence[str] = (), none: bool = False):
        self.key, self.shared = key, shared
        self.kinds: dict[str, type[Section]] = {
            name: kind
            for kind in (get_args(get_args(union)[0]) if get_args(union) else (union,))
            for name in get_args(kind.model_fields[key].annotation)
        }
        self.names = [*self.kinds, *["none"] * none]

    def chosen(self, section: Any, place: Place) -> dict[str, Any] | None:
        """The settings of the chosen kind; those of every kind are checked.

        Raises
        ------
        ParameterError
        """
        if not isinstance(section, dict):
            raise ParameterError(place, f"expected a section of keys{_found(section)}")
        unknown = [key for key in section if key not in (self.key, *self.kinds, *self.shared)]
        absent = [key for key in (self.key, *self.names, *self.shared) if key not in section]
        if unknown:
            raise ParameterError(
                (*place, unknown[0]), f"unknown key{_nearest(str(unknown[0]), absent)}"
            )
        if self.key not in section:
            raise ParameterError((*place, self.key), "missing; every key must be given")
        name = section[self.key]
        if name not in self.names:
            expected, near = ", ".join(map(repr, self.names)), _nearest(str(name), self.names)
            raise ParameterError(
                (*place, self.key), f"expected one of {expected}, found {name!r}{near}"
            )
        for kind in self.kinds:
            if kind in section or kind == name:
                self._check(kind, section, place)
        return None if name == "none" else self._settings(name, section)

    def _settings(self, name: str, section: dict[str, Any]) -> dict[str, Any]:
        shared = {key: section[key] for key in self.shared if key in section}
        return {self.key: name, **shared, **section.get(name, {})}

    def _check(self, name: str, section: dict[str, Any], place: Place) -> None:
        own = section.get(name, {})
        if not isinstance(own, dict):
            raise ParameterError((*place, name), f"expected a section of keys{_found(own)}")
        for key in (self.key, *self.shared):
            if key in own:
                raise ParameterError(
                    (*place, name, key), "unknown key; it is a key of the section above"
                )
        kind = self.kinds[name]
        if name not in section and len(kind.model_fields) > 1 + len(self.shared):
            raise ParameterError((*place, name), "missing; every key must be given")
        try:
            kind.model_validate(self._settings(name, section))
        except ValidationError as error:
            inner, what = _first_problem(error, kind)
            is_shared = inner and inner[0] in self.shared
            raise ParameterError(
                (*place, *inner) if is_shared else (*place, name, *inner), what
            ) from None


# ---------------------------------------------------------------- fetch

KAGGLE_HANDLE = r"^[\w.-]+/[\w.-]+(/versions/\d+)?$"


class Rows(Section):
    """Declared number of rows of each split."""

    Training: Annotated[int, Field(ge=1)]
    PublicTest: Annotated[int, Field(ge=1)]
    PrivateTest: Annotated[int, Field(ge=1)]


class SampleSource(Section):
    source: Literal["sample"]
    rows: Rows
    seed: Seed


EMOTION_NAME = r"^[^\W\d_][\w -]{0,29}$"
"""A letter, then letters, digits, spaces, hyphens and underscores."""
MIN_EMOTIONS, MAX_EMOTIONS = 2, 20
"""Number of emotions of a dataset."""
EmotionName = Annotated[str, Field(pattern=EMOTION_NAME)]


def _with_text_keys(value: Any) -> Any:
    # YAML reads 1 as a number.
    return {str(key): name for key, name in value.items()} if isinstance(value, dict) else value


class Draw(Section):
    """How splits that a source lacks are drawn from its Training images."""

    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of the images that PublicTest gets."""
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of the images that PrivateTest gets."""
    seed: Seed = 0
    person: str | None = None
    """Regular expression that finds the person in an image's path below the folder; its first
    group, or all of it. All images of a person stay in one split."""

    @field_validator("person")
    @classmethod
    def _is_an_expression(cls, person: str | None) -> str | None:
        try:
            re.compile(person or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return person


class NamedLabels(Section):
    """A source whose labels need not be FER-2013's."""

    source: str
    emotions: (
        Annotated[list[EmotionName], Field(min_length=MIN_EMOTIONS, max_length=MAX_EMOTIONS)] | None
    ) = None
    """Names of the labels in order. Where they are not given, a CSV has FER-2013's, and a folder
    those of its subfolders."""
    labels: Annotated[dict[str, EmotionName | None], BeforeValidator(_with_text_keys)] = {}
    """The emotion that another spelling stands for; null leaves its images out."""
    draw: Draw = Draw()

    @field_validator("emotions")
    @classmethod
    def _each_once(cls, emotions: list[str] | None) -> list[str] | None:
        twice = [name for name in emotions or [] if (emotions or []).count(name) > 1]
        if twice:
            raise ValueError(f"'{twice[0]}' is listed twice")
        return emotions


class KaggleSource(NamedLabels):
    source: Literal["kaggle"]
    handle: Annotated[str, Field(pattern=KAGGLE_HANDLE)]
    rows: Rows | None


class FileSource(NamedLabels):
    source: Literal["file"]
    path: Path
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    rows: Rows | None


class FolderSource(NamedLabels):
    source: Literal["folder"]
    path: Path
    rows: Rows | None = None
    faces: Literal["cropped", "detect"] = "cropped"
    """Whether the images are crops of faces, or photos in which the largest face is detected."""


class FerPlusSource(Section):
    """FER-2013's faces with the labels of FER+."""

    source: Literal["ferplus"]
    handle: Annotated[str, Field(pattern=KAGGLE_HANDLE)]
    """Of FER-2013 on Kaggle."""
    pixels: Path | None = None
    """A local fer2013.csv in place of Kaggle's; FER2013_CSV replaces it."""
    votes: Path | None = None
    """A local fer2013new.csv in place of a download; FERPLUS_CSV replaces it."""
    targets: Literal["majority", "votes"]
    """What Training's faces are trained to: the majority's emotion, or the shares of the votes."""
    rows: Rows | None


Fetch = Annotated[
    SampleSource | KaggleSource | FileSource | FolderSource | FerPlusSource,
    Field(discriminator="source"),
]


# ---------------------------------------------------------------- validate, balance


class Validate(Section):
    """Limits of the Great Expectations suite."""

    min_std: Annotated[float, Field(ge=0)]
    """An image whose standard deviation (grey levels) is below this is flat."""
    max_rejected: Share
    """Largest share of all rows that may end in quarantine."""
    min_class_share: Share | None
    max_class_share: Share | None
    """Bounds on each emotion's share of each split's rows. A null lower bound stands for a number
    of faces that small datasets have too: `MIN_FACES` in stages.dataset.expectations."""
    min_split_rows: Annotated[int, Field(ge=1)] | None


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


APPLICATIONS = (
    *("ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge"),
    *("DenseNet121", "DenseNet169", "DenseNet201"),
    *(f"EfficientNetB{number}" for number in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *("InceptionResNetV2", "InceptionV3"),
    *("MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"),
    *("NASNetLarge", "NASNetMobile"),
    *("ResNet50", "ResNet50V2", "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2"),
    *("VGG16", "VGG19", "Xception"),
)
"""The networks of keras.applications; a list, because importing Keras takes seconds."""


class Application(Section):
    """A network of keras.applications; faces are scaled up and grey is repeated as its colours."""

    name: Literal["application"]
    model: str
    """Name in keras.applications, for instance ResNet50V2."""
    weights: Literal["imagenet"] | Path | None
    """`imagenet` is fetched once and then read from ~/.keras/models; a path is a file of weights
    without the classifier, as Keras publishes them (`…_notop.h5`). Only with `imagenet` does Keras
    build EfficientNetB0 … B7 with the scaling that their ImageNet weights need: for these, put the
    file into ~/.keras/models. null: random weights."""
    input_size: Annotated[int, Field(ge=32, le=600)]
    """Height and width in pixels that the network scales the faces to."""
    dropout: Share
    frozen_epochs: Annotated[int, Field(ge=0)]
    """First epochs in which only the head is trained; 0 where `weights` is null."""

    @field_validator("model")
    @classmethod
    def _is_in_keras(cls, model: str) -> str:
        if model not in APPLICATIONS:
            near = _nearest(model, APPLICATIONS) or f"; it has {', '.join(APPLICATIONS)}"
            raise ValueError(f"not a network of keras.applications{near}")
        return model

    @model_validator(mode="after")
    def _only_pretrained_networks_are_frozen(self) -> Self:
        if self.weights is None and self.frozen_epochs:
            raise ValueError("frozen_epochs needs pretrained weights; set it to 0")
        return self


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
    FiveBlock | FiveLayer | Application | Residual | SymmetricResidual | SymmetricLatePooling,
    Field(discriminator="name"),
]


class InitialWeights(Section):
    """Fine-tuning: all layers but the head start with the weights of a trained network.

    Groups of layers are the stem and each stage; the head is new unless it is kept. Learning
    rates rise from group to group: discriminative fine-tuning (Howard & Ruder, Universal Language
    Model Fine-tuning for Text Classification, 2018).
    """

    name: Literal["weights"]
    source: Annotated[str, Field(alias="from", min_length=1)]
    """A dataset, for its models/DATASET/weights.keras, else its model.keras; or a .keras file."""
    sha256: DigestStart | None = None
    """Of the file; null accepts any file."""
    keep_head: bool = False
    """Whether the head starts with the file's weights too; for the same emotions in this order."""
    freeze: Annotated[int, Field(ge=0)]
    """Groups, from the input on, that keep their weights and batch statistics."""
    frozen_epochs: Annotated[int, Field(ge=0)]
    """First epochs in which only the head is trained."""
    learning_rate_scale: PositiveShare
    """Learning rate of the first group over the head's; those between are spaced geometrically."""


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
    sha256: DigestStart
    """Of the file."""


def _named_teachers(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return [
        {"file": f"experiments/teachers/{name}.onnx", "sha256": sha256}
        for name, sha256 in value.items()
    ]


Teachers = Annotated[list[Teacher], BeforeValidator(_named_teachers)]
"""In the file: `{NAME: sha256, …}` for `experiments/teachers/NAME.onnx`."""


class TeacherDistillation(Section):
    """Targets are partly the mean probabilities of teachers for the face and its mirror image.

    After Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
    """

    name: Literal["teachers"]
    share: Share
    """Share of the soft labels in the targets of every epoch."""
    teachers: Annotated[Teachers, Field(min_length=1)]


class VoteLabels(Section):
    """What FER+'s votes on the face say of its label: experiments/teachers/ferplus_votes.npz."""

    share: Share
    """Their share of the part of the target that the teachers leave; the label has the rest."""
    sha256: DigestStart
    """Of the file."""


class ViewDistillation(Section):
    """Targets are partly the mean probabilities of teachers for the augmented face itself.

    `augmentation` makes several views of each face, mixup included, as 48×48 pixels of 8 bits.
    Each epoch trains on the next view; after the last comes the first again. After Beyer et al.,
    Knowledge distillation: A good teacher is patient and consistent, 2022.
    """

    name: Literal["teachers_on_views"]
    share: Share
    """Share of the teachers in the targets of every epoch."""
    teachers: Annotated[Teachers, Field(min_length=1)]
    views: Annotated[int, Field(ge=1)]
    """Of each face."""
    seed: Seed
    """Of the views."""
    votes: VoteLabels | None = None
    """For FER-2013 alone, whose rows were voted on."""


Distillation = Annotated[
    SelfDistillation | TeacherDistillation | ViewDistillation, Field(discriminator="name")
]


class Resolution(Section):
    size: Annotated[int, Field(ge=16, le=96)]
    """Height and width in pixels that the faces are scaled to."""
    share: PositiveShare
    """Share of the epochs spent at this size."""


class Selection(Section):
    """Which epoch's weights are kept, by a metric on PublicTest."""

    monitor: Literal["val_loss", "val_accuracy", "val_macro_f1", "epoch"]
    """`epoch`: the last epoch's, so that PublicTest chooses nothing."""
    patience: Annotated[int, Field(ge=1)] | None
    """Stop after this many epochs without a better one; null disables early stopping."""


class Train(Section):
    seed: Seed
    network: Annotated[Network, Choice("name", Network)]
    init: Annotated[InitialWeights | None, Choice("name", InitialWeights, none=True)] = None
    """Weights that the training starts from; random ones where it is `none` or absent."""
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    resolutions: Annotated[list[Resolution], Field(min_length=1)]
    """Progressive resizing, in order; the last size is the one that is served."""
    optimizer: Annotated[Optimizer, Choice("name", Optimizer)]
    schedule: Annotated[Schedule, Choice("name", Schedule)]
    loss: Annotated[Loss, Choice("name", Loss)]
    class_weight: Literal["none", "balanced", "square_root", "effective_number"]
    corrected_weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight in the loss of a face whose emotion a person has corrected; the others have 1."""
    augmentation: TrainAugmentation
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    """Decay of the exponential moving average of the weights, per step; 0 disables it."""
    distillation: Annotated[Distillation | None, Choice("name", Distillation, none=True)]
    precision: Literal["float32", "mixed_bfloat16", "fused_bfloat16"]
    """Type that the training steps compute in; weights and exported files are float32.
    `fused_bfloat16` is `mixed_bfloat16` with each batch normalisation in one operation."""
    selection: Selection

    @model_validator(mode="after")
    def _weights_come_from_one_place(self) -> Self:
        if self.init and isinstance(self.network, Application) and self.network.weights:
            raise ValueError(
                "train.init replaces the weights of train.network.application; set init.name to"
                " none, or application.weights to null and its frozen_epochs to 0"
            )
        return self

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


class Float32(ModelFile):
    precision: Literal["float32"]


class Int8(ModelFile):
    """The convolutions after the first compute in eight bits: a quarter of the size."""

    precision: Literal["int8"]
    calibration: Annotated[int, Field(ge=1)]
    """Training faces that determine the ranges of the activations."""
    seed: Seed


Export = Annotated[Float32 | Int8, Field(discriminator="precision")]
EXPORT = Choice("precision", Export, shared=("recall_floor",))


# ---------------------------------------------------------------- evaluate


class Evaluate(Section):
    bootstrap: Annotated[int, Field(ge=100)]
    """Resamples behind the 95 % confidence intervals."""
    seed: Seed
    targets: dict[Literal["accuracy", "macro_f1", "min_recall", "ece"], PositiveShare]
    """Metrics to reach on PrivateTest, set before training; the card lists what was missed."""


class Parameters(Section):
    """A file of params/."""

    fetch: Annotated[Fetch, Choice("source", Fetch)]
    validate_: Annotated[Validate, Field(alias="validate")]
    balance: Balance
    train: Train
    export: Annotated[Export, EXPORT]
    evaluate: Evaluate


# ---------------------------------------------------------------- read and check

MAX_BYTES, MAX_VALUES, MAX_LENGTH = 200_000, 10_000, 1_000
"""The most bytes and values of a file, and characters of a value; a few lines with aliases can
stand for billions of values."""


def load_parameters(dataset: str, folder: Path = Path("params")) -> Parameters:
    """Read and check the whole file of a dataset, `folder/DATASET.yaml`.

    Raises
    ------
    UserError
        The name is none, the file is missing, or a key of any stage is unknown, missing or out of
        range.
    """
    check_dataset_name(dataset)
    path = folder / f"{dataset}.yaml"
    if not path.is_file():
        datasets = sorted(file.stem for file in folder.glob("*.yaml"))
        if not datasets:
            raise UserError(f"{path}: not found; run from the repository's root")
        near, others = _nearest(dataset, datasets), ", ".join(datasets)
        raise UserError(f"{path}: not found{near}; datasets with a file: {others}")
    return read_section(Parameters, path)


def read_section(kind: type[Kind], path: Path) -> Kind:
    """Read a whole file of parameters as a typed section.

    Raises
    ------
    UserError
        A key is unknown, missing or out of range; the message names the line.
    """
    document, lines = read_yaml(path)
    try:
        return checked(kind, document)
    except ParameterError as problem:
        raise UserError(f"{path}:{line_of(problem.place, lines)}: {problem}") from None


def check_dataset_name(name: str) -> None:
    """Check that a name can be a part of paths and of DVC's stages.

    Raises
    ------
    UserError
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise UserError(
            f"{name[:40]!r}: no name of a dataset; expected a small letter or a digit, then small"
            " letters, digits, dots, hyphens or underscores; correct `datasets` in params.yaml"
        )


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    """Read a YAML mapping, and the line of each key or list item.

    Raises
    ------
    UserError
        The file is no YAML mapping, a key occurs twice in a section, or the file is larger or
        nested more deeply than a file of parameters.
    """
    lines: dict[Place, int] = {}
    try:
        text = read_regular_file(path, MAX_BYTES).decode()
        for place, line in _lines_of(yaml.compose(text, yaml.SafeLoader)):
            if place in lines:
                raise UserError(
                    f"{path}:{line}: {'.'.join(map(str, place))}: the key is also in line"
                    f" {lines[place]}; remove one of them"
                )
            if len(lines) == MAX_VALUES:
                raise UserError(f"{path}:{line}: more than {MAX_VALUES:,} values; remove some")
            lines[place] = line
        document = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply; expected sections of keys") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, a day that does not exist
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        what = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{where}: not YAML: {what}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected a section for each stage, found {document!r:.40}")
    return document, lines


def _lines_of(node: yaml.Node | None, place: Place = ()) -> Iterator[tuple[Place, int]]:
    children: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.ScalarNode):
        _text(node)
    if isinstance(node, yaml.MappingNode):
        children = [(_text(key), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(index, value, value) for index, value in enumerate(node.value)]
    for part, start, value in children:
        yield (*place, part), start.start_mark.line + 1
        yield from _lines_of(value, (*place, part))


def _text(node: yaml.Node) -> str:
    """The text of a key or value."""
    problem = None
    if not isinstance(node, yaml.ScalarNode):
        problem = "a key that is a list or a section"
    elif len(node.value) > MAX_LENGTH:
        problem = f"a text or number of more than {MAX_LENGTH:,} characters"
    if problem:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return str(node.value)


def line_of(place: Place, lines: dict[Place, int]) -> int:
    """The line of a place; of what is missing, the line of the section that lacks it."""
    texts = tuple(part if isinstance(part, int) else str(part) for part in place)
    while texts and texts not in lines:
        texts = texts[:-1]
    return lines.get(texts, 1)


def checked(kind: type[Kind], document: Any, place: Place = ()) -> Kind:
    """The typed section of a document in the shape of a file.

    Raises
    ------
    ParameterError
        A key is unknown, missing or out of range; its place begins with `place`.
    """
    try:
        return kind.model_validate(_choices_made(kind, document, place))
    except ValidationError as error:
        inner, what = _first_problem(error, kind)
        raise ParameterError((*place, *inner), what) from None


def _choices_made(kind: type[Section], document: Any, place: Place) -> Any:
    """Replace each choice in a document by the settings of the kind that it names."""
    if not isinstance(document, dict):
        return document
    made = dict(document)
    for name, field in kind.model_fields.items():
        key = field.alias or name
        if key not in document:
            continue
        for choice in field.metadata:
            if isinstance(choice, Choice):
                made[key] = choice.chosen(document[key], (*place, key))
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            made[key] = _choices_made(field.annotation, document[key], (*place, key))
    return made


def _first_problem(error: ValidationError, kind: type[Section]) -> tuple[Place, str]:
    """The place of the first problem, and what it is, with the nearest right key."""
    # An unknown key is reported before a missing one, which it may be a misspelling of.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    place = tuple(part for part in problem["loc"] if part != "[key]")
    match problem["type"]:
        case "extra_forbidden":
            missing = [
                str(other["loc"][-1])
                for other in problems
                if other["type"] == "missing" and other["loc"][:-1] == place[:-1]
            ]
            near = _nearest(str(place[-1]), missing) or _nearest(str(place[-1]), _keys(kind, place))
            return place, f"unknown key{near}"
        case "missing":
            return place, "missing; every key must be given"
        case "no_number":
            context = problem["ctx"]
            return (*place, context["key"]), f"expected a number{_found(context['of'])}"
        case "too_short":
            least, items = problem["ctx"]["min_length"], problem["ctx"]["actual_length"]
            return place, f"expected {least} or more values, found {items}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return place, f"expected a section of keys{_found(problem['input'])}"
        case "literal_error":
            expected, found = problem["ctx"]["expected"], problem["input"]
            near = _nearest(str(found), re.findall("'(.+?)'", expected))
            return place, f"expected {expected}{_found(found)}{near}"
    message = problem["msg"].removeprefix("Value error, ")
    return place, f"{message[0].lower()}{message[1:]}{_found(problem['input'])}"


def _keys(kind: type[Section], place: Place) -> list[str]:
    """The keys of the section that the last key of a place stands in, empty if it is unknown."""
    for part in place[:-1]:
        fields = kind.model_fields.items()
        annotation = next((f.annotation for name, f in fields if part in (name, f.alias)), None)
        sections = [one for one in _types(annotation) if issubclass(one, Section)]
        if len(sections) == 1:
            kind = sections[0]
        elif isinstance(part, str):
            return []
    return [field.alias or name for name, field in kind.model_fields.items()]


def _types(annotation: Any) -> Iterator[type]:
    """The classes that an annotation is made of: `list[int] | None` gives int and NoneType."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def _found(value: Any) -> str:
    return "" if isinstance(value, (dict, list)) else f", found {value!r}"


def _nearest(name: str, candidates: Iterable[str]) -> str:
    near = nearest(name, candidates, 0.5)
    return f", did you mean '{near}'?" if near else ""
