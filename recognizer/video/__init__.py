"""Videos.

frame.py          one frame
reader.py         the frames of a video file, with their times
until_error.py    the frames before an error
declared_size.py  the file size by the headers, to detect a file that was cut short
cuts.py           hard cuts between shots
tracking.py       faces to persons, and smoothed probabilities
writer.py         a file that browsers and phones play, with the sound of the source
"""
