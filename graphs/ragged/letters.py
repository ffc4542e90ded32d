"""Strings, sequences of integers and sequences of words as numbers of letters, padded to one length."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dagdp import InputError
from dagdp.graphs.ragged.arrays import is_tensor

Numbers = NDArray[np.int64]
FIRST_WORD = 1 << 40  # larger than any other letter's number


class Letters(NamedTuple):
    """Strings as numbers of letters: an integer as given, `ord` of a character, FIRST_WORD and up for words."""

    codes: Numbers  # [*batch, letters], 0 behind the last letter that counts
    lengths: Numbers  # [*batch]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """[*batch, letters] whether a letter counts."""
        inside: NDArray[np.bool_] = np.arange(self.codes.shape[-1]) < self.lengths[..., None]
        return inside

    def grown(self, size: int) -> Letters:
        """The strings padded to `size` letters."""
        behind = [(0, 0)] * (self.codes.ndim - 1) + [(0, size - self.codes.shape[-1])]
        return self._replace(codes=np.pad(self.codes, behind))


def letters_of(given: Any, name: str, length: Any, words: dict[str, int]) -> Letters:
    """The letters of a string, of a sequence of integers, or of a batch of these.

    given : a string; a sequence of integers; a list of strings, of sequences of integers, or of sequences of words; or
        integers [*batch, letters].
    name : of the argument, for messages.
    length : how many letters count, an integer or integers [*batch]; None: all.
    words : the numbers of the words met so far; new ones are added.

    Raises InputError for other values, and for lengths out of range.

    >>> letters_of(["ab", "c"], "a", None, {}).codes.tolist()
    [[97, 98], [99, 0]]
    >>> (letters_of([["the", "cat", "the"]], "a", None, {}).codes - FIRST_WORD).tolist()
    [[0, 1, 0]]
    >>> letters_of(np.array([[5, 6], [7, 8]]), "a", [2, 1], {}).codes.tolist()
    [[5, 6], [7, 0]]
    """
    if is_tensor(given):
        given = given.numpy(force=True)
    if isinstance(given, np.ndarray) and given.dtype.kind not in "iu":
        given = given.tolist()
    if isinstance(given, np.ndarray):
        if given.ndim == 0:
            raise _no_letters(name, given)
        codes, lengths = given.astype(np.int64), np.full(given.shape[:-1], given.shape[-1])
    elif isinstance(given, str) or _is_sequence(given, name):
        row = _row(given, name, words)
        codes, lengths = np.array(row, np.int64), np.array(len(row))
    else:
        rows = [_row(item, f"{name}[{k}]", words) for k, item in enumerate(given)]
        lengths = np.array([len(row) for row in rows], np.int64)
        codes = np.zeros((len(rows), max(map(len, rows), default=0)), np.int64)
        for k, row in enumerate(rows):
            codes[k, : len(row)] = row
    if length is not None:
        lengths = _checked(length, name, lengths)
    letters = Letters(codes, lengths)
    return letters._replace(codes=np.where(letters.counted, codes, 0))


def _is_sequence(given: Any, name: str) -> bool:
    """Whether a list is one sequence of integers, and not a batch."""
    if not isinstance(given, list | tuple):
        raise _no_letters(name, given)
    return not given or isinstance(given[0], int | np.integer)


def _row(item: Any, name: str, words: dict[str, int]) -> list[int]:
    if isinstance(item, str):
        return [ord(character) for character in item]
    if is_tensor(item) or isinstance(item, np.ndarray):
        item = item.tolist()
    if not isinstance(item, list | tuple):
        raise _no_letters(name, item)
    row = []
    for letter in item:
        if isinstance(letter, str):
            row.append(ord(letter) if len(letter) == 1 else words.setdefault(letter, FIRST_WORD + len(words)))
        elif isinstance(letter, int | np.integer):
            row.append(int(letter))
        else:
            raise _no_letters(name, letter)
    return row


def _checked(given: Any, name: str, most: Numbers) -> Numbers:
    """Lengths that the user gave: whole numbers, 0 to the letters that there are."""
    numbers = np.asarray(given.numpy(force=True) if is_tensor(given) else given)
    if numbers.dtype.kind not in "iu":
        raise InputError(f"lengths of {name} have dtype {numbers.dtype}; expected integers, 0 or more")
    try:
        wrong = (numbers < 0) | (numbers > most)
    except ValueError:
        raise InputError(
            f"lengths of {name} have shape {numbers.shape} and {name} has batch axes {most.shape}; expected shapes "
            "that broadcast"
        ) from None
    if wrong.any():
        bad = np.broadcast_to(numbers, wrong.shape)[wrong][0]
        raise InputError(f"lengths of {name} have {bad}; expected 0 to {most.max(initial=0)}")
    return numbers.astype(np.int64)


def _no_letters(name: str, given: Any) -> InputError:
    return InputError(
        f"{name} is {given!r}; expected a string, a sequence of integers, or a list of strings, of sequences of "
        "integers or of sequences of words"
    )
