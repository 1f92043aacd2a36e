"""Saved queries with typed parameters: checked as far as can be before there are values, then bound to some.

{:doc    "Errors of a service"
 :params {?service {:type :string :required true} ?window {:type :duration :default "15m" :max "7d"}}
 :query  {:time {:last ?window} :where [:= :service ?service]}}

With `:use :base` a template goes on from another: it has its parameters, and its query with what stands in its own
`:query` in place of the same keys, except that both :where must hold. `:with {?service "auth"}` gives values to
parameters of the base.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dsl.analysis import MISTAKES_MAX, described, name_of, param_name
from dsl.analyze import analyze
from dsl.ast import Query
from dsl.binding import BadValue, bind, params_of, replaced
from dsl.errors import Mistake, QueryError, quoted
from dsl.forms import Form, Keyword, MapForm, Symbol, VectorForm, print_form
from dsl.limits import DEFAULT, Limits
from dsl.nearest import meant
from dsl.param_spec import Mistakes, ParamSpec, declared, read_spec, wrong
from dsl.param_types import BadValueOfType
from dsl.printer import to_form

KEYS: Final = ("name", "doc", "use", "with", "params", "query")
PARAMS_MAX = 64  # of one template: a form with more is a program
USES_MAX = 8  # templates on templates: who reads one has to read all of them
TRIALS_MAX = 64  # bindings tried when a template is saved

Find = Callable[[str], Form | None]
"""From the name of a template to its document."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was checked.

    Attributes:
        doc: what it is for.
        uses: the templates that it goes on from, the nearest first.
        params: in the order in which they are declared, those of a base first.
        query: open; with all that is of a base.
        own: the document in its canonical form.
    """

    doc: str
    uses: tuple[str, ...]
    params: tuple[ParamSpec, ...]
    query: Query
    own: Form = field(compare=False)

    def param(self, name: str) -> ParamSpec | None:
        """A parameter by its name."""
        return next((spec for spec in self.params if spec.name == name), None)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What reading one template goes by: the names that lead to it, those it may use, now, and its mistakes."""

    path: tuple[str, ...]
    find: Find
    now_us: int
    mistakes: Mistakes = field(default_factory=list)

    def wrong(self, code: str, message: str, form: Form, hint: str) -> None:
        """Note a mistake at a form."""
        wrong(self.mistakes, code, message, form, hint)


@dataclass(slots=True)
class _Draft:
    """A template while it is read."""

    form: Form
    doc: str = ""
    uses: tuple[str, ...] = ()
    specs: dict[str, ParamSpec] = field(default_factory=dict)
    inherited: frozenset[str] = frozenset()
    query: Form = field(default_factory=lambda: Form(MapForm(())))


def read_template(
    form: Form,
    *,
    name: str = "",
    find: Find = lambda _: None,
    limits: Limits = DEFAULT,
    now_us: int = 0,
) -> Template:
    """The template that a form is.

    Args:
        form: as read.
        name: what it is called, for those that would use it in a circle.
        find: gives the templates that it uses.
        limits: what its query may cost.
        now_us: for bounds on times.

    Raises:
        QueryError: everything that is wrong with it.
    """
    reading = _Reading((name,) if name else (), find, now_us)
    mistakes = reading.mistakes
    draft = _read(form, reading)
    if mistakes:
        raise QueryError(mistakes[:MISTAKES_MAX])
    query = analyze(draft.query, limits=limits, unbound=True)
    specs = _used(draft, query, mistakes)
    if not mistakes:
        _check_places(query, specs, mistakes)
    if not mistakes:
        _try(query, specs, form, limits, reading)
    if mistakes:
        raise QueryError(mistakes[:MISTAKES_MAX])
    return Template(draft.doc, draft.uses, tuple(specs.values()), query, _canonical(form, draft, limits))


def _read(form: Form, reading: _Reading) -> _Draft:
    draft = _Draft(form)
    if not isinstance(form.value, MapForm):
        hint = "write {:params {…} :query {…}}"
        reading.wrong("not-a-map", f"a template is a map, not {described(form)}", form, hint)
        return draft
    given = keys_of(form, KEYS, reading.mistakes)
    if "name" in given:
        said = name_of(given["name"])
        if said is None or (reading.path and said != reading.path[-1]):
            saved = quoted(reading.path[-1]) if reading.path else "no name"
            message = f"the :name is {described(given['name'])}, and it is saved as {saved}"
            reading.wrong(
                "bad-template", message, given["name"], "leave out the :name, or save it under that"
            )
    if "doc" in given:
        doc = given["doc"].value
        if isinstance(doc, str):
            draft.doc = doc
        else:
            reading.wrong("bad-template", ":doc is no text", given["doc"], 'write :doc "what it is for"')
    if "use" in given:
        _use(draft, given["use"], given.get("with"), reading)
    elif "with" in given:
        hint = "give values to the parameters of another template, named by :use"
        reading.wrong("bad-template", ":with without :use", given["with"], hint)
    if "params" in given:
        _own_params(draft, given["params"], reading)
    if "query" in given:
        if isinstance(given["query"].value, MapForm):
            draft.query = merged(draft.query, given["query"])
        else:
            hint = "write :query {:where …}"
            reading.wrong("bad-template", f"{described(given['query'])} is no query", given["query"], hint)
    elif "use" not in given:
        reading.wrong("bad-template", "no :query", form, "write {:query {:where …}}, or :use a template")
    return draft


def keys_of(form: Form, known: Iterable[str], mistakes: Mistakes) -> dict[str, Form]:
    """The values of a map by the names of their keys; the keys that are not known noted."""
    found: dict[str, Form] = {}
    assert isinstance(form.value, MapForm)
    for key, item in form.value.pairs:
        name = name_of(key)
        if name is None or name not in known:
            hint = meant(name or "", known, ":") or "the keys are " + " ".join(f":{one}" for one in known)
            wrong(mistakes, "bad-template", f"no key {described(key)}", key, hint)
        elif name in found:
            wrong(mistakes, "bad-template", f"the key :{name} stands twice", key, "leave one of them out")
        else:
            found[name] = item
    return found


def _own_params(draft: _Draft, form: Form, reading: _Reading) -> None:
    if not isinstance(form.value, MapForm):
        hint = "write {?service {:type :string :required true}}"
        reading.wrong("bad-template", f"{described(form)} is no map of parameters", form, hint)
        return
    for key, item in form.value.pairs:
        spec = read_spec(key, item, keys_of, reading.mistakes, reading.now_us)
        if spec is not None:
            draft.specs[spec.name] = spec
            draft.inherited -= {spec.name}
    if len(draft.specs) > PARAMS_MAX:
        message = f"{len(draft.specs)} parameters, more than {PARAMS_MAX}"
        reading.wrong("bad-template", message, form, "write more of it into the query")


def _use(draft: _Draft, form: Form, given: Form | None, reading: _Reading) -> None:
    """Go on from another template."""
    name = name_of(form)
    if name is None:
        message = f"{described(form)} is no name of a template"
        reading.wrong("bad-template", message, form, "write :use :name")
        return
    if name in reading.path:
        circle = " uses ".join((*reading.path[reading.path.index(name) :], name))
        reading.wrong("template-cycle", f"a circle: {circle}", form, "take one of them out of it")
        return
    if len(reading.path) > USES_MAX:
        message = f"more than {USES_MAX} templates on each other"
        reading.wrong("bad-template", message, form, "use one that is nearer to the first")
        return
    found = reading.find(name)
    if found is None:
        reading.wrong("unknown-template", f"no template {quoted(name)}", form, "save that one first")
        return
    inner = _Reading((*reading.path, name), reading.find, reading.now_us)
    base = _read(found, inner)
    if inner.mistakes:
        first = inner.mistakes[0]
        cycle = first.code == "template-cycle"
        message = first.message if cycle else f"the template {quoted(name)} is not right: {first.message}"
        reading.wrong(first.code if cycle else "bad-template", message, form, first.hint or "")
        return
    draft.uses = (name, *base.uses)
    draft.doc = draft.doc or base.doc
    draft.specs = dict(base.specs)
    draft.query = _at(base.query, form)
    if given is not None:
        _with(draft, given, reading)
    draft.inherited = frozenset(draft.specs)


def _with(draft: _Draft, form: Form, reading: _Reading) -> None:
    """Give values to parameters of the base, or parameters of one's own."""
    if not isinstance(form.value, MapForm):
        hint = 'write {?service "auth"}'
        reading.wrong("bad-template", f"{described(form)} is no map of values", form, hint)
        return
    literals: dict[str, Form] = {}
    for key, item in form.value.pairs:
        name = declared(key)
        spec = draft.specs.get(name or "")
        if name is None or spec is None:
            known = "its parameters are " + " ".join(f"?{one}" for one in draft.specs)
            hint = meant(name or "", draft.specs, "?") or (known if draft.specs else "it has none")
            message = f"the template {quoted(draft.uses[0])} has no parameter {described(key)}"
            reading.wrong("unknown-parameter", message, key, hint)
            continue
        if param_name(item) is not None:
            literals[name] = item
            continue
        try:
            literals[name] = _at(spec.take(item, reading.now_us), item)
        except BadValueOfType as error:
            reading.wrong("bad-default", f"?{name}: {error}", item, error.hint)
    draft.query = replaced(draft.query, lambda param: literals.get(param_name(param) or ""))
    draft.specs = {name: spec for name, spec in draft.specs.items() if name not in literals}


def merged(base: Form, own: Form) -> Form:
    """A query that goes on from another: its keys in place of the same ones, except that both :where must hold."""
    assert isinstance(base.value, MapForm)
    assert isinstance(own.value, MapForm)
    own_names = {name_of(key): item for key, item in own.value.pairs}
    pairs = [(key, item) for key, item in base.value.pairs if name_of(key) not in own_names]
    before = next((item for key, item in base.value.pairs if name_of(key) == "where"), None)
    for key, item in own.value.pairs:
        if name_of(key) == "where" and before is not None:
            both = Form(VectorForm((Form(Keyword("and")), before, item)), item.start, item.end)
            pairs.append((key, both))
        else:
            pairs.append((key, item))
    return Form(MapForm(tuple(pairs)), own.start, own.end)


def _used(draft: _Draft, query: Query, mistakes: Mistakes) -> dict[str, ParamSpec]:
    """The parameters that stand in the query; those that are declared and do not, or the other way round, noted."""
    used = {param.param: param for param in params_of(to_form(query))}
    for name, param in used.items():
        if name not in draft.specs:
            hint = meant(name, draft.specs, "?") or f"declare it: :params {{?{name} {{:type :string}}}}"
            mistakes.append(
                Mistake("unknown-parameter", f"?{name} is not declared in :params", *param.span, hint)
            )
    for name, spec in draft.specs.items():
        if name not in used and name not in draft.inherited:
            hint = "use it in the :query, or leave it out"
            mistakes.append(
                Mistake("unused-parameter", f"?{name} stands nowhere in the query", *spec.span, hint)
            )
    return {name: spec for name, spec in draft.specs.items() if name in used}


def _check_places(query: Query, specs: Mapping[str, ParamSpec], mistakes: Mistakes) -> None:
    """Types against where parameters stand."""
    for param in params_of(to_form(query)):
        spec = specs[param.param]
        if param.place not in spec.type.places:
            shown = print_form(spec.type.form())
            hint = _PLACES[param.place]
            message = f"?{param.param} is {shown}, and stands where there is {hint[0]}"
            mistakes.append(Mistake("parameter-type", message, *param.span, hint[1]))


_PLACES: Final = {
    "value": ("the value of a field", "declare it as :string, :number, :instant or another single value"),
    "values": ("a set of values", "declare it as [:set :string], or compare with :="),
    "text": ("a text", "declare it as :string"),
    "moment": ("a point in time", "declare it as :instant"),
    "duration": ("a duration", "declare it as :duration"),
    "number": ("a number", "declare it as :number or :integer"),
    "count": ("a whole number", "declare it as :integer"),
    "flag": ("true or false", "declare it as :boolean"),
    "streams": ("the name of a stream", "declare it as :string, or [:set :string] for several"),
}


def _try(
    query: Query,
    specs: Mapping[str, ParamSpec],
    form: Form,
    limits: Limits,
    reading: _Reading,
) -> None:
    """Bind the query to its defaults, and to samples where there is none: whatever a value stands in checks it."""
    now_us, mistakes = reading.now_us, reading.mistakes
    samples = {name: spec.samples(now_us) for name, spec in specs.items()}
    first = {name: found[0] for name, found in samples.items()}
    trials = [first]
    trials += [{**first, name: one} for name, found in samples.items() for one in found[1:]]
    defaults = all(spec.default is not None for spec in specs.values())
    for trial in trials[:TRIALS_MAX]:
        try:
            bind(query, trial, limits=limits, now_us=now_us)
        except BadValue as error:
            for name, found in error.wrong.items():
                spec = specs[name]
                told = spec.default is not None and trial[name] == spec.default
                code, what = "parameter-type", f"?{name} is {_shown(spec)}, which"
                if told:
                    code, what = "bad-default", f"the default of ?{name}"
                message = f"{what} cannot stand there: {found[0].message}"
                mistakes.append(Mistake(code, message, *spec.span, found[0].hint))
            for mistake in error.others:
                if mistake.code == "type-clash" or (defaults and trial is first):
                    mistakes.append(replace(mistake, start=form.start, end=form.end))
        if mistakes:
            return


def _shown(spec: ParamSpec) -> str:
    return print_form(spec.type.form())


def _canonical(form: Form, draft: _Draft, limits: Limits) -> Form:
    """The document with its keys in their order, names as keywords and symbols, and the query as it is printed."""
    given = keys_of(form, KEYS, [])
    pairs: list[tuple[Form, Form]] = []
    for name in KEYS:
        if name not in given:
            continue
        item = given[name]
        if name in ("name", "use"):
            item = Form(Keyword(str(name_of(item))))
        elif name == "params":
            item = _map((Form(Symbol(f"?{spec.name}")), spec.form()) for spec in _own(draft))
        elif name == "with":
            assert isinstance(item.value, MapForm)
            item = _map((Form(Symbol(f"?{declared(key)}")), one) for key, one in item.value.pairs)
        elif name == "query":
            item = _query_form(item, limits)
        pairs.append((Form(Keyword(name)), item))
    return _map(pairs)


def _own(draft: _Draft) -> Sequence[ParamSpec]:
    return [spec for name, spec in draft.specs.items() if name not in draft.inherited]


def _query_form(form: Form, limits: Limits) -> Form:
    try:
        return to_form(analyze(form, limits=limits, unbound=True))
    except QueryError:
        return form  # right only together with what it goes on from


def _map(pairs: Iterable[tuple[Form, Form]]) -> Form:
    return Form(MapForm(tuple(pairs)))


def _at(form: Form, place: Form) -> Form:
    """A form of another document, as if all of it stood at one place of this."""
    value = form.value
    if isinstance(value, VectorForm):
        value = VectorForm(tuple(_at(item, place) for item in value.items))
    elif isinstance(value, MapForm):
        value = MapForm(tuple((_at(key, place), _at(item, place)) for key, item in value.pairs))
    return Form(value, place.start, place.end)
