"""The header of a user's CSV: what is accepted, and what its error says."""

import pytest

from stages.dataset.csv_header import check_header, columns_of
from stages.errors import UserError


@pytest.mark.parametrize(
    "header",
    [
        b"emotion,pixels,Usage",
        b'\xef\xbb\xbf"emotion", "Usage", "pixels"\r',
        b"emotion,pixels,Usage,votes,drawn,corrected",
    ],
)
def test_accepted_headers(header):
    check_header(header, "a.csv, line 1")
    assert {"emotion", "pixels", "Usage"} <= set(columns_of(header))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"emotion;pixels;Usage", "'emotion'; .*; separate the columns by commas, not by semicol"),
        (b"emotion\tpixels", "by commas, not by tabs"),
        (b"emotion,pixels,Usage,id", "4 columns; expected emotion,pixels,Usage, .*; remove the"),
        (b"emotion,pixels,Usage,Usage", "4 columns"),
        (b"emotion,pixel,Usage", r"no column 'pixels' \(nearest: 'pixel'\)"),
        (b"emotion,pixels,USAGE", r"no column 'Usage' \(nearest: 'USAGE'\)"),
        (b"label,pixels,Usage", "no column 'emotion'; expected"),
        ("emotion,pixels,Usage".encode("utf-16"), "no column 'emotion'"),
        (b"\x1f\x8b\x08\x00\xff\xfe" * 5_000, "no column 'emotion'"),
    ],
)
def test_another_header_is_an_error(header, message):
    with pytest.raises(UserError, match=message) as raised:
        check_header(header, "a.csv, line 1")
    text = str(raised.value)
    assert text.startswith("a.csv, line 1: ")
    assert text.isprintable()
    assert len(text) < 300
