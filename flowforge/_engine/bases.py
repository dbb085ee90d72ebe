"""The base of a long job: what stands for the first records of its log, so that these can go."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowforge._engine.job_data import JobData
from flowforge._engine.recovery import Midway, midway, recover
from flowforge._engine.view import JobView
from flowforge.job_status import JobStatus
from flowforge.records import ErrorInfo, StepFailed
from flowforge.stores.codec import Codec
from flowforge.stores.record_form import decode_record, encode_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowforge.records import Message
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
        return self._bytes_of(midway(history.records, job_id, *self._limits, start=self._start_of(history)))

    def recover(self, job_id: str, history: History) -> tuple[JobData, JobView, bool]:
        """The job of that history, and whether it is to go on at once."""
        return recover(history.records, job_id, *self._limits, start=self._start_of(history))

    def _bytes_of(self, begin: Midway) -> bytes:
        data, view = begin.data, begin.view
        # A base that a record may follow says by message what lacks its cursor; a saved job may lack none.
        data.lacks_cursor = []
        entries = view.entries()
        view.history_dropped += max(0, len(entries) - view.max_history)
        view.past_history = entries[-view.max_history :] if view.max_history else []
        view.history.clear()
        failures = [
            encode_record(_failure_of(replica, messages), self._codec) for replica, messages in begin.unanswered.items()
        ]
        parts = {
            # A saved job rests, and this one may run.
            "job": json.dumps(self._tree_of(_Saved(data, view, self._codec)) | {"status": "paused"}, allow_nan=False),
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

    def _start_of(self, history: History) -> Midway | None:
        if history.base is None:
            return None
        parts = self._codec.decode(history.base)
        begin = self._restore(_begin, json.loads(parts["job"]), self._codec, "<base>")
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
