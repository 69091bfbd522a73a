"""The model on the page: accuracy, errors, the API key, and labels other than those of FER-2013."""

import json

import pytest
from selenium.webdriver.common.keys import Keys

from tests.model_fixture import write_tiny_model
from tests.page_fixture import Page


def test_the_model_and_its_accuracy(page, site):
    assert page.text("#version") == site.get("/model").json()["version"][:12]
    assert page.text("#accuracy") == "71.2 %"
    assert "95 % confidence interval: 69.8 to 72.7 %" in page.text("#accuracy-note")
    assert "An expression is not a feeling." in page.text("#limits")
    assert "does not store them" in page.text(".caption")


def test_without_a_model_the_page_shows_the_reason(browser, serve, files, tmp_path):
    with serve(ready=False, MODEL_PATH=str(tmp_path / "absent.onnx")) as client:
        page = Page(browser, str(client.base_url))
        page.open()
        page.until(lambda: "absent.onnx: cannot be read" in page.text("#accuracy-note"))
        page.choose(files["happy.jpg"])
        page.until_says("absent.onnx: cannot be read")
    page.choose(files["happy.jpg"])
    page.until_says("The server does not respond. Is it still running?")
    browser.get_log("browser")


def test_the_page_requests_a_key_and_hides_absent_metrics(
    browser, serve, model_path, files, tmp_path
):
    environment = {"MODEL_PATH": str(model_path), "METRICS_DIR": str(tmp_path)}
    with serve(**environment, API_KEY="schlüssel") as client:
        page = Page(browser, str(client.base_url))
        page.open()
        assert page.text("#accuracy-note") == "This server requires an API key."
        page.find("#key").send_keys("wrong", Keys.ENTER)
        page.until(lambda: page.find("#key").is_displayed())
        page.find("#key").clear()
        page.find("#key").send_keys("schlüssel", Keys.ENTER)
        page.until(lambda: "is unknown" in page.text("#accuracy-note"))
        assert not page.find("#measured").is_displayed()
        page.choose(files["happy.jpg"])
        page.until_says("One face: ")
    browser.get_log("browser")


# ---------------------------------------------------------------- other models


def test_the_expressions_are_the_labels_of_the_model(browser, serve, files, tmp_path):
    names = ["angry", "contempt", "fear", "happy", "sad", "surprise", "<i>calm</i>"]
    path = write_tiny_model(tmp_path / "model.onnx", metadata={"labels": json.dumps(names)})
    with serve(MODEL_PATH=str(path), METRICS_DIR=str(tmp_path)) as client:
        page = Page(browser, str(client.base_url))
        page.open()
        assert page.texts("#expressions li") == names
        icons = [icon.get_attribute("href") for icon in page.all("#expressions use")]
        assert icons == ["#angry", "#contempt", "#fear", "#happy", "#sad", "#surprise", "#other"]
        page.choose(files["happy.jpg"])
        page.until_says("One face: ")
        assert page.texts(".bar-name") == names
        colours = [fill.value_of_css_property("background-color") for fill in page.all(".fill")]
        assert len(set(colours)) == len(names)


def test_the_visitor_selects_the_model(browser, serve, model_path, files, tmp_path):
    names = ["one", "two", "three", "four", "five", "six", "seven"]
    other = write_tiny_model(
        tmp_path / "model.onnx", metadata={"labels": json.dumps(names), "dataset": "other"}
    )
    environment = {"MODEL_PATH": str(model_path), "EXTRA_MODEL_PATHS": str(other)}
    with serve(**environment, METRICS_DIR=str(tmp_path)) as client:
        first, second = (one["model"] for one in client.get("/models").json()["models"])
        page = Page(browser, str(client.base_url))
        page.open()
        page.until(lambda: page.find("#model-control").is_displayed())
        options = page.texts("#model-choice option")
        assert options[1] == "other, 7 expressions"
        page.choose(files["happy.jpg"])
        page.until_says("One face: ")
        assert page.texts(".bar-name") == first["labels"]
        page.find(f"#model-choice option[value='{second['version']}']").click()
        page.until(lambda: page.texts(".bar-name") == names)
        page.until_says("One face: ")
        assert page.text("#version") == second["version"][:12]
        assert page.text("#dataset") == "other"
        addresses = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        queries = [a.partition("?")[2] for a in page.run(addresses) if "/predict" in a]
        assert queries == ["faces=yunet", "faces=yunet&model=other"]


def test_two_versions_of_one_dataset_have_different_names(browser, serve, model_path, tmp_path):
    other = write_tiny_model(tmp_path / "other.onnx", seed=1)
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(model_path.read_bytes())
    environment = {"MODEL_PATH": str(model_path), "EXTRA_MODEL_PATHS": f"{copy},{other}"}
    with serve(**environment, METRICS_DIR=str(tmp_path)) as client:
        first, same, second = (one["model"] for one in client.get("/models").json()["models"])
        assert first["version"] == same["version"]
        page = Page(browser, str(client.base_url))
        page.open()
        page.until(lambda: page.find("#model-control").is_displayed())
        expressions = len(first["labels"])
        assert page.texts("#model-choice option") == [
            f"tiny, {expressions} expressions, version {model['version'][:12]}"
            for model in (first, second)
        ]


def test_a_chosen_model_stays_selected_where_it_is_offered_again(page):
    page.until(lambda: page.find("#detector").is_displayed())
    selected = page.call("""
        const { offerModels } = await import("/static/model_choice.js");
        const model = (dataset, version) => ({ dataset, version, labels: [] });
        const ours = [{ ...model("one", "1a"), default: true }, model("two", "2a")];
        const others = [model("three", "3b"), model("two", "2b"), model("one", "1b")];
        const choice = document.getElementById("model-choice");
        return [
          [ours, "1a", others],
          [ours, "2a", others],
          [others, "3b", ours],
        ].map(([before, selected, after]) => {
          offerModels(before);
          choice.value = selected;
          offerModels(after);
          return choice.value;
        });
    """)
    # The default is no choice of the visitor.
    assert selected == ["3b", "2b", "1a"]


def test_one_model_is_no_choice(page):
    page.until(lambda: page.find("#detector").is_displayed())
    assert not page.find("#model-control").is_displayed()


@pytest.mark.parametrize("count", [2, 20])
def test_each_class_has_a_bar_in_a_colour_of_its_own(page, count):
    show = """
        const { setEmotions } = await import("/static/emotions.js");
        const { showFaces } = await import("/static/faces.js");
        const { drawBoxes } = await import("/static/viewer.js");
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
