"""The HTTP server around the recognizer: `python -m api`, settings in the environment.

__main__.py      starts it
app.py           puts it together
settings.py      the environment variables
options.py       the options of a request beside its image
request_body.py  forms and JSON, read into models; base64_file.py decodes a file in base64
dependencies.py  what the handlers need of the application
slots.py         images that are recognized at the same time, and the queue in front of them
security.py      the API key, and headers for browsers
logs.py          one line of JSON per request
metrics.py       the metrics for Prometheus
build.py         versions of the code and of its libraries
errors.py        every error as {"detail": "…"}, or {"error": "…"} where a protocol wants it
schemas.py       the shapes of the answers

routes/          our own API: one file per subject
open_inference/  the Open Inference Protocol v2
deepface/        DeepFace's /analyze
models/          the versions of the model: loading, ready, failed
middleware/      limits and rules that hold for every request
static/          the page
"""
