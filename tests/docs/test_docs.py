"""The documentation is true: its examples run, its tables are those of the code, nothing public is missing."""

from __future__ import annotations

import ast
import json
import re
import shutil
import struct
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import falcon.inspect
import orjson
import pytest

import storage.index
from dsl.parse import parse
from dsl.reader import read
from dsl.time import format_duration
from server.alerts.rule import DURATIONS, read_rule
from server.app import Parts, create_app
from server.cli import COMMANDS
from server.deletions import Deletions
from server.encode import ENCODERS
from server.engine import Engine
from server.ingest import Ingest
from server.jobs import JOBS
from server.preparing import REJECTED_LISTED_MAX
from server.protocols import PROTOCOLS
from server.protocols.edn import EDN_CHARACTERS_MAX
from server.resources.health import HEARTBEAT_STALE_S
from server.resources.query import QUERY_BYTES_MAX
from server.settings import Settings
from server.streams import SEGMENTS_LISTED_MAX, StreamAdmin
from storage import format as data_format
from storage import log as data_log
from storage import record
from storage.catalog import CATALOG_VERSION, Catalog, SegmentEntry
from storage.index import WORD_BYTES_MAX, create_index
from storage.metadata import JOBS_KEPT, JOBS_LISTED_MAX, Metadata
from storage.paths import DataDirectory
from storage.segment import SegmentMeta
from storage.store import Store
from storage.stream_settings import StreamSettings
from storage.synced import SYNCED, SYNCED_MAGIC
from tests.docs.blocks import PAGES, ROOT, anchors, blocks, code, links, prose, table
from tests.docs.session import SHOWN_URL, Session
from tests.support.serving import Serving

DOCS = ROOT / "docs"
HTTP_API = DOCS / "http-api.md"
DATA_LOG = DOCS / "formats" / "data-log.md"
CATALOG = DOCS / "formats" / "catalog.md"
INDEX = DOCS / "formats" / "index.md"
STREAMS = DOCS / "streams.md"
ALERTS = DOCS / "alerts.md"
SOURCES = sorted(path for folder in ("server", "storage") for path in (ROOT / folder).rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


# -- the examples


SESSIONS = [path for path in PAGES if any(blocks(path, "console"))]


@pytest.mark.parametrize("path", SESSIONS, ids=named)
def test_what_a_page_shows_of_a_terminal_happens(path, tmp_path):
    shown = list(blocks(path, "console"))
    for program in ("bash", "make", "curl", "gzip", "od"):
        if any(re.search(rf"\b{program} ", block.text) for block in shown) and not shutil.which(program):
            pytest.skip(f"{program} is not there")
    asks = SHOWN_URL in path.read_text(encoding="utf-8") and "stays" not in shown[0].words
    serving = Serving(tmp_path / "data") if asks else None
    session = Session(tmp_path, serving.port if serving else None)
    try:
        for block in shown:
            session.run(block)
    finally:
        session.close()
        if serving:
            assert serving.stop() == 0


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_examples_of_queries_and_of_json_read(path):
    for block in blocks(path, "clojure"):
        if "rule" in block.words:
            read_rule(read(block.text))
        elif path.name not in ("language.md", "edn.md"):  # which have tests of their own
            parse(block.text)
    for block in blocks(path, "json"):
        json.loads(block.text)


def test_the_durations_of_rules_are_those_that_are_documented():
    shown = {code(row["key"])[0]: row for row in table(ALERTS, "key", "default", "is")}
    for name, kind in DURATIONS.items():
        row = shown[f":{name}"]
        default = "never" if kind.default_us is None else f'`"{format_duration(kind.default_us)}"`'
        assert row["default"] == default
        assert row["is"].startswith(kind.meaning)
        assert f"`{format_duration(kind.most_us)}`" in row["is"] or (
            f"{format_duration(kind.least_us)}` to `{format_duration(kind.most_us)}`" in row["is"]
        )


def test_the_catalog_of_the_example_is_one():
    (block,) = blocks(CATALOG, "json")
    example = json.loads(block.text)
    assert Catalog.model_validate_json(block.text).model_dump(mode="json") == example


# -- links and names


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path):
    for link in links(path):
        target, _, anchor = link.partition("#")
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), link
        if anchor:
            assert anchor in anchors(page), link


def test_every_page_can_be_reached_from_the_index():
    reached, open_pages = set(), [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        open_pages += [
            (page.parent / link.partition("#")[0]).resolve() for link in links(page) if link[0] != "#"
        ]
    assert set(PAGES) <= reached


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_the_files_that_a_page_names_exist(path):
    for name in re.findall(r"`((?:grammar|dsl|storage|server|tests|bench|docs)/[\w./-]*)`", prose(path)):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_what_a_page_names_in_a_file_is_there(path):
    for name, file in re.findall(r"`([A-Za-z_][\w.]*)`\s+in\s+`([\w/]+\.py)`", prose(path)):
        assert name in definitions(ROOT / file), f"{name} in {file}"


def definitions(path):
    """The functions and classes of a module, and the methods of classes."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{item.name}" for item in methods}
    return found


@pytest.mark.parametrize(
    "registry",
    [
        "dsl/operators/__init__.py",
        "dsl/aggregates/__init__.py",
        "dsl/keys/__init__.py",
        "server/protocols/__init__.py",
        "server/encode/__init__.py",
        "server/notify/channels/__init__.py",
        "server/kinds.py",
        "server/settings.py",
        "server/cli/__init__.py",
        "server/processes/__init__.py",
        "server/jobs/__init__.py",
        "server/app.py",
    ],
)
def test_contributors_are_told_of_every_registry(registry):
    assert any(
        f"`{registry}`" in row["and a line in"] for row in table(ROOT / "CONTRIBUTING.md", *CONTRIBUTE)
    )


CONTRIBUTE = ("to add", "write a file like", "and a line in")


def test_the_make_targets_that_pages_name_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in PAGES:
        assert set(re.findall(r"^(?:\$ )?make ([\w-]+)|`make ([\w-]+)`", path.read_text(), re.MULTILINE)) <= {
            pair for target in targets for pair in ((target, ""), ("", target))
        }


def test_the_version_has_its_changes():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


# -- HTTP


@pytest.fixture
def app(tmp_path):
    settings, data = Settings(data=tmp_path), DataDirectory(tmp_path)
    store = Store(data)
    with ThreadPoolExecutor(1) as threads:
        ingest = Ingest(data, lambda: 0, settings.streams_max)
        metadata = Metadata(data.metadata)
        admin = StreamAdmin(data, store, metadata, ingest, lambda: 0)
        engine = Engine(store, lambda: 0)
        deletions = Deletions(engine, ingest, metadata, lambda: 0)
        yield create_app(Parts(settings, data, store, ingest, engine, threads, metadata, admin, deletions))
        ingest.close()
        metadata.close()


def test_every_route_is_documented_and_no_other(app):
    routes = {
        f"{method.method} {route.path}"
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal
    }
    assert routes == {name for row in table(HTTP_API, "route", "does") for name in code(row["route"])}


def test_every_media_type_is_documented_and_no_other():
    bodies = {
        name
        for row in table(HTTP_API, "`Content-Type`", "the body is")
        for name in code(row["`Content-Type`"])
    }
    assert bodies == set(PROTOCOLS)
    answers = {name for row in table(HTTP_API, "`Accept`", "the answer is") for name in code(row["`Accept`"])}
    assert answers == {name for encoder in ENCODERS for name in (encoder.media_type, *encoder.aliases)}


def codes():
    """The error codes in the sources, each with its status, with "record", or with "" where that is not said there."""
    for path in SOURCES:
        if path.relative_to(ROOT).parts[1] in ("cli", "demo"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    ast.Name("RequestError"), [ast.Constant(int(status)), ast.Constant(str(name)), *_]
                ):
                    yield str(status), name
                case ast.Call(ast.Name("BadRecord"), [ast.Constant(str(name)), *_]):
                    yield "record", name
                case ast.Call(ast.Name("error_item"), [ast.Constant(str(name)), *_]):
                    yield "", name
                case ast.Dict(keys, values):
                    for key, value in zip(keys, values, strict=True):
                        if (
                            isinstance(key, ast.Constant)
                            and key.value == "code"
                            and isinstance(value, ast.Constant)
                        ):
                            yield "", value.value
                case ast.ClassDef():
                    for item in node.body:
                        match item:
                            case ast.Assign([ast.Name("code")], ast.Constant(str(name))):
                                yield "", name


ANSWERED = ("status", "code", "what is wrong")
REJECTED = ("code of a record", "what is wrong")
WARNED = ("code of a warning", "what to know")
LOGGED = ("code in the log", "what is wrong")
FOUND_CODES = sorted(set(codes()))


def test_the_codes_are_found():
    assert {("413", "body-too-large"), ("record", "bad-timestamp"), ("", "unknown-stream")} <= set(
        FOUND_CODES
    )
    assert len(FOUND_CODES) > 30


@pytest.mark.parametrize(("status", "name"), FOUND_CODES)
def test_every_error_code_is_documented(status, name):
    answers = {(row["status"], found) for row in table(HTTP_API, *ANSWERED) for found in code(row["code"])}
    records = {found for row in table(HTTP_API, *REJECTED) for found in code(row["code of a record"])}
    warned = {found for row in table(HTTP_API, *WARNED) for found in code(row["code of a warning"])}
    logged = {found for row in table(HTTP_API, *LOGGED) for found in code(row["code in the log"])}
    if status == "record":
        assert name in records
    elif status:
        assert (status, name) in answers
    else:
        assert name in {found for _, found in answers} | logged | warned


def test_no_error_code_is_documented_that_nothing_raises():
    text = "".join(path.read_text() for path in SOURCES)
    for row in table(HTTP_API, *ANSWERED):
        assert all(f'"{found}"' in text for found in code(row["code"])), row


def test_what_a_record_is_called_is_documented():
    rows = table(HTTP_API, "", "names", "taken as")
    names = (record.TIME_NAMES, record.MESSAGE_NAMES, record.LEVEL_NAMES)
    assert [tuple(code(row["names"])) for row in rows] == list(names)
    levels = {
        code(row["level"])[0]: code(row["is also written"])
        for row in table(HTTP_API, "level", "is also written")
    }
    for name, level in record.LEVELS.items():
        assert name.lower() == level or name.lower() in levels[level]
    assert {name: record.LEVELS[name] for level in levels for name in levels[level]} == {
        name: level for level in levels for name in levels[level]
    }


def test_every_job_is_documented():
    rows = table(STREAMS, "job", "every", "does", "its outcome")
    assert {code(row["job"])[0]: row["every"] for row in rows} == {
        job.kind: f"{job.every_s} s" for job in JOBS.values()
    }


def test_every_setting_of_a_stream_is_documented_with_its_default():
    defaults = {
        f"{group}.{name}": json.dumps(default)
        for group, settings in StreamSettings().to_json().items()
        for name, default in settings.items()
    }
    rows = table(STREAMS, "setting", "default", "what it is")
    assert {code(row["setting"])[0]: code(row["default"])[0] for row in rows} == defaults


def grouped(number):
    return f"{number:,}".replace(",", " ")


@pytest.mark.parametrize(
    ("path", "bound"),
    [
        (HTTP_API, Settings.model_fields["body_bytes_max"].default),
        (HTTP_API, EDN_CHARACTERS_MAX),
        (HTTP_API, record.RECORD_BYTES_MAX),
        (HTTP_API, record.DEPTH_MAX),
        (HTTP_API, record.FIELDS_MAX),
        (HTTP_API, Settings.model_fields["streams_max"].default),
        (HTTP_API, QUERY_BYTES_MAX),
        (HTTP_API, REJECTED_LISTED_MAX),
        (HTTP_API, data_format.TICKET_KEY_BYTES_MAX),
        (HTTP_API, data_log.IDEMPOTENCY_WINDOW_S // 3600),
        (INDEX, WORD_BYTES_MAX),
        (CATALOG, int(HEARTBEAT_STALE_S)),
        (STREAMS, SEGMENTS_LISTED_MAX),
        (STREAMS, JOBS_KEPT),
        (STREAMS, JOBS_LISTED_MAX),
    ],
)
def test_bounds_are_documented(path, bound):
    assert re.search(rf"(?<!\d)(?<!\d ){grouped(bound)}(?!\d| \d)", prose(path))


# -- settings and commands


def test_every_setting_is_documented_with_its_default():
    rows = {code(row["setting"])[0]: row for row in table(DOCS / "settings.md", *SETTINGS)}
    assert list(rows) == list(Settings.model_fields)
    options = {name: parameter for parameter in COMMANDS["serve"].load().params for name in parameter.opts}
    for name, field in Settings.model_fields.items():
        row = rows[name]
        assert code(row["default"]) == [str(field.default)]
        option = options[code(row["option"])[0]]
        assert (option.name, option.envvar) == (name, code(row["variable"])[0])


SETTINGS = ("setting", "option", "variable", "default", "what it is, and why")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    assert f"klomp {name}" in (DOCS / "command-line.md").read_text()


# -- formats


SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8, "q": 8}


def layout(packed):
    """Offset and size of each field of a struct, its padding included."""
    offset = 0
    for count, kind in re.findall(r"(\d*)([a-zA-Z])", packed.format):
        size = int(count or 1) if kind in "sx" else SIZES[kind]
        yield offset, size
        offset += size
    assert offset == struct.calcsize(packed.format)


@pytest.mark.parametrize(
    ("packed", "column", "rest"),
    [
        (data_format.FILE_HEADER, "field of the file header", []),
        (data_format.FRAME_HEADER, "field of a frame", []),
        (data_format.TICKET, "field of a ticket", [("28", "n")]),
        (SYNCED, "field of what is synced", []),
    ],
)
def test_tables_of_bytes_are_those_of_the_structs(packed, column, rest):
    rows = table(DATA_LOG, "offset", "size", column)
    want = [(str(offset), str(size)) for offset, size in layout(packed)]
    assert [(row["offset"], row["size"]) for row in rows] == want + rest


def test_magic_and_version_are_documented():
    header = table(DATA_LOG, "offset", "size", "field of the file header")
    assert code(header[0]["field of the file header"]) == [data_format.FILE_MAGIC.decode()]
    assert code(header[1]["field of the file header"]) == [str(data_format.FORMAT_VERSION)]
    synced = table(DATA_LOG, "offset", "size", "field of what is synced")
    assert code(synced[1]["field of what is synced"]) == [SYNCED_MAGIC.decode()]
    frame = table(DATA_LOG, "offset", "size", "field of a frame")
    assert code(frame[1]["field of a frame"]) == [data_format.FRAME_MAGIC.decode()]


def test_bounds_of_the_format_are_documented():
    for row in table(DATA_LOG, "bound", "value", "because"):
        name = code(row["bound"])[0]
        value = getattr(data_format, name, None) or getattr(data_log, name)
        assert row["value"] == f"{grouped(value)} bytes"
    bounds = {name for name in vars(data_format) if name.endswith(("_BYTES_MAX", "_BYTES_TARGET"))}
    assert bounds <= {code(row["bound"])[0] for row in table(DATA_LOG, "bound", "value", "because")}


@pytest.mark.parametrize(
    ("column", "model"),
    [
        ("key of the catalog", Catalog),
        ("key of a segment", SegmentEntry),
        ("key of a sealed segment", SegmentMeta),
    ],
)
def test_every_key_of_the_catalog_is_documented(column, model):
    assert [code(row[column])[0] for row in table(CATALOG, column, "is")] == list(model.model_fields)


def test_the_version_of_the_catalog_is_documented():
    (row,) = (
        row for row in table(CATALOG, "key of the catalog", "is") if row["key of the catalog"] == "`version`"
    )
    assert code(row["is"]) == [str(CATALOG_VERSION)]


def test_every_field_of_the_index_is_documented(tmp_path):
    create_index(tmp_path / "index")
    schema = orjson.loads((tmp_path / "index" / "meta.json").read_bytes())["schema"]
    rows = table(INDEX, "field", "type", "indexed as", "column", "holds")
    for field, row in zip(schema, rows, strict=True):
        options = field["options"]
        assert not options["stored"]
        indexing = options.get("indexing") or {}
        assert code(row["field"]) == [field["name"]]
        assert code(row["type"]) == [field["type"]]
        assert code(row["indexed as"]) == [value for name, value in indexing.items() if name == "tokenizer"]
        assert row["column"] == ("yes" if options["fast"] else "no")


def test_every_mark_of_the_index_is_documented():
    marks = {
        value[1:]
        for value in vars(storage.index).values()
        if isinstance(value, str) and "\ue000" in value[:-1]
    }
    rows = table(INDEX, "in the record", "in the index", "because")
    assert marks == {
        name for row in rows if "under" in row["in the index"] for name in code(row["in the index"])[1:]
    }


def test_every_file_in_a_data_directory_is_documented(tmp_path):
    server = Serving(tmp_path / "data")
    try:
        for stream in ("app", "other"):
            server.ingest([{"message": "hello"}], stream)
        server.query("{:from :*}")
        files = [path.relative_to(server.data) for path in server.data.rglob("*") if path.is_file()]
    finally:
        server.stop()
    known = [
        re.sub(r"<[^>]+>", r"[^/]+", re.escape(name).replace(r"\<", "<").replace(r"\>", ">"))
        for row in table(CATALOG, "path below the data directory", "is")
        for name in code(row["path below the data directory"])
    ]
    assert files
    for file in files:
        assert any(re.match(name if name.endswith("/") else f"{name}$", str(file)) for name in known), file
