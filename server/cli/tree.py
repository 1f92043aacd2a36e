"""An explanation as a tree for a terminal, from the plain data of `POST /v1/explain`.

rows from main, by [[:timestamp :desc]], at most 5
├─ condition  the index narrows it down, the rest is checked
│  └─ and  at most 58
└─ cost  cheap
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.cli.common import counted, grouped, sized, visible

SEGMENTS_SHOWN_MAX = 12  # the newest of each kind; the data has all
FORM_CHARACTERS_MAX = 90  # of a condition on its line
FORM_COLUMNS = (
    40  # of the conditions, so that what is said of them stands in columns, if they are short enough
)
INDENT = 3  # of each level of the tree


@dataclass(slots=True)
class Branch:
    """A line and those below it."""

    text: str
    below: list[Branch] = field(default_factory=list)

    def add(self, text: str) -> Branch:
        """One more line below it."""
        branch = Branch(visible(text))
        self.below.append(branch)
        return branch

    def lines(self, first: str = "", rest: str = "") -> list[str]:
        """The tree, drawn."""
        found = [f"{first}{self.text}".rstrip()]
        for place, branch in enumerate(self.below):
            last = place == len(self.below) - 1
            found += branch.lines(rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
        return found


def explanation_lines(explanation: dict[str, Any]) -> list[str]:
    """The lines of an explanation."""
    root = Branch(_headline(explanation))
    root.add(explanation["query"]["edn"])
    _add_understanding(root, explanation)
    _add_segments(root, explanation)
    _add_condition(root, explanation)
    steps = root.add("steps")
    for number, step in enumerate(explanation["steps"], 1):
        steps.add(f"{number}. {step['step']}: {counted(step['records'], 'record')}")
    _add_cost(root, explanation["cost"])
    if explanation["ran"] is not None:
        _add_ran(root, explanation["ran"])
    if explanation["incomplete"]:
        root.add(f"not complete: {explanation['incomplete']}")
    return root.lines()


def _headline(explanation: dict[str, Any]) -> str:
    names = list(explanation["streams"])
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return visible(f"{explanation['query']['kind']} from {shown or 'no stream'}")


def _add_understanding(root: Branch, explanation: dict[str, Any]) -> None:
    if explanation["rewritten"]:
        rewritten = root.add("read as")
        for one in explanation["rewritten"]:
            rewritten.add(f"{one['written']} -> {one['canonical']}  ({one['because']})")
    if explanation["defaults"]:
        said = ", ".join(f"{name} {value}" for name, value in explanation["defaults"].items())
        root.add(f"not said: {said}")
    time = explanation["time"]
    if time["since"] is None and time["until"] is None:
        root.add("time  any")
    else:
        since = "" if time["since"] is None else f"from {time['since']} "
        root.add(f"time  {since}{'on' if time['until'] is None else 'until before ' + time['until']}")


def _add_segments(root: Branch, explanation: dict[str, Any]) -> None:
    segments = explanation["segments"]
    total = segments["taken"] + segments["skipped"]
    records = sum(explanation["streams"].values())
    branch = root.add(
        f"segments  {segments['taken']} of {total} taken, "
        f"{grouped(segments['taken_records'])} of {counted(records, 'record')}"
    )
    for taken in (True, False):
        listed = [segment for segment in segments["list"] if segment["taken"] is taken]
        for segment in listed[:SEGMENTS_SHOWN_MAX]:
            branch.add(_segment(segment))
        if len(listed) > SEGMENTS_SHOWN_MAX:
            branch.add(f"and {len(listed) - SEGMENTS_SHOWN_MAX} more {'taken' if taken else 'skipped'}")


def _segment(segment: dict[str, Any]) -> str:
    """A segment's numbers, whether it is taken, and its times; one that has only just begun has neither yet."""
    first, last = segment["first"], segment["until"] - 1
    numbers = f"{grouped(first)} to {grouped(last)}" if first <= last else f"from {grouped(first)} on"
    why = "taken" if segment["taken"] else f"skipped: {segment['because']}"
    times = (
        f"  ({segment['first_time']} to {segment['last_time']})" if segment["first_time"] is not None else ""
    )
    return f"{segment['stream']} {numbers}  {why}{times}"


def _add_condition(root: Branch, explanation: dict[str, Any]) -> None:
    condition = explanation["condition"]
    if condition is None:
        nowhere = not explanation["segments"]["taken"]
        root.add(
            "condition  not asked: no segment is taken"
            if nowhere
            else "condition  none: every record matches"
        )
        return
    exact = condition["answered"] == "index"
    how = "the index answers it" if exact else "the index narrows it down, the rest is checked"
    branch = root.add(f"condition  {how}: {_matches(explanation['matches'])}")
    _add_step(branch, condition, 0)


def _add_step(parent: Branch, condition: dict[str, Any], depth: int) -> None:
    form = f":{condition['operator']}" if condition["parts"] else condition["form"]
    if len(form) > FORM_CHARACTERS_MAX:
        form = form[: FORM_CHARACTERS_MAX - 1] + "…"
    who = "index  " if condition["answered"] == "index" else "checked"
    branch = parent.add(
        f"{form:<{max(FORM_COLUMNS - INDENT * depth, 0)}}  {who}  {_matches(condition['matches'])}  {condition['does']}"
    )
    for part in condition["parts"]:
        _add_step(branch, part, depth + 1)


def _matches(known: dict[str, Any]) -> str:
    if not known["counted"]:
        return f"at most {grouped(known['most'])} (not counted)"
    if known["least"] == known["most"]:
        return grouped(known["most"])
    if not known["least"]:
        return f"at most {grouped(known['most'])}"
    return f"{grouped(known['least'])} to {grouped(known['most'])}"


def _add_cost(root: Branch, cost: dict[str, Any]) -> None:
    read = cost["read_records"]
    most = grouped(read["most"])
    shown = most if read["least"] == read["most"] else f"{grouped(read['least'])} to {most}"
    root.add(
        f"cost  {cost['class']}: {shown} records read, {sized(cost['read_bytes'])} "
        f"in {counted(cost['blocks'], 'block')} at most; the index passes {grouped(cost['index_records'])}"
    )


def _add_ran(root: Branch, ran: dict[str, Any]) -> None:
    matching = "unknown: time was up" if ran["matching"] is None else counted(ran["matching"], "record")
    rows = counted(ran["rows"], "row")
    done = "" if ran["complete"] else ", cut short: time was up"
    branch = root.add(f"ran  {rows} in {ran['took_ms']:.1f} ms{done}; matching: {matching}")
    index, read = ran["index"], ran["read"]
    asked = counted(index["searches"] + index["aggregations"], "question")
    branch.add(f"index  {asked}, {index['took_ms']:.1f} ms")
    branch.add(
        f"read  {counted(read['records'], 'record')}, {sized(read['bytes'])}, {read['took_ms']:.1f} ms"
    )
    for one in ran["checked"]:
        branch.add(
            f"checked  {one['form']}: {grouped(one['held'])} of {counted(one['of'], 'candidate')} hold"
        )
