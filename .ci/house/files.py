"""Rules for every committed file: names, images, paths that only one machine has."""

import re
from pathlib import PurePosixPath

from .finding import Finding

# Names that say nothing of what is inside.
EMPTY_NAMES = {"core", "util", "utils", "common", "helper", "helpers", "misc", "manager"}

# Disk images are forged by fixtures/, never committed.
IMAGE_SUFFIXES = {".vhd", ".vhdx", ".avhd", ".avhdx", ".vmdk", ".qcow2", ".img", ".raw", ".iso", ".e01"}
IMAGE_MAGICS = (b"vhdxfile", b"conectix", b"KDMV", b"QFI\xfb")
LARGEST = 512 * 1024

# Folders of one person's machine, in any text; in programs and scripts also the shared temporary folder, for which
# there is `std::env::temp_dir` and `mktemp`.
_HOME = re.compile(r"(?<![\w.\-}*])/(?:work|root|home)/[\w.$]")
_TEMPORARY = re.compile(r"(?<![\w.\-}*])/[t]mp\b")
_PROGRAMS = {".rs", ".py", ".sh", ".toml", ""}


def check(path: str, content: bytes) -> list[Finding]:
    """All rules for one committed file."""
    findings = _name(path)
    if image := _image(path, content):
        return findings + [Finding(path, 0, image)]
    if b"\0" in content:
        return findings + [Finding(path, 0, "a binary file: make it when it is needed")]
    return findings + _machine_paths(path, content.decode("utf-8", "replace"))


def _name(path) -> list[Finding]:
    findings = []
    for part in PurePosixPath(path).parts:
        words = set(re.split(r"[_\-.]", part.lower()))
        if words & EMPTY_NAMES:
            findings.append(Finding(path, 0, f"the name `{part}` does not say what is inside"))
    return findings


def _image(path, content) -> str | None:
    if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES or content.startswith(IMAGE_MAGICS):
        return "a disk image: forge it in fixtures/ instead"
    if len(content) > LARGEST:
        return f"{len(content)} bytes; {LARGEST} are the limit for a committed file"
    return None


def _machine_paths(path, text) -> list[Finding]:
    findings = []
    temporary_matters = PurePosixPath(path).suffix in _PROGRAMS
    for number, line in enumerate(text.splitlines(), start=1):
        if _HOME.search(line):
            findings.append(Finding(path, number, "a path that only one machine has"))
        elif temporary_matters and _TEMPORARY.search(line):
            findings.append(Finding(path, number, "a fixed temporary folder: use std::env::temp_dir or mktemp"))
    return findings
