# The server with the released models and the face detector. It writes no files, so it runs with --read-only:
#   docker build --tag fer --build-arg GIT_COMMIT=$(git rev-parse HEAD) .
#   docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges \
#     --publish 127.0.0.1:8000:8000 fer
FROM python:3.11-slim

WORKDIR /app
COPY requirements/serving.txt requirements/serving.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --disable-pip-version-check --require-hashes --requirement requirements/serving.txt

COPY LICENSE LICENSE
COPY NOTICE NOTICE
COPY recognizer recognizer
COPY api api
# Of these two folders, .dockerignore sends what the server needs.
COPY models models
COPY metrics metrics

ARG GIT_COMMIT=
ENV GIT_COMMIT=${GIT_COMMIT} \
    PYTHONDONTWRITEBYTECODE=1 \
    UVICORN_HOST=0.0.0.0 \
    UVICORN_PORT=8000
LABEL org.opencontainers.image.title="facial-expression-recognition" \
    org.opencontainers.image.description="Detects faces in photos and video and predicts the emotion of each" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.revision="${GIT_COMMIT}" \
    org.opencontainers.image.licenses="MIT"
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"UVICORN_PORT\"]}/readyz', timeout=4)"]
CMD ["python", "-m", "api"]
