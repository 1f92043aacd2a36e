"""What is read: values, places, limits, and how much a text may cost."""

import ast
import threading
import time
import timeit
from decimal import Decimal
from pathlib import Path

import pytest

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
from dsl.reader import DEPTH_MAX, MISTAKES_MAX, TEXT_CHARACTERS_MAX, ReadLimits, read, read_all, read_json

QUERY = """
{:from     :nginx                              ; a stream, a vector of streams, or :*
 :time     {:last "1h"}                        ; half-open
 :where    [:and
            [:in :level #{"error" "warn"}]
            [:or [:phrase :message "connection reset"]
                 [:match  :message "timeout upstream"]]
            [:not [:starts-with :http.path "/health"]]
            [:between :http.status 500 599]]
 :group-by  [:service [:bucket :timestamp "5m"]]
 :aggregate {:requests [:count]
             :errors   [:count [:>= :http.status 500]]     ; any aggregate takes a last predicate
             :ratio    [:/ :errors :requests]              ; arithmetic over the other names
             :p95      [:percentile :latency_ms 95]
             :users    [:count-distinct :user.id]}
 :having    [:> :ratio 0.01]
 :order-by  [[:ratio :desc]]
 :limit     20}
"""


def codes(text: str, limits: ReadLimits | None = None) -> list[str]:
    with pytest.raises(QueryError) as caught:
        read(text, limits=limits or ReadLimits())
    return [mistake.code for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nil", None),
        ("true", True),
        ("-0", 0),
        ("+12N", 12),
        ("1e3", 1000.0),
        ("1.50M", Decimal("1.50")),
        (r'"a\tb\u00e9\ud83d\ude00\b\f\\\""', 'a\tbé😀\b\f\\"'),
        (r"\newline", Char("\n")),
        (r"\o101", Char("A")),
        (r"\u0041", Char("A")),
        (r"\😀", Char("😀")),
        ("?service", Symbol("?service")),
        (":http.status", Keyword("http.status")),
        (":a/b", Keyword("a/b")),
        (":/", Keyword("/")),
        ("\ufeff:bom", Keyword("bom")),
        ("[1 #_#_2 3 :x]", VectorForm((Form(1), Form(Keyword("x"))))),
        ("(a)", ListForm((Form(Symbol("a")),))),
        ("#{1 1.0}", SetForm((Form(1), Form(1.0)))),
        ("{:a 1, :b 2}", MapForm(((Form(Keyword("a")), Form(1)), (Form(Keyword("b")), Form(2))))),
        ('#log/re #_ x "^GET"', Tagged("log/re", Form("^GET"))),
    ],
)
def test_values(text: str, value: object) -> None:
    form = read(text)
    assert type(form.value) is type(value)
    assert form.value == value


def test_places_are_half_open_offsets() -> None:
    text = ' [:é 😀 #t {"k" \\a}] ;'
    form = read(text)
    assert isinstance(form.value, VectorForm)
    assert [text[item.start : item.end] for item in form.value.items] == [":é", "😀", '#t {"k" \\a}']
    assert (form.start, form.end) == (1, len(text) - 2)


def test_json_is_the_same_tree() -> None:
    form = read_json('{"where": ["=", "level", null, true, 1, 1.5, "\\ud83d\\ude00\\/"], "x": {}}')
    assert print_form(form) == '{"where" ["=" "level" nil true 1 1.5 "😀/"], "x" {}}'
    assert isinstance(form.value, MapForm)
    assert (form.value.pairs[0][0].start, form.value.pairs[0][0].end) == (1, 8)
    assert read_json(" [ ] ").value == VectorForm(())


def test_all_mistakes_are_said_at_once() -> None:
    text = '{:a 1x :a "\\q\\w" #inst "never" [#{2 2}'
    assert codes(text) == [
        "bad-number",
        "bad-escape",
        "bad-escape",
        "bad-inst",
        "missing-bracket",
        "duplicate-member",
    ]


def test_one_mistake_brings_no_others() -> None:
    assert codes("{:a 'b c}") == ["clojure-only"]
    assert codes("#{[1x] [1x]}") == ["bad-number", "bad-number"]
    assert codes('[:= :a "b]') == ["unclosed-string"]
    assert codes("^:private {:a 1}") == ["clojure-only"]


def test_mistakes_are_bounded() -> None:
    found = codes("1x " * 1000)
    assert len(found) == MISTAKES_MAX + 1
    assert found[-1] == "too-many-mistakes"


def test_limits_are_named() -> None:
    with pytest.raises(QueryError, match="65537 characters, more than the 65536"):
        read(" " * (TEXT_CHARACTERS_MAX + 1))
    with pytest.raises(QueryError, match="more than 64 deep"):
        read("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1))
    with pytest.raises(QueryError, match="a number of 3001 characters, more than 3000"):
        read("1" * 3001)
    assert read("[" * DEPTH_MAX + "]" * DEPTH_MAX)
    assert read_json("[" * DEPTH_MAX + "]" * DEPTH_MAX)
    assert codes("#a " * DEPTH_MAX + "[]") == ["too-deep"]
    assert read("[" + "#a #b [1] " * 1000 + "]")
    assert codes("#a #_ b " * 1000 + "c") == ["too-deep"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**6,
        "{" * 10**6,
        "#_" * 500_000,
        "#a " * 300_000,
        "{:a " * 250_000,
        '"' + "\\n" * 500_000,
        "1" * 10**6,
        "1." + "1" * 10**6 + "x",
        "aä" * 500_000 + "'",
        "a/" * 500_000,
        "'" * 10**6,
        "\\" * 200_000 + "'",
        "#{" + " ".join(str(k * (2**61 - 1)) for k in range(20_000)) + "} 1x",
        "#{" * 60 + " ".join(map(str, range(5_000))) + "}" * 60 + " 1x",
    ],
    ids=lambda text: text[:8],
)
@pytest.mark.parametrize("function", [read, read_all, read_json])
def test_hostile_texts_cost_linear_time(function: object, text: str) -> None:
    begun = time.monotonic()
    with pytest.raises(QueryError) as caught:
        function(text, limits=ReadLimits(text_characters_max=2**21))  # type: ignore[operator]
    assert caught.value.render(text)
    assert time.monotonic() - begun < 5  # a second at most here; quadratic time would be minutes


def test_depth_of_json_is_bounded() -> None:
    with pytest.raises(QueryError, match="more than 64 deep"):
        read_json('{"a":' * 10_000)


def test_lone_surrogates_are_mistakes() -> None:
    for text in ['"\ud800"', "\\\udfff", ":\ud800", "\ud800", "#\udc00 1"]:
        with pytest.raises(QueryError) as caught:
            read(text)
        assert caught.value.render(text).encode()
        assert str(caught.value.to_json(text)).encode()
    with pytest.raises(QueryError):
        read_json('"\udfff"')


def test_equality_follows_the_kind_of_value() -> None:
    assert Form(1, 0, 1) == Form(1, 5, 6)
    assert len({Form(1), Form(1.0), Form(value=True), Form(Decimal(1))}) == 4
    assert read("[1]") != read("(1)")
    assert identity(read("[1 #{2 3}]").value) == identity(read("(1N #{3 2})").value)
    assert identity(read("1.0M").value) == identity(read("1.00M").value)
    assert identity(read("0.0").value) == identity(read("-0.0").value)
    assert Form(1) != 1


def test_to_plain() -> None:
    text = r"""{:a/b [sym \c (1 2.5M 3M 1e3M) #{nil}] "s" {1 true, [2] #t "x"}
                :at [#inst "2026" #inst "2026-01-02T03:04:05.6+01:00"
                     #uuid "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"]}"""
    assert to_plain(read(text)) == {
        "a/b": ["sym", "c", [1, 2.5, 3, 1000], [None]],
        "s": {"1": True, "[2]": "x"},
        "at": [
            "2026-01-01T00:00:00Z",
            "2026-01-02T03:04:05.6+01:00",
            "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",
        ],
    }
    assert to_plain(read("9" * 400 + ".5M")) == int("9" * 400)
    with pytest.raises(QueryError, match="the key a stands twice"):
        to_plain(read('{:a 1 "a" 2}'))


def test_printed_is_one_line_of_edn() -> None:
    text = '[nil true 1.0 1e+22 2.50M "a\\n\\u2028\\"" \\space \\u00a0 \\, {a 1, #{} ()} #x/y [:z]]'
    assert print_form(read(text.replace("\\,", "\\;"))) == text.replace("\\,", "\\;")
    assert print_form(Form(Char(","))) == "\\u002c"


def test_threads_do_not_share_a_reading() -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(100):
            if to_plain(read(f"[[{number} {{:a #{{{number}}}}}]]")) != [[number, {"a": [number]}]]:
                wrong.append("read")
            try:
                read(f"[[{number}x")
            except QueryError as error:
                if [m.code for m in error.mistakes] != ["missing-bracket", "bad-number"]:
                    wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_query_is_read_fast() -> None:
    read(QUERY)
    best_s = min(timeit.repeat(lambda: read(QUERY), number=20, repeat=5)) / 20
    assert best_s < 0.010  # 0.6 ms here; slower machines, coverage and neighbours need room


def test_the_grammar_package_knows_no_other() -> None:
    for path in (Path(__file__).resolve().parents[2] / "grammar").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {name.split(".")[0] for name in names} & {"dsl", "storage", "server"}
