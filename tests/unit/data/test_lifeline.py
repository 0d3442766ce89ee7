"""What ends processes."""

import subprocess
import sys
import threading

from sdl_bluesky.data.lifeline import SignalEvent

SIGNALLED = """
import signal
from sdl_bluesky.data.lifeline import SignalEvent
for k in range(5000):  # a signal at another moment of the loop each time
    event = SignalEvent()
    signal.signal(signal.SIGALRM, lambda *_: event.set())
    signal.setitimer(signal.ITIMER_REAL, 1e-5 + (k % 97) * 2e-6)
    while not event.wait(1e-5):
        pass
print("done")
"""


def test_a_signal_at_any_moment_sets_it():
    """`threading.Event` in its place does not come to an end."""
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_it_stays_set_and_wakes_who_waits():
    event = SignalEvent()
    assert not event.wait(0.0)
    assert not event.is_set()
    thread = threading.Timer(0.05, event.set)
    thread.start()
    assert event.wait()
    assert event.wait(0.0)
    assert event.wait()
    assert event.is_set()
    thread.join()
