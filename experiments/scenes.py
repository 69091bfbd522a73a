"""Scenes with one face each: FER-2013 faces pasted into textures.

The textures are random clouds, so the pasted face is the only face. Around it, the face's own
border goes on for a quarter of its side, more and more blurred, and fades into the texture.
"""

import cv2
import numpy as np

HEIGHT, WIDTH = 360, 480
PAD = 12
"""Width of the fading border in pixels of the 48×48 face."""


def lit(scene: np.ndarray, lighting: str, distance: np.ndarray) -> np.ndarray:
    """Light a scene: `even` as it is, `dim` and noisy, `bright` and clipped, or from one `side`.

    `distance` [H, W] from the face's centre along the light, over the face's side.
    """
    if lighting == "dim":
        return 0.25 * scene
    if lighting == "bright":
        return 1.5 * scene + 30
    if lighting == "side":
        return scene * np.clip(0.8 + 0.9 * distance, 0.25, 1.5)
    return scene


def paste(
    face: np.ndarray, size: int, degrees: float, lighting: str, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float]]:
    """Make one scene.

    Parameters
    ----------
    face : uint8 [48, 48]
    size : int
        Its side in the scene, in pixels.
    degrees : float
        Turned by so much, counter-clockwise.
    lighting : str
        One of even, dim, bright, side.
    rng : numpy Generator
        Place, texture, direction of the light, and noise (2 grey levels).

    Returns
    -------
    scene : uint8 [360, 480, 3]
        BGR; a grey picture.
    centre : the face's (x, y) in it
    """
    margin = 0.7 * size
    centre = rng.uniform(margin, WIDTH - margin), rng.uniform(margin, HEIGHT - margin)
    picture, opacity = _faded(face)
    middle = (picture.shape[0] - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), degrees, size / face.shape[0])
    turn[:, 2] += np.array(centre) - 0.5 - middle
    size_of_scene = WIDTH, HEIGHT
    opacity = cv2.warpAffine(opacity, turn, size_of_scene)
    picture = cv2.warpAffine(
        picture, turn, size_of_scene, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    scene = _texture(rng) * (1 - opacity) + picture * opacity

    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    along = (x - centre[0]) * np.cos(direction) + (y - centre[1]) * np.sin(direction)
    scene = lit(scene, lighting, along / size) + rng.normal(0, 2, scene.shape)
    grey = np.clip(np.rint(scene), 0, 255).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), centre


def _faded(face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face with its border drawn out and blurred, and how opaque each pixel is (0 … 1)."""
    side = face.shape[0] + 2 * PAD
    picture = cv2.copyMakeBorder(face, PAD, PAD, PAD, PAD, cv2.BORDER_REPLICATE)
    picture = picture.astype(np.float32)
    outside = np.maximum(np.abs(np.arange(side) - (side - 1) / 2) - face.shape[0] / 2, 0) / PAD
    outside = np.hypot(outside[None], outside[:, None]).astype(np.float32)
    blur = np.minimum(3 * outside, 1)
    picture = (1 - blur) * picture + blur * cv2.GaussianBlur(picture, (0, 0), 3)
    opacity = np.maximum(1 - outside, 0)
    return picture, opacity**2 * (3 - 2 * opacity)


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Smooth random clouds, from large to small, around a random grey."""
    texture = np.full((HEIGHT, WIDTH), rng.uniform(70, 170), np.float32)
    for cells, strength in ((4, 35), (9, 20), (27, 10), (80, 5)):
        noise = rng.standard_normal((cells * 3 // 4, cells)).astype(np.float32)
        texture += strength * cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(texture, 0, 255)
