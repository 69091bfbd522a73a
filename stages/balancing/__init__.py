"""Balancing: strategies, augmentation by albumentations, and their report."""
