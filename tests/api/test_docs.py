"""/docs in a real browser, whose requests are recorded."""

import json
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 60

@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, headless, that records its requests."""
    if not shutil.which("chromium"):
        pytest.skip("chromium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1200,1600",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as driver:
        yield driver


def requested(driver):
    """The addresses that were requested since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
    return [message["params"]["request"]["url"] for message in sent]


def test_the_documentation_is_drawn_without_another_host(server, browser):
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
    own = (str(server.base_url), "data:")
    assert [address for address in addresses if not address.startswith(own)] == []
    # Where the policy refuses a file or a script, the console says so.
    assert browser.get_log("browser") == []


def test_its_policy_names_no_other_host(server):
    policy = server.get("/docs").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "script-src 'self' 'sha256-" in policy
    assert "unsafe-eval" not in policy and "http" not in policy and "*" not in policy


def test_redoc_is_not_served(server):
    assert server.get("/redoc").status_code == 404


def test_a_form_of_the_documentation_works(server, browser):
    browser.get(f"{server.base_url}/docs")
    wait = WebDriverWait(browser, PATIENCE)

    def click(selector):
        wait.until(lambda driver: driver.find_elements("css selector", selector))
        element = browser.find_element("css selector", selector)
        browser.execute_script("arguments[0].scrollIntoView(); arguments[0].click()", element)

    operation = "#operations-model-list_models"
    click(f"{operation} .opblock-summary-control")
    click(f"{operation} .try-out__btn")
    click(f"{operation} .execute")
    wait.until(lambda driver: '"detectors"' in driver.find_element("css selector", operation).text)
