"""What is asked of a file, and who asks."""

import json
import multiprocessing
import os
import random
import shutil
import subprocess
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """Reads of `request` bytes by `readers` at once, each in a part of the file of its own."""

    sequential: bool
    readers: int

    @property
    def request(self):
        return 1 << 20 if self.sequential else 4096


@dataclass(frozen=True)
class Done:
    """What a load came to."""

    bytes_read: int
    bytes_per_second: float


WORKLOADS = {
    "sequential-1": Workload(sequential=True, readers=1),
    "sequential-4": Workload(sequential=True, readers=4),
    "random-1": Workload(sequential=False, readers=1),
    "random-4": Workload(sequential=False, readers=4),
}


def drop_pages(path):
    """Empties the kernel's cache of one file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def pick_generator():
    return Fio() if shutil.which("fio") else PythonReaders()


def part_of_each(path, readers):
    """Bytes of the file that each reader gets. No byte is read twice, so nobody meets what another one warmed."""
    return os.stat(path).st_size // readers >> 20 << 20


class Fio:
    """fio's psync engine: pread from processes of C."""

    name = "fio, psync"

    def run(self, path, workload, seconds):
        """Reads until everything was read once or the time is over.

        Random readers tell the kernel so, as databases do. Otherwise it takes a page whose forerunner was read before
        for the start of a stream and reads ahead: the faster the mount, the more of its reads would be no reads at all.
        """
        share = part_of_each(path, workload.readers)
        command = [
            "fio", "--name=load", f"--filename={path}", "--readonly", "--allow_file_create=0", "--ioengine=psync",
            f"--rw={'read' if workload.sequential else 'randread'}", f"--bs={workload.request}",
            f"--numjobs={workload.readers}", f"--size={share}", f"--offset_increment={share}",
            # Ends where everything has been read once, or when the time is over.
            f"--runtime={round(seconds * 1000)}ms", "--group_reporting", "--output-format=json",
            # The caches are seen to outside.
            "--invalidate=0", f"--fadvise_hint={'0' if workload.sequential else 'random'}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        read = json.loads(done.stdout)["jobs"][0]["read"]
        return Done(bytes_read=read["io_bytes"], bytes_per_second=read["bw_bytes"])


class PythonReaders:
    """Where there is no fio: pread into one buffer, from processes of Python. Costs about 1 µs a read more."""

    name = "Python"

    def run(self, path, workload, seconds):
        """As Fio.run."""
        share = part_of_each(path, workload.readers)
        fork = multiprocessing.get_context("fork")
        barrier, results = fork.Barrier(workload.readers), fork.Queue()
        readers = [
            fork.Process(target=read_part, args=(path, workload, seconds, number * share, share, barrier, results))
            for number in range(workload.readers)
        ]
        for reader in readers:
            reader.start()
        try:
            done = [results.get(timeout=seconds + 60) for _ in readers]
        finally:
            for reader in readers:
                reader.join(timeout=10)
                reader.kill()
        total = sum(read for read, _ in done)
        return Done(bytes_read=total, bytes_per_second=total / max(elapsed for _, elapsed in done))


def read_part(path, workload, seconds, start, share, barrier, results):
    offsets = list(range(start, start + share, workload.request))
    if not workload.sequential:
        random.Random(start).shuffle(offsets)
    buffers = [bytearray(workload.request)]
    handle = os.open(path, os.O_RDONLY)
    if not workload.sequential:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
    barrier.wait(60)
    began = time.monotonic()
    read = 0
    for offset in offsets:
        read += os.preadv(handle, buffers, offset)
        if time.monotonic() - began > seconds:
            break
    results.put((read, time.monotonic() - began))
