"""docs/record_transcripts.py: which commands it runs, and what it writes.

tests/pipeline/test_readme.py and tests/facial_expression/test_page.py compare the transcripts with
what the commands print; tests/api/test_clients.py runs the program of docs/clients.md.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from docs.record_transcripts import (
    CLIENTS,
    EXAMPLES,
    PAGES,
    PYTHON,
    TRANSCRIPT,
    with_fresh_examples,
    with_fresh_transcripts,
)

ROOT = Path(__file__).parents[1]

PAGE = """
```sh
first
```

```sh
second
third
```

<!-- transcript -->
```
old
```

```sh
fourth
```

<!-- transcript -->
```json
{"a": 1,
 "b": [0.5, "x"]}
```

```pycon
>>> number = 20
>>> number + 1
0
>>> for each in "ab":
...     print(each)
old
```
"""


def test_the_commands_above_a_transcript_are_run():
    commands = []

    def run(command):
        commands.append(command)
        return '{"a": 2, "b": [0.75, "y"]}' if command == "fourth\n" else "new\nlines\n\n"

    fresh = with_fresh_transcripts(PAGE, run)
    assert commands == ["second\nthird\n", "fourth\n"]
    expected = PAGE.replace("```\nold\n", "```\nnew\nlines\n", 1)
    assert fresh == expected.replace('1,\n "b": [0.5, "x"]', '2,\n "b": [0.75, "y"]')


def test_an_answer_with_other_fields_is_an_error():
    with pytest.raises(SystemExit, match="other fields than the page"):
        with_fresh_transcripts(PAGE, lambda _: '{"a": 2}')


def test_the_examples_of_a_page_share_their_names(tmp_path):
    (tmp_path / "examples.py").write_text(EXAMPLES)

    def run(sources):
        command = [sys.executable, tmp_path / "examples.py"]
        given = json.dumps(sources)
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    fresh = with_fresh_examples(PAGE, run)
    assert fresh == PAGE.replace("+ 1\n0\n", "+ 1\n21\n").replace(
        "print(each)\nold\n", "print(each)\na\nb\n"
    )


@pytest.mark.parametrize("page", [*PAGES, CLIENTS])
def test_every_entrance_shows_what_it_prints(page):
    text = (ROOT / page).read_text()
    shown = [shown for _, _, shown in TRANSCRIPT.findall(text)] + PYTHON.findall(text)
    assert shown
    assert all(shown)
    assert text.count("<!-- transcript -->") == len(TRANSCRIPT.findall(text))
