"""Channels as saved documents: checked when saved, their secrets kept back when shown, and kept when the mask is sent.

{:type :webhook, :url "https://hooks.example.com/klomp", :secret "***", :allow-private false}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dsl.analysis import described, items_of, name_of
from dsl.errors import Mistake, QueryError, quoted
from dsl.forms import Form, MapForm, VectorForm, print_form, to_plain
from dsl.nearest import meant
from dsl.parse import Syntax
from dsl.reader import read, read_json
from server.documents import Kind, SavedDocuments, body_mistake
from server.errors import RequestError
from server.notify.breaker import Breaker
from server.notify.channels import CHANNEL_TYPES
from server.notify.channels.base import ChannelSettings, ChannelType
from server.notify.secrets import MASK
from server.variables import escaped
from storage.documents import Document, Documents
from storage.notifications import Notifications
from storage.stream_settings import format_duration
from storage.times import format_time

CHANNEL = "channel"
USERS_NAMED_MAX = 5  # of the rules that need a channel, in a message
CHECKS_KEPT = 64  # saving asks twice about the same settings, and asking takes half a second


DURATIONS = ("group-wait", "timeout")
_BOUNDS = ("min_length", "max_length", "ge", "le")  # where Pydantic tells the bound that was passed
_SAID = {
    "string_type": ("this is no text", "write it in quotes"),
    "string_too_short": ("a text of fewer than {bound} characters", "write a longer one"),
    "string_too_long": ("a text of more than {bound} characters", "write a shorter one"),
    "bool_type": ("this is neither true nor false", "write true or false, without quotes"),
    "tuple_type": ("this is no vector", 'write ["rule" "service"], or [] for all together'),
    "too_long": ("more than {bound} of them", "leave some out"),
    "greater_than_equal": ("a duration of less than {bound}", "write {bound} or more"),
    "less_than_equal": ("a duration of more than {bound}", "write {bound} or less"),
}
"""What is wrong with a value, and the way out, by Pydantic's name for it."""


class ChannelKind(Kind):
    """What is special about channels.

    Args:
        documents: Where the rules are that may need a channel.
        outbox: What is owed to channels.
        clock: Microseconds since 1970.
    """

    name: ClassVar[str] = CHANNEL

    def __init__(self, documents: Documents, outbox: Notifications, clock: Callable[[], int]) -> None:
        self._documents = documents
        self._outbox = outbox
        self._clock = clock

    def check(self, name: str, form: Form) -> Form:
        """The channel that a form is, as it is kept.

        Raises:
            QueryError: everything that is wrong with it.
        """
        if isinstance(form.value, MapForm):  # before the rest: *** is too short for a secret, and no URL
            _refuse_masks(form)
        kind, settings = read_channel(name, form)
        found = _look_closer(kind, settings)
        if found is not None:
            raise body_mistake("bad-channel", found[0], _entry(form, "url"), found[1])
        return form

    def shown(self, form: Form) -> Form:
        """A channel without its secrets."""
        kind = _type_of(form)
        secrets = kind.settings.secrets
        return _replaced(
            form,
            {
                "url": kind.mask_url(str(_entry(form, "url").value)),
                **{one: MASK for one in secrets if _find(form, one) is not None},
            },
        )

    def summary(self, document: Document) -> dict[str, Any]:
        """What a list says of a channel."""
        form = read(document.body)
        kind = _type_of(form)
        return {"type": kind.name, "url": kind.mask_url(str(_entry(form, "url").value))}

    def details(self, document: Document) -> dict[str, Any]:
        """All settings, with the defaults of those that are not set, without secrets."""
        _, settings = read_channel(document.name, read(document.body))
        breaker = Breaker(*self._outbox.breakers().get(document.name, (0, None, 0)))
        now_us = self._clock()
        state = breaker.state(now_us)
        return {
            "type": settings.type,
            "settings": masked_settings(settings),
            "breaker": {
                "state": state,
                "failures": breaker.failures,
                "until": format_time(breaker.until_us()) if state == "open" else None,
            },
            "notifications": self._outbox.counts(document.name),
        }

    def refuse_deletion(self, name: str) -> None:
        """A channel that a rule notifies stays.

        Raises:
            RequestError: `channel-in-use` (409).
        """
        users = [rule.name for rule in self._documents.list("rule") if name in _notified(rule)]
        if users:
            named = ", ".join(users[:USERS_NAMED_MAX]) + (
                " and others" if len(users) > USERS_NAMED_MAX else ""
            )
            raise RequestError(
                409,
                "channel-in-use",
                f"the channel {name!r} is notified by {named}",
                "take it out of their :notify first",
            )


class SavedChannels(SavedDocuments):
    """The channels, as requests see them."""

    def put(
        self,
        name: str,
        text: str,
        syntax: Syntax,
        *,
        author: str,
        expected: int | None = None,
        create_only: bool = False,
    ) -> tuple[bool, Document]:
        """Check and save a channel; where it has the mask, the secret of before is kept.

        Raises:
            QueryError: it has mistakes.
            BadDocumentName, VersionConflict, TooManyDocuments: it cannot be saved so.
        """
        form = read(text) if syntax == "edn" else read_json(text)
        kept = self.given(name, form)
        if kept is form:
            return super().put(name, text, syntax, author=author, expected=expected, create_only=create_only)
        try:
            self.kind.check(name, kept)
        except QueryError as error:  # the places are those of what was sent, and so is what is shown of it
            raise QueryError(error.mistakes, text) from None
        body = print_form(kept)
        return super().put(name, body, "edn", author=author, expected=expected, create_only=create_only)

    def given(self, name: str, form: Form) -> Form:
        """What a form means beside what is saved: where it has the mask, the secret that is saved."""
        before = self._documents.get(CHANNEL, name)
        return form if before is None else keep_secrets(form, read(before.body))

    def exported(self, document: Document) -> Form:
        """A channel as a file has it: for each secret a reference to the environment, and the mask to stand in."""
        form = read(document.body)
        kind, settings = read_channel(document.name, form)
        shown = self.kind.shown(form)
        values: dict[str, str] = {}
        for key in ("url", *kind.settings.secrets):
            if _find(form, key) is not None and getattr(settings, key) != (
                masked := _entry(shown, key).value
            ):
                values[key] = f"${{{variable(document.name, key)}:-{masked}}}"
        return _replaced(escaped(shown), values)

    def settings(self, name: str) -> tuple[ChannelType, ChannelSettings]:
        """What is set of a channel.

        Raises:
            RequestError: there is none (404).
        """
        return read_channel(name, read(self.find(name).body))


def read_channel(name: str, form: Form) -> tuple[ChannelType, ChannelSettings]:
    """The type and the settings in a form.

    Raises:
        QueryError: everything that is wrong with it.
    """
    if not isinstance(form.value, MapForm):
        raise body_mistake(
            "not-a-map",
            f"a channel is a map, this is {described(form)}",
            form,
            'write {:type :webhook, :url "https://hooks.example.com/klomp"}',
        )
    kind = _type_of(form)
    given = {key: value for key, value in to_plain(form).items() if key != "name"}
    own = _find(form, "name")
    if own is not None and name_of(own) != name:
        raise body_mistake(
            "bad-channel",
            f"the channel says that it is called {described(own)}",
            own,
            f"leave :name out, or write {name}",
        )
    try:
        return kind, kind.settings.model_validate(given)
    except ValidationError as error:
        raise QueryError([_mistake(form, kind, detail) for detail in error.errors()]) from None


def variable(channel: str, key: str) -> str:
    """The name of the environment's variable that an exported channel has for a secret: `KLOMP_OPS_URL`."""
    return "KLOMP_" + re.sub(r"[^A-Z0-9]+", "_", f"{channel}_{key}".upper())


def masked_settings(settings: ChannelSettings) -> dict[str, Any]:
    """All settings as they are shown."""
    kind = CHANNEL_TYPES[settings.type]
    shown = settings.to_json()
    return {
        **shown,
        "url": kind.mask_url(settings.url),
        **{one: MASK for one in settings.secrets if one in shown},
    }


def keep_secrets(form: Form, before: Form) -> Form:
    """A form with the secrets of before where it has the mask. The same form where it has none.

    A secret is kept only beside the URL that it was saved with or another one of the same host: whoever may set a
    channel must not have its secrets sent to himself.
    """
    if not isinstance(form.value, MapForm) or not isinstance(before.value, MapForm):
        return form
    given, old = _find(form, "url"), _find(before, "url")
    if (
        given is None
        or old is None
        or name_of(_find(form, "type") or form) != name_of(_find(before, "type") or before)
    ):
        return form
    kind = _type_of(before)
    changes: dict[str, str] = {}
    old_url = str(old.value)
    if given.value in (MASK, kind.mask_url(old_url)) and given.value != old_url:
        changes["url"] = old_url
    if "url" in changes or _host(given.value) == _host(old_url):
        for secret in kind.settings.secrets:
            one, kept = _find(form, secret), _find(before, secret)
            if one is not None and one.value == MASK and kept is not None:
                changes[secret] = str(kept.value)
    return _replaced(form, changes) if changes else form


def _host(url: object) -> tuple[str, str]:
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


@lru_cache(CHECKS_KEPT)
def _look_closer(kind: ChannelType, settings: ChannelSettings) -> tuple[str, str] | None:
    return kind.check(settings)


def _refuse_masks(form: Form) -> None:
    for secret in ("url", *_type_of(form).settings.secrets):
        given = _find(form, secret)
        if given is not None and isinstance(given.value, str) and MASK in given.value:
            hint = "send the secret itself; the mask stands only for one that is saved, of the same host"
            raise body_mistake("secret-needed", f"{secret} is masked", given, hint)


def _type_of(form: Form) -> ChannelType:
    given = _find(form, "type")
    hint = f"there are: {', '.join(CHANNEL_TYPES)}"
    if given is None:
        raise body_mistake("bad-channel", "the channel has no type", form, f"add :type; {hint}")
    kind = CHANNEL_TYPES.get(name_of(given) or "")
    if kind is None:
        raise body_mistake("bad-channel", f"no type of channel {described(given)}", given, hint)
    return kind


def _find(form: Form, key: str) -> Form | None:
    assert isinstance(form.value, MapForm)
    return next((value for name, value in form.value.pairs if name_of(name) == key), None)


def _entry(form: Form, key: str) -> Form:
    return _find(form, key) or form


def _replaced(form: Form, values: Mapping[str, str]) -> Form:
    """A map with other values under some of its keys; always another form."""
    assert isinstance(form.value, MapForm)
    pairs = tuple(
        (key, Form(values[name], value.start, value.end) if (name := name_of(key) or "") in values else value)
        for key, value in form.value.pairs
    )
    return Form(MapForm(pairs), form.start, form.end)


def _notified(rule: Document) -> set[str]:
    form = read(rule.body)
    named = _find(form, "notify") if isinstance(form.value, MapForm) else None
    return {name_of(one) or "" for one in items_of(named) or (named,)} if named is not None else set()


def _mistake(form: Form, kind: ChannelType, detail: ErrorDetails) -> Mistake:
    """One of Pydantic's findings, at its place. What was given is never in it: it may be a secret."""
    key = str(detail["loc"][0]) if detail["loc"] else "url"
    known = [field.alias or name for name, field in kind.settings.model_fields.items()]
    at = _key(form, key) if detail["type"] == "extra_forbidden" else _place(form, detail)
    context = detail.get("ctx", {})
    hint: str | None = None
    code = "bad-channel"
    if detail["type"] == "extra_forbidden":
        hint = meant(key, known, ":") or f"there are: {', '.join(known)}"
        code, message = "unknown-key", f"a channel of the type {kind.name} has no {quoted(key)}"
    elif detail["type"] == "missing":
        message, hint = f"the channel has no {key}", f"add :{key}"
    elif "hint" in context:
        prefix = f"{key}: " if detail["loc"] else ""
        message, hint = f"{prefix}{detail['msg']}", str(context["hint"])
    else:
        message, hint = _said(key, detail)
    return Mistake(code, message, at.start, at.end, hint)


def _said(key: str, detail: ErrorDetails) -> tuple[str, str | None]:
    """What is wrong with a value, in words of this program, and a way out; Pydantic's words speak of Python."""
    bound = next((detail["ctx"][one] for one in _BOUNDS if one in detail.get("ctx", {})), None)
    if key in DURATIONS and bound is not None:
        bound = format_duration(bound)
    known = _SAID.get(detail["type"])
    if known is None:
        return f"{key}: {detail['msg'][:1].lower()}{detail['msg'][1:]}", None
    message, hint = (text.format(bound=bound) for text in known)
    return f"{key}: {message}", hint


def _place(form: Form, detail: ErrorDetails) -> Form:
    at = _entry(form, str(detail["loc"][0])) if detail["loc"] else _entry(form, "url")
    for step in detail["loc"][1:]:
        if isinstance(at.value, VectorForm) and isinstance(step, int):
            at = at.value.items[step]
    return at


def _key(form: Form, key: str) -> Form:
    assert isinstance(form.value, MapForm)
    return next((name for name, _ in form.value.pairs if name_of(name) == key), form)
