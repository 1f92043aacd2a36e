"""What holds for every template and every value: it is right or its mistakes are told, never anything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_language_properties import wild

from dsl.errors import QueryError
from dsl.forms import print_form
from dsl.param_spec import KEYS as SPEC_KEYS
from dsl.param_types import TYPES
from dsl.parse import parse
from dsl.printer import to_edn
from dsl.reader import read
from dsl.template import KEYS, Template, read_template
from dsl.template_values import BadValues, bind_forms, bind_texts

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

NOW_US = 1_767_323_045_678_901

# One parameter of every type, at every place that its values may stand.
EVERYTHING = read_template(
    read(
        """
        {:params {?string :string ?integer :integer ?number :number ?boolean :boolean ?instant :instant
                  ?duration :duration ?keyword :keyword ?ip :ip ?regex :regex ?set [:set :instant]
                  ?enum [:enum "a" 5 true] ?streams [:set :keyword]}
         :query {:from ?streams
                 :time {:since ?instant}
                 :where [:and [:= :a ?string] [:contains :a ?string] [:= :a ?integer] [:> :a ?number] [:= :a ?boolean]
                              [:>= :seen ?instant] [:= :a ?keyword] [:cidr :a ?ip] [:regex :a ?regex] [:in :a ?set]
                              [:= :a ?enum]]
                 :group-by [[:bucket :timestamp ?duration] [:bucket :b ?number]]
                 :aggregate {:n [:count] :p [:percentile :a 5]}
                 :limit ?integer
                 :total ?boolean}}
        """
    )
)
RIGHT = {
    "string": '"x"',
    "integer": "5",
    "number": "1.5",
    "boolean": "true",
    "instant": '"now-1h"',
    "duration": '"5m"',
    "keyword": ":k",
    "ip": '"10.0.0.0/8"',
    "regex": '"^a"',
    "set": '#{"now" "2026-01-02"}',
    "enum": "5",
    "streams": "[:main :app]",
}


def test_there_is_a_parameter_of_every_type():
    assert set(TYPES) <= {spec.name for spec in EVERYTHING.params}


def bound(**given):
    forms = {name: read(text) for name, text in {**RIGHT, **given}.items()}
    return bind_forms(EVERYTHING, forms, now_us=NOW_US)


def test_times_stay_relative_where_points_in_time_stand_and_nowhere_else():
    text = to_edn(bound())
    assert '{:since "now-1h"}' in text
    assert '[:>= :seen #inst "2026-01-02T02:04:05.678901Z"]' in text
    assert '#inst "2026-01-02T03:04:05.678901Z"' in text
    assert parse(text) == bound()


pieces = st.dictionaries(st.sampled_from([*KEYS, "x"]), wild, max_size=4).map(
    lambda parts: "{" + " ".join(f":{key} {item}" for key, item in parts.items()) + "}"
)
specs = st.dictionaries(st.sampled_from(SPEC_KEYS), wild, max_size=4).map(
    lambda parts: "{:type :string " + " ".join(f":{key} {item}" for key, item in parts.items()) + "}"
)
types = st.sampled_from([f":{name}" for name in TYPES] + ["[:set :integer]", '[:enum "a" 1]', "[:set]", "?p"])
declared = st.one_of(
    specs, st.tuples(types, wild, wild).map(lambda one: f"{{:type {one[0]} :default {one[1]} :max {one[2]}}}")
)


def check(text):
    try:
        form = read(text)
    except QueryError:
        return
    try:
        made = read_template(
            form, name="mine", find=lambda name: form if name == "k" else None, now_us=NOW_US
        )
    except QueryError as error:
        said = error.render(text)
    else:
        said = None
    if said is not None:
        assert said.startswith("error[")
        return
    assert isinstance(made, Template)
    again = read_template(
        read(print_form(made.own)),
        name="mine",
        find=lambda name: form if name == "k" else None,
        now_us=NOW_US,
    )
    assert again == made


@settings(max_examples=200)
@given(pieces)
def test_any_map_is_a_template_or_mistakes(text):
    check(text)


@settings(max_examples=200)
@given(declared, wild)
def test_any_declaration_is_one_or_mistakes(spec, value):
    check(f"{{:params {{?p {spec}}} :query {{:where [:and [:= :a ?p] [:in :a {value}]]}}}}")


def right_or_told(name, bind):
    """A query that can be run, or mistakes of this parameter alone."""
    mistakes, query = (), None
    try:
        query = bind()
    except BadValues as error:
        mistakes = error.mistakes
    assert {mistake.param for mistake in mistakes} <= {name, None}
    assert all(mistake.message for mistake in mistakes)
    assert query is None or parse(to_edn(query)) == query


@settings(max_examples=200)
@given(st.sampled_from([*RIGHT]), wild)
def test_any_value_is_bound_or_refused(name, text):
    try:
        read(text)
    except QueryError:
        return
    right_or_told(name, lambda: bound(**{name: text}))


@settings(max_examples=200)
@given(st.sampled_from([*RIGHT]), st.lists(st.text(max_size=12), max_size=3))
def test_any_text_is_bound_or_refused(name, texts):
    given = {
        "string": ["x"],
        "integer": ["5"],
        "number": ["1.5"],
        "boolean": ["true"],
        "instant": ["now-1h"],
        "duration": ["5m"],
        "keyword": ["k"],
        "ip": ["10.0.0.0/8"],
        "regex": ["^a"],
        "set": ["now,2026-01-02"],
        "enum": ["5"],
        "streams": ["main", "app"],
    }
    right_or_told(name, lambda: bind_texts(EVERYTHING, {**given, name: texts or ["x"]}, now_us=NOW_US))
