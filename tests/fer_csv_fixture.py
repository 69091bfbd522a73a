"""Random rows of the FER-2013 CSV."""

import numpy as np

from stages.dataset.faces import SPLITS
from stages.dataset.fer_csv import format_row

RNG = np.random.default_rng(11)


def pixels(count: int = 2304) -> str:
    """Random grey levels as a pixels field spells them."""
    return " ".join(map(str, RNG.integers(0, 256, count)))


SAME = pixels()
"""One image, for several rows."""

GOOD = [format_row(index % 7, pixels(), SPLITS[index // 14]) for index in range(42)]
"""Valid rows: 14 per split, 2 per emotion in each."""
