"""Just enough of Rust's syntax: tokens without comments and literals, attributes, and paths resolved to the crate."""

import re
from typing import Iterator, NamedTuple

_LITERAL_OR_TRIVIA = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<line_comment>//[^\n]*)
    | (?P<raw>(?:b|c)?r(?P<hashes>\#*)".*?"(?P=hashes))
    | (?P<text>(?:b|c)?"(?:\\.|[^"\\])*")
    | (?P<char>b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^\\'])')
    | (?P<lifetime>'\w+)
    """,
    re.VERBOSE | re.DOTALL,
)
_TOKEN = re.compile(r"(?:r\#)?[A-Za-z_]\w*|\d[\w.]*|::|.", re.DOTALL)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_WORD = re.compile(r"(?:r#)?[A-Za-z_]\w*\Z")


class Token(NamedTuple):
    """A word, a number, `::` or one character of punctuation."""

    text: str
    line: int

    @property
    def is_word(self) -> bool:
        return bool(_WORD.match(self.text))


class Attribute(NamedTuple):
    """`#[…]` or `#![…]`: the words and marks between the brackets, and where it stands."""

    tokens: tuple[str, ...]
    line: int
    inline_modules: tuple[str, ...]
    """The inline modules around it; for an outer attribute of a module that module too."""


class Path(NamedTuple):
    """A path that starts with `crate`, `super` or `self`, as segments counted from the crate's root."""

    segments: tuple[str, ...]
    line: int


def tokens(source: str) -> list[Token]:
    """The tokens of a file, without comments, strings, characters and lifetimes."""
    found: list[Token] = []
    at, line = 0, 1
    while at < len(source):
        if source.startswith("/*", at):
            end = _end_of_block_comment(source, at)
        elif match := _LITERAL_OR_TRIVIA.match(source, at):
            end = match.end()
        else:
            match = _TOKEN.match(source, at)
            end = match.end()
            found.append(Token(match.group(), line))
        line += source.count("\n", at, end)
        at = end
    return found


def _end_of_block_comment(source: str, start: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(source, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(source)


def _inline_modules(stream: list[Token]) -> list[tuple[str, ...]]:
    """For each token the names of the `mod name { … }` blocks that it stands in."""
    around: list[tuple[str, ...]] = []
    open_modules: list[tuple[str, int]] = []
    depth = 0
    for i, token in enumerate(stream):
        if token.text == "}":
            depth -= 1
            if open_modules and open_modules[-1][1] == depth:
                open_modules.pop()
        around.append(tuple(name for name, _ in open_modules))
        if token.text == "{":
            if i >= 2 and stream[i - 2].text == "mod":
                open_modules.append((stream[i - 1].text, depth))
            depth += 1
    return around


def attributes(stream: list[Token]) -> Iterator[Attribute]:
    """Every attribute of the file."""
    around = _inline_modules(stream)
    i = 0
    while i < len(stream):
        start = i
        i += 1
        if stream[start].text != "#" or i >= len(stream):
            continue
        inner = stream[i].text == "!"
        if inner:
            i += 1
        if i >= len(stream) or stream[i].text != "[":
            continue
        end = _closing(stream, i)
        content = tuple(token.text for token in stream[i + 1 : end])
        modules = around[start] if inner else around[start] + _module_declared_after(stream, end + 1)
        yield Attribute(content, stream[start].line, modules)
        i = end + 1


def _closing(stream: list[Token], start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    depth = 0
    for i in range(start, len(stream)):
        if stream[i].text in "[({":
            depth += 1
        elif stream[i].text in "])}":
            depth -= 1
            if depth == 0:
                return i
    return len(stream)


def _module_declared_after(stream: list[Token], i: int) -> tuple[str, ...]:
    """The name of the module that the attribute before `i` belongs to, if it is one."""
    while i + 1 < len(stream) and stream[i].text == "#":
        i = _closing(stream, i + 1) + 1
    texts = [token.text for token in stream[i : i + 8]]
    while texts and texts[0] in ("pub", "(", ")", "crate", "super", "in"):
        texts.pop(0)
    return (texts[1],) if len(texts) > 1 and texts[0] == "mod" else ()


def paths(stream: list[Token], module: tuple[str, ...]) -> list[Path]:
    """Every path through `crate`, `super` or `self` in the file of `module`; of a group each branch."""
    around = _inline_modules(stream)
    found: list[Path] = []
    i = 0
    while i < len(stream):
        starts = stream[i].text in ("crate", "super", "self") and (i == 0 or stream[i - 1].text != "::")
        if starts and i + 1 < len(stream) and stream[i + 1].text == "::":
            i = _branch(stream, i, module + around[i], found)
        else:
            i += 1
    return found


def _branch(stream: list[Token], i: int, prefix: tuple[str, ...], found: list[Path]) -> int:
    """Reads one branch of a use tree at `i`; returns where it ends."""
    token = stream[i]
    if token.text == "{":
        i += 1
        while i < len(stream) and stream[i].text != "}":
            # A comma, or `as name`, between two branches.
            readable = stream[i].text in ("{", "*") or (stream[i].is_word and stream[i].text != "as")
            if stream[i].text == "as":
                i += 2
            elif readable:
                i = _branch(stream, i, prefix, found)
            else:
                i += 1
        return i + 1
    if token.text == "crate":
        here: tuple[str, ...] = ()
    elif token.text == "super":
        here = prefix[:-1]
    elif token.text == "self":
        here = prefix
    else:
        here = prefix + (token.text,)
    goes_on = i + 2 < len(stream) and stream[i + 1].text == "::"
    if goes_on and (stream[i + 2].is_word or stream[i + 2].text in ("{", "*")):
        return _branch(stream, i + 2, here, found)
    found.append(Path(here, token.line))
    return i + 1
