"""The examples of docs/python.md, run as doctests in the root of the repository."""

import doctest
import re
import shutil

import pytest

import facial_expression as fe
from tests.facial_expression.conftest import ROOT

PAGE = ROOT / "docs/python.md"
NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Checker(doctest.OutputChecker):
    """Accepts numbers that differ by 2 %, or by 2, as on other processors."""

    def check_output(self, want: str, got: str, flags: int) -> bool:
        if NUMBER.sub("0", want).split() != NUMBER.sub("0", got).split():
            return False
        pairs = zip(NUMBER.findall(want), NUMBER.findall(got), strict=True)
        return all(
            float(b) == pytest.approx(float(a), rel=0.02, abs=0.02 if "." in a else 2)
            for a, b in pairs
        )


def examples() -> list[str]:
    return re.findall(r"^```pycon\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_examples_print_what_the_page_shows(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    text = "\n".join(examples())
    example = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(Checker())
    runner.run(example, out=report.append)
    assert "".join(report) == ""
    assert runner.summarize(verbose=False).attempted > 6
    assert (tmp_path / "prediction.png").exists()


def test_a_number_that_differs_much_fails():
    checker = Checker()
    assert checker.check_output("happy 96  0.957", "happy 95  0.951", 0)
    assert not checker.check_output("happy 96", "happy 90", 0)
    assert not checker.check_output("happy 0.957", "happy 0.9", 0)
    assert not checker.check_output("happy 96", "sad 96", 0)


def test_every_option_of_the_call_is_described():
    described = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", PAGE.read_text(), flags=re.M)))
    )
    options = set(fe.analyze.__kwdefaults__) - {"channels", "max_pixels"}
    assert options <= described
