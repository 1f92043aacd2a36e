"""The JSON Schema of queries in JSON, as people write them: `{"from": "app", "where": ["=", "level", "error"]}`.

It is made of the registries and of the nodes' fields, so that a new operator is in it by itself. It says what may stand
where, for editors and programs that write queries; what only the analysis can tell (a range that ends before it begins,
a name that no group has) it does not say. JSON Schema, draft 2020-12: https://json-schema.org/draft/2020-12
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from dsl.aggregates import AGGREGATES
from dsl.analysis import PARAM_NAME
from dsl.analyze import STREAM_NAME
from dsl.arithmetic import OPERANDS_MIN, SIGNATURES
from dsl.keys import KEYS
from dsl.limits import DEFAULT, Limits
from dsl.operators import OPERATORS
from dsl.operators.texts import TextPredicate
from dsl.predicates import CLOGS
from dsl.record import EVERY
from dsl.time import UNITS_US

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
PATH: Final = "/v1/schema/query.json"

Schema = dict[str, Any]

# What a field of a node is in its form: most are arguments, in this order, the others options in a map at the end.
_ARGUMENTS: Final[dict[str, str]] = {
    "field": "field",
    "value": "value",
    "low": "end",
    "high": "end",
    "values": "values",
    "text": "text",
    "part": "predicate",
    "parts": "predicate",
    "percent": "number",
    "most": "most",
    "width": "width",
    "width_us": "width",
    "bounds": "bounds",
}
_NOT_WRITTEN: Final = frozenset(("op", "where"))
_OPTIONS: Final[dict[str, tuple[str, str]]] = {  # how an option is written, and what it is
    "alias": ("as", "name"),
    "offset": ("offset", "width"),
    "offset_us": ("offset", "width"),
    "fill": ("fill", "flag"),
}


def query_schema(limits: Limits = DEFAULT) -> Schema:
    """The schema of a query."""
    return {
        "$schema": DRAFT,
        "$id": PATH,
        "title": "A query of Klomp, in JSON",
        "description": "Names, keywords and operators are strings; their place tells them from values.",
        **_map(_query(limits)),
        "$defs": {**_values(limits), **_predicates(), **_groups(limits)},
        "examples": [{"from": "app", "time": {"last": "1h"}, "where": ["=", "level", "error"], "limit": 20}],
    }


def _query(limits: Limits) -> Schema:
    moments = {"since": _ref("moment"), "until": _ref("moment")}
    near = {"around": _ref("moment"), "within": _ref("duration")}
    return {
        "from": {
            "description": 'a stream, several, or "*" for all; main where it is left out',
            "anyOf": [
                _ref("stream"),
                {"type": "array", "items": _ref("stream"), "minItems": 1},
                _ref("param"),
            ],
        },
        "time": {
            "description": "of which time records are, half-open",
            "anyOf": [
                {**_map({"last": _ref("duration")}), "required": ["last"]},
                {**_map(moments), "minProperties": 1},
                {**_map(near), "required": list(near)},
            ],
        },
        "where": {"description": "what holds for the records", **_ref("predicate")},
        "select": {
            "description": "which fields rows show; all where it is left out",
            "type": "array",
            "items": _ref("field"),
            "minItems": 1,
        },
        "group-by": {
            "description": "what records are grouped by; rows are then groups",
            "type": "array",
            "items": _ref("key"),
            "maxItems": limits.group_keys_max,
        },
        "aggregate": {
            "description": "what is worked out for each group, by name; without :group-by for all as one",
            "type": "object",
            "additionalProperties": _ref("aggregate"),
            "minProperties": 1,
            "maxProperties": limits.aggregates_max,
        },
        "having": {"description": "which groups are shown", **_ref("predicate")},
        "order-by": {
            "description": "in which order rows come; left out, records newest first, groups by their keys",
            "type": "array",
            "items": _ref("order"),
            "minItems": 1,
            "maxItems": limits.order_steps_max,
        },
        "limit": {"description": "how many rows at most; 100 records, or all groups", **_ref("count")},
        "after": {"description": "the cursor of the page before", "type": "string"},
        "total": {
            "description": "whether all that match are counted too, however few are shown",
            **_ref("flag"),
        },
        "timeout": {"description": "how long it may take before it is given up", **_ref("duration")},
        "on-timeout": {
            "description": "when time is up: an error, or what was found by then",
            "enum": ["fail", "partial"],
        },
        "exact": {"description": "whether no value may be approximate, whatever it costs", **_ref("flag")},
    }


def _values(limits: Limits) -> Schema:
    param = {
        **_map({"param": {"type": "string", "pattern": f"^{PARAM_NAME.pattern}$"}}),
        "required": ["param"],
        "description": "a parameter, in templates only",
    }
    scalar = [{"type": ["string", "number", "boolean"]}, _tagged("inst", "uuid"), _ref("param")]
    name = {"type": "string", "maxLength": limits.field_characters_max}
    duration = {"type": "string", "pattern": f"^([0-9]+({'|'.join(UNITS_US)}))+$"}
    durations = [duration, _tagged("log/duration", content=duration), _ref("param")]
    moment = {"type": "string", "pattern": "^(now|[0-9]{4})"}
    return {
        "param": param,
        "field": {**name, "not": {"const": EVERY}},
        "texts-of": {**name, "description": f'a field, or "{EVERY}" for every text of a record'},
        "name": name,
        "stream": {"type": "string", "pattern": rf"^(\*|{STREAM_NAME.pattern})$"},
        "value": {"anyOf": scalar},
        "end": {"anyOf": [{"type": "null"}, *scalar]},
        "values": {
            "anyOf": [
                {"type": "array", "items": _ref("value"), "maxItems": limits.values_max},
                _ref("param"),
            ]
        },
        "text": {"anyOf": [{"type": "string"}, _tagged("log/re", "log/ip"), _ref("param")]},
        "moment": {"anyOf": [moment, _tagged("inst"), _ref("param")]},
        "duration": {"anyOf": durations},
        "number": {"anyOf": [{"type": "number"}, _ref("param")]},
        "width": {"anyOf": [{"type": "number"}, *durations]},
        "bounds": {"type": "array", "items": _ref("number"), "minItems": 1},
        "count": {"anyOf": [{"type": "integer", "minimum": 0}, _ref("param")]},
        "most": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": limits.top_max}, _ref("param")]},
        "flag": {"anyOf": [{"type": "boolean"}, _ref("param")]},
        "order": {
            "anyOf": [
                _ref("field"),
                {
                    "type": "array",
                    "prefixItems": [_ref("field"), {"enum": ["asc", "desc"]}],
                    "minItems": 1,
                    "maxItems": 2,
                },
            ]
        },
    }


def _predicates() -> Schema:
    made: Schema = {}
    for operator in OPERATORS.values():
        least, most = operator.arguments
        fields = operator.node.model_fields
        made[f"[{operator.name}]"] = {
            **_form(operator.name, fields, least, most, every=issubclass(operator.node, TextPredicate)),
            "description": operator.summary,
        }
    clogs = {"field": _ref("field"), "operator": {"enum": list(CLOGS)}, "value": {}}
    several = {"type": "array", "items": _ref("predicate")}
    mixture = [{"required": ["operator", "field"]}, {"required": ["operator", "value"]}]
    made["predicate"] = {
        "anyOf": [
            *(_ref(f"[{name}]") for name in OPERATORS),
            {**_map(clogs), "required": list(clogs), "description": "a comparison of Clogs"},
            {**_map({"and": several}), "required": ["and"]},
            {**_map({"or": several}), "required": ["or"]},
            {**_map({"not": _ref("predicate")}), "required": ["not"]},
            {
                "description": "each field equals its value, or one of several",
                "type": "object",
                "additionalProperties": {"anyOf": [_ref("value"), {"type": "array", "items": _ref("value")}]},
                "not": {"anyOf": mixture},
            },
        ]
    }
    return made


def _groups(limits: Limits) -> Schema:
    keys = [
        {
            **_form(kind.name, node.model_fields, _arguments(node.model_fields), len(node.model_fields)),
            "description": kind.summary,
        }
        for kind in KEYS.values()
        for node in kind.nodes
    ]
    aggregates: list[Schema] = []
    for kind in AGGREGATES.values():
        form = _form(kind.name, kind.node.model_fields, kind.arguments, kind.arguments)
        form |= {"maxItems": form["maxItems"] + 1, "items": _ref("predicate"), "description": kind.summary}
        aggregates.append(form)
    operand = {"anyOf": [{"type": "string"}, _ref("number"), _ref("arithmetic")]}
    arithmetic = {
        "description": "worked out from other values of the group, by their names",
        "type": "array",
        "prefixItems": [{"enum": list(SIGNATURES)}],
        "items": operand,
        "minItems": 1 + OPERANDS_MIN,
        "maxItems": 1 + limits.nodes_max,
    }
    return {
        "key": {"anyOf": [_ref("field"), *keys]},
        "aggregate": {"anyOf": [*aggregates, _ref("arithmetic")]},
        "arithmetic": arithmetic,
    }


def _arguments(fields: Iterable[str]) -> int:
    return sum(field in _ARGUMENTS for field in fields)


def _form(name: str, fields: Iterable[str], least: int, most: int | None, *, every: bool = False) -> Schema:
    """A vector: a name, arguments, and perhaps a map of options at the end; `every`: its field may be `*`."""
    written = [field for field in fields if field not in _NOT_WRITTEN]
    arguments = [
        field
        for place, field in enumerate(written)
        if field in _ARGUMENTS or (place < least and field not in _OPTIONS)
    ]
    options = [_OPTIONS.get(field, (field, "count")) for field in written if field not in arguments]
    # Of an argument whose name is new is only said that it is there: whoever adds it may say more.
    kinds = [_ARGUMENTS.get(field) for field in arguments]
    if every:
        kinds = ["texts-of" if kind == "field" else kind for kind in kinds]
    items: Sequence[Schema] = [{} if kind is None else _ref(kind) for kind in kinds]
    form: Schema = {"type": "array", "minItems": 1 + least}
    if most is None:
        return {**form, "prefixItems": [{"const": name}], "items": items[0]}
    if options:
        items = [*items, _map({option: _ref(kind) for option, kind in options})]
    return {
        **form,
        "prefixItems": [{"const": name}, *items],
        "maxItems": 1 + min(most, len(items)),
    }


def _tagged(*tags: str, content: Schema | None = None) -> Schema:
    """A tagged literal, such as `{"#inst": "2026-01-02T00:00:00Z"}`, with one of these tags."""
    return {
        **_map({f"#{tag}": content or {"type": "string"} for tag in tags}),
        "minProperties": 1,
        "maxProperties": 1,
    }


def _map(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name.replace('/', '~1')}"}
