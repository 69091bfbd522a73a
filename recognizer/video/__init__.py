"""Videos.

reader.py         the frames of a video file, with their times
declared_size.py  whether a file ends before its headers say
cuts.py           where another shot begins
tracking.py       which face is which person, and smoothed probabilities
writer.py         a file that browsers and phones play, with the sound of the source
"""
