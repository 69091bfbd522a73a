"""The metrics of balancing."""

import numpy as np

from stages.balancing.report import balance_metrics
from stages.balancing.strategies import counts_per_emotion
from tests.faces_fixture import random_faces, training_faces


def test_metrics_count_what_changed():
    before, after = (
        counts_per_emotion(training_faces(*random_faces(np.repeat(np.arange(7), counts))))
        for counts in ([4, 1, 4, 8, 4, 4, 4], [4, 4, 4, 6, 4, 4, 4])
    )
    metrics = balance_metrics(before, after)
    assert metrics["before"]["disgust"] == 1
    assert metrics["after"]["happy"] == 6
    assert (metrics["added"], metrics["removed"]) == (3, 2)
    assert metrics["ratio_before"] == 1 / 8
    assert metrics["ratio_after"] == 4 / 6
