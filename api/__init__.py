"""The HTTP server around the recognizer: `python -m api`, configured by environment variables.

__main__.py      starts the server
app.py           builds the application
settings.py      the environment variables
state.py         what all requests share: settings, models, slots, metrics
security.py      the API key (header, bearer token, subprotocol) and the origins of streams
slots.py         concurrency limit, and the bounded queue in front of it (429)
uploads.py       the limit of the bytes in memory (429)
pixels.py        the pixels of a request, read before it gets a slot (413)
options.py       the options of a request: detector, alignment, minimum confidence, version
request_body.py  forms and JSON, parsed into models; base64_file.py decodes base64
on_device.py     the files with which the page recognizes faces on the visitor's device
newest_frame.py  the frames of a stream: newer ones replace those that wait
schemas.py       the JSON of the responses
errors.py        each error as {"detail": "…"}, or {"error": "…"} where a protocol requires it
openapi.py       parts of the OpenAPI schema that FastAPI cannot derive
logs.py          logs as JSON lines
metrics.py       the metrics for Prometheus; worker_metrics.py puts those of all workers together
build.py         versions of the code and of its libraries

routes/          the project's own API: one file per subject
open_inference/  the Open Inference Protocol v2
deepface/        DeepFace's /analyze
models/          the served versions of the model, and how they are replaced
middleware/      what applies to every request: limits, log line, counters, headers
static/          the page
"""
