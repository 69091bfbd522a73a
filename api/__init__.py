"""The HTTP server around the recognizer: `uvicorn api.app:app`, settings in the environment.

app.py           puts it together
settings.py      what the environment can change
served_model.py  the model file: loading, ready or failed
image_files.py   the image files in a request, however it packs them
slots.py         inferences at the same time, and the wait for them
body_limit.py    no request body larger than allowed
deadline.py      no request longer than allowed
security.py      the API key, and headers for browsers
logs.py          one line of JSON per request
metrics.py       what is counted for Prometheus
errors.py        every error as {"detail": "…"}
schemas.py       the shapes of the answers
routes/          one file per subject
"""
