"""A live server conforms to /openapi.json for all requests that schemathesis generates."""

import pytest
import schemathesis

from api.app import create_app
from api.settings import Settings

KEY = "a-key-for-the-schema"


def accepted(*statuses):
    """The statuses for requests that fit the schema: 2xx, or these."""
    return {"positive_data_acceptance": {"expected-statuses": ["2xx", *statuses]}}


CONFIGURATION = {
    "generation": {"deterministic": True, "max-examples": 25},
    # A schema cannot exclude bytes that are no image, or versions that are not served.
    "checks": accepted(404, 422),
    "operations": [
        {"include-path-regex": "^/(analyze|v2)", "checks": accepted(400, 404, 422)},
        {"include-path": "/stream", "checks": accepted(426)},
    ],
}

schema = schemathesis.openapi.from_dict(
    create_app(Settings(api_key=KEY)).openapi(),
    config=schemathesis.config.SchemathesisConfig.from_dict(CONFIGURATION),
)


@pytest.fixture(scope="module")
def locked_server(serve, model_path):
    """A server that requires a key, so that the schema of the key is tested as well."""
    with serve(MODEL_PATH=str(model_path), API_KEY=KEY) as client:
        yield client


@schema.parametrize()
def test_every_operation_conforms_to_its_schema(case, locked_server):
    case.call_and_validate(base_url=str(locked_server.base_url), headers={"X-API-Key": KEY})


def test_the_server_has_the_tested_schema(locked_server):
    assert locked_server.get("/openapi.json").json() == schema.raw_schema
