"""The API key, CORS, and the security headers."""

import pytest
from pydantic import ValidationError

from api.settings import Settings

KEY = "größe 0123456789"


@pytest.fixture(scope="module")
def guarded(serve, model_path):
    """A server with a key, open to the pages of two sites."""
    origins = "https://one.example, https://two.example"
    with serve(MODEL_PATH=str(model_path), API_KEY=KEY, CORS_ORIGINS=origins) as client:
        yield client


WRONG = [
    {},
    *({"X-API-Key": key.encode()} for key in ("", "wrong", KEY[:-1], KEY + "0")),
    *({"Authorization": value.encode()} for value in (KEY, "Bearer", "Bearer x", f"Basic {KEY}")),
]
RIGHT = [
    {"X-API-Key": KEY.encode()},
    {"Authorization": f"Bearer {KEY}".encode()},
    {"Authorization": f"bearer {KEY}".encode(), "X-API-Key": b"of another service"},
]


@pytest.mark.parametrize("headers", WRONG)
def test_without_the_key_only_probes_and_pages_are_served(guarded, photo, headers):
    for answer in (
        guarded.post("/predict", content=photo, headers=headers),
        guarded.post("/predict/batch", files={"files": ("a", photo)}, headers=headers),
        guarded.get("/model", headers=headers),
        guarded.get("/metrics", headers=headers),
    ):
        assert answer.status_code == 401
        assert answer.json()["detail"].startswith("the API key is missing or wrong: send it in")
        assert answer.headers["www-authenticate"] == "Bearer, APIKey"
    for path in ("/livez", "/readyz", "/"):
        assert guarded.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", RIGHT)
def test_with_the_key_all_routes_are_served_and_the_key_is_never_logged(guarded, photo, headers):
    assert guarded.post("/predict", content=photo, headers=headers).status_code == 200
    assert guarded.get("/model", headers=headers).status_code == 200
    img = {"img": ("a.jpg", photo)}
    assert guarded.post("/analyze", files=img, headers=headers).status_code == 200
    assert guarded.get("/v2", headers=headers).status_code == 200
    assert guarded.get("/metrics", headers=headers).status_code == 200
    assert KEY[-10:] not in guarded.log.read_text()


def test_an_empty_key_is_refused():
    with pytest.raises(ValidationError):
        Settings(api_key="")


def test_only_pages_of_the_sites_in_the_settings_are_allowed(guarded, server):
    preflight = {"Access-Control-Request-Method": "POST", "Origin": "https://two.example"}
    headers = {
        **preflight,
        "Access-Control-Request-Headers": "x-api-key,authorization,content-type",
    }
    allowed = guarded.options("/predict", headers=headers)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://two.example"
    refused = guarded.options("/predict", headers={**headers, "Origin": "https://other.example"})
    assert "access-control-allow-origin" not in refused.headers
    problem = guarded.post("/predict", headers={"Origin": "https://one.example"})
    assert problem.status_code == 401
    assert problem.headers["access-control-allow-origin"] == "https://one.example"
    closed = server.options("/predict", headers=headers)
    assert "access-control-allow-origin" not in closed.headers


def test_security_headers(server, photo):
    for answer in (
        server.get("/"),
        server.get("/docs"),
        server.get("/nothing"),
        server.post("/predict", content=photo),
        server.post("/predict", content=bytes(300_001)),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    for path in ("/", "/static/index.html"):
        assert "default-src 'self'" in server.get(path).headers["content-security-policy"]
