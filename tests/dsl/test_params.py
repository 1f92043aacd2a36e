"""Parameters stand where values do, read, print, and are bound to values that change nothing else."""

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import queries

from dsl.aggregates import AGGREGATES
from dsl.ast import Query
from dsl.binding import BadValue, bind, params_of, replaced
from dsl.errors import QueryError
from dsl.forms import Form, Keyword, ListForm, MapForm, SetForm, Symbol, Tagged, VectorForm, print_form
from dsl.keys import KEYS
from dsl.nodes import Node, Param
from dsl.operators import OPERATORS
from dsl.parse import parse
from dsl.predicates import write
from dsl.printer import query_hash, to_edn, to_form, to_json

EVERYWHERE = """
{:from ?stream
 :time {:since ?since :until ?until}
 :where [:and [:= :service ?service] [:in :level ?levels] [:in :code #{?code 404}] [:between :latency_ms ?low 5]
              [:phrase :message ?words] [:contains :message ?part] [:>= :timestamp ?since]]
 :group-by [[:bucket :timestamp ?width {:offset ?shift}] [:bucket :latency_ms ?step]]
 :aggregate {:p [:percentile :latency_ms ?percent] :n [:count [:> :bytes ?bytes]]}
 :limit ?rows
 :total ?total}
"""


def literals(**values):
    return {name: literal(value) for name, value in values.items()}


def literal(value):
    return Form(SetForm(tuple(map(Form, value)))) if isinstance(value, set) else Form(value)


def test_a_parameter_stands_wherever_a_value_does():
    query = parse(EVERYWHERE, unbound=True)
    assert {param.param: param.place for param in params_of(to_form(query))} == {
        "stream": "streams",
        "since": "moment",
        "until": "moment",
        "service": "value",
        "levels": "values",
        "code": "value",
        "low": "value",
        "words": "text",
        "part": "text",
        "width": "duration",
        "shift": "duration",
        "step": "number",
        "percent": "number",
        "bytes": "value",
        "rows": "count",
        "total": "flag",
    }
    assert parse(to_edn(query), unbound=True) == query
    assert parse(orjson.dumps(to_json(query)).decode(), "json", unbound=True) == query
    assert Query.model_validate_json(query.model_dump_json()) == query
    assert query_hash(query) == query_hash(parse(to_edn(query), unbound=True))


def test_a_query_with_parameters_is_not_asked_as_it_is():
    with pytest.raises(QueryError) as caught:
        parse(EVERYWHERE)
    assert {mistake.code for mistake in caught.value.mistakes} == {"unbound-parameter"}
    with pytest.raises(QueryError, match="unbound-parameter"):
        parse('{"where": ["=", "level", {"param": "level"}]}', "json")


def test_binding_gives_what_would_have_been_written():
    bound = bind(
        parse(EVERYWHERE, unbound=True),
        literals(
            stream="nginx",
            since="now-1h",
            until="now",
            service='"] {:from :*',
            levels={"error", "warn"},
            code=500,
            low=1,
            words="connection reset",
            part="",
            width="5m",
            shift="1m",
            step=50,
            percent=95,
            bytes=10,
            rows=5,
            total=True,
        ),
    )
    assert bound == parse(
        r"""
        {:from :nginx
         :time {:since "now-1h" :until "now"}
         :where [:and [:= :service "\"] {:from :*"] [:in :level #{"error" "warn"}] [:in :code #{500 404}]
                      [:between :latency_ms 1 5] [:phrase :message "connection reset"] [:contains :message ""]
                      [:>= :timestamp "now-1h"]]
         :group-by [[:bucket :timestamp "5m" {:offset "1m"}] [:bucket :latency_ms 50]]
         :aggregate {:p [:percentile :latency_ms 95] :n [:count [:> :bytes 10]]}
         :limit 5
         :total true}
        """
    )


@pytest.mark.parametrize(
    "text",
    [
        "{:where ?x}",
        "{:where [?x :level 1]}",
        "{:where [:= ?x 1]}",
        "{:where [:exists ?x]}",
        "{:where [:and ?x]}",
        "{:where {?x 1}}",
        "{:select [?x]}",
        "{:select ?x}",
        "{:order-by [[?x :asc]]}",
        "{:order-by [[:a ?x]]}",
        "{:group-by [?x]}",
        "{:group-by [[?x :timestamp 1]]}",
        "{:aggregate {?x [:count]}}",
        "{:aggregate {:n [?x]}}",
        "{:aggregate {:n ?x}}",
        "{:time ?x}",
        "{?x 1}",
        "{:after ?x}",
        "?x",
    ],
)
def test_a_parameter_stands_nowhere_else(text):
    with pytest.raises(QueryError):
        parse(text, unbound=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{:time {:last ?x}}", "soon"),
        ("{:time {:since ?x}}", "yesterday"),
        ("{:limit ?x}", -1),
        ("{:limit ?x}", 10_001),
        ("{:limit ?x :group-by [:a]}", 65_001),
        ("{:total ?x}", "true"),
        ("{:where [:match :message ?x]}", "--"),
        ("{:where [:phrase :message ?x]}", "a *"),
        ("{:where [:in :level ?x]}", "error"),
        ("{:where [:= :level ?x]}", {"error"}),
        ("{:where [:= :level ?x]}", None),
        ("{:where [:< :level ?x]}", True),
        ("{:from ?x}", "a b"),
        ("{:from ?x}", "*"),
        ("{:group-by [[:bucket :a ?x]]}", 0),
        ("{:aggregate {:p [:percentile :a ?x]}}", 101),
    ],
)
def test_a_value_is_checked_by_what_it_stands_in(text, value):
    query = parse(text, unbound=True)
    with pytest.raises(BadValue) as caught:
        bind(query, literals(x=value))
    assert list(caught.value.wrong) == ["x"]
    assert not caught.value.others


def test_what_no_single_value_is_guilty_of_is_told_apart():
    query = parse("{:time {:since ?a :until ?b} :where [:between :x ?c ?d]}", unbound=True)
    with pytest.raises(BadValue) as caught:
        bind(query, literals(a="now", b="now-1h", c=5, d="x"))
    assert not caught.value.wrong
    assert [mistake.code for mistake in caught.value.others] == ["bad-time", "type-clash"]


# What would end a string, a form or a line, were values put into text.
STRINGS = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            [
                '"',
                "\\",
                "]",
                "}",
                "#{",
                "[:or",
                ":*",
                "?service",
                " ",
                ";",
                "\n",
                "\0",
                "#_",
                "'",
                '{"param"',
                "\u2028",
            ]
        ),
        max_size=8,
    ).map("".join),
    st.sampled_from(
        ["*", "?x", '{"param": "x"}', '#inst "2026"', "nil", "true", "now-1h", ":level", "\ud7ff"]
    ),
)


@settings(max_examples=300)
@given(STRINGS, st.sets(STRINGS, max_size=3), STRINGS)
def test_no_string_changes_the_shape_of_a_query(service, levels, part):
    query = parse(
        "{:where [:and [:= :service ?service] [:in :level ?levels] [:or [:contains :message ?part]"
        " [:!= :a ?service]]] :limit 7}",
        unbound=True,
    )
    bound = bind(query, literals(service=service, levels=levels, part=part))
    assert differences(query, bound) == {
        ("service", service),
        ("part", part),
        ("levels", tuple(sorted(levels))),
    }
    assert parse(to_edn(bound)) == bound
    assert parse(orjson.dumps(to_json(bound)).decode(), "json") == bound


def differences(one, other):
    """Where two trees differ: the name of the parameter in the first, and what stands in the second."""
    if isinstance(one, Param):
        return {(one.param, other)}
    if isinstance(one, Node):
        assert type(one) is type(other)
        assert one.__dict__.keys() == other.__dict__.keys()
        return set().union(*(differences(item, other.__dict__[name]) for name, item in one.__dict__.items()))
    if isinstance(one, tuple):
        assert isinstance(other, tuple)
        assert len(one) == len(other)
        return set().union(*map(differences, one, other))
    assert one == other
    assert type(one) is type(other)
    return set()


def leaves(form, found):
    """Every form inside a form that has no forms in it, or is a set or a tagged literal."""
    value = form.value
    if isinstance(value, VectorForm | ListForm):
        for item in value.items:
            leaves(item, found)
    elif isinstance(value, MapForm):
        for _, item in value.pairs:
            leaves(item, found)
    else:
        found.append(form)
    return found


def exchanged(form, old, new):
    if form is old:
        return new
    value = form.value
    if isinstance(value, VectorForm | ListForm):
        return Form(type(value)(tuple(exchanged(item, old, new) for item in value.items)))
    if isinstance(value, MapForm):
        return Form(MapForm(tuple((key, exchanged(item, old, new)) for key, item in value.pairs)))
    return form


def opened(form):
    return parse(print_form(form), unbound=True)


@settings(max_examples=300)
@given(queries, st.integers(0, 30))
def test_any_value_of_any_query_can_be_a_parameter(query, place):
    form = to_form(query)
    found = leaves(form, [])
    assume(found)
    leaf = found[place % len(found)]
    assume(leaf.value != Keyword("*"))  # no value says that every stream is meant
    try:
        open_query = opened(exchanged(form, leaf, Form(Symbol("?x"))))
    except QueryError:
        return  # a name stands there, no value
    assert [param.param for param in params_of(to_form(open_query))] == ["x"]
    assert bind(open_query, {"x": leaf}) == query


EXAMPLES = [
    *(f"{{:where {operator.example}}}" for operator in OPERATORS.values()),
    *(f'{{:time {{:last "1h"}} :aggregate {{:x {kind.example}}}}}' for kind in AGGREGATES.values()),
    *(f"{{:group-by [{kind.example}]}}" for kind in KEYS.values()),
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_values_of_every_example_can_be_parameters(text):
    query = parse(text)
    form = to_form(query)
    for leaf in leaves(form, []):
        if not isinstance(leaf.value, str | int | float | SetForm | Tagged):
            continue  # a keyword is a name, nil no value
        bound = bind(opened(exchanged(form, leaf, Form(Symbol("?x")))), {"x": leaf})
        assert bound == query


def test_replacing_leaves_what_it_is_not_told():
    query = parse("{:where [:and [:= :a ?x] [:= :b ?y]]}", unbound=True)
    form = replaced(to_form(query), lambda param: Form(1) if param.value.param == "x" else None)
    assert [param.param for param in params_of(form)] == ["y"]
    assert write(query.where) == to_form(query).value.pairs[0][1]
