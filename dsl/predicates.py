"""From a form to a predicate, and back: `[:= :level "error"]`, `{:level "error"}`, and the map form of Clogs.

Which of the three a form is: a vector is an operator and its arguments. A map with the keys `:field
:operator :value` is a Clogs comparison; a map with one key, `:and` or `:or` before a vector, or `:not`, is
Clogs too. Any other map says that each field equals its value, or one of its values. A mixture is a
mistake.
"""

from collections.abc import Sequence

from dsl.analysis import WRONG, Analysis, WrongType, described, items_of, name_of, param_name, tagged
from dsl.errors import quoted
from dsl.foreign import as_vectors
from dsl.forms import Form, Keyword, ListForm, MapForm, Symbol, VectorForm
from dsl.nodes import Predicate
from dsl.operators import BY_NODE, OPERATORS
from dsl.operators.and_ import And

CLOGS = {
    "eq": "=",
    "ne": "!=",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "in": "in",
    "contains": "contains",
    "starts-with": "starts-with",
    "ends-with": "ends-with",
}
"""The operators of the Clogs map form, and ours."""

_CLOGS_KEYS = frozenset({"field", "operator", "value"})
_MEANT_OPERATOR = frozenset({"op", "comparator", "cmp", "comparison"})
_CLOGS_LOGIC = frozenset({"and", "or", "not"})

# What others call our operators; only ever a hint.
_MEANT = {
    "==": "=",
    "eq": "=",
    "equals": "=",
    "is": "=",
    "term": "=",
    "<>": "!=",
    "ne": "!=",
    "neq": "!=",
    "not=": "!=",
    "gt": ">",
    "gte": ">=",
    "ge": ">=",
    "=>": ">=",
    "lt": "<",
    "lte": "<=",
    "le": "<=",
    "=<": "<=",
    "range": "between",
    "terms": "in",
    "any-of": "in",
    "one-of": "in",
    "has": "exists",
    "nil?": "missing",
    "null": "missing",
    "is-null": "missing",
    "is-nil": "missing",
    "not-exists": "missing",
    "is-not-null": "exists",
    "not-null": "exists",
    "some?": "exists",
    "match-all": "match",
    "like": "contains",
    "includes": "contains",
    "substring": "contains",
    "match-phrase": "phrase",
    "wildcard": "glob",
    "regexp": "regex",
    "re": "regex",
    "rlike": "regex",
    "matches": "regex",
    "=~": "regex",
    "~": "regex",
    "re-find": "regex",
    "re-matches": "regex",
    "rx": "regex",
    "search": "match",
    "query-string": "match",
    "multi-match": "match",
    "|=": "contains",
    "contains-any": "match-any",
    "contains-all": "match",
    "text": "match",
    "levenshtein": "fuzzy",
    "near": "fuzzy",
    "ip": "cidr",
    "in-cidr": "cidr",
    "subnet": "cidr",
    "prefix": "starts-with",
    "startswith": "starts-with",
    "suffix": "ends-with",
    "endswith": "ends-with",
    "&&": "and",
    "must": "and",
    "||": "or",
    "should": "or",
    "!": "not",
    "must-not": "not",
}

# What others write for the opposite of one of ours.
_MEANT_NOT = {
    "not-in": "in",
    "nin": "in",
    "not-like": "contains",
    "not-contains": "contains",
    "!contains": "contains",
    "not-match": "match",
    "not-matches": "regex",
    "!~": "regex",
    "not-between": "between",
}
_IGNORES_CASE = frozenset({"ilike", "icontains", "iregex", "equals-ignore-case", "~*"})


_EVERY_NAME = {**_MEANT, **{name: name for name in OPERATORS}}


def build(analysis: Analysis, form: Form) -> Predicate | WrongType:
    """The predicate that a form says, or its mistakes noted."""
    value = form.value
    if isinstance(value, VectorForm):
        return _build_vector(analysis, form, value.items)
    if isinstance(value, MapForm):
        return _build_map(analysis, form, value)
    hint = 'write it as [:= :level "error"], or as a map: {:level "error"}'
    if isinstance(value, ListForm):
        hint = 'write it in square brackets: [:= :level "error"]'
    return analysis.wrong("bad-predicate", f"{described(form)} is no predicate", form, hint)


def write(predicate: Predicate) -> Form:
    """A predicate as a form: always a vector."""
    operator = BY_NODE[type(predicate)]
    return Form(VectorForm((Form(Keyword(operator.name)), *operator.write(predicate, write))))


def _build_vector(analysis: Analysis, form: Form, items: Sequence[Form]) -> Predicate | WrongType:
    if not items:
        hint = "write [:and] for what is always true"
        return analysis.wrong("bad-predicate", "an empty vector is no predicate", form, hint)
    head, *arguments = items
    name = head.value.name if isinstance(head.value, Symbol) else name_of(head)
    if name is None:
        hint = "a predicate begins with its operator"
        if isinstance(head.value, VectorForm | MapForm):
            hint = "to join several predicates write [:and …] or [:or …]"
        return analysis.wrong("bad-predicate", f"{described(head)} is no operator", head, hint)
    if name not in OPERATORS:
        return unknown_operator(analysis, head, name, arguments)
    if isinstance(head.value, Symbol):
        return analysis.wrong(
            "unknown-operator", f"the operator {quoted(name)} lacks its colon", head, f"write :{name}"
        )
    return _apply(analysis, form, name, arguments)


def unknown_operator(analysis: Analysis, head: Form, name: str, arguments: Sequence[Form] = ()) -> WrongType:
    """Note that no operator has this name, which perhaps stands in the place of a field."""
    hint = _meant_operator(name) or analysis.near(name, OPERATORS, ":")
    if hint is None and len(arguments) == 2 and _operator_of(arguments[0]) is not None:
        hint = f"the operator comes first: [:{_operator_of(arguments[0])} {described(head)} {described(arguments[1])}]"
    if hint is None and len(arguments) == 1 and isinstance(arguments[0].value, str | int | float):
        hint = f"the operator comes first: [:= {described(head)} {described(arguments[0])}]"
    every = "the operators are " + " ".join(f":{known}" for known in OPERATORS)
    return analysis.wrong("unknown-operator", f"no operator :{quoted(name)}", head, hint or every)


def _meant_operator(name: str) -> str | None:
    """What to write for an operator of another language."""
    asked = name.lower().replace("_", "-")
    if asked in _MEANT:
        return f"did you mean :{_MEANT[asked]}?"
    if asked in _MEANT_NOT:
        return f"write [:not [:{_MEANT_NOT[asked]} …]]"
    if asked in _IGNORES_CASE:
        return 'write [:regex field "(?i)…"]; the words of :match and :phrase ignore case anyway'
    return None


def _operator_of(form: Form) -> str | None:
    """The operator that a form names, also as others call it or without its colon."""
    name = form.value.name if isinstance(form.value, Symbol) else name_of(form)
    if name is None or name in OPERATORS:
        return name
    return _MEANT.get(name.lower())


def _apply(analysis: Analysis, form: Form, name: str, arguments: Sequence[Form]) -> Predicate | WrongType:
    operator = OPERATORS[name]
    least, most = operator.arguments
    if len(arguments) < least or (most is not None and len(arguments) > most):
        takes = f"{least} argument{'s' if least != 1 else ''}"
        if most is not None and most > least:
            takes = f"{least} or {most} arguments"
        message = f":{name} takes {takes}, not {len(arguments)}"
        return analysis.wrong("wrong-arity", message, form, f"write {operator.signature}")
    made: Predicate | WrongType = operator.build(analysis, form, arguments)
    return made


def _build_map(analysis: Analysis, form: Form, value: MapForm) -> Predicate | WrongType:
    names = {name_of(key) for key, _ in value.pairs}
    if len(value.pairs) == 3 and names == _CLOGS_KEYS:
        return _build_clogs(analysis, form, value)
    if "operator" in names and names & {"field", "value"}:
        return _mixture(
            analysis, form, "a map with :operator has :field and :value beside it, and nothing else"
        )
    if "field" in names:
        lacking = _lacks_operator(analysis, form, value)
        if lacking is not None:
            return lacking
    logic = names & _CLOGS_LOGIC
    if len(names) == 1 and logic:
        key, item = value.pairs[0]
        name = str(name_of(key))
        if name == "not":
            return _apply(analysis, form, name, [item])
        if isinstance(item.value, VectorForm):
            return _apply(analysis, form, name, item.value.items)
    elif any(name_of(key) in logic and _is_logic(item) for key, item in value.pairs):
        return _mixture(analysis, form, "a map with :and, :or or :not has no other key")
    return _build_fields(analysis, value)


def _is_logic(form: Form) -> bool:
    """Whether it is a predicate or a vector of some, and no value."""
    if isinstance(form.value, MapForm):
        return True
    return isinstance(form.value, VectorForm) and any(
        isinstance(item.value, VectorForm | MapForm | Keyword) for item in form.value.items
    )


def _lacks_operator(analysis: Analysis, form: Form, value: MapForm) -> WrongType | None:
    """Note that a map is that of Clogs but for its `:operator`, which would be read as fields called so."""
    keys = {name_of(key) or "": key for key, _ in value.pairs}
    others = [name for name in keys if name not in _CLOGS_KEYS]
    misspelt = [name for name in others if name in _MEANT_OPERATOR or analysis.near(name, ["operator"])]
    if misspelt and len(keys) <= len(_CLOGS_KEYS):
        message = f"no key {described(keys[misspelt[0]])} in a map with :field"
        return analysis.wrong("unknown-key", message, keys[misspelt[0]], "did you mean :operator?")
    if "value" in keys:
        hint = (
            'write {:field :level :operator :eq :value "error"}; for fields called so, [:and [:= :field …] …]'
        )
        return analysis.wrong("mixed-map", "a map with :field and :value lacks its :operator", form, hint)
    return None


def _mixture(analysis: Analysis, form: Form, message: str) -> WrongType:
    hint = 'write it as vectors: [:and [:= :level "error"] [:> :status 499]]'
    return analysis.wrong("mixed-map", message, form, hint)


def _build_clogs(analysis: Analysis, form: Form, value: MapForm) -> Predicate | WrongType:
    part = {name_of(key): item for key, item in value.pairs}
    name = name_of(part["operator"])
    if name not in CLOGS:
        shown = described(part["operator"])
        meant = next((clogs for clogs, ours in CLOGS.items() if ours == _MEANT.get(name or "", name)), None)
        near = f"did you mean :{meant}?" if meant else analysis.near(name or "", CLOGS, ":")
        hint = near or "the operators of a map are " + " ".join(f":{known}" for known in CLOGS)
        return analysis.wrong("unknown-operator", f"no operator {shown} in a map", part["operator"], hint)
    return _apply(analysis, form, CLOGS[name], [part["field"], part["value"]])


def _operator_in(form: Form) -> str | None:
    """The operator that a vector in place of values begins with: `{:latency_ms [:> 5]}`, in JSON `[">", 5]`."""
    if not isinstance(form.value, VectorForm) or not form.value.items:
        return None
    head = form.value.items[0].value
    if isinstance(head, Keyword):
        return head.name if head.name in OPERATORS else None
    rest = form.value.items[1:]
    compares = isinstance(head, str) and head in OPERATORS and not head[0].isalpha()
    return str(head) if compares and rest and not isinstance(rest[0].value, str) else None


def _build_fields(analysis: Analysis, value: MapForm) -> Predicate | WrongType:
    parts: list[Predicate] = []
    right = True
    for key, item in value.pairs:
        name = "=" if items_of(item) is None else "in"
        place = Form(value, key.start, item.end)
        analysis.count(place)
        if (operator := _operator_in(item)) is not None:
            right = False
            hint = f"write [:{operator} {described(key)} …], or the values as a set"
            message = (
                f"in a map {described(key)} equals one of these values: :{operator} is no operator there"
            )
            analysis.wrong("mixed-map", message, item, hint)
            continue
        if (
            tagged(item) is None
            and param_name(item) is None
            and (written := as_vectors(key, item, _EVERY_NAME)) is not None
        ):
            right = False
            message = (
                f"in a map {described(key)} is a field, and {described(item)} is no value to compare with"
            )
            analysis.wrong("mixed-map", message, place, written)
            continue
        made = _apply(analysis, place, name, [key, item])
        if made is WRONG:
            right = False
        else:
            parts.append(made.at(key.start, item.end))
    if not right:
        return WRONG
    return parts[0] if len(parts) == 1 else And(parts=tuple(parts))
