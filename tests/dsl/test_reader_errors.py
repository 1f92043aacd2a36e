"""How a mistake is shown: the line, the caret, the hint, and the same as JSON."""

import pickle
from textwrap import dedent

import pytest

from dsl.errors import LINE_COLUMNS_MAX, Mistake, QueryError, line_number, quoted


def shown(text: str, start: int, end: int, hint: str | None = None) -> str:
    return QueryError([Mistake("code", "message", start, end, hint)], text).render()


def test_the_form_of_a_mistake() -> None:
    text = "{:from :nginx\n :where\n [:betwen :latency_ms 10 20]}"
    error = QueryError(
        [Mistake("unknown-operator", "no operator :betwen", 24, 31, "did you mean :between?")], text
    )
    want = """
        error[unknown-operator]: no operator :betwen
         3 |  [:betwen :latency_ms 10 20]}
           |   ^^^^^^^
        hint: did you mean :between?
    """
    assert error.render(text) == dedent(want).strip()
    assert error.to_json(text) == [
        {
            "code": "unknown-operator",
            "message": "no operator :betwen",
            "line": 3,
            "column": 3,
            "hint": "did you mean :between?",
        }
    ]


def test_mistakes_are_sorted_and_apart() -> None:
    error = QueryError([Mistake("b", "second", 2, 3), Mistake("a", "first", 0, 1)], "x y")
    want = """
        error[a]: first
         1 | x y
           | ^

        error[b]: second
         1 | x y
           |   ^
    """
    assert error.render() == dedent(want).strip()
    assert [list(found) for found in error.to_json()] == [["code", "message", "line", "column"]] * 2
    assert str(error) == "a: first; b: second"


@pytest.mark.parametrize(
    ("text", "start", "end", "line", "caret"),
    [
        ("", 0, 0, " 1 |", "   | ^"),
        ("ab", 2, 2, " 1 | ab", "   |   ^"),
        ("a\nbc", 1, 1, " 1 | a", "   |  ^"),
        ("[1\n2]", 0, 5, " 1 | [1", "   | ^^"),
        ("a\r\nbc", 3, 5, " 2 | bc", "   | ^^"),
        ("a\rbc", 2, 4, " 2 | bc", "   | ^^"),
        ("\tab", 1, 3, " 1 |     ab", "   |     ^^"),
        ("東京 x", 3, 4, " 1 | 東京 x", "   |      ^"),
        ("東京", 0, 2, " 1 | 東京", "   | ^^^^"),
        ("e\u0301 x", 3, 4, " 1 | e\u0301 x", "   |   ^"),
        ("\x1b[31m\u202e", 0, 1, " 1 | \ufffd[31m\ufffd", "   | ^"),
        ("\ud800 a", 0, 1, " 1 | \ufffd a", "   | ^"),
        ("\n" * 9 + "x", 9, 10, " 10 | x", "    | ^"),
    ],
)
def test_the_caret_stands_under_its_place(text: str, start: int, end: int, line: str, caret: str) -> None:
    assert shown(text, start, end).split("\n")[1:] == [line, caret]


@pytest.mark.parametrize("position", [0, 30, 60, 500, 940, 990])
def test_long_lines_are_cut_around_the_mistake(position: int) -> None:
    text = "x" * position + "HERE" + "y" * (1000 - position)
    line, caret = shown(text, position, position + 4).split("\n")[1:]
    assert len(line) <= LINE_COLUMNS_MAX + len(" 1 | ")
    assert line[caret.index("^") : caret.rindex("^") + 1] == "HERE"


def test_a_long_mistake_is_cut_too() -> None:
    lines = shown("x" * 5000, 0, 5000).split("\n")
    assert all(len(line) <= LINE_COLUMNS_MAX + len(" 1 | ") for line in lines)


def test_quoted_is_safe_and_short() -> None:
    assert quoted("a\n  b\x1b\ud800") == "a b\ufffd\ufffd"
    assert len(quoted("x" * 1000)) == 40


def test_line_number() -> None:
    assert [line_number("a\r\nb\n", offset) for offset in range(6)] == [1, 1, 1, 2, 2, 3]


def test_it_crosses_a_process() -> None:
    error = QueryError([Mistake("a", "b", 0, 1)], "x")
    again = pickle.loads(pickle.dumps(error))
    assert (again.mistakes, again.text) == (error.mistakes, error.text)


def test_a_mistake_needs_a_place() -> None:
    with pytest.raises(AssertionError):
        Mistake("a", "b", 2, 1)
    with pytest.raises(AssertionError):
        QueryError([])
