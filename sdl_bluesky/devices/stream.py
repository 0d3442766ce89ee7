"""The QCM stream: a flyer that takes every tick of the machine as one row, live for the plan and as event pages."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from ophyd import Device
from ophyd.signal import Signal
from ophyd.status import Status
from ophyd.utils.epics_pvs import AlarmSeverity

from sdl_bluesky.errors import DeviceError, StaleReading

from .base import severity
from .goal import StreamGoal
from .rows import Channel, RowBuffer
from .status import ca_thread, deadline, fail, finish

if TYPE_CHECKING:
    from .chamber import Chamber

log = logging.getLogger(__name__)

Outcome = Literal["", "reached", "time", "stopped", "interrupted", "failed"]


class QCMStream(Device):
    """Frequencies of all QCMs, process clock, pressure, and power and plasma of chosen sources, one row per tick.

    All records of one tick carry one EPICS timestamp; updates whose timestamps are within `align_s` make one row. A
    signal that did not change sends nothing and keeps its value. A row is closed when a later timestamp arrives, so it
    is complete. Rows of the tick of `kickoff` or before it are never included.

    A plan:

        yield from bps.prepare(stream, StreamGoal(reached, duration_s=300.0), wait=True)
        yield from bps.kickoff(stream, wait=True)
        yield from bps.collect_while_completing([stream], [stream], flush_period=1.0)

    Without a goal `complete()` ends the stream at once. No `declare_stream` is needed: `describe_collect()` names the
    stream ("qcm").

    It also ends when its machine is made safe (a pause, a suspension, an abort, `Guard`): rows from before and after
    are never put together. After a resume the replayed messages begin anew; the rows of both parts are in the
    documents, with different `{name}_interruptions`. The RunEngine calls neither `stop()` nor anything else of a flyer
    when a plan ends early: a finalizer should `bps.stop(stream)`.

    Attributes:
        outcome: why it ended: "reached", "time", "stopped", "interrupted", "failed"; "" while it runs.

    Columns: clock_time [s], {qcm}_frequency [Hz], gauge_pressure [mTorr], {source}_power [W], {source}_plasma (0 or 1),
    {name}_severity (worst alarm of the row's signals), {name}_interruptions (of sources and substrate, see `Pausing`).
    A value in INVALID alarm is NaN.

    Args:
        chamber: whose signals to take.
        sources: names of the sources; all of them if None.
        name: prefix of the stream's own columns.
        stream_name: name of the stream in the documents.
        align_s: updates whose EPICS timestamps differ by no more than this belong to one row.
    """

    def __init__(
        self,
        chamber: Chamber,
        sources: Sequence[str] | None = None,
        *,
        name: str = "qcm_stream",
        stream_name: str = "qcm",
        align_s: float = 0.03,
    ) -> None:
        super().__init__("", name=name)
        self.chamber = chamber
        self.stream_name = stream_name
        self.align_s = align_s
        self.sources = [chamber.source(s) for s in sources] if sources is not None else list(chamber.sources.values())
        self.outcome: Outcome = ""
        self.goal = self._running_goal = StreamGoal()
        self._own = (f"{name}_severity", f"{name}_interruptions")
        self._channels = self._make_channels()
        self._rows = RowBuffer(self._columns())
        self._lock = threading.RLock()
        self._new_row = threading.Event()
        self._tokens: list[tuple[Signal, int]] = []
        self._status: Status | None = None
        self._values: list[float | int] = []
        self._severities: list[int] = []
        self._row_time: float | None = None
        self._skip = 0
        self._interruptions = 0

    # what is taken
    def _make_channels(self) -> list[Channel]:
        chamber = self.chamber
        found = [Channel(q.frequency.name, q.frequency, "number", "Hz") for q in chamber.qcms.values()]
        found.append(Channel(chamber.gauge.pressure.name, chamber.gauge.pressure, "number", "mTorr"))
        for source in self.sources:
            found.append(Channel(source.power.readback.name, source.power.readback, "number", "W"))
            found.append(Channel(source.plasma.name, source.plasma, "integer", ""))
        if chamber.clock.signal is not None:
            found.append(Channel(self._clock_key, chamber.clock.signal, "number", "s"))
        return found

    @property
    def _clock_key(self) -> str:
        return f"{self.chamber.clock.name}_time"

    def _columns(self) -> dict[str, str]:
        """Column name -> dtype of the documents, in order."""
        columns = {self._clock_key: "number"}
        columns.update({c.key: c.dtype for c in self._channels})
        columns.update(dict.fromkeys(self._own, "integer"))
        return columns

    def describe_collect(self) -> dict[str, dict[str, Any]]:
        """{stream name: {column: data key}}; the same for every run."""
        keys: dict[str, Any] = {}
        channels = {c.key: c for c in self._channels}
        for column, dtype in self._columns().items():
            channel = channels.get(column)
            source = channel.signal.source_name if channel is not None else f"SIM:{self.name}"
            keys[column] = {"source": source, "dtype": dtype, "shape": []}
            keys[column]["dtype_numpy"] = "<f8" if dtype == "number" else "<i8"
            unit = "s" if column == self._clock_key else (channel.unit if channel is not None else "")
            if unit:
                keys[column]["units"] = unit
        return {self.stream_name: keys}

    # the flyer
    def prepare(self, goal: StreamGoal) -> Status:
        """Set the goal of the next kickoff."""
        self.goal = goal
        return self._finished()

    def kickoff(self) -> Status:
        """Forget all rows and begin to take new ones.

        Raises:
            StaleReading, Disconnected, InterlockTripped: nothing was begun.
        """
        self._end("stopped")
        self.chamber.liveness.check(interlock=True)
        goal, clock = self.goal, self.chamber.clock.signal
        with self._lock:
            self._rows = RowBuffer(self._columns())
            self._row_time, self._skip, self.outcome = None, 1, ""
            self._interruptions = self.interruptions
            self._values = [math.nan if c.dtype == "number" else 0 for c in self._channels]
            self._severities = [0] * len(self._channels)
            status, self._running_goal = Status(obj=self), goal
            self._status = status
            self._new_row.clear()
        status.add_callback(self._ended)
        try:
            with self._lock:
                for i, channel in enumerate(self._channels):
                    self._tokens.append((channel.signal, channel.signal.subscribe(self._update(i, status), run=False)))
                for i, channel in enumerate(self._channels):
                    self._put(i, channel.signal.get(), int(severity(channel.signal)))
            start_s = time.time() if clock is None else float(cast(Any, clock.get(use_monitor=False)))
        except Exception as exc:
            fail(status, exc)
            raise
        self.chamber.liveness.guard(status)
        if goal.limit_s is not None:
            deadline(status, goal.limit_s, lambda: self._late(goal))
        ca_thread(lambda: self._judge(status, goal, start_s), f"goal of {self.name}").start()
        return self._finished()

    def complete(self) -> Status:
        """The status of the goal; without a goal, ends the stream now.

        The status fails as the machine does: StaleReading, Disconnected, InterlockTripped, or what the goal raised.
        """
        status = self._status
        if status is None:
            raise DeviceError(f"{self.name}: complete() before kickoff()")
        if self._running_goal.reached is None and self._running_goal.duration_s is None:
            self._end("stopped")
        return status

    def stop(self, *, success: bool = False) -> None:
        """End the stream; rows that were not collected yet can still be collected. Its status is not failed by this."""
        self._end("stopped")

    def collect_pages(self) -> Iterator[dict[str, Any]]:
        """Event page with the rows since the last call; none if there are no new rows. May be called at any time."""
        with self._lock:
            page, times = self._rows.take()
        if times:
            yield {"time": times, "data": page, "timestamps": dict.fromkeys(page, times)}

    def data(self) -> dict[str, np.ndarray]:
        """Copies of all rows since kickoff: column -> [rows]; "timestamp" is the EPICS time of each row [s]."""
        with self._lock:
            return self._rows.snapshot()

    def __len__(self) -> int:
        return len(self._rows)

    def __bool__(self) -> bool:
        return True

    def pause(self) -> None:
        """Called by the RunEngine: ends the stream."""
        self._end("interrupted")

    def resume(self) -> None:
        """Called by the RunEngine: nothing; the replayed `kickoff` begins anew."""

    @property
    def interruptions(self) -> int:
        """Grows whenever a source of this stream or the substrate was made safe."""
        return sum(device.interruptions for device in (*self.sources, self.chamber.substrate))

    @property
    def running(self) -> bool:
        """True between kickoff and end."""
        return self._status is not None and not self._status.done

    # taking rows
    def _finished(self) -> Status:
        status = Status(obj=self)
        status.set_finished()
        return status

    def _update(self, index: int, status: Status) -> Callable[..., None]:
        def changed(value: Any = None, timestamp: float | None = None, **metadata: Any) -> None:
            if status.done:
                return
            try:
                with self._lock:
                    if self._status is not status:
                        return
                    at = float(timestamp) if timestamp is not None else time.time()
                    if self._row_time is None:
                        self._row_time = at
                    elif at > self._row_time + self.align_s:
                        self._close_row()
                        self._row_time = at
                    self._put(index, value, int(metadata.get("severity") or 0))
            except Exception as exc:
                fail(status, exc)

        return changed

    def _put(self, index: int, value: Any, level: int) -> None:
        channel = self._channels[index]
        invalid = level >= AlarmSeverity.INVALID
        if channel.dtype == "integer":
            self._values[index] = int(value)
        else:
            self._values[index] = math.nan if invalid else float(value)
        self._severities[index] = level

    def _close_row(self) -> None:
        """Store the row that is complete now. The first one after kickoff may be of the tick before, and is dropped."""
        assert self._row_time is not None
        if self._skip > 0:
            self._skip -= 1
            return
        if self.interruptions != self._interruptions:
            self._end("interrupted")
            return
        row: dict[str, float | int] = {self._clock_key: self._row_time}
        row.update({c.key: v for c, v in zip(self._channels, self._values, strict=True)})
        row[self._own[0]] = max(self._severities, default=0)
        row[self._own[1]] = self._interruptions
        self._rows.append(row, self._row_time)
        self._new_row.set()

    # ending
    def _judge(self, status: Status, goal: StreamGoal, start_s: float) -> None:
        """The stream's own thread: looks at the goal after every row."""
        judged = 0
        while not status.done:
            self._new_row.wait(0.5)
            self._new_row.clear()
            try:
                rows = self.data()
                if len(rows["timestamp"]) == judged or self._status is not status:
                    continue
                judged = len(rows["timestamp"])
                if goal.reached is not None and judged >= goal.min_rows and goal.reached(rows):
                    self._end("reached", status)
                elif goal.duration_s is not None and rows[self._clock_key][-1] - start_s >= goal.duration_s:
                    self._end("time", status)
            except Exception as exc:
                fail(status, exc)

    def _late(self, goal: StreamGoal) -> Exception:
        return StaleReading(
            f"{self.name}: neither goal nor end within {goal.limit_s:g} s of real time, {len(self)} rows were taken: "
            "is the process clock running and are the QCMs connected?"
        )

    def _end(self, outcome: Outcome, status: Status | None = None) -> None:
        status = status or self._status
        if status is None or status.done:
            return
        with self._lock:
            if self._status is status and not self.outcome:
                self.outcome = outcome
        finish(status)

    def _ended(self, status: Any) -> None:
        with self._lock:
            if self._status is not status:
                return
            if not status.success:
                self.outcome = "failed"
            tokens, self._tokens = self._tokens, []
        for signal, token in tokens:
            signal.unsubscribe(token)
        self._new_row.set()
