"""The base of a job: all of it as bytes, which stand for the records before; those of a long job can go then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowforge._engine.job_data import JobData
from flowforge._engine.recovery import Midway, midway, recover
from flowforge._engine.view import JobView
from flowforge.job_status import JobStatus
from flowforge.records import ErrorInfo, JobReplaced, StepFailed
from flowforge.stores.codec import Codec
from flowforge.stores.lazy_records import last_index
from flowforge.stores.record_form import decode_record, encode_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flowforge.records import Message, Record
    from flowforge.stores.store import History

__all__ = ["Bases"]

_NO_ERROR = ErrorInfo("", "", "")


@dataclass(slots=True)
class _Saved:
    data: JobData
    view: JobView
    codec: Codec


class Bases:
    """Makes bases, and jobs of them; any thread may call.

    `tree_of` and `restore` are those of saved jobs, whose module stands above this one.
    """

    def __init__(
        self,
        codec: Codec,
        max_history: int,
        max_outputs: int,
        tree_of: Callable[[_Saved], dict[str, Any]],
        restore: Callable[[Callable[[JobData, JobView, Codec], Midway], Any, Codec, str], Midway],
    ) -> None:
        self._codec = codec
        self._limits = max_history, max_outputs
        self._tree_of = tree_of
        self._restore = restore

    def fold(self, job_id: str, history: History) -> bytes:
        """The base that stands for all of a history; UnencodableValueError for what cannot be kept."""
        start, records = self._last_base(history)
        begin = midway(records, job_id, *self._limits, start=start)
        # A base that a record may follow says by message what lacks its cursor; a saved job may lack none.
        begin.data.lacks_cursor = []
        return self._bytes_of(begin)

    def recover(self, job_id: str, history: History) -> tuple[JobData, JobView, bool]:
        """The job of that history, and whether it is to go on at once."""
        start, records = self._last_base(history)
        return recover(records, job_id, *self._limits, start=start)

    def base_of(self, data: JobData, view: JobView) -> bytes:
        """The base of a job at rest; UnencodableValueError or NoCursorError for what cannot be kept."""
        return self._bytes_of(Midway(data, view))

    def opened(self, base: bytes) -> tuple[JobData, JobView]:
        """The job at rest of such a base."""
        begin = self._start_of(base)
        return begin.data, begin.view

    def _last_base(self, history: History) -> tuple[Midway | None, Sequence[Record]]:
        """The last base that the history or a record in it has, and the records from there on."""
        records = history.records
        index = last_index(records, JobReplaced)
        if index >= 0:
            record = records[index]
            assert isinstance(record, JobReplaced), "it was found by its kind"
            return self._start_of(record.base), records[index:]
        return None if history.base is None else self._start_of(history.base), records

    def _bytes_of(self, begin: Midway) -> bytes:
        data, view = begin.data, begin.view
        tree = self._tree_of(_Saved(data, view, self._codec))
        excess = max(0, len(tree["history"]) - view.max_history)
        tree |= {"history": tree["history"][excess:], "history_dropped": tree["history_dropped"] + excess}
        failures = [
            encode_record(_failure_of(replica, messages), self._codec) for replica, messages in begin.unanswered.items()
        ]
        parts = {
            # A saved job rests, and this one may run.
            "job": tree | {"status": "paused"},
            "status": view.status.value,
            "began_at": begin.began_at,
            "at": begin.at,
            "lacks_cursor": [[f"{message:x}", routine] for message, routine in begin.lacks_cursor.items()],
            "unanswered": failures,
            "starts": data.starts,
            "suspect": None if data.suspect is None else [data.suspect[0], f"{data.suspect[1]:x}"],
            "goes_on": data.goes_on,
            "pausing": data.pausing,
        }
        return self._codec.encode(parts)

    def _start_of(self, base: bytes) -> Midway:
        parts = self._codec.decode(base)
        begin = self._restore(_begin, parts["job"], self._codec, "<base>")
        begin.view.status = JobStatus(parts["status"])
        begin.began_at, begin.at = parts["began_at"], parts["at"]
        begin.lacks_cursor = {int(message, 16): routine for message, routine in parts["lacks_cursor"]}
        for failure in parts["unanswered"]:
            record = decode_record(failure, begin.data.job_id, self._codec)
            assert isinstance(record, StepFailed), "a base names what failed"
            begin.unanswered[record.routine, record.replica] = record.messages
        for name in ("starts", "goes_on", "pausing"):
            setattr(begin.data, name, parts[name])
        if parts["suspect"] is not None:
            begin.data.suspect = parts["suspect"][0], int(parts["suspect"][1], 16)
        begin.view.set_limits(*self._limits)
        return begin


def _begin(data: JobData, view: JobView, _codec: Codec) -> Midway:
    return Midway(data, view)


def _failure_of(replica: tuple[str, int], messages: tuple[Message, ...]) -> StepFailed:
    return StepFailed(
        position=0,
        at=0.0,
        epoch=0,
        routine=replica[0],
        replica=replica[1],
        slot="",
        messages=messages,
        duration=0.0,
        queued=0.0,
        error=_NO_ERROR,
    )
