"""Whole numbers as a person writes them down: 3,10-20."""

from pathlib import Path

from napari_xpcs.errors import FileFormatError

MOST_NUMBERS = 10_000_000


def number_list(text: str, what: str = "numbers") -> list[int]:
    """Return the numbers of a list with ranges, in the order in which they are written.

    Parameters
    ----------
    text
        As ``3,10-20``; blanks and line ends divide as commas do.
    what
        How the numbers are called in the message.

    Raises
    ------
    FileFormatError
        Something else than whole numbers stands there, a range that falls, or more than
        :data:`MOST_NUMBERS`.

    Examples
    --------
    >>> number_list("3, 10-12")
    [3, 10, 11, 12]
    """
    numbers: list[int] = []
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            msg = f"Expected {what} as 3,10-20, got {part!r}."
            raise FileFormatError(msg) from None
        if high < low:
            msg = f"Expected a range of {what} from low to high, got {part!r}."
            raise FileFormatError(msg)
        if len(numbers) + high - low >= MOST_NUMBERS:
            msg = f"{part!r} makes more than {MOST_NUMBERS} {what}; was another range meant?"
            raise FileFormatError(msg)
        numbers += range(low, high + 1)
    return numbers


def frame_numbers(text: str) -> list[int]:
    """Return the frame numbers of a list, or of the file that ``text`` names.

    Raises
    ------
    FileFormatError
        As :func:`number_list`.
    """
    name = text.strip()
    if not any(sign.isalpha() for sign in name):
        return number_list(text, "frame numbers")
    try:
        listed = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        msg = f"{name!r} is no list as 3,10-20, nor a text file with such a list: {fault}."
        raise FileFormatError(msg) from fault
    return number_list(listed, "frame numbers")
