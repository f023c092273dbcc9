"""Who serves a disk as a file, and how each is started, watched and ended."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import processes

START_SECONDS = 60
STOP_SECONDS = 20


class Unavailable(Exception):
    """The peer is not installed here."""


def find_program(name):
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is not installed")
    return path


class PlainFile:
    """The same disk as a plain file: what the host itself can do."""

    is_mount = False

    def __init__(self, name, file):
        self.name, self.file = name, file

    def start(self):
        began = time.monotonic()
        wait_for_first_byte(self.file)
        return time.monotonic() - began

    def server(self):
        return None

    def stop(self):
        pass


class Mounted:
    """A program that returns when it has put a process into the background that serves a folder."""

    is_mount = True

    def __init__(self, name, program, image, folder):
        self.name, self.program, self.image, self.folder = name, program, image, folder
        folder.mkdir(exist_ok=True)

    def start(self):
        """Seconds from the start of the command until the first byte was read."""
        began = time.monotonic()
        # Its errors go where ours go; a pipe would be kept open by the process in the background.
        processes.run(self.program, self.image, self.folder, seconds=START_SECONDS)
        wait_for_first_byte(self.file)
        return time.monotonic() - began

    def server(self):
        return serving_process(self.program, self.folder)

    def stop(self):
        if os.path.ismount(self.folder):
            unmount(self.unmount_command(), self.folder)


class VhdxMount(Mounted):
    """What this is all about."""

    @property
    def file(self):
        return self.folder / "disk.raw"

    def unmount_command(self):
        return [self.program, "unmount", str(self.folder), "--quiet"]


class Vhdimount(Mounted):
    """libvhdi's vhdimount. It shows each link as a disk; the one with the highest number is the youngest."""

    def __init__(self, name, image, folder):
        super().__init__(name, find_program("vhdimount"), image, folder)

    @property
    def file(self):
        number = lambda path: int(path.name.removeprefix("vhdi"))  # noqa: E731
        return max(self.folder.glob("vhdi*"), key=number, default=self.folder / "vhdi1")

    def unmount_command(self):
        fusermount = shutil.which("fusermount3") or shutil.which("fusermount")
        return [fusermount, "-u", str(self.folder)] if fusermount else ["umount", str(self.folder)]


class QemuStorageDaemon:
    """qemu-storage-daemon's FUSE export: mounts the disk over a file. It knows no differencing VHDX."""

    is_mount = True

    def __init__(self, name, image, file):
        self.name, self.image, self.file, self.process = name, image, file, None
        self.program = find_program("qemu-storage-daemon")

    def start(self):
        """Seconds from the start of the command until the first byte was read."""
        self.file.touch()
        began = time.monotonic()
        self.process = subprocess.Popen([
            self.program,
            "--blockdev", f"driver=file,node-name=image,filename={self.image},read-only=on",
            "--blockdev", "driver=vhdx,node-name=disk,file=image,read-only=on",
            "--export", f"type=fuse,id=export,node-name=disk,mountpoint={self.file},writable=off",
            # As the other peers do for themselves: Linux shares processors out by sessions.
        ], start_new_session=True)
        wait_for_first_byte(self.file, self.process)
        return time.monotonic() - began

    def server(self):
        return self.process.pid

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        self.process = None
        if os.path.ismount(self.file):
            unmount(["umount", str(self.file)], self.file)


def wait_for_first_byte(path, process=None):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with open(path, "rb", buffering=0) as file:
                if file.read(1):
                    return
        except FileNotFoundError:
            pass
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with exit code {process.returncode}")
        time.sleep(0.0005)
    raise RuntimeError(f"{path}: no byte within {START_SECONDS} s")


def unmount(command, target):
    """Unmounts, and if the mount is in use, takes it out of the tree of folders: nothing must stay behind."""
    try:
        if subprocess.run(command, timeout=STOP_SECONDS).returncode == 0:
            return
    except subprocess.TimeoutExpired:
        pass
    subprocess.run(["umount", "--lazy", str(target)], timeout=STOP_SECONDS, check=False)


def serving_process(program, folder):
    """The process that was started from `program` with the word `folder`."""
    for home in Path("/proc").glob("[0-9]*"):
        try:
            words = (home / "cmdline").read_bytes().split(b"\0")
            if os.path.samefile(home / "exe", program) and os.fsencode(folder) in words:
                return int(home.name)
        except OSError:
            continue
    raise RuntimeError(f"no process of {program} serves {folder}")


def processor_seconds(process):
    """How long the threads of a process have run."""
    nanoseconds = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        try:
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue
    return nanoseconds / 1e9


def peak_kib(process):
    """The most memory that a process ever had, in KiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {process} does not tell its memory")
