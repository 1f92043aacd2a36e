"""Durations are read in two places, of the language and of what is stored: what both take means the same in both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from dsl.time import BadTime
from dsl.time import format_duration as format_us
from dsl.time import parse_duration as parse_us
from storage.stream_settings import SECONDS, format_duration, parse_duration

pieces = st.tuples(st.integers(0, 10**5), st.sampled_from([*SECONDS, "ms", "D", "sec"]))
texts = st.builds(
    lambda given, end: "".join(f"{count}{unit}" for count, unit in given) + end,
    st.lists(pieces, max_size=3),
    st.sampled_from(["", "5", " "]),
)


@given(texts)
def test_a_text_is_the_same_duration_wherever_it_stands(text):
    try:
        seconds = parse_duration(text)
    except PydanticCustomError:
        # Milliseconds are none of the store's.
        if "ms" not in text:
            with pytest.raises(BadTime):
                parse_us(text)
        return
    assert parse_us(text) == seconds * 1_000_000
    assert format_us(seconds * 1_000_000) == format_duration(seconds)
