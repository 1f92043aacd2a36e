"""Parameters get their values: `{:where [:= :service ?service]}` and `{service: "auth"}` make a query that can be run.

A value goes into the tree as a literal at the place of its parameter and nowhere else; no text is put together. The
tree with the literals is then analyzed as any query is, so that a value is checked by whatever it stands in.
"""

from collections.abc import Callable, Mapping

from dsl.analysis import name_of, param_name
from dsl.analyze import analyze
from dsl.ast import EVERY_STREAM, Query
from dsl.errors import Mistake, QueryError
from dsl.forms import Form, ListForm, MapForm, SetForm, Tagged, VectorForm
from dsl.limits import DEFAULT, Limits
from dsl.nodes import Param, Place
from dsl.printer import to_form
from dsl.time import Instant, parse_moment

Literals = Mapping[str, Form]
"""The literal for each parameter: a string, a number, a boolean, a tagged literal, or a set of them.

A time that is relative to now is an `#inst` too, `#inst "now-1h"`, which is found nowhere else.
"""


class BadValue(Exception):
    """A value that cannot stand where its parameter does.

    Attributes:
        wrong: the mistakes of each parameter, by its name.
        others: mistakes that no single value makes, such as a range that ends before it begins.
    """

    def __init__(self, wrong: Mapping[str, list[Mistake]], others: list[Mistake]) -> None:
        self.wrong = dict(wrong)
        self.others = others
        super().__init__(self.wrong, others)


def bind(
    query: Query,
    literals: Literals,
    *,
    limits: Limits = DEFAULT,
    now_us: int | None = None,
) -> Query:
    """The query with a literal in the place of each parameter.

    Args:
        query: analyzed as an open one.
        literals: for each of its parameters; others are not looked at.
        limits: what it may cost.
        now_us: as in `analyze`.

    Raises:
        BadValue: a value cannot stand where it would.
        KeyError: a parameter has no value.
    """
    form = to_form(query)
    _refuse_every_stream(form, literals)
    names = sorted(literals)
    # A literal's place is that of its name among the names: so a mistake tells whose value it is about.
    numbers = {name: 1 + number for number, name in enumerate(names)}

    def literal(param: Form) -> Form:
        assert isinstance(param.value, Param)
        name = param.value.param
        return _placed(_settled(literals[name], param.value.place, now_us), numbers[name])

    try:
        return analyze(replaced(form, literal), limits=limits, now_us=now_us).at(*query.span)
    except QueryError as error:
        wrong: dict[str, list[Mistake]] = {}
        others: list[Mistake] = []
        for mistake in error.mistakes:
            found = wrong.setdefault(names[mistake.start - 1], []) if mistake.start else others
            if mistake not in found:
                found.append(mistake)
        raise BadValue(wrong, others) from error


def replaced(form: Form, literal: Callable[[Form], Form | None]) -> Form:
    """A form with other forms in the place of its parameters, where `literal` has one for it."""
    value = form.value
    if param_name(form) is not None:
        return literal(form) or form
    if isinstance(value, VectorForm | ListForm | SetForm):
        items = tuple(replaced(item, literal) for item in value.items)
        return Form(type(value)(items), form.start, form.end)
    if isinstance(value, MapForm):
        pairs = tuple((key, replaced(item, literal)) for key, item in value.pairs)
        return Form(MapForm(pairs), form.start, form.end)
    if isinstance(value, Tagged):
        return Form(Tagged(value.tag, replaced(value.form, literal)), form.start, form.end)
    return form


def params_of(form: Form) -> list[Param]:
    """The parameters of a form that was made of an open tree, in order, each as often as it stands there."""
    found: list[Param] = []

    def walk(form: Form) -> None:
        value = form.value
        if isinstance(value, Param):
            found.append(value)
        elif isinstance(value, VectorForm | ListForm | SetForm):
            for item in value.items:
                walk(item)
        elif isinstance(value, MapForm):
            for _, item in value.pairs:
                walk(item)

    walk(form)
    return found


def _refuse_every_stream(form: Form, literals: Literals) -> None:
    """A value names streams; that all are meant is said by who writes the query."""
    for param in params_of(form):
        literal = literals[param.param]
        items = literal.value.items if isinstance(literal.value, SetForm) else (literal,)
        if param.place == "streams" and any(name_of(item) == EVERY_STREAM for item in items):
            mistake = Mistake(
                "bad-stream-name", '"*" is no name of a stream', 0, 0, "write :from :* into the query itself"
            )
            raise BadValue({param.param: [mistake]}, [])


def _settled(form: Form, place: Place, now_us: int | None) -> Form:
    """A literal as it may stand in a place: a time relative to now stays so only where a point in time is asked for."""
    value = form.value
    if isinstance(value, SetForm):
        return Form(SetForm(tuple(_settled(item, place, now_us) for item in value.items)))
    if not isinstance(value, Tagged) or value.tag != "inst" or not isinstance(value.form.value, str):
        return form
    moment = parse_moment(value.form.value)
    if isinstance(moment, Instant):
        return form
    if place == "moment" or now_us is None:
        return value.form
    return Form(Tagged("inst", Form(Instant(instant_us=moment.resolve(now_us)).text())))


def _placed(form: Form, place: int) -> Form:
    """A literal, all of it, at one place."""
    value = form.value
    if isinstance(value, SetForm):
        return Form(SetForm(tuple(_placed(item, place) for item in value.items)), place, place)
    if isinstance(value, Tagged):
        return Form(Tagged(value.tag, _placed(value.form, place)), place, place)
    assert not isinstance(value, VectorForm | ListForm | MapForm | Param), "a literal has no shape"
    return Form(value, place, place)
