"""The route table: every path that klomp serves, and what serves it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import falcon.asgi

from server import errors
from server.alerts.asking import Asker
from server.alerts.desk import AlertDesk
from server.callers import WatchingApp
from server.clock import now_us
from server.configuration import Configuration, Factory
from server.deletions import Deletions
from server.engine import Engine
from server.engine.editing import Editing
from server.engine.fields import Fields
from server.engine.histogram import Histograms
from server.engine.records import Records
from server.ingest import Ingest
from server.kinds import saved_kinds
from server.parameters import KnownParameters
from server.resources.alerts import (
    Acknowledged,
    AlertHistory,
    Alerts,
    OneSilence,
    ReplayedRule,
    Silences,
    TriedRule,
)
from server.resources.channels import TestedChannel
from server.resources.configuration import Applied, Exported
from server.resources.deletions import Delete, DeletionList
from server.resources.documents import document_routes
from server.resources.editing import Complete, Validate
from server.resources.explain import Explain
from server.resources.fields import StreamFields
from server.resources.health import Health, Ready
from server.resources.histogram import Histogram
from server.resources.jobs import AskedJob, Jobs
from server.resources.logs import Logs
from server.resources.notifications import (
    NotificationList,
    OneNotification,
    ResentChannel,
    ResentNotification,
)
from server.resources.query import Query
from server.resources.records import Context, OneRecord
from server.resources.schema import QuerySchema
from server.resources.stream import Stream
from server.resources.streams import Streams
from server.resources.templates import TemplateParts, template_routes
from server.settings import Settings
from server.streams import StreamAdmin
from server.turns import Turns
from storage.alerts import AlertTables
from storage.metadata import Metadata
from storage.notifications import Notifications
from storage.paths import DataDirectory
from storage.scrub_tables import ScrubTables
from storage.store import Store

DOCUMENT_THREADS = (
    2  # at once: saving waits for the disk, some of it for a check; queries have threads of their own
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the resources are made of."""

    settings: Settings
    data: DataDirectory
    store: Store
    ingest: Ingest
    engine: Engine
    turns: Turns
    metadata: Metadata
    admin: StreamAdmin
    deletions: Deletions
    clock: Callable[[], int] = now_us


def create_app(parts: Parts) -> falcon.asgi.App[Any, Any]:
    """The ASGI application."""
    app: falcon.asgi.App[Any, Any] = WatchingApp()
    errors.install(app)
    app.add_middleware(KnownParameters())
    logs = Logs(parts.ingest, parts.store, parts.settings)
    query = Query(parts.engine, parts.turns)
    records = Records(parts.engine, parts.store)
    editing = Editing(parts.engine)
    document_threads = ThreadPoolExecutor(DOCUMENT_THREADS, thread_name_prefix="documents")
    outbox = Notifications(parts.metadata)
    saved = saved_kinds(parts.metadata, parts.store.stream_names, parts.clock)
    checks = {one.kind.name: one.kind.check for one in (saved.templates, saved.rules)}
    templates = TemplateParts(
        saved.template_kind, saved.templates, parts.engine, parts.turns, document_threads, parts.clock
    )
    configuration = Configuration(parts.metadata, saved.by_name, _in_memory(parts), parts.admin, parts.clock)
    notifying = (saved.channels, document_threads, outbox, parts.clock)
    desk = AlertDesk(AlertTables(parts.metadata), outbox, Asker(parts.engine), parts.clock)
    for path, resource in (
        ("/logs", logs),
        ("/v1/streams/{stream}/logs", logs),
        ("/query", query),
        ("/v1/query", query),
        ("/v1/histogram", Histogram(Histograms(parts.engine), parts.turns)),
        ("/v1/validate", Validate(editing, parts.turns, checks)),
        ("/v1/complete", Complete(editing, parts.turns)),
        ("/v1/explain", Explain(parts.engine, parts.turns)),
        ("/v1/streams", Streams(parts.store, parts.data)),
        ("/v1/streams/{stream}", Stream(parts.admin)),
        ("/v1/streams/{stream}/records/{number}", OneRecord(records, parts.turns)),
        ("/v1/streams/{stream}/records/{number}/context", Context(records, parts.turns)),
        ("/v1/streams/{stream}/fields", StreamFields(Fields(parts.engine), parts.turns)),
        ("/v1/streams/{stream}/delete", Delete(parts.deletions, parts.turns)),
        ("/v1/streams/{stream}/deletions", DeletionList(parts.deletions)),
        ("/v1/jobs", Jobs(parts.metadata)),
        ("/v1/jobs/{kind}/run", AskedJob(parts.metadata)),
        *document_routes(templates.saved, document_threads),
        *template_routes(templates),
        *document_routes(saved.channels, document_threads),
        ("/v1/channels/{name}/resend", ResentChannel(*notifying)),
        ("/v1/notifications", NotificationList(*notifying)),
        ("/v1/notifications/{number}", OneNotification(*notifying)),
        ("/v1/notifications/{number}/resend", ResentNotification(*notifying)),
        ("/v1/channels/{name}/test", TestedChannel(saved.channels, parts.clock, parts.settings.link_url)),
        *document_routes(saved.rules, document_threads),
        ("/v1/rules/test", TriedRule(desk, parts.turns)),
        ("/v1/rules/replay", ReplayedRule(desk, parts.turns)),
        ("/v1/alerts", Alerts(desk, document_threads)),
        ("/v1/alerts/history", AlertHistory(desk, document_threads)),
        ("/v1/alerts/{fingerprint}/ack", Acknowledged(desk, document_threads)),
        ("/v1/silences", Silences(desk, document_threads)),
        ("/v1/silences/{silence}", OneSilence(desk, document_threads)),
        ("/v1/schema/query.json", QuerySchema()),
        ("/v1/apply", Applied(configuration, document_threads)),
        ("/v1/export", Exported(configuration, document_threads)),
        ("/healthz", Health()),
        ("/readyz", Ready(parts.settings.data, parts.store, parts.ingest, ScrubTables(parts.metadata))),
    ):
        app.add_route(path, resource)
    return app


def _in_memory(parts: Parts) -> Factory:
    """What makes the documents that would be, over other metadata and other streams."""
    return lambda metadata, streams: saved_kinds(metadata, lambda: streams, parts.clock).by_name
