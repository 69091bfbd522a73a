"""No file but FER-2013's and FER+'s own, the sample and the icons names FER-2013's emotions."""

import re
from pathlib import Path

from stages.dataset.fer2013 import EMOTIONS

ROOT = Path(__file__).parents[1]
OWN = {
    "stages/dataset/fer2013.py",
    "stages/dataset/ferplus.py",
    "stages/dataset/sample_faces.py",
    "recognizer/cli/drawing.py",  # colours
    "api/static/index.html",  # icons
    "api/static/style.css",  # colours
}
FEW = 3
"""Names of emotions that a file may have as examples."""


def test_no_other_file_names_the_emotions_of_fer2013():
    naming = set()
    for room in ("stages", "recognizer", "api"):
        for path in (ROOT / room).rglob("*"):
            if path.suffix in {".py", ".js", ".html", ".css", ".json"}:
                text = path.read_text()
                if sum(bool(re.search(rf"\b{name}\b", text)) for name in EMOTIONS) > FEW:
                    naming.add(path.relative_to(ROOT).as_posix())
    assert naming == OWN
