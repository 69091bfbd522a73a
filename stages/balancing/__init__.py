"""Balancing: strategies, albumentations augmentation, what was done."""
