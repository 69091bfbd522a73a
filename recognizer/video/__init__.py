"""Videos.

reader.py    the frames of a video file, with their times
tracking.py  which face is which person, and smoothed probabilities
"""
