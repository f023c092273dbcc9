"""Runs programs that are timed."""

import subprocess
import threading


def run(*command, seconds=900, **more):
    """Runs a program to its end; an error ends us, and after so many seconds it is killed.

    `subprocess` itself asks every 50 ms whether a program has ended where it is given a time limit: too seldom for what
    takes 60 ms.
    """
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, **more) as child:
        watchdog = threading.Timer(seconds, child.kill)
        watchdog.start()
        try:
            status = child.wait()
        finally:
            watchdog.cancel()
    if status:
        raise subprocess.CalledProcessError(status, command)
