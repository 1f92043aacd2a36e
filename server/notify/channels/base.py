"""What a kind of channel is: what can be set of it, what of that is secret, and how a message is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)
from pydantic_core import PydanticCustomError
from urllib3.util import parse_url

from server.notify.addresses import Resolve, refusal, system_resolve
from server.notify.message import TEXT, TITLE, Message, text_template, title_template
from server.notify.outcome import Outcome
from server.notify.text import BadTemplate
from storage.stream_settings import format_duration, parse_duration

URL_CHARACTERS_MAX = 2048  # what servers take
LABELS_MAX = 16  # to group by
WAIT_S_MAX = 3600  # who waits longer has missed it
TIMEOUT_S_MAX = 60  # a channel that is slower holds up its own messages


def _template(read: Callable[[str], object]) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            read(text)
        except BadTemplate as error:
            raise PydanticCustomError(
                "template", "{message}", {"message": error.message, "hint": error.hint}
            ) from error
        return text

    return check


def _token(text: str) -> str:
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise PydanticCustomError("token", "this is no token", {"hint": "use printable ASCII without blanks"})
    return text


Seconds = Annotated[int, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
Secret = Annotated[str, Field(min_length=1, max_length=1024)]


class ChannelSettings(BaseModel):
    """What can be set of any channel."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.removesuffix("_s").replace("_", "-")
    )
    secrets: ClassVar[tuple[str, ...]] = ()  # settings beside `url` that are never told

    type: str
    url: str = Field(min_length=1, max_length=URL_CHARACTERS_MAX, description="where to")
    allow_private: bool = Field(
        default=False,
        strict=True,
        description="whether it may lead to loopback, private and link-local addresses",
    )
    group_by: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        ("rule",), max_length=LABELS_MAX, description="alerts that agree in these labels go out together"
    )
    group_wait_s: Seconds = Field(
        10, ge=0, le=WAIT_S_MAX, description="how long the first alert of a group waits for others"
    )
    timeout_s: Seconds = Field(10, ge=1, le=TIMEOUT_S_MAX, description="how long an answer is waited for")
    title: Annotated[str, AfterValidator(_template(title_template))] = Field(
        TITLE, min_length=1, description="template of the title"
    )
    text: Annotated[str, AfterValidator(_template(text_template))] = Field(
        TEXT, min_length=1, description="template of the text of each alert"
    )

    def to_json(self) -> dict[str, Any]:
        """All settings with their defaults, the secrets too."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class HttpSettings(ChannelSettings):
    """What can be set of a channel that is a URL of HTTP."""

    secrets: ClassVar[tuple[str, ...]] = ("token",)

    token: Annotated[Secret, AfterValidator(_token)] | None = Field(
        None, description="secret: sent as `Authorization: Bearer`"
    )

    @model_validator(mode="after")
    def check_url(self) -> Self:
        """The URL is one of HTTP, and leads nowhere that is seen to be refused."""
        try:
            parts = urlsplit(self.url)
            host = parts.hostname if parts.scheme in ("http", "https") and parts.port != 0 else None
            sent_to = parse_url(self.url).host  # as what sends it reads it: IDNA may refuse a name
        except ValueError:
            host, sent_to, parts = None, None, None
        if not host or not sent_to or parts is None or any(character <= " " for character in self.url):
            raise PydanticCustomError(
                "url", "url is no URL of HTTP", {"hint": "write it like https://hooks.example.com/klomp"}
            )
        for one in (host, sent_to.strip("[]")):  # two readers of one URL may differ
            check_host(one, allow_private=self.allow_private)
        if self.token is not None and "@" in parts.netloc:
            raise PydanticCustomError(
                "url", "there are a token and a user in the URL", {"hint": "leave one of them out"}
            )
        return self

    def authorization(self) -> dict[str, str]:
        """The header that the token makes."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def check_host(host: str, *, allow_private: bool) -> None:
    """Refuse a host of which it is plain that nothing may be sent there. Names are looked up when something is sent.

    Raises:
        PydanticCustomError: it is such an address.
    """
    reason = "a loopback address" if host.rstrip(".").lower() == "localhost" else refusal(host)
    if not allow_private and reason not in (None, "not an address"):
        raise PydanticCustomError(
            "address",
            "url leads to {reason}",
            {"reason": reason, "hint": 'use a public address, or set "allow-private": true'},
        )


@dataclass(frozen=True, slots=True)
class Sending:
    """What sending needs beside the message."""

    resolve: Resolve = system_resolve


@dataclass(frozen=True, slots=True, eq=False)
class ChannelType:
    """A kind of channel.

    Attributes:
        name: What `type` says.
        summary: What it is for, for people.
        example: Settings that can be saved.
        settings: What can be set.
        mask_url: A URL without what may be secret in it.
        send: Sends a message. Never raises for what the other side does.
        check: Looks closer than the settings can by themselves; a mistake and a hint, None when all is well.
        batch_max: So many alerts go into one message.
    """

    name: str
    summary: str
    example: Mapping[str, Any]
    settings: type[ChannelSettings]
    mask_url: Callable[[str], str]
    send: Callable[[Any, Message, Sending], Outcome]
    check: Callable[[Any], tuple[str, str] | None] = lambda _: None
    batch_max: int = 100
