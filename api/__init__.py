"""The HTTP server around the recognizer: `uvicorn api.app:app`, settings in the environment.

app.py           puts it together
settings.py      what the environment can change
served_model.py  the model file: loading, ready or failed
body_limit.py    no request body larger than allowed
errors.py        every error as {"detail": "…"}
schemas.py       the shapes of the answers
routes/          one file per subject
"""
