"""The command line: `klomp SUBCOMMAND …`, one module for each subcommand, imported only when it runs."""

from dataclasses import dataclass
from importlib import import_module

import click


@dataclass(frozen=True, slots=True)
class Lazy:
    """A subcommand that is not imported yet: `module:attribute`, and its line in the list of all."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


COMMANDS = {
    "up": Lazy("server.cli.up:up", "Run a store and fill it with demo logs, to try it out."),
    "serve": Lazy("server.cli.serve:serve", "Run the store: HTTP server, indexer and jobs."),
    "ingest": Lazy("server.cli.ingest:ingest", "Send files of logs, or what comes in on a pipe."),
    "query": Lazy("server.cli.query:query", "Ask a question in EDN."),
    "explain": Lazy("server.cli.explain:explain", "Say how a question is answered, and what it costs."),
    "run": Lazy("server.cli.run:run", "Run a saved template."),
    "templates": Lazy("server.cli.templates:templates", "List, show, save and delete templates."),
    "rules": Lazy("server.cli.rules:rules", "Look after alert rules: try, replay, save, test them."),
    "alerts": Lazy("server.cli.alerts:alerts", "List the alerts that fire."),
    "streams": Lazy("server.cli.streams:streams", "List the streams: records, sizes, range of time."),
    "fields": Lazy("server.cli.fields:fields", "List the fields of a stream, their kinds and values."),
    "histogram": Lazy("server.cli.histogram:histogram", "Count over time what a question finds."),
    "channels": Lazy("server.cli.channels:channels", "Set, try and look at the channels of notifications."),
    "apply": Lazy("server.cli.apply:apply", "Make what is set what the EDN files of a directory say."),
    "export": Lazy("server.cli.apply:export", "Write what is set as EDN files."),
    "check": Lazy("server.cli.check:check", "Read all that is stored and say what is damaged."),
    "rebuild": Lazy("server.cli.rebuild:rebuild", "Make indexes again from the data."),
    "backup": Lazy("server.cli.backup:backup", "Copy all that is stored to a folder or a file."),
    "restore": Lazy("server.cli.backup:restore", "Put a backup into a new data directory."),
    "demo": Lazy("server.cli.demo:demo", "Write believable logs of several services."),
}


class LazyGroup(click.Group):
    """A group whose subcommands are named here and imported on use, so that help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The names, in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        lazy = COMMANDS.get(cmd_name)
        return None if lazy is None else lazy.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="klomp", message="klomp %(version)s")
def main() -> None:
    """A log store that is asked in data: logs come in over HTTP, questions are EDN documents.

    \b
    First steps:
      klomp up                                    a store with demo logs in it
      klomp query '[:= :level "error"]'           the newest errors
      klomp query '{:time {:last "1h"}
                    :group-by [:service]
                    :aggregate {:n [:count]}}'    records of each service
      klomp run slowest-routes window=1d          a saved question
      klomp ingest app.ndjson access.log.gz       put your own logs in
      journalctl -f | klomp ingest -              or whatever a program prints

    KLOMP_URL names the server (default http://127.0.0.1:8080). `klomp COMMAND --help` has more examples.
    Read on in docs/: quickstart.md to begin, language.md for questions, command-line.md for these commands.
    """  # noqa: D301  # \b keeps lines as they are
