"""Words of messages."""

from __future__ import annotations


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a number with its noun, in the singular or plural.

    Args:
        nouns: the plural, where it is not the noun with an s.

    >>> counted(1, "video"), counted(2, "video"), counted(0, "box", "boxes")
    ('1 video', '2 videos', '0 boxes')
    """
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"
