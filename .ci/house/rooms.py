"""The rooms of the library: each imports only what stands above it in the list in src/lib.rs."""

import re
from pathlib import PurePosixPath

from . import rust
from .finding import Finding

ROOT = "src/lib.rs"
# What stands above the rooms: the program. It may use all of them.
PROGRAM = ("main", "bin", "cli")


def check(files: dict[str, str]) -> list[Finding]:
    """`files`: path and text of every Rust file below src/."""
    if ROOT not in files:
        return [Finding(ROOT, 0, "the library's root is missing")]
    order = listed_rooms(files[ROOT])
    if not order:
        return [Finding(ROOT, 0, "no list of rooms: a doc paragraph that begins with `The rooms` and names each")]
    owners = reexports(files[ROOT])
    findings = []
    for path, text in sorted(files.items()):
        module = module_of(path)
        if not module or module[0] in PROGRAM:
            continue
        if module[0] not in order:
            findings.append(Finding(path, 0, f"room `{module[0]}` is not in the list of rooms in {ROOT}"))
            continue
        findings += _check_file(path, text, module, order, owners)
    return findings


def listed_rooms(root: str) -> list[str]:
    """The names set as code in the paragraph of the root's documentation that begins with `The rooms`."""
    doc = "\n".join(line[3:].strip() for line in root.splitlines() if line.startswith("//!"))
    paragraph = re.search(r"^The rooms\b.*?(?:\n\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    return re.findall(r"`(?:mod@)?(\w+)`", paragraph.group()) if paragraph else []


def reexports(root: str) -> dict[str, str]:
    """Names that the root re-exports, with the room (or the crate) that they come from."""
    stream = rust.tokens(root)
    owners = {}
    for i in range(len(stream) - 2):
        if stream[i].text != "use" or stream[i + 2].text != "::":
            continue
        end = next((j for j in range(i, len(stream)) if stream[j].text == ";"), len(stream))
        for token in stream[i + 3 : end]:
            if token.is_word:
                owners[token.text] = stream[i + 1].text
    return owners


def module_of(path: str) -> tuple[str, ...]:
    """The module that a file below src/ holds; empty for the root."""
    parts = list(PurePosixPath(path).with_suffix("").parts[1:])
    if parts[-1] in ("mod", "lib"):
        parts.pop()
    return tuple(parts)


def _check_file(
    path: str, text: str, module: tuple[str, ...], order: list[str], owners: dict[str, str]
) -> list[Finding]:
    own = module[0]
    findings = []
    for found in rust.paths(rust.tokens(text), module):
        if not found.segments:
            continue
        head = found.segments[0]
        if head == "*":
            findings.append(Finding(path, found.line, "imports everything at the crate's root: name the rooms"))
            continue
        room = head if head in order or head in PROGRAM else owners.get(head)
        if room in PROGRAM or (room in order and order.index(room) > order.index(own)):
            findings.append(Finding(path, found.line, f"room `{own}` imports `{room}`, which stands below it"))
    return sorted(set(findings))
