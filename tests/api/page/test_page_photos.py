"""Photos on the page: boxes, labels, the list of faces, and formats."""

import base64
import re

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from tests.page_fixture import LABELS, WATCH, dark_and_left


def test_a_photo_shows_the_emotion_seven_bars_and_a_box(page, site, files):
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    assert page.text("#status").startswith("One face: happy ")
    assert page.texts(".bar-name") == LABELS
    answer = site.post("/predict", content=files["happy.jpg"].read_bytes()).json()
    (face,) = answer["faces"]

    widths = page.run("return [...document.querySelectorAll('.fill')].map(e => e.style.width)")
    shown = [float(width.removesuffix("%")) / 100 for width in widths]
    np.testing.assert_allclose(shown, list(face["probabilities"].values()), atol=1e-5)
    assert re.fullmatch(r">?\d\d? %", page.texts(".bar.is-first .bar-value")[0])
    assert page.text(".box-label") == f"happy {page.texts('.bar.is-first .bar-value')[0]}"
    assert not page.find(".row").is_displayed()  # one face needs no list

    outside, box = (page.find(selector).rect for selector in ("#photo", ".box"))
    scale = outside["width"] / answer["image"]["width"]
    assert outside["height"] == pytest.approx(answer["image"]["height"] * scale, abs=1)
    for side, length in face["box"].items():
        origin = outside[side] if side in "xy" else 0
        assert box[side] - origin == pytest.approx(length * scale, abs=1)
    crop = "return document.querySelector('.crop').getContext('2d').getImageData(24, 24, 1, 1).data"
    assert page.run(crop)[3] == 255

    page.find("#clear").click()
    page.until_says("No picture yet.")
    assert page.texts(".box") == [] and page.find("#expressions").is_displayed()


def choose_minimum(page, value):
    """Choose in "Unsure below"; a value that the page does not offer is added."""
    page.run(
        """
        const select = document.getElementById("unsure");
        if (![...select.options].some(({ value }) => value === arguments[0])) {
            select.add(new Option(arguments[0]));
        }
        select.value = arguments[0];
        select.dispatchEvent(new Event("change"));
        """,
        value,
    )


def test_below_the_visitors_minimum_a_face_is_unsure(page, files):
    page.choose(files["pair.png"])
    page.until(lambda: len(page.texts(".faces:not(.is-placeholder) .row-emotion")) == 2)
    assert set(page.texts(".row-emotion")) == {"happy", "surprise"}
    sure = page.text("#status"), page.texts(".box-label"), page.texts(".bar-value")
    choose_minimum(page, "1.01")
    assert page.texts(".faces .row-emotion") == ["unsure", "unsure"]
    assert page.text("#status") == "2 faces: unsure, unsure."
    assert page.texts(".box-label") == ["1 unsure", "2 unsure"]
    assert page.texts(".row-value") == ["", ""]
    assert page.text(".face-emotion") == "unsure"
    assert page.texts(".bar.is-first") == []
    assert page.texts(".bar-value") == sure[2]
    colours = (
        "return [...document.querySelectorAll('.box')].map(e => getComputedStyle(e).borderColor)"
    )
    assert len(set(page.run(colours))) == 1
    choose_minimum(page, "0")
    assert (page.text("#status"), page.texts(".box-label"), page.texts(".bar-value")) == sure
    assert len(set(page.run(colours))) == 2


def test_a_file_can_be_dropped_and_pasted(page, files):
    deliver = """
        const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], "happy.jpg", { type: "image/jpeg" }));
        document.body.dispatchEvent(arguments[1] === "drop"
            ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: files, bubbles: true }));
    """
    content = base64.b64encode(files["happy.jpg"].read_bytes()).decode()
    for way in ("drop", "paste"):
        page.run(deliver, content, way)
        page.until_shows("happy")
        page.find("#clear").click()


def test_formats_that_only_the_browser_or_only_the_server_reads(page, site, files):
    assert site.post("/predict", content=files["happy.svg"].read_bytes()).status_code == 422
    page.choose(files["happy.svg"])
    page.until_shows("happy")
    page.choose(files["happy.tiff"])
    page.until_says("This browser cannot show this kind of image.")
    page.until_shows("happy")
    assert page.find(".box").is_displayed() and not page.find("#photo").is_displayed()
    assert page.text("#blank-note").startswith("happy.tiff: 640 × 480 pixels.")
    assert not page.find(".crop").is_displayed()


def test_the_first_frame_of_an_animation_is_classified_and_shown(page, files):
    """The second frame is light and has the face on the other side."""
    page.choose(files["jumps.gif"])
    page.until_shows("happy")
    page.run(WATCH)
    page.browser.execute_async_script("setTimeout(arguments[0], 500)")
    assert set(dark_and_left(page)) == {(True, True)}
    assert page.find("#frame").is_displayed()


def test_the_visitor_selects_the_detector(page, site, files):
    page.until(lambda: page.find("#detector").is_displayed())
    offered = page.run("return [...document.getElementById('detector').options].map(e => e.value)")
    assert offered == site.get("/models").json()["detectors"]
    page.choose(files["blank.png"])
    page.until_says("No face detected. ")
    page.find("#detector option[value=whole]").click()
    page.until_says("One face: ")
    assert page.text(".face-place") == "The whole picture"
    outside, box = (page.find(selector).rect for selector in ("#photo", ".box"))
    for side in ("x", "y", "width", "height"):
        assert box[side] == pytest.approx(outside[side], abs=1)


def test_without_a_face_the_status_says_so(page, files):
    page.choose(files["blank.png"])
    page.until_says("No face detected. ")
    assert page.texts(".faces:not(.is-placeholder) .face") == page.texts(".box") == []
    assert page.text("[role=status]") == page.text("#status")


def test_a_file_that_is_no_image_shows_the_error_of_the_server(page, site, files):
    page.expected_messages = ["422 (Unprocessable"]
    reason = site.post("/predict", content=files["text.txt"].read_bytes()).json()["detail"]
    page.choose(files["text.txt"])
    page.until_says(f"{reason[:1].upper()}{reason[1:]}.")
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    assert "is-problem" not in page.find("#status").get_attribute("class")


# ---------------------------------------------------------------- several faces


def areas(page, selector):
    """Left, top, right and bottom in the window of every match."""
    script = """return [...document.querySelectorAll(arguments[0])].map((element) => {
        const { left, top, right, bottom } = element.getBoundingClientRect();
        return [left, top, right, bottom];
    })"""
    return page.run(script, selector)


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_cover_no_face(page, files, width):
    with page.window(width):
        page.choose(files["pair.png"])
        page.until_says("2 faces: ")
        boxes, labels = areas(page, ".box"), areas(page, ".box-label")
        assert len(boxes) == len(labels) == 2
        assert not any(overlap(box, label) for box in boxes for label in labels)
        assert not overlap(*labels)


def test_a_crowd_has_numbers_and_one_label(page, files):
    page.choose(files["crowd.png"])
    page.until_says("12 faces: ")
    assert sorted(page.texts(".box-number"), key=int) == [str(n) for n in range(1, 13)]
    shown = [name.is_displayed() for name in page.all(".box-emotion")]
    assert shown.count(True) == 1
    # Each number stands at its own box and covers no face.
    boxes, labels = areas(page, ".box"), areas(page, ".box-label")
    small = [area for area, whole in zip(labels, shown, strict=True) if not whole]
    assert not any(overlap(box, label) for box in boxes for label in small)


def test_rows_and_boxes_point_at_each_other(page, files):
    page.choose(files["crowd.png"])
    page.until_says("12 faces: ")
    expanded = """return [...document.querySelectorAll('.row[aria-expanded=true]')]
        .map(row => row.closest('li').dataset.id)"""
    assert page.run(expanded) == ["1"]
    assert len(page.all(".bars")) == 1 and len(page.all(".bar")) == 7

    page.pointer(page.find(".box[data-id='5']"))
    assert page.find(".face[data-id='5']").get_attribute("class") == "face is-pointed"
    page.pointer(page.find(".box[data-id='5']"), click=True)
    assert page.run(expanded) == ["5"]
    assert page.find("#detail").find_element("xpath", "..").get_attribute("data-id") == "5"
    assert "is-selected" in page.find(".box[data-id='5']").get_attribute("class")

    page.pointer(page.find(".face[data-id='7'] .row"))
    assert "is-pointed" in page.find(".box[data-id='7']").get_attribute("class")
    assert page.find(".box[data-id='7'] .box-emotion").is_displayed()
    page.find(".face[data-id='7'] .row").click()
    assert page.run(expanded) == ["7"]

    focused = "return document.activeElement.closest('li').dataset.id"
    for key, number in (
        (Keys.ARROW_DOWN, "8"),
        (Keys.ARROW_UP, "7"),
        (Keys.END, "12"),
        (Keys.HOME, "1"),
    ):
        page.press(key)
        assert page.run(focused) == number and page.run(expanded) == [number]
        assert "is-selected" in page.find(f".box[data-id='{number}']").get_attribute("class")
    assert page.run("return document.querySelectorAll('.row:not([tabindex=\"-1\"])').length") == 1


@pytest.mark.parametrize(("width", "height"), [(390, 844), (900, 800), (1440, 900)])
def test_the_picture_stays_in_view_beside_a_long_list(page, files, width, height):
    with page.window(width, height):
        page.choose(files["crowd.png"])
        page.until_says("12 faces: ")
        page.find(".face[data-id='1'] .row").click()
        page.press(Keys.END)
        ((_, top, _, bottom),) = areas(page, "#picture")
        assert -1 <= top < bottom <= height + 1
        ((_, row_top, _, row_bottom),) = areas(page, ".face.is-selected .row")
        assert 0 <= row_top < row_bottom <= height
        if width == 390:
            assert row_top >= bottom  # the picture does not hide the row
