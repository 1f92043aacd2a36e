"""The settings of a stream: what is read, what is refused and what is said of it, and how changes merge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import BadSettings
from storage.log import Rotation
from storage.stream_settings import StreamSettings, format_duration, merge, parse_duration, read_settings

DEFAULTS = {
    "rotation": {"bytes_max": 128 << 20, "records_max": 2_000_000, "age_max": "1d"},
    "retention": {"age": None, "bytes": None, "records": None},
}


@pytest.mark.parametrize("given", [{}, {"rotation": None}, {"retention": {"age": None}}, {"rotation": {}}])
def test_what_is_left_out_has_its_default(given):
    settings = read_settings(given)
    assert settings.to_json() == DEFAULTS
    assert settings == StreamSettings()
    assert settings.rotation.policy() == Rotation()
    assert settings.retention.is_for_ever


def test_texts_are_read_and_written():
    settings = read_settings(
        {
            "rotation": {"bytes_max": "1.5 MiB", "records_max": 5000, "age_max": "36h"},
            "retention": {"age": "7d", "bytes": "10GB", "records": 12},
        }
    )
    assert settings.rotation.policy() == Rotation(3 << 19, 5000, 36 * 3600)
    assert settings.to_json() == {
        "rotation": {"bytes_max": 3 << 19, "records_max": 5000, "age_max": "1d12h"},
        "retention": {"age": "1w", "bytes": 10_000_000_000, "records": 12},
    }
    assert read_settings(settings.to_json()) == settings


@given(st.integers(1, 10**9))
def test_durations_are_read_as_they_are_written(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ([], "the settings are no map", "send an object"),
        ({"retain": {}}, "no setting retain", "there are: rotation, retention"),
        ({"retention": {"max": 1}}, "no setting retention.max", "there are: age, bytes, records"),
        (
            {"rotation": {"age_max_s": "1h"}},
            "no setting rotation.age_max_s",
            "bytes_max, records_max, age_max",
        ),
        ({"retention": 7}, "retention is 7, which is no map", "age, bytes, records"),
        ({"retention": {"age": "7 days"}}, 'retention.age: "7 days" is no duration', '"7d"'),
        ({"retention": {"age": 7}}, "retention.age: 7 is no duration", '"7d"'),
        ({"retention": {"age": "5s"}}, 'retention.age is "5s"', "use at least 1m"),
        ({"retention": {"bytes": "ten"}}, 'retention.bytes: "ten" is no size', '"10GiB"'),
        ({"retention": {"bytes": True}}, "retention.bytes: True is no size", '"10GiB"'),
        ({"retention": {"bytes": 0}}, "retention.bytes is 0", "use at least 1"),
        (
            {"retention": {"records": "many"}},
            'retention.records is "many", which is no whole number',
            "1000000",
        ),
        ({"retention": {"records": 1.5}}, "retention.records is 1.5, which is no whole number", ""),
        ({"rotation": {"bytes_max": "1KiB"}}, "rotation.bytes_max is 1024", "use at least 65536"),
        ({"rotation": {"records_max": 10**12}}, "rotation.records_max is", "use at most 100000000"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_way_out(given, message, hint):
    with pytest.raises(BadSettings) as caught:
        read_settings(given)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_all_mistakes_are_told():
    with pytest.raises(BadSettings) as caught:
        read_settings({"retention": {"age": "x", "bytes": "y"}, "z": 1})
    told = [caught.value, *caught.value.others]
    assert [error.message.split(":")[0] for error in told] == [
        "retention.age",
        "retention.bytes",
        "no setting z",
    ]


def test_a_change_merges_and_null_takes_away():
    old = {"retention": {"age": "7d", "bytes": 5}, "rotation": {"records_max": 5000}}
    change = {"retention": {"age": None, "records": 9}, "rotation": None}
    assert merge(old, change) == {"retention": {"bytes": 5, "records": 9}}
    assert merge({}, {"retention": {"age": "1d"}}) == {"retention": {"age": "1d"}}
    assert merge({"retention": 3}, {"retention": {"age": "1d"}}) == {"retention": {"age": "1d"}}
    with pytest.raises(BadSettings):
        merge(old, [])
