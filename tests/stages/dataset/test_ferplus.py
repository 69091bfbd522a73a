"""FER+: labels and targets from votes, the join with FER-2013's pixels, and its errors."""

import functools
import hashlib
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from stages.dataset import ferplus, sources
from stages.dataset.ferplus import COLUMNS, EMOTIONS, distribution, majority, read_votes
from stages.dataset.source_description import source_of
from stages.errors import UserError
from stages.parameters import FerPlusSource

REAL = Path(__file__).parents[4] / "shared/data/ferplus_votes.csv"


def votes(**counts: int) -> tuple[int, ...]:
    assert set(counts) <= set(COLUMNS)
    return tuple(counts.get(name, 0) for name in COLUMNS)


@pytest.mark.parametrize(
    ("counts", "label"),
    [
        (votes(happiness=6, neutral=4), "happy"),
        (votes(happiness=5, neutral=5), "no_majority"),
        # Single votes do not count: 4 of 6 is more than half.
        (votes(anger=4, sadness=2, fear=1, neutral=1, contempt=1, disgust=1), "angry"),
        (votes(anger=4, sadness=3, neutral=3), "no_majority"),
        (votes(unknown=6, fear=4), "unknown"),
        (votes(NF=10), "not_a_face"),
        (votes(contempt=8, neutral=2), "contempt"),
    ],
)
def test_the_majority_has_more_than_half_of_the_votes_that_count(counts, label):
    assert majority(counts) == label


@pytest.mark.parametrize(
    ("counts", "label", "counted"),
    [
        (votes(happiness=8, neutral=2), "happy", {"happy": 8}),
        (votes(happiness=6, neutral=4), "happy", {"happy": 6, "neutral": 4}),
        (votes(anger=4, sadness=3, neutral=2, fear=1), "angry", {"angry": 4, "sad": 3}),
        (votes(fear=4, surprise=4, sadness=2), "fear", {"fear": 4, "surprise": 4}),
        # Two emotions have 6 of 10 votes; with the next two, which tie, there would be four.
        (votes(fear=3, surprise=3, sadness=2, neutral=2), "no_majority", {}),
        (votes(anger=2, sadness=2, neutral=2, fear=2, unknown=2), "no_majority", {}),
        (votes(anger=4, unknown=4, sadness=2), "no_majority", {}),
        (votes(anger=5, unknown=4), "angry", {"angry": 5}),
        (votes(unknown=5, anger=4), "unknown", {}),
        (votes(NF=9), "not_a_face", {}),
    ],
)
def test_the_targets_are_the_most_frequent_emotions(counts, label, counted):
    found, shares = distribution(counts)
    assert found == label
    if counted:
        assert {name: n for name, n in zip(EMOTIONS, shares, strict=True) if n} == counted
    else:
        assert shares == ()


@pytest.mark.skipif(not REAL.exists(), reason="FER+'s votes are not on this machine")
def test_the_real_votes_give_the_published_numbers():
    rows = read_votes(REAL)
    assert len(rows) == 35_887
    by_split = Counter(row.usage for row in rows if majority(row.counts) in EMOTIONS)
    # 3,153 faces of PrivateTest are the test set of the paper and of its successors.
    assert by_split == {"Training": 25_060, "PublicTest": 3_199, "PrivateTest": 3_153}
    kept = Counter(row.usage for row in rows if distribution(row.counts)[1])
    assert kept == {"Training": 27_956, "PublicTest": 3_505, "PrivateTest": 3_505}
    # Where there is a majority, the emotion with the most votes is that one.
    for row in rows:
        if majority(row.counts) in EMOTIONS:
            assert distribution(row.counts)[0] == majority(row.counts)


# ---------------------------------------------------------------- the source

USAGES = ("Training", "Training", "PublicTest", "PrivateTest")
COUNTS = (
    votes(happiness=6, neutral=4),
    votes(NF=10),
    votes(happiness=5, neutral=5),
    votes(contempt=9),
)
PIXELS = [" ".join(map(str, np.full(2304, level))) for level in range(4)]


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    """A fer2013.csv and a fer2013new.csv of four rows."""
    pixels, counts = tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"
    rows = [f"3,{face},{usage}" for face, usage in zip(PIXELS, USAGES, strict=True)]
    pixels.write_text("\n".join(["emotion,pixels,Usage", *rows, ""]))
    table = [
        ",".join([usage, "x.png", *map(str, row)])
        for usage, row in zip(USAGES, COUNTS, strict=True)
    ]
    counts.write_text("\n".join([",".join(["Usage", "Image name", *COLUMNS]), *table, ""]))
    return pixels, counts


def source(targets: str = "votes", **paths: Path) -> FerPlusSource:
    return FerPlusSource(source="ferplus", handle="a/b", targets=targets, rows=None, **paths)


def environment(files: tuple[Path, Path]) -> dict[str, str]:
    return {"FER2013_CSV": str(files[0]), "FERPLUS_CSV": str(files[1])}


def test_votes_are_a_column_and_rows_without_a_label_stay_in_their_place(files):
    named = source_of("ferplus", source(), environment(files))
    lines = [line.decode().split(",") for line in sources.fer_plus(named)]
    assert lines[0] == ["emotion", "pixels", "Usage", "votes"]
    assert [(label, usage, counted) for label, _, usage, counted in lines[1:]] == [
        ("happy", "Training", "0 0 0 6 0 0 4 0"),
        ("not_a_face", "Training", ""),
        ("no_majority", "PublicTest", "0 0 0 5 0 0 5 0"),
        ("contempt", "PrivateTest", "0 0 0 0 0 0 0 9"),
    ]
    assert [pixels for _, pixels, *_ in lines[1:]] == PIXELS


def test_targets_majority_have_no_column_of_votes(files):
    named = source("majority", pixels=files[0], votes=files[1])
    lines = list(sources.fer_plus(named))
    assert lines[0] == b"emotion,pixels,Usage"
    assert [line.partition(b",")[0] for line in lines[1:]] == [
        *(b"happy", b"not_a_face", b"no_majority", b"contempt")
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("PublicTest", "Training"), "row 3: FER-2013 has PublicTest"),
        (lambda text: text + text.splitlines()[-1], "row 5: FER-2013 has no such row"),
        (lambda text: "\n".join(text.splitlines()[:-1]), "row 4: .*FER\\+ has no such row"),
        (lambda text: text.replace("unknown", "x"), "line 1: no column 'unknown'"),
        (lambda text: text.replace("10", "ten"), "line 3: expected ten numbers of votes"),
    ],
)
def test_other_votes_are_an_error(files, change, message):
    files[1].write_text(change(files[1].read_text()))
    with pytest.raises(UserError, match=message):
        list(sources.fer_plus(source(pixels=files[0], votes=files[1])))


def test_a_missing_file_of_votes_names_the_variable(tmp_path):
    with pytest.raises(UserError, match=r"absent\.csv: No such file.*FERPLUS_CSV"):
        read_votes(tmp_path / "absent.csv")


def test_the_votes_are_downloaded_and_their_digest_is_checked(files, monkeypatch):
    handler = functools.partial(SimpleHTTPRequestHandler, directory=files[1].parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            ferplus, "URL", f"http://127.0.0.1:{server.server_port}/{files[1].name}"
        )
        with pytest.raises(UserError, match=rf"expected {ferplus.SHA256}.*FERPLUS_CSV"):
            read_votes(None)
        digest = hashlib.sha256(files[1].read_bytes()).hexdigest()
        monkeypatch.setattr(ferplus, "SHA256", digest)
        assert read_votes(None) == read_votes(files[1])
        files[1].unlink()
        with pytest.raises(UserError, match=r"the download of FER\+'s votes failed.*FERPLUS_CSV"):
            read_votes(None)
        server.shutdown()


@pytest.mark.skipif(not REAL.exists(), reason="FER+'s votes are not on this machine")
def test_the_declared_digest_is_that_of_the_real_file():
    assert hashlib.sha256(REAL.read_bytes()).hexdigest() == ferplus.SHA256
