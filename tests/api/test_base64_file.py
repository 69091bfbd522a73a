"""Files in base64: both alphabets, with and without padding, and the position of an error."""

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.base64_file import file_from_base64


@given(st.binary(max_size=50), st.booleans(), st.booleans(), st.sampled_from(["", "\n", "\r\n "]))
def test_all_notations_are_decoded(data, url_safe, padded, between):
    text = (urlsafe_b64encode if url_safe else b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    text = between.join(text[k : k + 4] for k in range(0, len(text), 4)) + between
    for prefix in ("", " data:image/png;base64,", "DATA:;charset=x;BASE64,"):
        assert file_from_base64(prefix + text) == data


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("!", "character 1 is '!'"),
        ("AAAA\nAA*A", "character 8 is '*'"),
        ("AA==AA", "character 5 is 'A', after the padding"),
        ("===", "character 3 is '=', after the padding"),
        ("data:;base64,AA\0A", "character 16 is '\\x00'"),
        ("data:;base64,data:;base64,AAAA", "character 18 is ':'"),
        ("AAAAA\n", "it is incomplete after character 5"),
        ("A", "it is incomplete after character 1"),
        ("%2B", "character 1 is '%'"),
    ],
)
def test_the_error_names_the_invalid_character(text, found):
    with pytest.raises(ValueError, match="expected the file in base64") as error:
        file_from_base64(text)
    assert f", but {found};" in str(error.value)
