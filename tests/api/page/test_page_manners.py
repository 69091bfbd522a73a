"""The page around the pictures: the model, words, the key, the keyboard, widths."""

import json

import pytest
from selenium.webdriver.common.keys import Keys

from tests.model_fixture import write_tiny_model
from tests.page_fixture import Page


def test_the_model_and_its_accuracy(page, site):
    assert page.text("#version") == site.get("/model").json()["version"][:12]
    assert page.text("#accuracy") == "71.2 %"
    assert "95 % interval 69.8 to 72.7 %" in page.text("#accuracy-note")
    assert "An expression is not a feeling." in page.text("#limits")
    assert "not kept" in page.text(".caption")


def test_without_a_model_the_page_says_so(chromium, serve, files, tmp_path):
    with serve(ready=False, MODEL_PATH=str(tmp_path / "absent.onnx")) as client:
        page = Page(chromium, str(client.base_url))
        page.open()
        page.until(lambda: "absent.onnx: cannot be read" in page.text("#accuracy-note"))
        page.choose(files["happy.jpg"])
        page.until_says("absent.onnx: cannot be read")
    page.choose(files["happy.jpg"])
    page.until_says("The server does not answer. Is it still running?")
    chromium.get_log("browser")


def test_a_key_is_asked_for_and_figures_that_are_not_there_are_not_shown(
    chromium, serve, model_path, files, tmp_path
):
    environment = {"MODEL_PATH": str(model_path), "METRICS_DIR": str(tmp_path)}
    with serve(**environment, API_KEY="schlüssel") as client:
        page = Page(chromium, str(client.base_url))
        page.open()
        assert page.text("#accuracy-note") == "This server asks for a key."
        page.find("#key").send_keys("wrong", Keys.ENTER)
        page.until(lambda: page.find("#key").is_displayed())
        page.find("#key").clear()
        page.find("#key").send_keys("schlüssel", Keys.ENTER)
        page.until(lambda: "not known" in page.text("#accuracy-note"))
        assert not page.find("#measured").is_displayed()
        page.choose(files["happy.jpg"])
        page.until_says("One face: ")
    chromium.get_log("browser")


# ---------------------------------------------------------------- manners


def test_every_control_is_reached_by_keyboard_and_shows_it(page, files):
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    page.run("document.activeElement.blur()")
    tab_through(page, ["Limits", "Model", "API", "file", "webcam", "clear", "detector"])

    page.run("document.getElementById('webcam').focus()")
    page.press(Keys.ENTER)
    page.until(lambda: page.find("#mirror").is_displayed())
    page.press(Keys.TAB, Keys.SPACE)
    assert not page.find("#mirror").is_selected()
    assert outline(page) == "solid"


def tab_through(page, expected):
    """Press the tabulator; the controls come in this order, each with a visible focus."""
    for name in expected:
        page.press(Keys.TAB)
        focused = page.browser.switch_to.active_element
        assert name in (focused.get_attribute("id"), focused.text)
        assert outline(page) == "solid", name


def outline(page):
    return page.run("""
        const focused = document.activeElement;
        return getComputedStyle(focused.closest("label") ?? focused).outlineStyle;
    """)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(page, files, width):
    with page.window(width):
        widest = "return document.documentElement.scrollWidth"
        assert page.run(widest) <= width
        shown = [("happy.jpg", "One face"), ("crowd.png", "12 faces")]
        for name, says in [*shown, ("cut.webm", "Done")] if width == 360 else shown:
            page.choose(files[name])
            page.until_says(says)
            assert page.run(widest) <= width, name


# ---------------------------------------------------------------- other models


def test_the_names_of_the_expressions_are_those_of_the_model(chromium, serve, files, tmp_path):
    names = ["angry", "contempt", "fear", "happy", "sad", "surprise", "<i>calm</i>"]
    path = write_tiny_model(tmp_path / "model.onnx", metadata={"labels": json.dumps(names)})
    with serve(MODEL_PATH=str(path), METRICS_DIR=str(tmp_path)) as client:
        page = Page(chromium, str(client.base_url))
        page.open()
        assert page.texts("#plate li") == names
        marks = [mark.get_attribute("href") for mark in page.all("#plate use")]
        assert marks == ["#angry", "#other", "#fear", "#happy", "#sad", "#surprise", "#other"]
        page.choose(files["happy.jpg"])
        page.until_says("One face: ")
        assert page.texts(".bar-name") == names
        colours = [fill.value_of_css_property("background-color") for fill in page.all(".fill")]
        assert len(set(colours)) == len(names)


@pytest.mark.parametrize("count", [2, 20])
def test_any_number_of_classes_has_a_bar_each_in_a_colour_of_its_own(page, count):
    show = """
        const { setEmotions } = await import("/static/emotions.js");
        const { showFaces } = await import("/static/faces.js");
        const { drawBoxes } = await import("/static/stage.js");
        const names = Array.from({ length: args[0] }, (_, number) => `class ${number}`);
        setEmotions(names);
        const probabilities = Object.fromEntries(names.map((name) => [name, 1 / names.length]));
        const box = { x: 10, y: 10, width: 20, height: 20 };
        const square = { x: 20, y: 20, side: 20, angle: 0 };
        const face = { id: 1, box, square, confidence: 1, emotion: names.at(-1), probabilities };
        const image = { width: 100, height: 100 };
        drawBoxes([face], image);
        showFaces([face], image, null);
    """
    page.call(show, count)
    assert page.texts(".bar-name") == [f"class {number}" for number in range(count)]
    colours = [fill.value_of_css_property("background-color") for fill in page.all(".fill")]
    assert len(set(colours)) == count
    assert page.find(".box").value_of_css_property("border-color") == colours[-1]
