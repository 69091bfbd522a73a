"""One frame of a video."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    index: int
    """From 0."""
    seconds: float
    """Time at which a player shows the frame; at least that of the previous frame."""
    image: np.ndarray
    """uint8 [H, W, 3], BGR, upright."""
    cut: bool = False
    """Whether a new shot begins with this frame; see `mark_cuts`."""
