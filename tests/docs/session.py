"""Runs what a page shows of a terminal: every `$ command`, and compares what it prints.

In what a page shows, `…` stands for anything on its line, and alone on a line for any lines. Behind the fence may stand
`varies`: every number stands for any number, and blanks for some; and `stays`: the last command goes on running.
A cursor may be cut: `WzEs…` in a command is the last cursor that was printed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import ROOT, Block
from tests.support.serving import free_port

SHOWN_URL = "http://127.0.0.1:8080"
SHOWN_PORT, SECOND_PORT = "8080", "8081"  # of the servers that pages show; the real ones are free ports
SHOWN_DIRECTORY = "/home/you/klomp"
ROWS, COLUMNS = 40, 110
STAYS_TIMEOUT_S = 40.0  # a server with demo logs in it takes two seconds; a busy machine more
COMMAND_TIMEOUT_S = 60.0

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CURSOR = re.compile(r"WzEs[\w-]{20,}")
_NUMBER = r"\d+(?: \d{3})*(?:\.\d+)?"
_TOKEN = re.compile(rf"…|{_NUMBER}| +|[^… \d]+")


def pattern(expected: str, *, varies: bool) -> re.Pattern[str]:
    """A regular expression for what a page shows."""
    out: list[str] = []
    if not expected.strip("\n"):
        return re.compile("")
    for line in expected.strip("\n").split("\n"):
        if line.strip() == "…":
            out.append(r"(?:[^\n]*\n)*?")
            continue
        for token in _TOKEN.findall(line.rstrip()):
            if token == "…":
                out.append(r"[^\n]*?")
            elif token.isspace() and varies:
                out.append(" +")
            elif token[0].isdigit() and varies:
                out.append(_NUMBER)
            else:
                out.append(re.escape(token))
        out.append(" *\n")
    return re.compile("".join(out))


def steps(block: Block) -> list[tuple[str, str]]:
    """The commands of a block, each with what it prints."""
    found: list[tuple[str, str]] = []
    typing = False
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
            typing = True
        elif typing and line.startswith("> "):
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
        else:
            typing = False
            assert found, f"{block.name} begins with no $ command"
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


@dataclass(slots=True)
class Running:
    """A command that stays, and what it has printed."""

    process: subprocess.Popen[bytes]
    terminal: int
    printed: bytearray = field(default_factory=bytearray)

    def read(self) -> None:
        with contextlib.suppress(OSError):  # what a terminal gives at its end
            while piece := os.read(self.terminal, 65536):
                self.printed += piece

    def end(self) -> None:
        """What Ctrl-C does, and then what a server does with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(40)


class Session:
    """A terminal in a directory that looks like a clone of the repository after `make setup`."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._ports = {SHOWN_PORT: str(self.port), SECOND_PORT: str(free_port())}
        self._cursor = ""
        self._running: list[Running] = []
        binaries = directory / ".venv" / "bin"
        binaries.mkdir(parents=True)
        for name in ("Makefile", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, directory / name)
        (directory / "docs").symlink_to(ROOT / "docs")
        program = binaries / "klomp"
        program.write_text(f"#!{sys.executable}\nfrom server.cli import main\n\nmain()\n")
        program.chmod(0o755)
        (binaries / "activate").touch()  # its bin is on the PATH already
        (directory / ".venv" / ".ready").touch()

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KLOMP_")}
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
            inherited.pop(name, None)
        return {
            **inherited,
            "PATH": f"{self.directory / '.venv' / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm",
            "PORT": str(self.port),
            "KLOMP_PORT": str(self.port),
            "KLOMP_URL": self.url,
        }

    def run(self, block: Block) -> None:
        """Type all commands of a block, and compare."""
        commands = steps(block)
        for number, (shown, expected) in enumerate(commands, 1):
            wanted = pattern(expected, varies="varies" in block.words)
            command = re.sub(r"WzEs\w*…", self._cursor, shown)
            for shown_port, port in self._ports.items():
                command = re.sub(rf"\b{shown_port}\b", port, command)
            if "stays" in block.words and number == len(commands):
                printed = self._stay(command, wanted)
            else:
                printed = self._type(command)
            for cursor in _CURSOR.findall(printed):
                self._cursor = cursor
            if expected or "stays" not in block.words:
                assert wanted.fullmatch(printed), (
                    f"{block.name}: {command}\nprinted:\n{printed}\nnot:\n{expected}"
                )

    def close(self) -> None:
        """End what still runs."""
        for running in reversed(self._running):
            running.end()
            os.close(running.terminal)

    def _type(self, command: str) -> str:
        """What a command prints, first to the terminal, then as errors."""
        ours, theirs = self._terminal()
        process = subprocess.Popen(
            ["/bin/bash", "-c", command],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        running = Running(process, ours)
        reader = threading.Thread(target=running.read)
        reader.start()
        _, errors = process.communicate(timeout=COMMAND_TIMEOUT_S)
        reader.join()
        os.close(ours)
        return self._shown(running.printed) + self._shown(errors)

    def _stay(self, command: str, wanted: re.Pattern[str]) -> str:
        """What a command has printed when all that is wanted is there, or nothing more comes."""
        ours, theirs = self._terminal()
        process = subprocess.Popen(
            ["/bin/bash", "-c", command],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        running = Running(process, ours)
        self._running.append(running)
        threading.Thread(target=running.read, daemon=True).start()
        deadline = time.monotonic() + STAYS_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            if wanted.fullmatch(self._shown(running.printed)):
                break
            time.sleep(0.05)
        return self._shown(running.printed)

    def _terminal(self) -> tuple[int, int]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        return ours, theirs

    def _shown(self, printed: bytes | bytearray) -> str:
        text = _ANSI.sub("", bytes(printed).decode().replace("\r\n", "\n"))
        text = text.replace(f" --url {self.url}", "").replace(str(self.directory), SHOWN_DIRECTORY)
        for shown_port, port in self._ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{shown_port}")
        text = "".join(f"{line.rstrip()}\n" for line in text.strip("\n").split("\n"))
        return "" if text == "\n" else text
