"""The texts of notifications: templates that are checked, lengths that are kept, nothing that a terminal obeys."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.notify.message import Alert, Message, text_template, title_template
from server.notify.text import BadTemplate, fit, read_template


def alert(number=1, **given):
    payload = {
        "rule": "checkout-errors",
        "status": "firing",
        "fingerprint": f"{number:016x}",
        "labels": {"service": "edge", "http.status": "504"},
        "annotations": {"summary": "edge: 12 errors in 5m"},
        "starts_us": 1_767_348_245_000_000,
        "ends_us": None,
        "value": {"n": 12, "ratio": 0.25},
        "samples": [{"timestamp": "2026-01-02T10:00:00.000000Z", "level": "error", "message": "boom"}],
        "generator": "/v1/rules/checkout-errors",
    }
    return Alert.of(number, {**payload, **given})


def message(*alerts):
    return Message(
        "ops",
        {"rule": "checkout-errors"},
        alerts or (alert(),),
        1_767_348_300_000_000,
        "https://klomp.example",
    )


DEFAULT_TEXT = """\
edge: 12 errors in 5m
service=edge, http.status=504
n=12, ratio=0.25
since 2026-01-02T10:04:05.000000Z
2026-01-02T10:00:00.000000Z error boom
https://klomp.example/v1/rules/checkout-errors"""


def test_the_default_text_tells_what_a_person_needs():
    from server.notify.message import TEXT, TITLE

    assert message().title(title_template(TITLE)) == "[firing] checkout-errors"
    assert message().blocks(text_template(TEXT)) == [DEFAULT_TEXT]


def test_names_of_all_kinds_and_braces():
    template = text_template("{{{labels.service}}} {values.n} {annotations.nothing}{values.ratio}")
    assert message().blocks(template) == ["{edge} 12 0.25"]
    title = title_template("{status} {count}: {firing}/{resolved} {labels.service} {rule}")
    both = message(alert(1), alert(2, status="resolved", ends_us=1, rule="other", labels={"service": "api"}))
    assert both.title(title) == "firing 2: 1/1 checkout-errors, other"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{nope}", "no name {nope}"),
        ("{labels}", "no name {labels}"),
        ("{status.__class__}", "no name {status.__class__}"),
        ("{0}", "no name {0}"),
        ("{}", "no name {}"),
        ("{rule!r}", "no name {rule!r}"),
        ("a } b", "a lone } at character 3"),
        ("a { b", "a lone { at character 3"),
        ("x" * 5000, "the template has 5000 characters"),
    ],
)
def test_what_is_no_template_is_refused(text, wrong):
    with pytest.raises(BadTemplate) as caught:
        title_template(text)
    assert caught.value.message == wrong
    assert caught.value.hint


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_any_text_can_be_escaped(text):
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert read_template(escaped, ()).render(lambda _: "") == text


@given(st.text(max_size=200))
def test_any_text_is_a_template_or_a_mistake(text):
    try:
        title_template(text).render(lambda name: name)
    except BadTemplate:
        assert {"{", "}"} & set(text)


@given(st.lists(st.text(min_size=1, max_size=100), min_size=1, max_size=30), st.integers(40, 500))
def test_what_fits_is_as_much_as_may_be_and_says_what_is_missing(blocks, most):
    text = fit(blocks, most)
    assert len(text) <= most
    if len("\n\n".join(blocks)) <= most:
        assert text == "\n\n".join(blocks)
    elif len(blocks) > 1:
        assert text.endswith("more")


def test_what_others_logged_cannot_steer():
    evil = alert(
        labels={"service": "a\r\nBcc: all@example.com\x1b[31m"}, samples=[{"message": "x\u202ey\x00"}]
    )
    assert message(evil).title(title_template("{labels.service}")) == "a Bcc: all@example.com [31m"
    text = message(evil).blocks(text_template("{samples}{labels}"))[0]
    assert not any(bad in text for bad in "\r\x1b\u202e\x00")
