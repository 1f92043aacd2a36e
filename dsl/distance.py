"""How far one word is from another: characters left out, put in, exchanged, or swapped with their neighbour.

It is what the index counts too: the optimal string alignment distance, in which no part is edited twice (`ca` is three
from `abc`: to swap the two and then put a `b` between them would edit a part twice).
"""


def is_near(word: str, other: str, most: int) -> bool:
    """Whether one word is at most so many edits from another."""
    if word == other:
        return True
    if abs(len(word) - len(other)) > most:
        return False
    start = 0
    shorter = min(len(word), len(other))
    while start < shorter and word[start] == other[start]:
        start += 1
    end = 0
    while end < shorter - start and word[-1 - end] == other[-1 - end]:
        end += 1
    return _distance(word[start : len(word) - end], other[start : len(other) - end], most) <= most


def _distance(word: str, other: str, most: int) -> int:
    """The distance, or more than `most` where it is more; worked out row by row, near the diagonal only."""
    far = most + 1
    before = [far] * (len(other) + 1)
    row = [min(place, far) for place in range(len(other) + 1)]
    for i, character in enumerate(word, 1):
        next_row = [far] * (len(other) + 1)
        if i <= most:
            next_row[0] = i
        for j in range(max(1, i - most), min(len(other), i + most) + 1):
            least = min(row[j] + 1, next_row[j - 1] + 1, row[j - 1] + (character != other[j - 1]))
            if i > 1 and j > 1 and character == other[j - 2] and word[i - 2] == other[j - 1]:
                least = min(least, before[j - 2] + 1)
            next_row[j] = min(least, far)
        if min(next_row) >= far and min(row) >= far:
            return far
        before, row = row, next_row
    return row[-1]
