"""What an operator is: its node in the tree, how it is read and printed, and the two ways to answer it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

import tantivy

from dsl.analysis import Analysis, Scalar, WrongType
from dsl.forms import Form
from dsl.nodes import Predicate
from dsl.patterns.pieces import Needs
from dsl.record import Matcher

if TYPE_CHECKING:
    AnyPredicate: TypeAlias = Predicate

Pair: TypeAlias = tuple[tantivy.Query, tantivy.Query]
"""`(upper, lower)`: what satisfies a predicate matches `upper`; what matches `lower` satisfies it.

The same object twice says that the index answers exactly."""


class IndexQueries(Protocol):
    """What an index can be asked, by the paths and values of a query; each answer is a `Pair`.

    Where it is about strings the path may be `*`, for those anywhere in a record.
    """

    def analyse(self, text: str) -> list[str]:
        """The words of a text as the index has them."""
        ...

    def all(self) -> Pair:
        """Every record."""
        ...

    def none(self) -> Pair:
        """No record."""
        ...

    def equal(self, path: str, value: Scalar) -> Pair:
        """A value at the path equals this one, of its own type."""
        ...

    def any_of(self, path: str, values: Sequence[Scalar]) -> Pair:
        """A value at the path equals one of these."""
        ...

    def numbers(
        self, path: str, low: float | None, high: float | None, include_low: bool, include_high: bool
    ) -> Pair:
        """A number at the path lies between these; None opens an end."""
        ...

    def strings(
        self, path: str, low: str | None, high: str | None, include_low: bool, include_high: bool
    ) -> Pair:
        """A string at the path lies between these, by code points; None opens an end."""
        ...

    def instants(self, low_us: int | None, high_us: int | None) -> Pair:
        """The record's time lies in [low, high)."""
        ...

    def exists(self, path: str) -> Pair:
        """A value that is not nil is at the path or below it."""
        ...

    def words(self, path: str, words: Sequence[str], *, every: bool) -> Pair:
        """One string at the path has all of these words, or any of them."""
        ...

    def phrase(self, path: str, words: Sequence[str], *, prefix: bool) -> Pair:
        """One string at the path has these words in a row; `prefix`: the last one may be longer."""
        ...

    def scattered(
        self, path: str, words: Sequence[str], test: Callable[[str], bool], *, prefix: bool
    ) -> Pair:
        """One string at the path passes a test that holds for these words in a row, and for them only."""
        ...

    def near(self, path: str, words: Sequence[str], distance: int, test: Callable[[str], bool]) -> Pair:
        """One string at the path has, for each word, one within so many edits; `test` says it of a string."""
        ...

    def passing(self, path: str, test: Callable[[str], bool], needs: Needs) -> Pair:
        """One string at the path passes a test, and has one piece of each clause of `needs`."""
        ...

    def substring(self, path: str, text: str) -> Pair:
        """One string at the path contains this text."""
        ...

    def starts_with(self, path: str, text: str) -> Pair:
        """One string at the path begins with this text."""
        ...

    def ends_with(self, path: str, text: str) -> Pair:
        """One string at the path ends with this text."""
        ...


@dataclass(frozen=True, slots=True)
class Compiler:
    """What compiling needs: the index, the `now` of this query, and the operators to go down the tree."""

    index: IndexQueries
    now_us: int
    operators: "Mapping[type[Predicate], Operator[Predicate]]"

    def pair(self, predicate: Predicate) -> Pair:
        """What the index is asked for a predicate."""
        return self.operators[type(predicate)].compile(predicate, self)


@dataclass(frozen=True, slots=True)
class Evaluator:
    """What evaluating needs: the words of a text as the index has them, the query's `now`, the operators."""

    analyse: Callable[[str], list[str]]
    now_us: int
    operators: "Mapping[type[Predicate], Operator[Predicate]]"

    def matcher(self, predicate: Predicate) -> Matcher:
        """A function that tells whether a predicate holds for a record."""
        return self.operators[type(predicate)].evaluate(predicate, self)


N = TypeVar("N", bound=Predicate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator(Generic[N]):
    """One operator.

    Attributes:
        name: without the colon; the node's `op`.
        signature: how it is written, for messages.
        summary: when it is true.
        example: one that reads.
        arguments: how many it takes, at least and at most; None is no bound.
        node: its kind in the tree.
        build: from the arguments to a node, or the mistakes noted.
        write: from a node to the arguments.
        compile: what the index is asked.
        evaluate: the same as a plain function.
        needs: texts that are in the strings of every record that it holds for, by those of its parts; None is none.
    """

    name: str
    signature: str
    summary: str
    example: str
    arguments: tuple[int, int | None]
    node: type[N]
    build: Callable[[Analysis, Form, Sequence[Form]], N | WrongType]
    write: Callable[[N, Callable[[Predicate], Form]], Sequence[Form]]
    compile: Callable[[N, Compiler], Pair]
    evaluate: Callable[[N, Evaluator], Matcher]
    needs: Callable[[N, Callable[[Predicate], Needs]], Needs] | None = None
