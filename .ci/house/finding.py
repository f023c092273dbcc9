"""What a check found."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One broken rule. `line` counts from 1; 0 is the file as a whole."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.text}"
