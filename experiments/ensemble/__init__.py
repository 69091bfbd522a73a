"""An ensemble of unlike networks, and the networks that it teaches, trained on one accelerator.

settings.py       params.yaml as types
networks.py       the architectures; face_resnet.py starts from dlib's weights (dlib_weights.py)
view_stream.py    augmented faces, made ahead by processes
learner.py        one network and its compiled epoch
run.py            the phases: `python -m experiments.ensemble OUT`
release.py        OUT as files that the pipeline names: `python -m experiments.ensemble.release OUT`
"""
