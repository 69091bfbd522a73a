"""Videos.

reader.py         the frames of a video file, with their times
declared_size.py  whether a file ends before its headers say
cuts.py           where another shot begins
tracking.py       which face is which person, and smoothed probabilities
annotate.py       a copy with boxes, emotions and bars
writer.py         a file that browsers and phones play, with the sound of the source
"""
