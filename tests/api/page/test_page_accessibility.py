"""The page with the keyboard alone, and in windows of several widths."""

import pytest
from selenium.webdriver.common.keys import Keys


def test_every_control_is_reached_by_keyboard_with_a_visible_focus(page, files):
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    # Chromium goes on from the element that had the focus last, even after blur().
    page.run("document.body.tabIndex = -1; document.body.focus()")
    # "place" is there after `make page-packages`.
    place = ["place"] if page.find("#place").is_displayed() else []
    tab_through(page, ["Limits", "Model", "API", "file", "webcam", "clear", *place, "detector"])

    page.run("document.getElementById('webcam').focus()")
    page.press(Keys.ENTER)
    page.until(lambda: page.find("#mirror").is_displayed())
    page.press(Keys.TAB, Keys.SPACE)
    assert not page.find("#mirror").is_selected()
    assert outline(page) == "solid"


def tab_through(page, expected):
    """Press Tab; the controls get the focus in this order, each with a visible outline."""
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
