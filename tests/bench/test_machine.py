"""What is said of the machine: processes, memory, loading without all bodies in memory, tables."""

import subprocess
import sys
import time

from bench import growth, server
from bench.asking import Measured
from bench.load import Loaded
from bench.questions import questions, survey
from bench.server import Memory, Peak, Processes

CHILD = """
import subprocess, sys, time
kept = bytearray(30_000_000)
for i in range(0, len(kept), 4096): kept[i] = 1
ended = subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.2: pass"])
print("ready", flush=True)
time.sleep(60)
"""


def test_children_count_even_those_that_have_ended():
    shell = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"
    with subprocess.Popen([sys.executable, "-c", shell], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        seen = Processes(process.pid)
        child = next(pid for pid in seen.pids() if pid != process.pid)
        try:
            assert seen.cpu_s() >= 0.2
            memory = seen.memory()
            assert memory.resident_mb >= memory.proportional_mb >= memory.anonymous_mb >= 28
            assert seen.peaks_mb() >= memory.resident_mb - 1
        finally:
            process.terminate()
            subprocess.run(["kill", str(child)], check=True)
    assert seen.pids() == [process.pid]
    assert seen.memory() == Memory()


def test_a_peak_is_the_most_that_was_seen(monkeypatch):
    monkeypatch.setattr(server, "WATCH_S", 0.001)
    sizes = iter([Memory(1, 5, 2), Memory(9, 4, 3), *[Memory(2, 2, 2)] * 100_000])
    peak = Peak(lambda: next(sizes))
    with peak.watching():
        time.sleep(0.05)
    peak.look()
    assert peak.memory == Memory(9, 5, 3)
    assert str(peak.memory) == "PSS 5 MB (3 anonymous), RSS 9 MB"


def test_bodies_are_the_file_cut_at_lines(corpus):
    bodies = corpus.first(250).batches(100)
    assert next(bodies).count(b"\n") == 100
    assert [body.count(b"\n") for body in bodies] == [100, 50]
    assert b"".join(corpus.batches(7)) == corpus.path.read_bytes()


def test_growth_is_shown_side_by_side(corpus):
    asked = questions(survey(corpus.records()))[:2]

    def grown(records, ms):
        queries = [Measured(q, kind, [ms, ms * 9, ms], records) for q in asked for kind in q.kinds]
        loaded = Loaded(records, records * 100, records / 1000, records / 500)
        memory = Memory(300, 200, 100)
        return growth.Grown(loaded, records / 50_000, records * 50, memory, memory, memory, 400.0, queries)

    text = growth.tables([1000, 3000], [grown(1000, 2.0), grown(3000, 5.0)])
    assert "|  | 1 000 records | 3 000 records |" in text
    assert "| searchable, records/s | 500 | 500 |" in text
    assert "| processor s for a million, all processes | 20.0 | 20.0 |" in text
    assert "| after asking, PSS (of it anonymous), MB | 200 (100) | 200 (100) |" in text
    assert "| everything, newest 100 | 2.00 | 5.00 | 2.5 | 1000 / 3000 |" in text


def test_growth_measures_a_real_server(corpus, monkeypatch, capfd):
    monkeypatch.setattr(server, "SETTLE_S_MIN", 0.0)
    monkeypatch.setattr(server, "QUIET_SHARE", 1000.0)
    monkeypatch.setattr(server, "QUIET_S", 0.01)
    growth.main(["--corpus", str(corpus.path), "--sizes", "500", "--runs", "1", "--batch", "100"])
    table = capfd.readouterr().out
    assert "| everything, count | " in table
    assert "| 500 |" in table
