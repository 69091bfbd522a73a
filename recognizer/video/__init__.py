"""Videos.

reader.py         the frames of a video file, with their times
declared_size.py  whether a file ends before its headers say
tracking.py       which face is which person, and smoothed probabilities
"""
