"""Templates: what is wrong with one is said when it is read, and what is right binds to values."""

import os
import re
from pathlib import Path

import pytest

from dsl.errors import QueryError
from dsl.forms import Form, print_form
from dsl.param_spec import ParamSpec
from dsl.param_types import TYPES, BadValueOfType
from dsl.parse import parse
from dsl.printer import form_to_json, to_edn
from dsl.reader import read, read_json
from dsl.template import read_template

NOW_US = 1_767_323_045_678_901
ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "templates"
FILES = sorted(GOLDEN.glob("*.txt"))
SEPARATOR, BETWEEN = "\n---\n", "\n\n\n"

SAVED = {
    "base": """
        {:doc "Errors of a service"
         :params {?service {:type :string :required true} ?window {:type :duration :default "15m"}}
         :query {:time {:last ?window} :where [:and [:= :level "error"] [:= :service ?service]] :limit 10}}""",
    "circle-a": "{:use :circle-b}",
    "circle-b": "{:use :circle-c}",
    "circle-c": "{:use :circle-a}",
    "broken": "{:query {:wher 1}}",
    "wrong": "{:params {?x 1} :query {:limit ?x}}",
}


def find(name):
    return read(SAVED[name]) if name in SAVED else None


def template(text, name="mine"):
    return read_template(read(text), name=name, find=find, now_us=NOW_US)


def said(text):
    with pytest.raises(QueryError) as caught:
        template(text)
    return caught.value.render(text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_mistake_is_said_as_in_its_golden_file(path):
    text = path.read_text(encoding="utf-8")
    cases = [case.split(SEPARATOR)[0].strip("\n") for case in text.split(BETWEEN)]
    found = BETWEEN.join(f"{case}{SEPARATOR}{said(case)}" for case in cases) + "\n"
    if os.environ.get("KLOMP_RECORD"):
        path.write_text(found, encoding="utf-8")
    assert found == text


def test_every_code_has_a_golden_file_and_stands_in_the_docs():
    sources = "".join((ROOT / "dsl" / name).read_text() for name in ("template.py", "param_spec.py"))
    codes = set(
        re.findall(r'(?:wrong\((?:mistakes, )?|Mistake\(|code, what = \(?)\s*"([a-z]+(?:-[a-z]+)+)"', sources)
    )
    assert len(codes) > 6
    assert codes <= {path.stem for path in FILES}
    documented = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
    assert [code for code in sorted(codes) if f"`{code}`" not in documented] == []


def test_a_template_knows_its_parameters_and_its_query():
    made = template(SAVED["base"])
    assert made.doc == "Errors of a service"
    assert [(spec.name, spec.required) for spec in made.params] == [("service", True), ("window", False)]
    assert made.query == parse(
        '{:time {:last ?window} :where [:and [:= :level "error"] [:= :service ?service]] :limit 10}',
        unbound=True,
    )
    assert template(print_form(made.own)) == made
    again = read_template(read_json(_json(made.own)), now_us=NOW_US)
    assert again == made


def _json(form):
    import orjson

    return orjson.dumps(form_to_json(form)).decode()


def test_a_template_goes_on_from_another():
    made = template(
        """{:use :base
            :with {?service "auth"}
            :params {?status {:type :integer :default 500}}
            :query {:where [:>= :http.status ?status] :limit 20}}"""
    )
    assert made.uses == ("base",)
    assert [spec.name for spec in made.params] == ["window", "status"]
    assert to_edn(made.query) == (
        '{:time {:last ?window}, :where [:and [:and [:= :level "error"] [:= :service "auth"]]'
        " [:>= :http.status ?status]], :limit 20}"
    )
    assert template(print_form(made.own)) == made


def test_what_is_overridden_needs_its_parameters_no_more():
    made = template('{:use :base :query {:time {:since "now-1d/d"}}}')
    assert [spec.name for spec in made.params] == ["service"]
    renamed = template("{:use :base :with {?service ?name} :params {?name :keyword}}")
    assert [(spec.name, print_form(spec.type.form())) for spec in renamed.params] == [
        ("window", ":duration"),
        ("name", ":keyword"),
    ]
    declared = template('{:use :base :params {?window {:type :duration :default "1h" :max "1d"}}}')
    assert print_form(declared.param("window").default) == '#log/duration "1h"'


VALUES = {
    "string": (['"a"', '""', "\\a"], ["1", ":a", "nil", "true", "[1]", '#inst "2026"']),
    "integer": (["1", "-5", "18446744073709551615"], ["1.0", '"1"', "true", "18446744073709551616"]),
    "number": (["1", "1.5", "2.5M", "-1e300"], ['"1"', "true", "nil"]),
    "boolean": (["true", "false"], ['"true"', "1", "nil"]),
    "instant": (
        ['"now-1d/d"', '"2026-01-02"', '#inst "2026-01-02T03:04:05Z"'],
        ["5", '"soon"'],
    ),
    "duration": (['"1h30m"', '#log/duration "1s"'], ["5", '"1x"', '"now"', '#log/re "1h"']),
    "keyword": ([":a", '"a.b/c"', ":a-b", '":a"'], ['"a b"', '"::a"', '":"', '""', "1", '"-"']),
    "ip": (['"10.0.0.1"', '"10.0.0.0/8"', '"2001:db8::/32"', '#log/ip "10.0.0.1"'], ['"10.0"', "1", '"x"']),
    "regex": (['"^a"', '#log/re "a"'], ["1", ":a"]),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_type_takes_its_values_and_no_others(name):
    right, wrong = VALUES[name]
    for text in right:
        assert print_form(TYPES[name].take(read(text)))
    for text in wrong:
        with pytest.raises(BadValueOfType):
            TYPES[name].take(read(text))


def test_a_type_has_texts_for_urls():
    texts = {
        "integer": ("-5", "-5"),
        "number": ("1.5", "1.5"),
        "boolean": ("true", "true"),
        "string": ("5", '"5"'),
        "keyword": (":error", '"error"'),
        "duration": ("1h", '#log/duration "1h"'),
        "instant": ("now-1d/d", '#inst "now-1d/d"'),
    }
    for name, (text, literal) in texts.items():
        found = TYPES[name].take(TYPES[name].read_texts([text]))
        assert print_form(found) == literal
    for name in ("integer", "number", "boolean", "duration", "instant", "ip"):
        with pytest.raises(BadValueOfType):
            TYPES[name].take(TYPES[name].read_texts(["x y"]))
        with pytest.raises(BadValueOfType):
            TYPES[name].read_texts(["1", "2"])


def spec(text) -> ParamSpec:
    name = "x"
    made = template(f"{{:params {{?{name} {text}}} :query {{:where [:in :a ?x]}}}}")
    return made.param(name)


@pytest.mark.parametrize(
    ("declared", "right", "wrong"),
    [
        ("{:type [:set :integer] :min 1 :max 5}", ["#{1 5}", "[]", "[2 2]"], ["[0]", "[6]", "5", '["1"]']),
        ("{:type [:set :string] :max-length 3}", ['["abc"]'], ['["abcd"]']),
        ('{:type [:set :string] :pattern "[a-z]+"}', ['["abc"]'], ['["ab1"]', '[""]', '["a\nb"]']),
        ('{:type [:set [:enum "a" 1]]}', ['["a" 1]', "[:a]"], ['["b"]', "[1.0]"]),
        ('{:type [:set :instant] :min "2026-01-01"}', ['["2026-01-01"]', '["now"]'], ['["2025-12-31"]']),
    ],
)
def test_bounds_hold_for_every_value(declared, right, wrong):
    made = spec(declared)
    for text in right:
        made.take(read(text), NOW_US)
    for text in wrong:
        with pytest.raises(BadValueOfType):
            made.take(read(text), NOW_US)


def test_a_duration_within_its_bounds():
    made = template('{:params {?w {:type :duration :min "1m" :max "7d"}} :query {:time {:last ?w}}}').param(
        "w"
    )
    for text in ('"1m"', '"168h"'):
        made.take(read(text), NOW_US)
    for text in ('"59s"', '"8d"'):
        with pytest.raises(BadValueOfType, match="out of bounds"):
            made.take(read(text), NOW_US)


def test_texts_are_bounded_unless_said_otherwise():
    made = template("{:params {?x :string} :query {:where [:= :a ?x]}}").param("x")
    made.take(Form("a" * 4096), NOW_US)
    with pytest.raises(BadValueOfType, match="4097 characters"):
        made.take(Form("a" * 4097), NOW_US)
