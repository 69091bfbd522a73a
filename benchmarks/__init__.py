"""Measurements of speed, of detection and of the dataset's labels; nothing imports them."""
