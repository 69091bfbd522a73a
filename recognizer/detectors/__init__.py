"""Face detectors.

base.py      the contract: boxes, squares, faces, the interface `Detector`
yunet.py     the detector; its network is face_detection_yunet.onnx (MIT, LICENSE-YuNet.txt)
whole.py     the whole image as one face, for images that are face crops already
registry.py  the detectors by name
"""
