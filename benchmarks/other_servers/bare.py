"""FastAPI around the recognition and nothing else: `uvicorn benchmarks.other_servers.bare:app`."""

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.other_servers.recognition import Recognition

recognize = Recognition()
app = FastAPI()


class Body(BaseModel):
    image: str
    faces: str | None = None


@app.post("/predict")
def predict(body: Body):
    return {"faces": recognize(body.image, body.faces)}
