"""The programs under test and the images that they are tested with."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

HUGE_BYTES = 64 << 40
HUGE_LINKS = 30

BUILD_SECONDS = 3600
FORGE_SECONDS = 600


@dataclass
class Commands:
    """Paths of what `cargo build --release` made."""

    vhdx_mount: str
    forge: str


def build():
    """Builds vhdx-mount and the forge, for speed."""
    return Commands(
        vhdx_mount=cargo_build("vhdx-mount", "--package", "vhdx-mount", "--bin", "vhdx-mount"),
        forge=cargo_build("forge-bench", "--package", "fixtures", "--example", "forge-bench"),
    )


def cargo_build(target, *what):
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics", *what]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True, timeout=BUILD_SECONDS)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == target:
            return message["executable"]
    raise RuntimeError(f"cargo built no {target}")


@dataclass
class Images:
    """The youngest link of each chain, and the flat disk as a plain file."""

    flat: Path
    plain: Path
    deep: Path
    huge: Path

    @classmethod
    def forge(cls, forge, folder, size, links):
        def make(kind, disk_bytes, link_count):
            home = folder / kind
            home.mkdir()
            arguments = [forge, kind, home, disk_bytes] + ([] if kind == "flat" else [link_count])
            subprocess.run([str(argument) for argument in arguments], check=True, timeout=FORGE_SECONDS)
            return home / ("base.vhdx" if link_count == 1 else f"x_{link_count - 1}.avhdx")

        flat = make("flat", size, 1)
        deep = make("deep", size, links)
        huge = make("huge", HUGE_BYTES, HUGE_LINKS)
        return cls(flat=flat, plain=flat.with_name("disk.raw"), deep=deep, huge=huge)

    def files(self):
        """What lies behind the mounts that are compared."""
        return sorted(path for home in (self.flat.parent, self.deep.parent) for path in home.iterdir())

    def settle(self):
        """Writes the files to the disk and empties the host's cache of them.

        What forging left there lies in pieces of memory of any size, and how large they are changes the speed of a read
        by a factor of three: more than what is to be measured.
        """
        for path in self.files():
            with open(path, "rb", buffering=0) as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def warm(self):
        """Brings the files into the host's cache, each page by itself, so that all of them lie there alike."""
        buffer = bytearray(1 << 20)
        for path in self.files():
            with open(path, "rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                while file.readinto(buffer):
                    pass
