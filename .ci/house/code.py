"""Rules for Rust files that no lint covers."""

import re

from . import rust
from .finding import Finding

# The only crates that may use `unsafe`: the one that talks to Windows, and the DLL that its tests talk to.
UNSAFE = ("mount-windows/", "winfsp-stand-in/")

# The files of the program that may open or create a file of the host, and which.
DOORS = {
    "src/image/file.rs": "images, read-only",
    "src/extract/sink/mod.rs": "what was extracted, as new files",
    "src/extract/windows.rs": "what was extracted, as far as it is Windows' own",
    "src/cli/extract/input.rs": "a list of paths that the user wrote, or what a scan told, as JSON",
    "src/cli/maps.rs": "the map of a copy, so that its bytes tell it from others",
    "src/cli/logging.rs": "the log, as a new file",
    "src/cli/background.rs": "/dev/null",
    "mount-windows/src/set_aside.rs": "the empty folder that is mounted on, which bears another name meanwhile",
    "winfsp-stand-in/src/mount_points.rs": "the folder that WinFsp makes for a mount",
    "winfsp-stand-in/src/walk.rs": "what the tests of the Windows program compare",
    "mount-linux/src/attach.rs": "the kernel's FUSE device",
    "mount-linux/src/mount_table.rs": "the kernel's table of mounts; the mount point, as a mere place",
    "mount-linux/src/serve.rs": "the kernel's setting of read-ahead for our mount",
    "mount-linux/src/signals.rs": "the kernel's table of signals",
}
# Code that runs in tests only: it forges images and looks at them.
TESTS = ("tests/", "benches/", "examples/", "fixtures/", "fuzz/")

LONG, TOO_LONG = 500, 800

_IGNORED_DOCTEST = re.compile(r"^\s*//[/!]\s*```[\w,]*\bignore\b")


def check(path: str, text: str) -> list[Finding]:
    """All rules for one file, whose path counts from the repository's root."""
    stream = rust.tokens(text)
    attributes = list(rust.attributes(stream))
    findings = _unsafe(path, stream) + _ignored(path, text, attributes) + _prints(path, stream)
    for attribute in attributes:
        findings += _door(path, attribute)
    lines = text.count("\n")
    if lines > TOO_LONG:
        findings.append(Finding(path, 0, f"{lines} lines; {TOO_LONG} are the limit: split it"))
    return findings


def warnings(path: str, text: str) -> list[Finding]:
    """What is worth a look but fails nothing."""
    lines = text.count("\n")
    return [Finding(path, 0, f"{lines} lines; over {LONG} a file is hard to read")] if LONG < lines <= TOO_LONG else []


def check_root(path: str, text: str) -> list[Finding]:
    """The root of a library or program."""
    if path.startswith(UNSAFE):
        return []
    for attribute in rust.attributes(rust.tokens(text)):
        if attribute.tokens == ("forbid", "(", "unsafe_code", ")"):
            return []
    return [Finding(path, 0, "lacks #![forbid(unsafe_code)]")]


def _unsafe(path, stream) -> list[Finding]:
    if path.startswith(UNSAFE):
        return []
    return [Finding(path, t.line, f"`unsafe` outside {' and '.join(UNSAFE)}") for t in stream if t.text == "unsafe"]


def _prints(path, stream) -> list[Finding]:
    """Macros that panic where stdout or stderr takes nothing, by whichever name they were imported."""
    if any(part in path for part in TESTS):
        return []
    return [
        Finding(path, name.line, f"`{name.text}!` panics when it cannot print: use `say::tell!` or `writeln!`")
        for name, mark in zip(stream, stream[1:])
        if name.text in ("print", "println", "eprint", "eprintln", "dbg") and mark.text == "!"
    ]


def _ignored(path, text, attributes) -> list[Finding]:
    findings = [
        Finding(path, a.line, "an ignored test: a test runs, or says why it cannot, or goes")
        for a in attributes
        if a.tokens[:1] == ("ignore",) or (a.tokens[:1] == ("cfg_attr",) and "ignore" in a.tokens)
    ]
    for number, line in enumerate(text.splitlines(), start=1):
        if _IGNORED_DOCTEST.match(line):
            findings.append(Finding(path, number, "an ignored example: use `no_run`, or text"))
    return findings


def _door(path, attribute) -> list[Finding]:
    """An exception to clippy.toml's disallowed types and methods."""
    if not any(word in ("disallowed_types", "disallowed_methods") for word in attribute.tokens):
        return []
    findings = []
    if "expect" not in attribute.tokens or "allow" in attribute.tokens:
        findings.append(Finding(path, attribute.line, "an exception to a disallowed lint must be `expect`, not `allow`"))
    if "reason" not in attribute.tokens:
        findings.append(Finding(path, attribute.line, "an exception to a disallowed lint needs a reason"))
    in_tests = any(part in path for part in TESTS) or path.endswith("/tests.rs") or "tests" in attribute.inline_modules
    if path not in DOORS and not in_tests:
        findings.append(Finding(path, attribute.line, "opens files of the host, but is none of the doors in .ci/house/code.py"))
    return findings
