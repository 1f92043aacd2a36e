"""The options of an operator, the map at its end: `{:distance 1}`, `{:slop 2}`."""

from collections.abc import Sequence
from dataclasses import dataclass

from dsl.analysis import WRONG, Analysis, WrongType, described, name_of
from dsl.forms import Form, Keyword, MapForm


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """An option that is a whole number.

    Attributes:
        operator: whose it is, for messages.
        name: its own.
        default: what it is where it is left out.
        least: what it may be.
        most: what it may be.
    """

    operator: str
    name: str
    default: int
    least: int
    most: int

    def read(self, analysis: Analysis, forms: Sequence[Form]) -> int | WrongType:
        """What it is in the map of options that stands behind the other arguments, if there is one."""
        if not forms:
            return self.default
        form = forms[0]
        if not isinstance(form.value, MapForm):
            hint = f"write {{:{self.name} {max(self.default, 1)}}}"
            return analysis.wrong("bad-value", f"{described(form)} is no map of options", form, hint)
        found: int | WrongType = self.default
        for key, item in form.value.pairs:
            if name_of(key) != self.name:
                hint = (
                    analysis.near(name_of(key) or "", [self.name], ":") or f"the only option is :{self.name}"
                )
                found = analysis.wrong(
                    "unknown-key", f"no option {described(key)} of :{self.operator}", key, hint
                )
            elif (param := analysis.param(item, "count")) is not None:
                found = param
            elif type(item.value) is not int or not self.least <= item.value <= self.most:
                message = f"{described(item)} is no {self.name} of :{self.operator}"
                hint = f"write a whole number from {self.least} to {self.most}"
                found = analysis.wrong("bad-value", message, item, hint)
            elif found is not WRONG:
                found = item.value
        return found

    def write(self, value: int) -> Sequence[Form]:
        """The map of options, where it says anything."""
        if value == self.default:
            return []
        return [Form(MapForm(((Form(Keyword(self.name)), Form(value)),)))]
