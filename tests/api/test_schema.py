"""What /openapi.json promises, kept by a live server for whatever schemathesis makes up from it."""

import pytest
import schemathesis

from api.app import create_app
from api.settings import Settings

KEY = "a-key-for-the-schema"


def accepted(*statuses):
    """How an operation may answer what its schema allows: 2xx, or these."""
    return {"positive_data_acceptance": {"expected-statuses": ["2xx", *statuses]}}


CONFIGURATION = {
    "generation": {"deterministic": True, "max-examples": 25},
    # No schema can tell an image from other bytes, or a version that is served from another.
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
    """A server that asks for the key, so that what is said of it can be tried as well."""
    with serve(MODEL_PATH=str(model_path), API_KEY=KEY) as client:
        yield client


@schema.parametrize()
def test_every_operation_answers_as_it_is_documented(case, locked_server):
    case.call_and_validate(base_url=str(locked_server.base_url), headers={"X-API-Key": KEY})


def test_the_schema_is_that_of_the_server(locked_server):
    assert locked_server.get("/openapi.json").json() == schema.raw_schema
