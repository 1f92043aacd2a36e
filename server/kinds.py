"""The kinds of documents that can be files: how each is made over any metadata, one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from server.alerts.documents import RuleKind
from server.configuration import Factory
from server.documents import SavedDocuments
from server.notify.documents import ChannelKind, SavedChannels
from server.templates import TemplateKind
from storage.alerts import AlertTables
from storage.notifications import Notifications


def document_kinds(clock: Callable[[], int]) -> Mapping[str, Factory]:
    """By name; those that others name come first."""
    return {
        "channel": lambda documents, metadata: SavedChannels(
            ChannelKind(documents, Notifications(metadata), clock), documents, clock
        ),
        "template": lambda documents, _: SavedDocuments(TemplateKind(documents, clock), documents, clock),
        "rule": lambda documents, metadata: SavedDocuments(
            RuleKind(documents, AlertTables(metadata), Notifications(metadata), clock), documents, clock
        ),
    }
