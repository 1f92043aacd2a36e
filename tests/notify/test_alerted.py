"""The whole way: records come in, a rule fires, and a real receiver hears of it, with the records in the message."""

from __future__ import annotations

import time

from tests.support.receivers import MailServer, Receiver, eventually

RULE = """
{:query {:from :shop :time {:last "5m"} :where [:= :level "error"] :group-by [:service] :aggregate {:n [:count]}}
 :when [:> :n 2]
 :every "1s"
 :labels {:severity "page"}
 :annotations {:summary "{service}: {n} errors"}
 :samples 2
 :notify [:hook :mail]}
"""


def test_an_alert_reaches_a_webhook_and_a_mailbox(server):
    with Receiver() as receiver, MailServer() as mail:
        for name, text in (
            ("hook", f'{{:type :webhook :url "{receiver.url}" :allow-private true :group-wait "0s"}}'),
            ("mail", f'{{:type :apprise :url "{mail.url()}" :allow-private true :group-wait "0s"}}'),
        ):
            status, answer, _ = server.request(
                "PUT", f"/v1/channels/{name}", text, content_type="application/edn"
            )
            assert status == 201, answer
        status, answer, _ = server.request("PUT", "/v1/rules/errors", RULE, content_type="application/edn")
        assert status == 201, answer
        now = time.time()
        server.ingest(
            [
                {"timestamp": now - 60 - n, "level": "error", "service": "edge", "message": f"boom {n}"}
                for n in range(5)
            ],
            "shop",
        )
        body = eventually(lambda: receiver.got)[0].json
        (alert,) = body["alerts"]
        assert (body["status"], alert["rule"], alert["labels"]["service"]) == ("firing", "errors", "edge")
        assert alert["labels"]["severity"] == "page"
        assert alert["annotations"]["summary"] == "edge: 5 errors"
        assert alert["value"]["n"] == 5
        assert [record["message"] for record in alert["samples"]] == ["boom 0", "boom 1"]
        assert server.request("GET", alert["url"].removeprefix(server.url))[0] == 200
        (told,) = eventually(lambda: mail.mails)
        assert told["subject"] == "[firing] errors"
        text = told.get_body(("html", "plain")).get_content()
        assert "edge: 5 errors" in text
        assert "boom 0" in text
        assert len(receiver.got) == 1
