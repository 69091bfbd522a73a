"""The recognizer behind a minimal FastAPI handler.

uvicorn benchmarks.other_servers.fastapi_app:app
"""

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.other_servers.recognition import Recognition

recognize = Recognition()
app = FastAPI()


class Body(BaseModel):
    image: str
    faces: str | None = None


@app.post("/predict")
def predict(body: Body) -> dict[str, list[dict]]:
    return {"faces": recognize(body.image, body.faces)}
