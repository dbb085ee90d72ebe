"""The base of a job: all of it as bytes, which stand for the records before; those of a long job can go then.

What is remembered of its execution stands in a base as the records themselves, which nobody need decode to fold on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowforge._engine.job_data import JobData
from flowforge._engine.recovery import Midway, midway, recover
from flowforge._engine.view import JobView
from flowforge.job_status import JobStatus
from flowforge.records import ErrorInfo, JobReplaced, StepFailed
from flowforge.stores.codec import Codec
from flowforge.stores.lazy_records import encoded_records, last_index
from flowforge.stores.record_form import decode_record, encode_record, is_record_of
from flowforge.structs import replace

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


@dataclass(slots=True)
class _History:
    """What a base remembers of the execution."""

    entries: list[Any]
    """What a loaded job brought with it, as it was saved."""
    records: list[bytes]
    """What came after that."""
    dropped: int

    def extend(self, last: list[bytes], count: int, most: int) -> None:
        """Remember so many records more, of which these are the last, and in all only the last `most`."""
        excess = max(0, len(self.entries) + len(self.records) + count - most)
        self.dropped += excess
        self.records += last
        del self.entries[:excess]
        del self.records[: max(0, len(self.records) + len(self.entries) - most)]


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
        base, records = self._last_base(history)
        start, remembered = (None, _History([], [], 0)) if base is None else self._opened(base)
        begin = midway(records, job_id, 0, self._limits[1], start=start)
        remembered.extend(self._told(records), len(records), self._limits[0])
        # A base that a record may follow says by message what lacks its cursor; a saved job may lack none.
        begin.data.lacks_cursor = []
        # What waits is written as in records, which takes a small part of the time.
        pending, begin.data.pending = begin.data.pending, {}
        waiting = [self._kept(routine, 0, slot, messages) for (routine, slot), messages in pending.items()]
        return self._bytes_of(begin, waiting, remembered)

    def recover(self, job_id: str, history: History) -> tuple[JobData, JobView, bool]:
        """The job of that history, and whether it is to go on at once."""
        base, records = self._last_base(history)
        start = None if base is None else self._start_of(base)
        return recover(records, job_id, *self._limits, start=start)

    def base_of(self, data: JobData, view: JobView) -> bytes:
        """The base of a job at rest; UnencodableValueError or NoCursorError for what cannot be kept."""
        return self._bytes_of(Midway(data, view), [])

    def opened(self, base: bytes) -> tuple[JobData, JobView]:
        """The job at rest of such a base."""
        begin = self._start_of(base)
        return begin.data, begin.view

    def _last_base(self, history: History) -> tuple[bytes | None, Sequence[Record]]:
        """The last base that the history or a record in it has, and the records from there on."""
        records = history.records
        index = last_index(records, JobReplaced)
        if index < 0:
            return history.base, records
        record = records[index]
        assert isinstance(record, JobReplaced), "it was found by its kind"
        return record.base, records[index:]

    def _bytes_of(self, begin: Midway, waiting: list[bytes], remembered: _History | None = None) -> bytes:
        data, view = begin.data, begin.view
        tree = self._tree_of(_Saved(data, view, self._codec))
        if remembered is None:
            remembered = _History(tree["history"], [], tree["history_dropped"])
            remembered.extend([], 0, view.max_history)
        tree |= {"history": remembered.entries, "history_dropped": remembered.dropped}
        parts = {
            # A saved job rests, and this one may run.
            "job": tree | {"status": "paused"},
            "records": remembered.records,
            "status": view.status.value,
            "began_at": begin.began_at,
            "at": begin.at,
            "lacks_cursor": [[f"{message:x}", routine] for message, routine in begin.lacks_cursor.items()],
            "unanswered": [self._kept(*replica, "", messages) for replica, messages in begin.unanswered.items()],
            "waiting": waiting,
            "starts": data.starts,
            "suspect": None if data.suspect is None else [data.suspect[0], f"{data.suspect[1]:x}"],
            "goes_on": data.goes_on,
            "pausing": data.pausing,
        }
        return self._codec.encode(parts)

    def _kept(self, routine: str, replica: int, slot: str, messages: Sequence[Message]) -> bytes:
        """Messages as a record that holds nothing else."""
        kept = StepFailed(
            position=0,
            at=0.0,
            epoch=0,
            routine=routine,
            replica=replica,
            slot=slot,
            messages=tuple(messages),
            duration=0.0,
            queued=0.0,
            error=_NO_ERROR,
        )
        return encode_record(kept, self._codec)

    def _messages_in(self, data: bytes, begin: Midway) -> StepFailed:
        record = decode_record(data, begin.data.job_id, self._codec)
        assert isinstance(record, StepFailed), "messages are kept as that"
        return record

    def _told(self, records: Sequence[Record]) -> list[bytes]:
        """The bytes of those of these records that a history may hold."""
        told = encoded_records(records[max(0, len(records) - self._limits[0]) :], self._codec)
        if told and is_record_of(told[0], JobReplaced):
            # The base in it is the one that this history goes on from.
            told[0] = encode_record(replace(records[0], base=b""), self._codec)
        return told

    def _start_of(self, base: bytes) -> Midway:
        """The job of a base, with its history."""
        begin, remembered = self._opened(base)
        view = begin.view
        view.history.extend(decode_record(record, begin.data.job_id, self._codec) for record in remembered.records)
        view.set_limits(*self._limits)
        return begin

    def _opened(self, base: bytes) -> tuple[Midway, _History]:
        """The job of a base, and its history, of which it has what was loaded only."""
        parts = self._codec.decode(base)
        tree = parts["job"]
        begin = self._restore(_begin, tree, self._codec, "<base>")
        begin.view.status = JobStatus(parts["status"])
        begin.began_at, begin.at = parts["began_at"], parts["at"]
        begin.lacks_cursor = {int(message, 16): routine for message, routine in parts["lacks_cursor"]}
        for data in parts["unanswered"]:
            failure = self._messages_in(data, begin)
            begin.unanswered[failure.routine, failure.replica] = failure.messages
        for data in parts["waiting"]:
            waiting = self._messages_in(data, begin)
            begin.data.pending[waiting.routine, waiting.slot] = [*waiting.messages]
        for name in ("starts", "goes_on", "pausing"):
            setattr(begin.data, name, parts[name])
        if parts["suspect"] is not None:
            begin.data.suspect = parts["suspect"][0], int(parts["suspect"][1], 16)
        return begin, _History(tree["history"], parts["records"], tree["history_dropped"])


def _begin(data: JobData, view: JobView, _codec: Codec) -> Midway:
    return Midway(data, view)
