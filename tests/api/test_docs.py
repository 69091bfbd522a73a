"""/docs in a real browser that records its requests."""

import json
from pathlib import Path

import pytest
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.chromium_fixture import open_chromium

ASTRONAUT = Path(__file__).parents[2] / "docs" / "astronaut.jpg"
PATIENCE = 60


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium that records its requests."""
    profile = tmp_path_factory.mktemp("profile")
    flag, logs = "window-size=1200,1600", ("browser", "performance")
    with open_chromium(profile, flag, logs=logs) as driver:
        yield driver


def requested(driver):
    """The URLs that were requested since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
    addresses = [message["params"]["request"]["url"] for message in sent]
    # The browser's first page is chrome://, icons in CSS are data: URLs.
    return [address for address in addresses if address.startswith(("http", "ws"))]


def test_the_documentation_requests_no_other_host(server, browser):
    schema = server.get("/openapi.json").json()
    operations = sum(len(methods) for methods in schema["paths"].values())
    requested(browser)
    browser.get_log("browser")
    browser.get(f"{server.base_url}/docs")
    WebDriverWait(browser, PATIENCE).until(
        lambda driver: len(driver.find_elements("css selector", ".opblock")) == operations
    )
    addresses = requested(browser)
    assert f"{server.base_url}/openapi.json" in addresses
    assert [address for address in addresses if not address.startswith(str(server.base_url))] == []
    # Violations of the policy appear on the console.
    assert browser.get_log("browser") == []


def test_the_policy_allows_no_other_host(server):
    policy = server.get("/docs").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "script-src 'self' 'sha256-" in policy
    assert "unsafe-eval" not in policy and "http" not in policy and "*" not in policy


def test_redoc_is_not_served(server):
    assert server.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    ("operation", "chosen"), [("prediction-predict", None), ("DeepFace-analyze", "multipart")]
)
def test_the_documentation_can_send_a_photo(server, browser, operation, chosen):
    browser.get(f"{server.base_url}/docs")
    wait = WebDriverWait(browser, PATIENCE)

    def find(selector):
        css = f"#operations-{operation} {selector}"
        return wait.until(lambda driver: driver.find_element("css selector", css))

    def click(selector):
        browser.execute_script(
            "arguments[0].scrollIntoView(); arguments[0].click()", find(selector)
        )

    click(".opblock-summary-control")
    click(".try-out__btn")
    if chosen:
        Select(find(".opblock-section-request-body select")).select_by_value("multipart/form-data")
    find("input[type=file]").send_keys(str(ASTRONAUT))
    click(".execute")
    status = find(".live-responses-table tbody .response-col_status")
    assert status.text.startswith("200"), find(".responses-inner").text
