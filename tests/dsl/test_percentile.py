"""Percentiles of all records: the number at the rank itself, also where a float would be another one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsl.aggregates.held import Held
from dsl.aggregates.percentile import Percentile
from dsl.record import Record

RECORD = Record(0, "main", 1, {})
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(2**53 - 2, 2**53 + 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just(float(2**53)),
)


def percentile(numbers, percent):
    found = Percentile(field="n", percent=percent).accumulator(Held())
    for number in numbers:
        found.add([number, "no number", True], RECORD)
    return found.result()


@given(st.lists(NUMBERS, min_size=1, max_size=12), st.sampled_from([0, 25, 50, 99, 99.9, 100]))
def test_it_is_the_number_at_its_rank(numbers, percent):
    rank = math.floor(percent / 100 * (len(numbers) - 1))
    assert percentile(numbers, percent) == sorted(numbers)[rank]


@pytest.mark.parametrize("number", [2**53 + 1, 1_735_689_600_000_000_001, 2**64 - 1, -(2**63) + 1])
def test_a_whole_number_that_no_float_holds_stays_what_it_is(number):
    assert percentile([number], 50) == number
