"""The kinds of saved documents over some metadata: channels, templates and rules, one line each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from server.alerts.documents import RuleKind
from server.documents import SavedDocuments
from server.notify.documents import ChannelKind, SavedChannels
from server.templates import TemplateKind
from storage.alerts import AlertTables
from storage.documents import Documents
from storage.metadata import Metadata
from storage.notifications import Notifications


@dataclass(frozen=True, slots=True)
class SavedKinds:
    """The documents of every kind, as requests see them.

    Attributes:
        template_kind: What else is known of templates: how one is read.
    """

    channels: SavedChannels
    templates: SavedDocuments
    rules: SavedDocuments
    template_kind: TemplateKind

    @property
    def by_name(self) -> Mapping[str, SavedDocuments]:
        """By kind; those that others name come first."""
        return {one.kind.name: one for one in (self.channels, self.templates, self.rules)}


def saved_kinds(
    metadata: Metadata, streams: Callable[[], Collection[str]], clock: Callable[[], int]
) -> SavedKinds:
    """The documents of some metadata.

    Args:
        metadata: Where they are.
        streams: Gives the names of the streams that there are, which rules ask about.
        clock: Microseconds since 1970.
    """
    documents, outbox = Documents(metadata), Notifications(metadata)
    templates = TemplateKind(documents, clock)
    rules = RuleKind(documents, AlertTables(metadata), outbox, streams, clock)
    return SavedKinds(
        SavedChannels(ChannelKind(documents, outbox, clock), documents, clock),
        SavedDocuments(templates, documents, clock),
        SavedDocuments(rules, documents, clock),
        templates,
    )
