"""Named documents: every change is a version that stays, and nobody overwrites what they have not seen."""

import threading

import pytest

import storage.documents
from storage.documents import Document, Documents
from storage.errors import BadDocumentName, TooManyDocuments, VersionConflict
from storage.metadata import Metadata


@pytest.fixture
def metadata(tmp_path):
    opened = Metadata(tmp_path / "klomp.db")
    yield opened
    opened.close()


@pytest.fixture
def documents(metadata):
    return Documents(metadata)


def put(documents, name, body, now_us=1, **more):
    return documents.put("template", name, body, author="ann", now_us=now_us, **more)


def test_each_change_is_a_version_and_what_is_unchanged_makes_none(documents):
    first = put(documents, "a", "{}", 5)
    assert first == Document("template", "a", 1, "{}", "ann", 5, deleted=False)
    assert put(documents, "a", "{}", 6) == first
    second = put(documents, "a", "{:x 1}", 7)
    assert second.version == 2
    assert documents.get("template", "a") == second
    assert documents.get("template", "a", 1) == first
    assert documents.get("template", "a", 3) is None
    assert documents.versions("template", "a") == [second, first]
    assert documents.get("rule", "a") is None


def test_what_is_deleted_stays_readable_and_comes_back_with_a_higher_version(documents):
    first = put(documents, "a", "{}")
    assert documents.delete("template", "a", author="bob", now_us=9)
    assert not documents.delete("template", "a", author="bob", now_us=9)
    assert documents.get("template", "a") is None
    assert documents.list("template") == []
    assert documents.get("template", "a", 2) == Document("template", "a", 2, "", "bob", 9, deleted=True)
    assert documents.get("template", "a", 1) == first
    assert put(documents, "a", "{}", 11).version == 3


def test_whoever_expects_another_version_changes_nothing(documents):
    put(documents, "a", "{}")
    put(documents, "a", "{:x 1}", expected=1)
    with pytest.raises(VersionConflict, match="has version 2, not 1"):
        put(documents, "a", "{:x 2}", expected=1)
    with pytest.raises(VersionConflict, match="has version 2, not 1"):
        documents.delete("template", "a", author="", now_us=0, expected=1)
    with pytest.raises(VersionConflict, match="already"):
        put(documents, "a", "{:x 2}", create_only=True)
    with pytest.raises(VersionConflict, match="there is no template 'b'"):
        put(documents, "b", "{}", expected=1)
    assert documents.delete("template", "a", author="", now_us=0, expected=2)
    with pytest.raises(VersionConflict, match="there is no template 'a'"):
        put(documents, "a", "{}", expected=3)
    assert put(documents, "a", "{}", create_only=True).version == 4


def test_the_generation_rises_with_every_change_of_its_kind_only(documents):
    assert documents.generation("template") == 0
    put(documents, "a", "{}")
    first = documents.generation("template")
    documents.put("rule", "r", "{}", author="", now_us=0)
    put(documents, "a", "{}")
    assert documents.generation("template") == first
    put(documents, "a", "{:x 1}")
    second = documents.generation("template")
    documents.delete("template", "a", author="", now_us=0)
    assert first < second < documents.generation("template")


def test_the_list_has_the_newest_living_version_of_each(documents):
    for name in ("b", "a", "c"):
        put(documents, name, "{}")
    newest = put(documents, "b", "{:x 1}")
    documents.delete("template", "c", author="", now_us=0)
    assert [one.name for one in documents.list("template")] == ["a", "b"]
    assert documents.list("template")[1] == newest


def test_of_writers_at_once_that_expect_the_same_version_one_wins(tmp_path, documents):
    put(documents, "a", "{}")
    outcomes = []

    def write(body):
        metadata = Metadata(tmp_path / "klomp.db")
        try:
            outcomes.append(put(Documents(metadata), "a", body, expected=1).version)
        except VersionConflict:
            outcomes.append("conflict")
        finally:
            metadata.close()

    threads = [threading.Thread(target=write, args=(f"{{:x {n}}}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [2, "conflict", "conflict", "conflict"]


def test_names_that_no_path_should_have_are_refused(documents):
    for name in ("", "a b", "a/b", ".a", "-a", "é", "x" * 101, "a\n"):
        with pytest.raises(BadDocumentName):
            put(documents, name, "{}")


def test_bounds_on_documents_and_on_versions(documents, monkeypatch):
    monkeypatch.setattr(storage.documents, "DOCUMENTS_MAX", 2)
    monkeypatch.setattr(storage.documents, "VERSIONS_KEPT", 3)
    put(documents, "a", "{}")
    put(documents, "b", "{}")
    with pytest.raises(TooManyDocuments):
        put(documents, "c", "{}")
    for n in range(5):
        put(documents, "a", f"{{:x {n}}}")
    assert [one.version for one in documents.versions("template", "a")] == [6, 5, 4]
    documents.delete("template", "b", author="", now_us=0)
    put(documents, "c", "{}")
