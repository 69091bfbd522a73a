"""Evaluation: metrics, plots, robustness and the model card."""
