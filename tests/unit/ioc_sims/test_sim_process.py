"""Behaviour of a simulated instrument as a process."""

import subprocess
import sys

PROGRAM = """
import threading
from ioc_sims.common.process import within_seconds
with within_seconds({limit}, "the start"):
    threading.Event().wait({work})
print("done")
"""


def run(limit, work):
    program = PROGRAM.format(limit=limit, work=work)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_a_start_that_hangs_ends_the_process():
    done = run(0.2, "None")
    assert (done.returncode, done.stdout) == (3, "")
    assert "the start was not done within 0.2 s" in done.stderr


def test_a_start_in_time_goes_on():
    done = run(60.0, "0.0")
    assert (done.returncode, done.stdout) == (0, "done\n")


SIGNALLED = """
import signal
from ioc_sims.common.process import Lifetime
for k in range(5000):  # a signal at another moment of the loop each time
    lifetime = Lifetime()
    signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 1e-5 + (k % 97) * 2e-6)
    while not lifetime.over(1e-5):
        pass
print("done")
"""


def test_a_signal_at_any_moment_ends_it():
    """With a `threading.Event`, a signal within `wait` is a deadlock: it was, once in a few hundred ends under load."""
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n")
