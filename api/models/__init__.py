"""The served versions of the model.

model_source.py   where a model comes from: a file, or a git revision
snapshot.py       its bytes at the start of the server or at a reload, for all workers
workers.py        several worker processes switch to new models together
evaluation.py     the committed metrics of a model
served_model.py   one version: loading, ready or failed
served_models.py  all versions, and the one that a request names
shadow.py         the candidate on the faces of the default model, for the metrics only
"""
