"""Reading the FER-2013 CSV: accepted variants, reported problems, unaffected neighbours."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.dataset.faces import SIZE, SPLITS
from stages.dataset.fer2013 import EMOTIONS
from stages.dataset.fer_csv import (
    HEADER,
    LONGEST_RECORD,
    PIXELS,
    format_row,
    parse_pixels,
    read_faces,
    shortened,
)
from stages.errors import UserError

FACES = np.random.default_rng(7).integers(0, 256, (8, SIZE, SIZE), dtype=np.uint8)
LINES = [
    format_row(index % len(EMOTIONS), " ".join(map(str, face.ravel())), SPLITS[index % 3]).encode()
    for index, face in enumerate(FACES)
]


def read(path: Path, content: bytes):
    raw = path / "raw.csv"
    raw.write_bytes(content)
    return read_faces(raw)


def joined(*lines: bytes, header: str = HEADER, end: bytes = b"\n") -> bytes:
    return end.join([header.encode(), *lines]) + end


def assert_reads_as(content: bytes, path: Path, numbers: list[int]):
    """All of FACES are read, from these lines."""
    rows, images = read(path, content)
    np.testing.assert_array_equal(images, FACES)
    assert rows["row"].tolist() == numbers
    assert rows["emotion"].tolist() == [str(index % 7) for index in range(len(FACES))]
    assert rows["Usage"].tolist() == [SPLITS[index % 3] for index in range(len(FACES))]
    assert rows["line_problem"].isna().all()
    assert rows["wrong_pixel"].isna().all()


# ---------------------------------------------------------------- accepted


@pytest.mark.parametrize(
    "content",
    [
        joined(*LINES),
        joined(*LINES).removesuffix(b"\n"),
        b"\xef\xbb\xbf" + joined(*LINES),
        joined(*LINES, end=b"\r\n"),
        b"\xef\xbb\xbf" + joined(*LINES, header='"emotion","pixels","Usage"', end=b"\r\n"),
        joined(*(b'"' + line.replace(b",", b'","') + b'"' for line in LINES)),
        joined(*(line.replace(b",", b',"', 1).replace(b",P", b'",P').replace(b",T", b'",T')
                 for line in LINES)),
        joined(*(b",".join(np.array(line.split(b","))[[0, 2, 1]]) for line in LINES),
               header="emotion, Usage, pixels"),
        joined(*(line.replace(b" ", b"  ").replace(b",P", b" ,P") for line in LINES)),
    ],
    ids=["plain", "no last line end", "byte order mark", "CRLF", "all of these, quoted header",
         "all quoted", "pixels quoted", "other order of columns", "more blanks"],
)  # fmt: skip
def test_accepted_variants(content, tmp_path):
    assert_reads_as(content, tmp_path, list(range(2, 10)))


def test_blank_lines_are_ignored_and_counted(tmp_path):
    content = b"\n" + joined(*LINES[:3], b"", b"  ", *LINES[3:], b"") + b"\r\n"
    assert_reads_as(content, tmp_path, [3, 4, 5, 8, 9, 10, 11, 12])


def test_derived_columns(tmp_path):
    rows, _ = read(tmp_path, joined(*LINES))
    pixels = FACES.reshape(len(FACES), -1)
    assert (rows["pixel_count"] == PIXELS).all()
    np.testing.assert_array_equal(rows["minimum"], pixels.min(axis=1))
    np.testing.assert_array_equal(rows["maximum"], pixels.max(axis=1))
    np.testing.assert_allclose(rows["std"], pixels.std(axis=1), rtol=1e-12)


# ---------------------------------------------------------------- the file as a whole is wrong


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty; expected a first line emotion,pixels,Usage"),
        (b"\n\r\n", "empty"),
        (b"\xef\xbb\xbf", "no column 'emotion'"),
        (HEADER.encode(), "a header and no rows"),
        (HEADER.encode() + b"\r\n\r\n", "a header and no rows"),
        (joined(LINES[0], header="emotion,pixels"), "line 1: no column 'Usage'; expected"),
        (joined(LINES[0], header="emotion,pixel,Usage"), r"no column 'pixels' \(nearest: 'pixel'"),
        (joined(LINES[0], header="emotion,pixels,USAGE"), r"no column 'Usage' \(nearest: 'USAGE'"),
        (joined(LINES[0], header="Emotion,Usage,pixels"), "'emotion' .nearest: 'Emotion'"),
        (joined(LINES[0], header="emotion;pixels;Usage"), "no column 'emotion'"),
        (joined(LINES[0], header=HEADER + ",id"), "4 columns; expected emotion,pixels,Usage"),
        (joined(LINES[0], header=HEADER + ",Usage"), "4 columns"),
        (b"\n".join(LINES), "no column 'emotion'.*found 0,"),
        (HEADER.encode("utf-16"), "no column 'emotion'"),
        (b"\x1f\x8b\x08\x00\xff\xfe" * 50_000, "no column 'emotion'"),
    ],
)
def test_unusable_file(content, message, tmp_path):
    with pytest.raises(UserError, match=message) as raised:
        read(tmp_path, content)
    text = str(raised.value)
    assert "raw.csv" in text
    assert text.isprintable()
    assert len(text) < 400


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"raw\.csv: not found; run the fetch stage"):
        read_faces(tmp_path / "raw.csv")


# ---------------------------------------------------------------- one row is wrong


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"3,1 2 3", "2 fields"),
        (b"3", "1 fields"),
        (LINES[0] + b",", "4 fields"),
        (b"9" * 10_000_000, f"more than {LONGEST_RECORD} bytes"),
        (b"3," + b"9 " * 5_000_000 + b",Training", f"more than {LONGEST_RECORD} bytes"),
        (LINES[0].replace(b",", b',"', 1), "a quote is not closed"),
        (b'"' + LINES[0], "a quote is not closed"),
        (LINES[0].replace(b",", b',"1"2', 1), "misplaced quotes"),
        (LINES[0].replace(b",", b',"', 1).replace(b" ", b"\n", 1).replace(b",T", b'",T'),
         "a line break inside quotes"),
        (LINES[0].replace(b",", b',"', 1).replace(b" ", b"\r\n").replace(b",T", b'",T'),
         "a line break inside quotes"),
        (LINES[0].replace(b",T", b',"T') + b'\n"', "a line break inside quotes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_line_problems_do_not_affect_the_neighbours(line, problem, tmp_path):
    rows, images = read(tmp_path, joined(LINES[0], line, *LINES[1:]))
    assert rows["line_problem"].notna().tolist() == [False, True] + [False] * 7
    assert rows["line_problem"][1].startswith(problem)
    assert rows["emotion"].isna()[1]
    taken = line.count(b"\n") + 1
    assert rows["row"].tolist() == [2, 3, *range(3 + taken, 10 + taken)]
    np.testing.assert_array_equal(np.delete(images, 1, axis=0), FACES)


@pytest.mark.parametrize(
    ("pixels", "count", "minimum", "maximum", "wrong"),
    [
        ("", 0, np.nan, np.nan, None),
        ("1 " * 2303, 2303, 1, 1, None),
        ("1 " * 2305, 2305, 1, 1, None),
        ("7 " * 10 + "dark " + "9 " * 2293, 2304, 7, 9, "dark at pixel 11"),
        ("-1 " + "9 " * 2303, 2304, -1, 9, "-1 at pixel 1"),
        ("9 " * 2303 + "256", 2304, 9, 256, "256 at pixel 2304"),
        ("9 " * 2303 + "1000", 2304, 9, 1000, "1000 at pixel 2304"),
        ("9 " * 2303 + "0012", 2304, 9, 12, "0012 at pixel 2304"),
        ("9 " * 2303 + "1.5", 2304, 9, 9, "1.5 at pixel 2304"),
        ("9 " * 2303 + "1e2", 2304, 9, 9, "1e2 at pixel 2304"),
        ("9 " * 2303 + "7\t8", 2304, 9, 9, "7\\t8 at pixel 2304"),
        ("9 " * 2303 + "\0", 2304, 9, 9, "\\x00 at pixel 2304"),
        ("9 " * 2303 + "９", 2304, 9, 9, "９ at pixel 2304"),
        ("unreadable happy/a b.jpg", 3, np.nan, np.nan, "unreadable happy/a b.jpg"),
    ],
)
def test_an_invalid_pixels_field_is_described(pixels, count, minimum, maximum, wrong, tmp_path):
    rows, images = read(tmp_path, joined(LINES[0], f"3,{pixels},Training".encode(), LINES[1]))
    row = rows.loc[1]
    np.testing.assert_array_equal(
        [row["pixel_count"], row["minimum"], row["maximum"], row["std"]],
        [count, minimum, maximum, np.nan],
    )
    assert row["wrong_pixel"] == wrong if wrong else rows["wrong_pixel"].isna()[1]
    np.testing.assert_array_equal(images, [FACES[0], np.zeros((SIZE, SIZE)), FACES[1]])


def test_bytes_that_are_no_text(tmp_path):
    rows, _ = read(tmp_path, joined(b"\xff3,1 \xfe 2,Trai\x00ning"))
    row = rows.loc[0]
    assert row["emotion"] == "\\xff3"
    assert row["Usage"] == "Trai\x00ning"
    assert row["wrong_pixel"] == "\\xfe at pixel 2"


# ---------------------------------------------------------------- the parts


def test_numbers_with_leading_zeros():
    pixels, is_image = parse_pixels([b"7 07 007 " * 768, b" 255" * PIXELS, b"0 " * PIXELS])
    assert is_image.all()
    assert pixels.dtype == np.uint8
    assert [set(row) for row in pixels.tolist()] == [{7}, {255}, {0}]


NUMBERS = st.one_of(
    st.integers(0, 300).map(str), st.sampled_from(["", "0255", "1000", "x", "-3", "1,2", "\n", "é"])
)


@given(
    st.lists(
        st.tuples(st.integers(-2, 2), st.lists(st.tuples(st.integers(0, PIXELS - 1), NUMBERS))),
        min_size=1,
    )
)
@settings(max_examples=60)
def test_parse_pixels_agrees_with_slow_parsing(edits):
    texts = []
    for extra, changes in edits:
        values = ["12"] * (PIXELS + extra)
        for place, value in changes[:2]:
            values[min(place, len(values) - 1)] = value
        texts.append(" ".join(values).encode())
    pixels, is_image = parse_pixels(texts)
    for text, row, found in zip(texts, pixels, is_image, strict=True):
        expected = slow_pixels(text)
        assert found == (expected is not None)
        assert row.tolist() == (expected if found else [0] * PIXELS)


def slow_pixels(text: bytes) -> list[int] | None:
    values = [value for value in text.split(b" ") if value]
    if not all(value.isdigit() and len(value) <= 3 and int(value) <= 255 for value in values):
        return None
    return [int(value) for value in values] if len(values) == PIXELS else None


MUTATION = st.tuples(
    st.integers(0, len(LINES) - 1),
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0])),
    st.integers(0, 20),
    st.one_of(
        st.binary(max_size=6),
        st.text('",\n\r 0123456789-\0é', max_size=6).map(str.encode),
        st.sampled_from([b'"\n"', b'",', b"\n3,", b"x" * LONGEST_RECORD]),
    ),
)


@given(st.lists(MUTATION, min_size=1, max_size=4))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_bytes_affect_their_own_rows_alone(tmp_path, mutations):
    lines = list(LINES)
    for index, place, deleted, inserted in mutations:
        line = lines[index]
        at = round(place * len(line))
        lines[index] = line[:at] + inserted + line[at + deleted :]
    rows, images = read(tmp_path, joined(*lines))
    by_line = {number: index for index, number in enumerate(rows["row"])}
    number = 2
    for original, line, face in zip(LINES, lines, FACES, strict=True):
        if line == original:
            row = rows.loc[by_line[number]]
            assert [row["emotion"].encode(), row["Usage"].encode()] == line.split(b",")[::2]
            np.testing.assert_array_equal(images[by_line[number]], face)
        elif not set(b'"\n') & set(b"".join(lines)):
            assert_agrees_with_slow_reading(line, number, by_line, rows, images)
        number += line.count(b"\n") + 1


def assert_agrees_with_slow_reading(line, number, by_line, rows, images):
    """For a line that is mutated, but without quotes or line feeds anywhere."""
    row, image = rows.loc[by_line[number]], images[by_line[number]]
    fields = line.rstrip(b"\r").split(b",")
    if len(fields) != 3 or len(line) > LONGEST_RECORD:
        assert row["line_problem"]
        return
    assert row["emotion"] == fields[0].decode(errors="backslashreplace")
    assert (row["Usage"] in SPLITS) == (fields[2] in [split.encode() for split in SPLITS])
    expected = slow_pixels(fields[1])
    assert np.isnan(row["std"]) == (expected is None)
    assert image.ravel().tolist() == (expected or [0] * PIXELS)


@given(st.text(), st.integers(2, 100))
def test_shortened_fits_a_cell(text, length):
    short = shortened(text, length)
    assert short.isprintable()
    assert len(short) <= length
    if text.isprintable() and len(text) <= length:
        assert short == text
