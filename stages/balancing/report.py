"""Metrics and a chart of the effect of balancing."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure


def balance_metrics(before: dict[str, int], after: dict[str, int]) -> dict[str, Any]:
    """Compute the content of balance.json; a ratio is the smallest class over the largest one."""
    return {
        "before": before,
        "after": after,
        "added": sum(max(after[emotion] - before[emotion], 0) for emotion in before),
        "removed": sum(max(before[emotion] - after[emotion], 0) for emotion in before),
        "ratio_before": min(before.values()) / max(before.values()),
        "ratio_after": min(after.values()) / max(after.values()),
    }


def balance_chart(metrics: dict[str, Any]) -> Figure:
    """Draw two bars per emotion, before and after, of what `balance_metrics` returns."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(metrics["before"]))
    for offset, counts, name, colour in [
        (-0.2, metrics["before"], "before", "#9aa5b1"),
        (0.2, metrics["after"], "after", "#1f6fb2"),
    ]:
        bars = axes.bar(place + offset, list(counts.values()), 0.38, label=name, color=colour)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=2)
    names = list(metrics["before"])
    # Many names, or long ones, do not fit beside each other.
    rotation = 90 if len(names) * max(map(len, names)) > 80 else 0
    axes.set_xticks(place, names, rotation=rotation)
    axes.set_ylabel("faces in Training")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(
        "Smallest over largest class: "
        f"{metrics['ratio_before']:.2f} before, {metrics['ratio_after']:.2f} after",
        loc="left",
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
