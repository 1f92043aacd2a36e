"""What holds of every text and form: reading ends in forms or in mistakes, and undoes printing."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.errors import QueryError
from dsl.forms import (
    Char,
    Form,
    Keyword,
    ListForm,
    MapForm,
    SetForm,
    Symbol,
    Tagged,
    VectorForm,
    identity,
    print_form,
    to_plain,
)
from dsl.reader import read, read_all, read_json

NAMES = st.from_regex(r"[a-zé*!?<>=][a-z0-9.:#+-]{0,5}(/[a-z][a-z0-9]{0,3})?", fullmatch=True).filter(
    lambda name: name not in {"nil", "true", "false"}
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
ATOMS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    TEXTS,
    NAMES.map(Keyword),
    NAMES.map(Symbol),
    st.characters(codec="utf-8").map(Char).filter(lambda char: char.value != "\ufeff"),
).map(Form)


def distinct(forms: st.SearchStrategy[Form]) -> st.SearchStrategy[list[Form]]:
    return st.lists(forms, max_size=4, unique_by=lambda form: identity(form.value))


def containers(forms: st.SearchStrategy[Form]) -> st.SearchStrategy[Form]:
    several = st.lists(forms, max_size=4).map(tuple)
    return st.one_of(
        several.map(ListForm),
        several.map(VectorForm),
        distinct(forms).map(tuple).map(SetForm),
        distinct(forms).flatmap(
            lambda keys: st.tuples(*(st.tuples(st.just(key), forms) for key in keys)).map(MapForm)
        ),
        st.builds(Tagged, st.from_regex(r"x[a-z]{0,3}(/[a-z]+)?", fullmatch=True), forms),
    ).map(Form)


FORMS = st.recursive(ATOMS, containers, max_leaves=20)


def inner(form: Form) -> list[Form]:
    match form.value:
        case ListForm(items) | VectorForm(items) | SetForm(items):
            return list(items)
        case MapForm(pairs):
            return [part for pair in pairs for part in pair]
        case Tagged(_, tagged):
            return [tagged]
        case _:
            return []


@given(FORMS)
def test_printed_forms_are_read_again(form: Form) -> None:
    text = print_form(form)
    assert "\n" not in text
    again = read(text)
    assert again == form
    assert print_form(again) == text


@given(FORMS)
def test_the_text_at_a_place_is_that_form(form: Form) -> None:
    text = f" {print_form(form)} ; end"
    waiting = [read(text)]
    while waiting:
        found = waiting.pop()
        assert read(text[found.start : found.end]) == found
        waiting += inner(found)


@given(FORMS)
def test_plain_data_is_json(form: Form) -> None:
    def check(value: Any) -> None:
        assert value is None or type(value) in {bool, int, float, str, list, dict}
        for part in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            check(part)

    try:
        plain = to_plain(form)
    except QueryError as error:
        plain = error.to_json("")
    check(plain)


SOUP = st.one_of(
    st.text(max_size=60),
    st.text("[](){}#_\"\\:;^'`~@/.,+-eEMNx0189nilu \n\ta\ud800", max_size=60),
    st.lists(
        st.sampled_from(
            [
                "[",
                "]",
                "{",
                "}",
                "#{",
                "(",
                ")",
                "#_",
                "#t",
                "#inst",
                '"1985"',
                ":a",
                "1",
                '"',
                "\\",
                " ",
                "{}",
            ]
        ),
        max_size=40,
    ).map(" ".join),
)


@settings(max_examples=300)
@given(SOUP)
def test_any_text_is_read_or_refused(text: str) -> None:
    for function in (read, read_all, read_json):
        error = refusal(function, text)
        if error is not None:
            assert all(0 <= mistake.start <= mistake.end <= len(text) for mistake in error.mistakes)
            assert error.render(text).encode()
            assert all({"code", "message", "line", "column"} <= found.keys() for found in error.to_json(text))


def refusal(function: Callable[[str], object], text: str) -> QueryError | None:
    try:
        function(text)
    except QueryError as error:
        return error
    return None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_decimals_keep_their_digits(number: Decimal) -> None:
    assert str(read(print_form(Form(number))).value) == str(number)
