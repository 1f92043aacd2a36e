"""The rules that are saved, read again when they change; and how often a channel is told again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dsl.errors import QueryError
from dsl.forms import MapForm
from dsl.reader import read
from server.alerts.found import RuleError
from server.alerts.rule import Rule, read_rule
from server.alerts.state import RESEND_US, Resend
from storage.documents import Documents

RULE = "rule"  # as documents call them
CHANNEL = "channel"
ALERTMANAGER = "alertmanager"  # the type of channel that forgets what it does not hear again


@dataclass(frozen=True, slots=True)
class Read:
    """A saved rule: what it says, or why that cannot be told any more."""

    name: str
    version: int
    rule: Rule | None
    broken: RuleError | None = None


class RuleBook:
    """The saved rules, as they change."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._generation = -1
        self._read: dict[str, Read] = {}
        self._channels_generation = -1
        self._types: dict[str, str] = {}

    def changes(self) -> Iterator[Read | str]:
        """What changed since the last call: a rule that is new or another one, or the name of one that is gone."""
        generation = self._documents.generation(RULE)
        if generation == self._generation:
            return
        saved = {document.name: document for document in self._documents.list(RULE)}
        for name in self._read.keys() - saved.keys():
            del self._read[name]
            yield name
        for name, document in saved.items():
            old = self._read.get(name)
            if old is None or old.version != document.version:
                self._read[name] = _read(name, document.version, document.body)
                yield self._read[name]
        self._generation = generation

    def resend(self, channel: str, rule: Rule) -> Resend:
        """How often a channel is told again of a rule's alerts."""
        generation = self._documents.generation(CHANNEL)
        if generation != self._channels_generation:
            found = {one.name: _type_of(one.body) for one in self._documents.list(CHANNEL)}
            self._types, self._channels_generation = found, generation
        if self._types.get(channel) == ALERTMANAGER:
            return Resend(RESEND_US, RESEND_US)
        return Resend(rule.repeat_us)


def _read(name: str, version: int, body: str) -> Read:
    try:
        return Read(name, version, read_rule(read(body), name))
    except QueryError as error:  # it was right when it was saved, by an older program
        first = error.mistakes[0]
        return Read(
            name, version, None, RuleError(first.code, first.message, first.hint or "save the rule again")
        )


def _type_of(body: str) -> str:
    form = read(body)
    pairs = form.value.pairs if isinstance(form.value, MapForm) else ()
    for key, item in pairs:
        if getattr(key.value, "name", key.value) == "type":
            return str(getattr(item.value, "name", item.value))
    return ""
