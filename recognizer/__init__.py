"""From a photo to the emotion of each face in it: decode, detect, crop, classify.

image.py       bytes to a grey image, safely
faces.py       detectors by name, and the 48×48 crop that the model expects
classifier.py  model.onnx: its contract, its description, its probabilities
recognizer.py  the three in a row
"""
