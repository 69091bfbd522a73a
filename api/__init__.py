"""The HTTP server around the recognizer: `python -m api`, settings in the environment.

__main__.py      starts it
app.py           puts it together
settings.py      what the environment can change
options.py       what a request can ask for beside its image
model_source.py  where a model comes from: a file, or a git revision
served_model.py  one version of the model: loading, ready or failed
served_models.py all versions, and which of them a request means
image_files.py   the image files in a request, however it packs them
tensors.py       the tensors in a request of the Open Inference Protocol
slots.py         inferences at the same time, and the wait for them
connections.py   no request head without end, no stream cut off at a stop
body_limit.py    no request body larger than allowed
deadline.py      no request longer than allowed
security.py      the API key, and headers for browsers
logs.py          one line of JSON per request
metrics.py       what is counted for Prometheus
errors.py        every error as {"detail": "…"}, or {"error": "…"} where a protocol wants it
schemas.py       the shapes of the answers
routes/          one file per subject
"""
