"""Unit tests of rules: what passes, what fails and how that is said, and mistakes in the file."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from dsl.errors import QueryError
from server.alerts.unit import read_suite, run
from server.cli import main

RULE = """{:query {:from :app :time {:last "1m"} :where [:= :level "error"]
                   :group-by [:service] :aggregate {:n [:count]}}
          :when [:> :n 2] :every "30s" :for "1m" :delay "0s" :labels {:severity "page"}
          :annotations {:summary "{service}: {n}"}}"""
RECORDS = """[{:at "10s" :every "5s" :times 24 :stream :app :record {:level "ERROR" :service "auth"}}
              {:at "10s" :stream :app :record {:level "error" :service "edge"}}
              {:at "10s" :times 5 :every "1s" :stream :other :record {:level "error" :service "edge"}}]"""
PASSING = f"""
{{:rules ["errors.edn"]
 :tests [{{:name "a burst" :records {RECORDS}
          :alerts [{{:rule :errors :at "0s" :alerts []}}
                   {{:rule :errors :at "30s" :alerts [{{:labels {{:service "auth"}} :state :pending}}]}}
                   {{:rule :errors :at "1m29s" :alerts [{{:state :pending}}]}}
                   {{:rule :errors :at "90s" :alerts [{{:labels {{:service "auth" :severity "page"}}
                                                      :annotations {{:summary "auth: 12"}} :value {{:n 12}}}}]}}
                   {{:rule :errors :at "4m"}}
                   {{:rule :errors :at "4m" :alerts [{{:state :resolved}}]}}]}}]}}
"""
FAILING = f"""
{{:rules ["errors.edn"]
 :tests [{{:name "a burst" :records {RECORDS}
          :alerts [{{:rule :errors :at "30s" :alerts [{{:labels {{:service "edge"}}}}]}}
                   {{:rule :errors :at "0s" :alerts [{{:labels {{:service "edge"}}}}]}}]}}
         {{:name "nothing" :alerts [{{:rule :errors :at "1m"}}]}}]}}
"""


def test_what_must_be_there_is_there():
    suite = read_suite(PASSING, lambda _: RULE)
    assert [(test.name, failed) for test, failed in run(suite)] == [("a burst", [])]


def test_differences_are_shown(tmp_path):
    (tmp_path / "errors.edn").write_text(RULE)
    file = tmp_path / "errors.test.edn"
    file.write_text(FAILING)
    result = CliRunner().invoke(main, ["rules", "test", str(file)])
    assert result.exit_code == 1
    assert result.output.replace(str(tmp_path), "") == (
        "FAILED /errors.test.edn: a burst\n"
        "  errors at 30s\n"
        "    expected: firing   {service=edge}\n"
        "    got:      pending  {alertname=errors, service=auth, severity=page}"
        "  annotations {summary=auth: 4}  value {n=4, service=auth}\n"
        "  errors at 0s\n"
        "    expected: firing   {service=edge}\n"
        "    got:      no alerts\n"
        "ok     /errors.test.edn: nothing\n"
        "2 tests, 1 failed\n"
    )
    file.write_text(PASSING)
    result = CliRunner().invoke(main, ["rules", "test", str(file)])
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "1 test, 0 failed")


def test_a_silent_group_is_known_from_its_records():
    text = """
    {:rules [{:name :beats :query {:time {:last "1m"} :group-by [:host]}
              :when [:< :count 0] :when-absent "3m" :delay "0s"}]
     :tests [{:records [{:every "10s" :times 30 :record {:host "a"}}
                        {:every "10s" :times 60 :record {:host "b"}}]
              :alerts [{:rule :beats :at "7m30s" :alerts []}
                       {:rule :beats :at "8m" :alerts [{:labels {:host "a" :absent "true"}}]}]}]}"""
    assert [failed for _, failed in run(read_suite(text, str))] == [[]]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("[]", ["not-a-map"]),
        ("{}", ["missing-key", "missing-key"]),
        ("{:rules [] :tests [] :test []}", ["unknown-key"]),
        ('{:rules ["wrong.edn"] :tests []}', ["missing-key"]),
        ("{:rules [{:name :a}] :tests []}", ["missing-key"]),
        ('{:rules [] :tests [{:alerts [{:rule :a :at "1m"}]}]}', ["unknown-rule"]),
        ("{:rules [] :tests [{:alerts [{:rule :a}]}]}", ["missing-key"]),
        ("{:rules [] :tests [{:records [{:at 5 :record {}}]}]}", ["bad-duration"]),
        ("{:rules [] :tests [{:records [{:times -1 :record {}}]}]}", ["bad-value"]),
        ("{:rules [] :tests [{:records [{}]}]}", ["missing-key"]),
        ('{:rules [] :tests [{:start "soon"}]}', ["bad-time"]),
        ("{:rules {} :tests [5]}", ["bad-value", "not-a-map"]),
    ],
)
def test_mistakes_in_a_file_are_named(text, codes):
    with pytest.raises(QueryError) as caught:
        read_suite(text, lambda _: "{}")
    assert [mistake.code for mistake in caught.value.mistakes] == codes
    assert caught.value.render(text)


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    file = tmp_path / "a.edn"
    file.write_text('{:rules ["none.edn"] :tests []}')
    result = CliRunner().invoke(main, ["rules", "test", str(file)])
    assert result.exit_code == 2
    assert "none.edn" in result.output
    file.write_text("{:rulez []}")
    result = CliRunner().invoke(main, ["rules", "test", str(file)])
    assert result.exit_code == 2
    assert "did you mean :rules?" in result.output
