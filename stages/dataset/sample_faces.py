"""Faces rendered from a parametric face: the embedded sample dataset.

Each emotion moves brows, eyes, nose and mouth by action units of the Facial Action
Coding System (Ekman, Friesen & Hager 2002), in the combinations that EMFACS gives for
the basic emotions. A person, a pose, a light and a camera are drawn at random for
every face. Positions are in face units: the origin lies between eyes and mouth, x
points right, y down, the chin of a face at rest is at y = 1.

The same seed gives the same bytes on every processor. Processors differ in the last bits of sines,
powers and sums. Everything is therefore computed in float64, where these differences stay near
1e-13, and is rounded to integers in three places: coordinates, thicknesses and radii of shapes,
grey levels. No such value of the sample lies so near to where its rounding changes: with every
random number changed by 1e-10 of its value no byte of the sample changes; with 1e-8, 65 of its
4.6 million pixels do. OpenCV draws polygons in integers and blurs in float64; its `resize` is not
used, because its weights are float32.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

CLASS_ROWS = (3995, 436, 4097, 7215, 4830, 3171, 4965)
"""Rows per emotion in FER-2013's Training split, whose shares the sample copies."""

# Intensities of action units by emotion, each 0 … 1; a face shows one of the variants.
# 1 inner brow up, 2 outer brow up, 4 brows together, 5 upper lid up, 6 cheek up, 7 lids tight,
# 9 nose wrinkled, 10 upper lip up, 12 lip corners up, 15 lip corners down, 16 lower lip down,
# 17 chin up, 20 lips stretched, 23 lips tight, 25 lips apart, 26 jaw down, 43 lids drooping.
EXPRESSIONS: tuple[tuple[dict[int, float], ...], ...] = (
    (  # angry: glaring under lowered brows, lips pressed or teeth bared
        {4: 1.0, 5: 0.5, 7: 0.5, 17: 0.5, 23: 1.0},
        {4: 1.0, 5: 0.6, 7: 0.4, 10: 0.5, 16: 0.9, 23: 0.3, 25: 0.9, 26: 0.25},
    ),
    (  # disgust: nose wrinkled, upper lip drawn up, eyes narrowed
        {4: 0.5, 7: 1.0, 9: 1.0, 10: 1.0, 15: 0.5, 17: 0.6},
        {4: 0.5, 6: 0.4, 7: 0.9, 9: 1.0, 10: 1.0, 15: 0.6, 16: 0.5, 25: 0.7},
    ),
    (  # fear: brows raised and drawn together, eyes wide, mouth stretched
        {1: 1.0, 2: 0.4, 4: 0.6, 5: 1.0, 20: 1.0, 25: 0.9, 26: 0.2},
        {1: 1.0, 2: 0.3, 4: 0.7, 5: 0.9, 16: 0.6, 20: 0.9, 25: 0.9, 26: 0.4},
    ),
    (  # happy: cheeks raised, lip corners up, with teeth or without
        {6: 0.8, 12: 1.0, 25: 0.9, 26: 0.15},
        {6: 0.7, 12: 0.9},
        {6: 1.0, 12: 1.0, 25: 1.0, 26: 0.5},
    ),
    (  # sad: inner brows up, lids drooping, lip corners down
        {1: 0.9, 4: 0.5, 15: 1.0, 17: 0.6, 43: 0.5},
        {1: 1.0, 4: 0.4, 15: 0.9, 17: 0.9, 43: 0.7},
    ),
    (  # surprise: brows high, eyes wide, jaw dropped
        {1: 1.0, 2: 1.0, 5: 0.8, 25: 0.6, 26: 0.9},
        {1: 0.9, 2: 1.0, 5: 0.7, 25: 0.6, 26: 0.6},
    ),
    ({},),  # neutral
)

Floats = NDArray[np.float64]

FIXED_POINT = 4
"""Fractional bits of the coordinates given to OpenCV."""


def render_sample(rows: tuple[int, int, int], seed: int) -> tuple[NDArray[np.uint8], ...]:
    """Render a dataset as imbalanced as FER-2013.

    Parameters
    ----------
    rows
        Faces in Training, PublicTest, PrivateTest.
    seed
        The same seed gives the same bytes.

    Returns
    -------
    labels : uint8 [N], 0 angry … 6 neutral
    images : uint8 [N, 48, 48]
    splits : uint8 [N], 0 Training, 1 PublicTest, 2 PrivateTest
    """
    labels, splits = [], []
    for split, count in enumerate(rows):
        order = np.random.default_rng([seed, split])
        labels.append(order.permutation(np.repeat(np.arange(7), _class_counts(count))))
        splits.append(np.full(count, split))
    # A generator for each face: no face depends on how many numbers another one took.
    images = [
        render_face(int(label), np.random.default_rng([seed, 3, row]))
        for row, label in enumerate(
            tqdm(np.concatenate(labels), unit="face", desc="render", disable=None)
        )
    ]
    return (
        np.concatenate(labels).astype(np.uint8),
        np.stack(images),
        np.concatenate(splits).astype(np.uint8),
    )


def _class_counts(count: int) -> NDArray[np.intp]:
    """`count` divided like CLASS_ROWS; sums to `count`."""
    bounds = np.cumsum((0, *CLASS_ROWS)) / sum(CLASS_ROWS) * count
    return np.diff(np.round(bounds).astype(int))


def render_face(emotion: int, rng: np.random.Generator, size: int = 48) -> NDArray[np.uint8]:
    """Render one grey face, uint8 [size, size], of emotion 0 angry … 6 neutral."""
    person, units, pose = _random_person(rng), _random_units(emotion, rng), _random_pose(rng)
    canvas = _Canvas(size * 4 if size < 128 else size * 2, pose)
    canvas.light, background = _light(canvas, person, units, rng)
    canvas.tone = background * rng.uniform(0.15, 0.9)
    _draw_body(canvas, person, units, rng)
    _draw_nose(canvas, person, units)
    if person.beard:
        _draw_beard(canvas, person, units)
    _draw_mouth(canvas, person, units)
    _draw_folds(canvas, person, units)
    for side in (-1, 1):
        _draw_eye(canvas, person, units, side)
        _draw_brow(canvas, person, units, side)
    if person.style != "bald":
        _draw_hair(canvas, person, rng)
    if person.glasses:
        _draw_glasses(canvas, person)
    return _photographed(canvas.tone, size, rng)


# ---------------------------------------------------------------- what is drawn at random


@dataclass(frozen=True)
class _Person:
    """What stays the same when the expression changes. Tones are albedos, 0 … 1."""

    skin: float
    hair: float
    width: float  # half the face's width
    jaw: float  # 2 is oval, 4 is square
    eye_x: float
    eye_y: float
    eye_size: float
    brow_width: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip: float  # fullness
    age: float  # depth of the folds
    style: str
    hairline: float
    parting: float
    beard: bool
    glasses: bool
    iris: float


def _random_person(rng: np.random.Generator) -> _Person:
    skin = rng.uniform(0.42, 0.88)
    style = rng.choice(["short", "long", "fringe", "bald"], p=[0.42, 0.3, 0.18, 0.1])
    return _Person(
        skin=skin,
        hair=rng.uniform(0.06, 0.75 if rng.random() < 0.3 else 0.3),
        width=rng.uniform(0.70, 0.80),
        jaw=rng.uniform(2.1, 3.2),
        eye_x=rng.uniform(0.30, 0.35),
        eye_y=rng.uniform(-0.15, -0.09),
        eye_size=rng.uniform(0.9, 1.12),
        brow_width=rng.uniform(0.028, 0.052),
        nose_length=rng.uniform(0.25, 0.33),
        nose_width=rng.uniform(0.11, 0.155),
        mouth_y=rng.uniform(0.54, 0.6),
        mouth_width=rng.uniform(0.23, 0.29),
        lip=rng.uniform(0.75, 1.3),
        age=rng.beta(1.5, 3),
        style=str(style),
        hairline=rng.uniform(-0.78, -0.6),
        parting=rng.uniform(-0.45, 0.45),
        beard=style in ("short", "bald") and rng.random() < 0.3,
        glasses=rng.random() < 0.12,
        iris=rng.uniform(0.08, 0.4),
    )


def _random_units(emotion: int, rng: np.random.Generator) -> list[float]:
    """Intensity of every action unit, indexed by its number."""
    # A little of everything; only parted lips and a dropped jaw are never there by chance.
    units = rng.uniform(0, 0.12, 44)
    units[[25, 26]] = 0
    variants = EXPRESSIONS[emotion]
    strength = rng.uniform(0.7, 1.1)
    for number, intensity in variants[rng.integers(len(variants))].items():
        units[number] = intensity * strength * rng.uniform(0.85, 1.15)
    return [float(intensity) for intensity in units]


@dataclass(frozen=True)
class _Pose:
    """Angles in radians; x, y and scale as shares of the picture; gaze in face units."""

    yaw: float
    pitch: float
    roll: float
    x: float
    y: float
    scale: float
    gaze: float


def _random_pose(rng: np.random.Generator) -> _Pose:
    return _Pose(
        yaw=float(np.clip(rng.normal(0, 0.16), -0.35, 0.35)),
        pitch=float(np.clip(rng.normal(0, 0.07), -0.15, 0.15)),
        roll=float(np.clip(rng.normal(0, 0.07), -0.2, 0.2)),
        x=float(rng.normal(0.5, 0.015)),
        y=float(rng.normal(0.5, 0.015)),
        scale=float(rng.uniform(0.45, 0.53)),
        gaze=float(np.clip(rng.normal(0, 0.015), -0.04, 0.04)),
    )


# ---------------------------------------------------------------- canvas


@dataclass
class _Mask:
    """Coverage 0 … 1 of a shape, float64, for the part of the picture at `rows`, `columns`."""

    rows: slice
    columns: slice
    cover: Floats

    def __and__(self, other: "_Mask") -> "_Mask":
        """Where both are."""
        top = max(self.rows.start, other.rows.start)
        left = max(self.columns.start, other.columns.start)
        bottom = max(top, min(self.rows.stop, other.rows.stop))
        right = max(left, min(self.columns.stop, other.columns.stop))
        parts = [
            mask.cover[
                top - mask.rows.start : bottom - mask.rows.start,
                left - mask.columns.start : right - mask.columns.start,
            ]
            for mask in (self, other)
        ]
        return _Mask(slice(top, bottom), slice(left, right), parts[0] * parts[1])


class _Canvas:
    """A square picture, float64 [side, side], drawn on in face units.

    `light` is what falls on the head, `tone` what comes back from it.
    """

    def __init__(self, side: int, pose: _Pose):
        self.side = side
        self.pose = pose
        self.unit = pose.scale * side  # pixels
        turn = [[np.cos(pose.roll), -np.sin(pose.roll)], [np.sin(pose.roll), np.cos(pose.roll)]]
        self.turn = np.array(turn) * self.unit
        self.centre = np.array([pose.x, pose.y]) * side
        self.light = self.tone = np.ones((side, side))

    def fill(
        self, points: ArrayLike, depth: float | Floats | None = 0.0, blur: float = 0.0
    ) -> _Mask:
        """A polygon with an edge as soft as `blur` face units."""
        return self._mask(points, depth, blur, None)

    def line(
        self, points: ArrayLike, width: float, depth: float | Floats | None = 0.0, blur: float = 0.0
    ) -> _Mask:
        """An open line `width` face units thick."""
        return self._mask(points, depth, blur, width)

    def paint(self, mask: _Mask, albedo: float | Floats, opacity: float = 1.0) -> None:
        """Lay a paint over what is there."""
        tone = self.tone[mask.rows, mask.columns]
        light = self.light[mask.rows, mask.columns]
        tone += mask.cover * opacity * (albedo * light - tone)

    def shade(self, mask: _Mask, share: float) -> None:
        """Take a share of the light away."""
        self.tone[mask.rows, mask.columns] *= 1 - share * mask.cover

    def _mask(
        self, points: ArrayLike, depth: float | Floats | None, blur: float, width: float | None
    ) -> _Mask:
        pixels = self._project(np.asarray(points, dtype=float), depth)
        fixed = np.round(pixels * 2**FIXED_POINT).astype(np.int32)
        thickness = 0 if width is None else max(1, round(width * self.unit))
        sigma = blur * self.unit
        radius = math.ceil(3 * sigma)
        margin = radius + thickness // 2 + 2
        # At least one pixel, even of a shape that lies outside.
        first, last = (fixed.min(0) >> FIXED_POINT).tolist(), (fixed.max(0) >> FIXED_POINT).tolist()
        left, top = (min(max(at - margin, 0), self.side - 1) for at in first)
        right, bottom = (max(min(at + margin + 1, self.side), 1) for at in last)
        layer = np.zeros((bottom - top, right - left), np.uint8)
        outline = [fixed - np.array([left, top], np.int32) * 2**FIXED_POINT]
        if width is None:
            cv2.fillPoly(layer, outline, 255, cv2.LINE_AA, FIXED_POINT)
        else:
            cv2.polylines(layer, outline, False, 255, thickness, cv2.LINE_AA, FIXED_POINT)
        cover: Floats = layer / 255
        if sigma > 0.3:
            blurred = cv2.GaussianBlur(cover, (2 * radius + 1, 2 * radius + 1), sigma)
            cover = blurred.astype(np.float64, copy=False)
        return _Mask(slice(top, bottom), slice(left, right), cover)

    def _project(self, points: Floats, depth: float | Floats | None) -> Floats:
        """Pixels of points that lie `depth` before the face; None is the head's contour."""
        if depth is not None:
            z = _head_depth(points[:, 0], points[:, 1]) + depth
            points = points + z[:, None] * (np.sin(self.pose.yaw), np.sin(self.pose.pitch))
        projected: Floats = points @ self.turn.T + self.centre
        return projected


def _head_depth(x: Floats, y: Floats) -> Floats:
    """Depth of the head's front, an ellipsoid, in face units."""
    depth: Floats = 0.7 * np.sqrt(np.maximum(1 - (x / 0.84) ** 2 - (y / 1.3) ** 2, 0.01))
    return depth


def _curve(*through: tuple[float, float], count: int = 24) -> Floats:
    """Smooth open line through three points, a parabola in chord length, [count, 2]."""
    points = np.array(through, dtype=float)
    first, second = np.hypot(*np.diff(points, axis=0).T)
    middle = first / (first + second)
    at = np.linspace(0, 1, count)[:, None]
    line: Floats = (
        points[0] * (at - middle) * (at - 1) / middle
        + points[1] * at * (at - 1) / (middle * (middle - 1))
        + points[2] * at * (at - middle) / (1 - middle)
    )
    return line


def _arc(end: float, count: int) -> tuple[Floats, Floats]:
    """Cosines and sines of `count` angles from 0 to `end`, both included, in radians."""
    angle = np.linspace(0, end, count)
    # Exactly 0 and 1 at quarter turns: the root of a last-bit difference would be 1e-8.
    return np.cos(angle).round(12), np.sin(angle).round(12)


def _disc(x: float, y: float, rx: float, ry: float, tilt: float = 0.0) -> Floats:
    """An ellipse as a polygon, [24, 2]; `tilt` in radians."""
    cosine, sine = _arc(2 * np.pi, 25)
    along, across = rx * cosine[:-1], ry * sine[:-1]
    return np.stack(
        [
            x + along * np.cos(tilt) - across * np.sin(tilt),
            y + along * np.sin(tilt) + across * np.cos(tilt),
        ],
        axis=1,
    )


# ---------------------------------------------------------------- light


def _light(
    canvas: _Canvas, person: _Person, units: list[float], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Light on the head and on the background, each float64 [side, side].

    Lambert's law on a relief of the head, of which a quarter of the resolution is enough.
    """
    side = max(48, canvas.side // 4)
    step = (np.arange(side) + 0.5) / side
    pixels = np.stack(np.meshgrid(step, step), -1) * canvas.side - canvas.centre
    face = pixels @ np.linalg.inv(canvas.turn).T
    relief = _relief(face[..., 0], face[..., 1], canvas.pose, person, units)
    dy, dx = np.gradient(relief * canvas.pose.scale * side)

    sun = np.array([rng.normal(0, 0.4), rng.uniform(-0.75, -0.1), 0.9])
    sun /= np.linalg.norm(sun)
    cosine = (sun[2] - sun[0] * dx - sun[1] * dy) / np.sqrt(1 + dx**2 + dy**2)
    ambient = rng.uniform(0.3, 0.5)
    head = ambient + (1 - ambient) * np.clip(cosine, 0, None)
    step = (np.arange(canvas.side) + 0.5) / canvas.side - 0.5
    across = 1 + 0.5 * (sun[0] * step[None, :] + sun[1] * step[:, None])
    return _resized(head, canvas.side, canvas.side) * across, across


def _resized(values: Floats, height: int, width: int) -> Floats:
    """`values` at [height, width] by cubic convolution (Keys 1981, a = -0.75)."""
    return _resampled(_resampled(values, height).T, width).T


def _resampled(values: Floats, count: int) -> Floats:
    """`values` with `count` rows; what lies beyond the first and last row is like them."""
    last = len(values) - 1
    at = (np.arange(count) + 0.5) * len(values) / count - 0.5
    before = np.floor(at).astype(int)
    resampled = np.zeros((count, values.shape[1]))
    for row in (before - 1, before, before + 1, before + 2):
        x = np.abs(at - row)
        near = (1.25 * x - 2.25) * x * x + 1
        far = ((-0.75 * x + 3.75) * x - 6) * x + 3
        weight = np.where(x <= 1, near, far)
        resampled += weight[:, None] * values[np.clip(row, 0, last)]
    return resampled


def _relief(x: Floats, y: Floats, pose: _Pose, person: _Person, units: list[float]) -> Floats:
    """Height of the head over the picture's plane at the given face units."""
    head = _head_depth(x * (0.76 / person.width), y - 0.05)
    # The features stand before the contour's plane, so the head's turn shifts them.
    x = x - head * np.sin(pose.yaw)
    y = y - head * np.sin(pose.pitch)
    mirrored = np.abs(x)

    def bump(cx: float, cy: float, width: float, height: float, depth: float) -> Floats:
        raised: Floats = depth * np.exp(
            -(((mirrored - cx) / width) ** 2) - ((y - cy) / height) ** 2
        )
        return raised

    cheek = max(units[6], units[12])
    jaw = 0.16 * units[26]
    tip = person.eye_y + 0.1 + person.nose_length - 0.05 * units[9]
    along = np.clip((y - person.eye_y) / (tip - person.eye_y), 0, 1.2)
    bridge = np.exp(-((x / (0.07 + 0.05 * along)) ** 2)) * (0.02 + 0.15 * along**1.4)
    nose = bridge / (1 + np.exp((y - tip - 0.02) / 0.02) + np.exp((person.eye_y - y) / 0.06))
    relief: Floats = (
        head
        + nose
        + bump(person.nose_width * 0.75, tip, 0.05, 0.06, 0.04)  # wings of the nose
        + bump(0.3, person.eye_y - 0.18 + 0.05 * units[4], 0.22, 0.09, 0.05)  # ridge of the brows
        - bump(person.eye_x, person.eye_y, 0.2, 0.11, 0.09)  # socket
        + bump(person.eye_x, person.eye_y, 0.11, 0.07, 0.04)  # eyeball
        + bump(0.42, 0.22 - 0.08 * cheek, 0.17, 0.14, 0.04 + 0.07 * cheek)
        + bump(0, person.mouth_y, 0.28, 0.2, 0.06)
        - bump(0, person.mouth_y + 0.17 + jaw, 0.16, 0.06, 0.03)
        + bump(0, 0.88 + jaw, 0.16, 0.12, 0.06 + 0.02 * units[17])  # chin
    )
    return relief


# ---------------------------------------------------------------- parts


def _draw_body(
    canvas: _Canvas, person: _Person, units: list[float], rng: np.random.Generator
) -> None:
    """Hair behind the head, shoulders, neck, ears and the skin of the head."""
    if person.style in ("long", "fringe"):
        cosine, sine = _arc(np.pi, 24)
        crown = np.stack([cosine * 0.96, -1.2 * sine], 1)
        length = rng.uniform(0.75, 1.5)
        ends = _curve((-0.94, length), (0, length + 0.15), (0.94, length))
        canvas.paint(canvas.fill([*crown, *ends], None, 0.02), person.hair)
    shoulders = [(-2, 1.7), (-1.3, 1.36), (-0.4, 1.16), (0.4, 1.16), (1.3, 1.36), (2, 1.7)]
    canvas.paint(canvas.fill([*shoulders, (2, 3), (-2, 3)], None), rng.uniform(0.1, 0.9))
    neck = [(-0.4, 0.5), (-0.42, 1.18), (0, 1.34), (0.42, 1.18), (0.4, 0.5)]
    canvas.paint(canvas.fill(neck, None, 0.02), person.skin * 0.6)
    for side in (-1, 1):
        x = side * (person.width + 0.02) - 0.12 * np.sin(canvas.pose.yaw)
        ear = _disc(x, 0.03, 0.1, 0.2, side * 0.15)
        canvas.paint(canvas.fill(ear, None), person.skin * 0.85)
        canvas.shade(canvas.fill(_disc(x, 0.04, 0.045, 0.11), None, 0.02), 0.3)
    canvas.paint(canvas.fill(_contour(person, units), None), person.skin)


def _contour(person: _Person, units: list[float]) -> Floats:
    """The head's outline, [N, 2]: an ellipse above, a squarer curve down to the chin."""
    chin = 1 + 0.16 * units[26]
    sine = _arc(np.pi / 2, 24)[1]
    above, below = -sine[::-1], sine[1:]
    upper = person.width * np.sqrt(1 - (-above) ** 2.3)
    lower = person.width * np.sqrt(1 - below**person.jaw)
    x, y = np.concatenate([upper, lower]), np.concatenate([above * 1.08, below * chin])
    return np.concatenate([np.stack([x, y], 1), np.stack([-x, y], 1)[::-1]])


def _draw_nose(canvas: _Canvas, person: _Person, units: list[float]) -> None:
    y = person.eye_y + 0.13 + person.nose_length - 0.05 * units[9] - 0.02 * units[10]
    wide = person.nose_width * (1 + 0.2 * units[9] + 0.12 * units[12])
    base = _curve((-wide, y - 0.03), (0, y + 0.035), (wide, y - 0.03))
    canvas.shade(canvas.line(base, 0.03, 0.1, 0.015), 0.35)
    for side in (-1, 1):
        nostril = _disc(side * wide * 0.48, y, 0.042, 0.02, side * -0.3)
        canvas.shade(canvas.fill(nostril, 0.1, 0.006), 0.65)
        wing = _curve(
            (side * wide * 0.85, y - 0.11), (side * wide * 1.12, y - 0.05), (side * wide * 0.9, y)
        )
        canvas.shade(canvas.line(wing, 0.02, 0.05, 0.012), 0.35 + 0.3 * units[9])


def _draw_beard(canvas: _Canvas, person: _Person, units: list[float]) -> None:
    """Stubble from ear to ear, thinner around the lips."""
    lower = _contour(person, units)
    lower = lower[lower[:, 1] > 0.2] * 0.99
    edge = _curve((-0.8, 0.1), (0, 0.42), (0.8, 0.1))
    beard = canvas.fill([*lower, *edge], None, 0.06)
    canvas.paint(beard, person.hair, 0.35)
    around_lips = _disc(0, person.mouth_y + 0.04, 0.24, 0.1)
    canvas.paint(canvas.fill(around_lips, 0.04, 0.05), person.skin, 0.5)


@dataclass(frozen=True)
class _Mouth:
    """Where the lips are: half the width, and the y of corners and of the four edges' middles."""

    wide: float
    corner: float
    top: float
    upper: float
    lower: float
    bottom: float
    square: float
    """Power of the opening's edges: 2 is a parabola, more is squarer."""
    arch: float
    """Power that rounds the edges; 1 leaves them as they are, less makes the corners steep."""

    def edge(self, middle: float, power: float, ends: int = 0) -> Floats:
        """The line from corner to corner through `middle`, [33, 2], without its `ends`."""
        across = np.linspace(-1, 1, 33)[ends : 33 - ends]
        rise = (1 - np.abs(across) ** power) ** self.arch
        return np.stack([self.wide * across, self.corner + (middle - self.corner) * rise], 1)


def _mouth(person: _Person, units: list[float]) -> _Mouth:
    spread = max(units[12], units[16], units[20])
    dropped = units[26] * max(0, 1 - spread)
    stretch = 0.3 * units[12] + 0.28 * units[20] - 0.16 * units[23] - 0.25 * dropped
    full = person.lip * (1 - 0.55 * units[23] - 0.25 * units[12] - 0.2 * units[20])
    seam = person.mouth_y - 0.03 * units[17] + 0.02 * units[12]
    gap = units[25] * (0.05 + 0.05 * units[12] + 0.04 * units[20]) + 0.3 * units[26]
    upper = seam - 0.3 * gap - 0.07 * units[10] * units[25]
    lower = seam + 0.7 * gap + 0.05 * units[16] * units[25]
    return _Mouth(
        wide=person.mouth_width * (1 + stretch),
        corner=person.mouth_y - 0.13 * units[12] + 0.11 * units[15] + 0.07 * units[26],
        top=upper - 0.06 * full - 0.05 * units[10] * (1 - units[25]),
        upper=upper,
        lower=lower,
        bottom=lower + 0.085 * full + 0.02 * units[17],
        square=2 + 2 * units[16] + units[20] + 1.5 * units[10],
        arch=1 - 0.4 * dropped,
    )


def _draw_mouth(canvas: _Canvas, person: _Person, units: list[float]) -> None:
    mouth = _mouth(person, units)
    bow = mouth.edge(mouth.top, 1.7 + 0.7 * units[10])
    bow[:, 1] += 0.018 * np.exp(-((np.linspace(-1, 1, len(bow)) / 0.16) ** 2)) * (1 - units[26])
    lips = np.concatenate([bow, mouth.edge(mouth.bottom, 2.2 + units[16])[::-1]])
    canvas.paint(canvas.fill(lips, 0.04, 0.006), person.skin * 0.65)
    shine = mouth.edge((mouth.lower + mouth.bottom) / 2, 2.2, ends=8)
    canvas.paint(canvas.line(shine, 0.03, 0.04, 0.02), person.skin, 0.3)
    shadow = mouth.edge(mouth.bottom + 0.03, 2.2, ends=8)
    canvas.shade(canvas.line(shadow, 0.04, 0.04, 0.025), 0.3)
    if mouth.lower - mouth.upper > 0.02:
        _draw_open_mouth(canvas, mouth, units)
    canvas.shade(canvas.line(mouth.edge(mouth.upper, mouth.square), 0.022, 0.04, 0.005), 0.75)
    for side in (-1, 1):
        corner = _disc(side * mouth.wide, mouth.corner, 0.035, 0.035)
        canvas.shade(canvas.fill(corner, 0.03, 0.02), 0.4)


def _draw_open_mouth(canvas: _Canvas, mouth: _Mouth, units: list[float]) -> None:
    """The dark between the lips, with tongue and teeth."""

    def between(upper: float, lower: float, blur: float = 0.0) -> _Mask:
        above, below = mouth.edge(upper, mouth.square), mouth.edge(lower, mouth.square)
        return canvas.fill(np.concatenate([above, below[::-1]]), 0.04, blur)

    opening = between(mouth.upper, mouth.lower)
    canvas.paint(opening, 0.06)
    tongue = _disc(0, mouth.lower, 0.6 * mouth.wide, 0.35 * (mouth.lower - mouth.upper))
    canvas.paint(opening & canvas.fill(tongue, 0.04, 0.01), 0.28)
    shown = 0.08 * min(1, max(units[10], units[12], units[20], 0.4 * units[26]))
    canvas.paint(opening & between(mouth.upper - 0.02, mouth.upper + shown, 0.004), 0.95)
    if units[16] > 0.3:
        canvas.paint(opening & between(mouth.lower - 0.05, mouth.lower + 0.02, 0.004), 0.85)


def _draw_folds(canvas: _Canvas, person: _Person, units: list[float]) -> None:
    """Folds of the skin, deeper with age and with the muscles that make them."""
    age = person.age
    sneer = max(units[9], units[10])
    cheek = max(units[12], 0.9 * sneer)
    eye_x, eye_y, mouth_y = person.eye_x, person.eye_y, person.mouth_y
    nose_y = eye_y + 0.1 + person.nose_length
    wide = person.mouth_width * (1 + 0.3 * units[12] + 0.25 * units[20])

    def fold(points: ArrayLike, width: float, depth: float, share: float) -> None:
        if share > 0.05:  # fainter ones are not seen
            canvas.shade(canvas.line(points, width, depth, width * 0.7), min(share, 0.9))

    for side in (-1, 1):
        nasolabial = _curve(
            (person.nose_width + 0.03, nose_y - 0.06 * sneer),
            (person.nose_width + 0.15 + 0.05 * cheek, nose_y + 0.1),
            (wide + 0.07, mouth_y + 0.04 - 0.06 * units[12]),
        )
        fold(nasolabial * (side, 1), 0.02, 0.02, 0.1 + 0.25 * age + 0.45 * cheek)
        bag = _curve(
            (eye_x - 0.13, eye_y + 0.1),
            (eye_x, eye_y + 0.145 - 0.03 * units[6]),
            (eye_x + 0.15, eye_y + 0.09),
        )
        fold(bag * (side, 1), 0.018, 0, 0.1 + 0.2 * age + 0.4 * units[6])
        for up in (-0.06, 0, 0.06):
            crow = np.array([(eye_x + 0.2, eye_y + 0.4 * up), (eye_x + 0.31, eye_y + up)])
            fold(crow * (side, 1), 0.012, 0, (0.3 + 0.2 * age) * units[6])
        for down in (0, 0.06):
            wrinkle = np.array([(0.02, eye_y + down), (0.12, eye_y + down - 0.05)])
            fold(wrinkle * (side, 1), 0.016, 0.06, 0.6 * units[9])
        frown = np.array([(0.05, -0.42), (0.04, -0.34), (0.055, -0.26)])
        fold(frown * (side, 1), 0.018, 0.03, (0.3 + 0.4 * age) * units[4])
        droop = np.array([(wide, mouth_y + 0.1), (wide + 0.05, mouth_y + 0.24)])
        fold(droop * (side, 1), 0.02, 0.02, 0.45 * units[15])
    for y in (-0.66, -0.58, -0.5):
        furrow = _curve((-0.34, y + 0.03), (0, y), (0.34, y + 0.03))
        fold(furrow, 0.016, 0, (0.1 + 0.4 * age) * (units[1] + units[2]) / 2)
    chin = mouth_y + 0.24 + 0.16 * units[26]
    fold([(-0.09, chin), (0.09, chin)], 0.03, 0.03, 0.4 * units[17])


def _draw_eye(canvas: _Canvas, person: _Person, units: list[float], side: int) -> None:
    """Eyeball between the lids, lashes and the crease above."""
    x, y, scale = side * person.eye_x, person.eye_y, person.eye_size
    squint = units[7] if units[5] < 0.3 else 0.3 * units[7]
    rise = 0.075 * (1 + 0.6 * units[5] - 0.45 * squint - 0.6 * units[43] - 0.25 * units[6])
    sink = 0.05 * (1 + 0.2 * units[5] - 0.7 * units[6] - 0.7 * units[7])
    cosine, sine = _arc(np.pi, 25)
    across = x + 0.15 * scale * cosine
    slope = side * cosine * (0.02 * units[1] * units[4] + 0.015 * units[43])
    upper = np.stack([across, y - scale * rise * sine**0.9 + slope], 1)
    lower = np.stack([across, y + scale * max(sink, 0.005) * sine + slope], 1)

    opening = canvas.fill(np.concatenate([upper, lower[::-1]]))
    canvas.paint(opening, 0.92)
    ahead, level = x + canvas.pose.gaze, y - 0.012
    iris, pupil = 0.073 * scale, 0.034 * scale
    canvas.paint(opening & canvas.fill(_disc(ahead, level, iris, iris)), person.iris)
    canvas.paint(opening & canvas.fill(_disc(ahead, level, pupil, pupil)), 0.02)
    canvas.shade(opening & canvas.line(upper, 0.05, 0, 0.02), 0.4)
    canvas.paint(opening & canvas.fill(_disc(ahead - 0.025, level - 0.025, 0.014, 0.014)), 1.2)
    canvas.shade(canvas.line(upper, 0.026, 0, 0.004), 0.8)
    canvas.shade(canvas.line(lower, 0.012, 0, 0.006), 0.45)
    crease = upper[3:22] - (0, 0.035 + 0.02 * units[43])
    canvas.shade(canvas.line(crease, 0.014, 0, 0.008), 0.4)


def _draw_brow(canvas: _Canvas, person: _Person, units: list[float], side: int) -> None:
    inner_up, outer_up = units[1], units[2]
    lowered = units[4] * max(0, 1 - 0.85 * inner_up)
    y = person.eye_y - 0.2
    line = _curve(
        (0.14 - 0.05 * units[4], y + 0.01 - 0.13 * inner_up + 0.13 * lowered + 0.04 * units[9]),
        (0.36, y - 0.05 - 0.06 * inner_up - 0.11 * outer_up + 0.08 * lowered),
        (0.55, y + 0.03 - 0.1 * outer_up + 0.02 * inner_up * max(0, 1 - outer_up)),
    )
    half = np.linspace(1.1, 0.35, len(line))[:, None] * (0, person.brow_width)
    brow = np.concatenate([line - half, (line + half)[::-1]]) * (side, 1)
    canvas.paint(canvas.fill(brow, 0.03, 0.008), 0.8 * min(person.hair, person.skin * 0.6), 0.9)


def _draw_hair(canvas: _Canvas, person: _Person, rng: np.random.Generator) -> None:
    """Hair over the forehead and down the temples, with strands."""
    low = {"short": -0.12, "long": 0.15, "fringe": 0.05}[person.style]
    temple, edge = person.width * 0.72, person.width - 0.02
    line = person.hairline + (0.2 if person.style == "fringe" else 0)
    cosine, sine = _arc(np.pi, 32)
    wide, high = person.width + 0.03 + 0.06 * sine, low + 1.2
    crown = np.stack([wide * cosine, low - high * sine], 1)
    forehead = _curve(
        (-temple + 0.04, line + 0.05), (person.parting, line - 0.06), (temple - 0.04, line + 0.05)
    )
    left = [(-edge, low), (-edge + 0.04, low - 0.15), (-temple, line + 0.14)]
    right = [(-x, y) for x, y in reversed(left)]
    hair = canvas.fill([*crown, *left, *forehead, *right], None, 0.01)
    strands = _resized(rng.uniform(0.8, 1.2, (4, 40)), *hair.cover.shape)
    canvas.paint(hair, person.hair * strands)


def _draw_glasses(canvas: _Canvas, person: _Person) -> None:
    x, y = person.eye_x, person.eye_y + 0.02
    for side in (-1, 1):
        rim = _disc(side * x, y, 0.235, 0.185)
        canvas.paint(canvas.fill(rim, 0.06), 1.0, 0.06)
        canvas.paint(canvas.line([*rim, rim[0]], 0.03, 0.06), 0.06)
        arm = np.array([(side * (x + 0.235), y), (side * (person.width - 0.02), y - 0.04)])
        ear = -_head_depth(*arm[1])  # on the contour, which a turn of the head does not move
        canvas.paint(canvas.line(arm, 0.03, np.array([0.06, ear])), 0.06)
    bridge = _curve((-x + 0.23, y), (0, y - 0.05), (x - 0.23, y))
    canvas.paint(canvas.line(bridge, 0.03, 0.1), 0.06)


# ---------------------------------------------------------------- camera


def _photographed(radiance: Floats, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lens, exposure and sensor: grey uint8 [size, size] with noise."""
    share = len(radiance) // size
    picture = radiance.reshape(size, share, size, share).mean((1, 3))
    focus = rng.uniform(0, 0.4) * (size / 48) ** 0.5
    if focus > 0.25:
        width = 2 * math.ceil(3 * focus) + 1
        picture = cv2.GaussianBlur(picture, (width, width), focus)
    # Metered on the face, with film's soft shoulder: highlights fade rather than clip.
    metered = picture[size // 4 : -size // 4, size // 4 : -size // 4].mean()
    grey = rng.uniform(0.4, 0.62)
    exposed = 255 * (1 - np.exp(np.log(1 - grey) * picture / metered))
    exposed = (exposed - 128) * rng.uniform(1.0, 1.45) + 128
    # A larger picture needs less noise in each pixel to look as grainy.
    grain = rng.uniform(1.5, 6) * (48 / size) ** 0.5
    face: NDArray[np.uint8] = np.clip(np.round(rng.normal(exposed, grain)), 0, 255).astype(np.uint8)
    return face
