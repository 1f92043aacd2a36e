"""Words nearly in a row: each in a place of its own, and none much farther from where it belongs than another.

It is what `slop` means elsewhere too, as in Lucene: of word `i` at position `p` the shift is `p - i`; the greatest
shift less the least is at most the slop.
"""

from bisect import bisect_left
from collections.abc import Sequence


def is_scattered(words: Sequence[str], found: Sequence[str], slop: int, *, prefix: bool = False) -> bool:
    """Whether the words are nearly in a row among those found.

    Args:
        words: of the phrase.
        found: of the text, in order.
        slop: how much their shifts may differ.
        prefix: the last word may go on.
    """
    places = [_places(word, found, prefix=prefix and i == len(words) - 1) for i, word in enumerate(words)]
    if not all(places):
        return False
    shifts = sorted({place - i for i, all_of_word in enumerate(places) for place in all_of_word})
    return any(_fits(places, shift, slop) for shift in shifts)


def _places(word: str, found: Sequence[str], *, prefix: bool) -> list[int]:
    if prefix:
        return [place for place, other in enumerate(found) if other.startswith(word)]
    return [place for place, other in enumerate(found) if other == word]


def _fits(places: Sequence[Sequence[int]], shift: int, slop: int) -> bool:
    """Whether each word has a place of its own that is shifted by `shift` at least, and by `slop` more at most."""
    # The first free place is the best for every word: where the same word comes again, or a prefix that may take its
    # places, its room both begins and ends later.
    taken: set[int] = set()
    for i, all_of_word in enumerate(places):
        for at in range(bisect_left(all_of_word, shift + i), len(all_of_word)):
            place = all_of_word[at]
            if place > shift + i + slop:
                return False
            if place not in taken:
                taken.add(place)
                break
        else:
            return False
    return True
