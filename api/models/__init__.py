"""The versions of the model that are served.

model_source.py  where a model comes from: a file, or a git revision
served_model.py  one version: loading, ready or failed
served_models.py all versions, and the one that a request asks for
"""
