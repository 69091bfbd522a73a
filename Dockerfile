# The server with the committed models fer2013 and ferplus. It writes no files, so it runs with --read-only:
#   docker build --tag fer --build-arg GIT_COMMIT=$(git rev-parse HEAD) .
#   docker run --rm --read-only --publish 8000:8000 fer
FROM python:3.11-slim

WORKDIR /app
COPY requirements/serving.txt requirements/serving.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --disable-pip-version-check --require-hashes --requirement requirements/serving.txt

COPY LICENSE LICENSE
COPY NOTICE NOTICE
COPY recognizer recognizer
COPY api api
COPY models/fer2013/model.onnx models/fer2013/model.onnx
COPY models/ferplus/model.onnx models/ferplus/model.onnx
COPY metrics/fer2013/evaluation.json metrics/fer2013/evaluation.json
COPY metrics/fer2013/plots/reliability.csv metrics/fer2013/plots/reliability.csv
COPY metrics/fer2013/plots/per_class.csv metrics/fer2013/plots/per_class.csv
COPY metrics/ferplus/evaluation.json metrics/ferplus/evaluation.json
COPY metrics/ferplus/plots/reliability.csv metrics/ferplus/plots/reliability.csv
COPY metrics/ferplus/plots/per_class.csv metrics/ferplus/plots/per_class.csv

ARG GIT_COMMIT=
ENV GIT_COMMIT=${GIT_COMMIT} \
    PYTHONDONTWRITEBYTECODE=1 \
    UVICORN_HOST=0.0.0.0 \
    UVICORN_PORT=8000
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"UVICORN_PORT\"]}/readyz', timeout=4)"]
CMD ["python", "-m", "api"]
