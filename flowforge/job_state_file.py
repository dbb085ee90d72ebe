"""A job at rest as a tree of plain data, and as a JSON file: format 1.

Values that users chose (payloads, states, shared data) are in the codec's JSON form; ids are hexadecimal. The file is
written whole or not at all. What a later version of the format adds, that version reads; this one refuses it.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from flowforge._engine.job_data import DeadLetter, JobData, Retry
from flowforge._engine.view import JobView
from flowforge.atomic_file import write_atomically
from flowforge.errors import FlowForgeError
from flowforge.execution_record import ExecutionRecord
from flowforge.job_errors import JobStateFileError, NoCursorError
from flowforge.job_state_form import FORMAT, KIND, SavedFingerprint, SavedJob, SavedLetter, SavedMessage, SavedTimer
from flowforge.job_status import JobStatus
from flowforge.options import RuntimeOptions
from flowforge.records import (
    Delivery,
    Destination,
    ErrorInfo,
    FlowFingerprint,
    Message,
    Output,
    RoutineFingerprint,
    Timer,
)
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.json_form import from_json, to_json
from flowforge.structs import ValidationError, asdict, convert

__all__ = ["ValueForm", "binary_values", "json_values", "load_tree", "restore", "save_tree", "tree_of"]

_MESSAGE_FIELDS = ("job", "source", "at", "attempt", "progress", "trace", "key", "is_merged")
_IDS = ("id", "correlation", "causation")


class _Saved(Protocol):
    data: JobData
    view: JobView
    codec: Codec


S = TypeVar("S")
_Keep = Callable[[Any, str], Any]
_Load = Callable[[Any], Any]


class ValueForm(NamedTuple):
    """How values that users chose stand in a tree."""

    keep: _Keep
    """Of a value and its path; raises UnencodableValueError for what cannot be kept."""
    load: _Load
    """The way back; DecodeError for what is not of this form."""


def json_values(codec: Codec) -> ValueForm:
    """As plain data that JSON can hold."""
    return ValueForm(lambda value, path: to_json(value, codec, path=path), lambda tree: from_json(tree, codec))


def binary_values(codec: Codec) -> ValueForm:
    """As bytes, which takes a small part of the time."""
    return ValueForm(lambda value, path: codec.encode(value, path=path), codec.decode)


def tree_of(job_state: _Saved, form: ValueForm | None = None) -> dict[str, Any]:
    """All of a resting job, its values as JSON unless told otherwise.

    Raises UnencodableValueError or NoCursorError for what cannot be kept.
    """
    data, view = job_state.data, job_state.view
    keep = (form or json_values(job_state.codec)).keep
    for routine in data.lacks_cursor:
        raise NoCursorError(routine, "saved")

    with view.lock:
        view.catch_up()
        return {
            "kind": KIND,
            "format": FORMAT,
            "job_id": data.job_id,
            "flow_id": data.flow_id,
            "status": view.status.value,
            "reason": view.reason,
            "error": _error_tree(view.error),
            "failed_routine": view.failed_routine,
            "epoch": data.epoch,
            "position": data.position,
            "entries": data.entries,
            "letters": data.letters,
            "timeout": data.timeout,
            "elapsed": data.elapsed,
            "is_kept_alive": data.is_kept_alive,
            "keys": sorted(data.keys),
            "checkpoint": keep(data.checkpoint, "checkpoint"),
            "pending": [
                {"routine": routine, "slot": slot, "messages": [_message_tree(m, keep, slot) for m in messages]}
                for (routine, slot), messages in data.pending.items()
            ],
            "restarts": data.restarts,
            "retries": {f"{message:x}": list(retry) for message, retry in data.retries.items()},
            "timers": [_timer_tree(timer, keep) for timer in data.timers.values()],
            "shared_data": keep(data.shared, "shared_data"),
            "shared_log": keep(data.shared_log, "shared_log"),
            "shared_log_dropped": data.shared_log_dropped,
            "dead_letters": [_letter_tree(letter, keep) for letter in data.dead_letters.values()],
            "routines": [
                {"id": routine, "replica": replica, "tree": keep(tree, f"the state of {routine!r}")}
                for (routine, replica), tree in view.trees.items()
            ],
            "facts": {name: _facts_tree(facts) for name, facts in view.routines.items()},
            "outputs": keep(view.outputs, "outputs"),
            "output_log": [
                {"at": at, "routine": routine, "name": output.name, "payload": keep(output.payload, "output_log")}
                for at, routine, output in view.output_log
            ],
            "outputs_dropped": view.outputs_dropped,
            "history": [_entry_tree(entry, keep) for entry in view.entries()],
            "history_dropped": view.history_dropped,
            "figures": view.tracker.to_tree(),
            "fingerprint": _fingerprint_tree(data.fingerprint),
        }


def save_tree(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write a tree to a file, atomically."""
    write_atomically(path, json.dumps(tree, allow_nan=False, indent=1) + "\n")


def load_tree(path: str | os.PathLike[str]) -> Any:
    """Read the tree in a file; JobStateFileError if it is not JSON, or cut short."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:
        remedy = "It is not JSON, or was cut short; load a file that JobState.save wrote."
        raise JobStateFileError(str(path), str(err), remedy) from err


def restore(
    build: Callable[[JobData, JobView, Codec], S], tree: Any, codec: Codec, path: str, form: ValueForm | None = None
) -> S:
    """The job that `tree_of` described in that form; JobStateFileError for anything else."""
    load = (form or json_values(codec)).load
    remedy = "Load a file that JobState.save wrote."
    if not isinstance(tree, Mapping) or tree.get("kind") != KIND:
        raise JobStateFileError(path, "it is something else", remedy)
    if tree.get("format") != FORMAT:
        problem = f"its format is {tree.get('format')!r}, and this version reads {FORMAT!r}"
        raise JobStateFileError(path, problem, "Load it with the version of FlowForge that wrote it.")
    try:
        saved = convert(tree, SavedJob)
        return build(_data_of(saved, load), _view_of(saved, load), codec)
    except ValidationError as err:
        raise JobStateFileError(path, f"it is damaged: {err}", remedy) from err
    except FlowForgeError as err:
        raise JobStateFileError(path, str(err), "Register the types it uses with the codec.") from err


def _data_of(saved: SavedJob, load: _Load) -> JobData:
    data = JobData(
        job_id=saved.job_id,
        flow_id=saved.flow_id,
        epoch=saved.epoch,
        position=saved.position,
        entries=saved.entries,
        letters=saved.letters,
        timeout=saved.timeout,
        elapsed=saved.elapsed,
        is_kept_alive=saved.is_kept_alive,
        keys=set(saved.keys),
        checkpoint=load(saved.checkpoint),
        restarts=saved.restarts,
        retries={int(message, 16): Retry(*retry) for message, retry in saved.retries.items()},
        shared=convert(load(saved.shared_data), dict[Any, Any]),
        shared_log=convert(load(saved.shared_log), list[Any]),
        shared_log_dropped=saved.shared_log_dropped,
        fingerprint=_fingerprint_of(saved.fingerprint),
    )
    for waiting in saved.pending:
        data.pending[waiting.routine, waiting.slot] = [_message_of(m, load) for m in waiting.messages]
    for timer in saved.timers:
        data.timers[int(timer.id, 16)] = _timer_of(timer, load)
    for letter in saved.dead_letters:
        data.dead_letters[letter.id] = _letter_of(letter, load)
    return data


def _view_of(saved: SavedJob, load: _Load) -> JobView:
    options = RuntimeOptions()
    view = JobView(saved.job_id, options.max_history, options.max_outputs)
    view.status = JobStatus(saved.status)
    view.reason = saved.reason
    view.position = saved.position
    view.error = saved.error
    view.failed_routine = saved.failed_routine
    for routine in saved.routines:
        tree = convert(load(routine.tree), dict[str, dict[Any, Any]])
        view.trees[routine.id, routine.replica] = tree
    for name, facts in saved.facts.items():
        known = view.routine(name)
        known.status, known.last_error, known.last_call = facts.status, facts.last_error, facts.last_call
        known.calls, known.errors, known.dead_letters = facts.calls, facts.errors, facts.dead_letters
    view.outputs = convert(load(saved.outputs), dict[str, list[dict[str, Any]]])
    view.output_log = deque(
        (o.at, o.routine, Output(o.name, _payload_of(o.payload, load), is_event=False)) for o in saved.output_log
    )
    view.outputs_dropped = saved.outputs_dropped
    view.past_history = deque(_entry_of(entry, load) for entry in saved.history)
    view.history_dropped = saved.history_dropped
    if saved.figures is not None:
        view.tracker.take_tree(asdict(saved.figures))
    return view


def _payload_of(tree: Any, load: _Load) -> dict[str, Any]:
    return convert(load(tree), dict[str, Any])


def _fingerprint_tree(fingerprint: FlowFingerprint | None) -> dict[str, Any] | None:
    if fingerprint is None:
        return None
    return {
        "version": fingerprint.version,
        "routines": [
            {"id": made.id, "slots": [*made.slots], "events": [*made.events], "concurrency": made.concurrency}
            for made in fingerprint.routines
        ],
        "connections": [
            {"source": source, "target": target, "mapping": dict(mapping)}
            for source, target, mapping in fingerprint.connections
        ],
    }


def _fingerprint_of(saved: SavedFingerprint | None) -> FlowFingerprint | None:
    if saved is None:
        return None
    routines = (RoutineFingerprint(made.id, made.slots, made.events, made.concurrency) for made in saved.routines)
    connections = ((made.source, made.target, tuple(sorted(made.mapping.items()))) for made in saved.connections)
    return FlowFingerprint(saved.version, tuple(routines), tuple(connections))


def _message_tree(message: Message, keep: _Keep, where: str) -> dict[str, Any]:
    tree = {name: getattr(message, name) for name in _MESSAGE_FIELDS}
    tree |= {name: f"{getattr(message, name):x}" for name in _IDS}
    tree["payload"] = keep(message.payload, f"the payload waiting in {where!r}")
    return tree


def _message_of(saved: SavedMessage, load: _Load) -> Message:
    fields: dict[str, Any] = {name: getattr(saved, name) for name in _MESSAGE_FIELDS}
    fields |= {name: int(getattr(saved, name), 16) for name in _IDS}
    return Message(payload=_payload_of(saved.payload, load), **fields)


def _timer_tree(timer: Timer, keep: _Keep) -> dict[str, Any]:
    tree: dict[str, Any] = {"id": f"{timer.id:x}", "routine": timer.routine, "due": timer.due, "delay": timer.delay}
    if timer.delivery is not None:
        to = timer.delivery.to
        tree |= {"to": [to.routine, to.slot], "message": _message_tree(timer.delivery.message, keep, to.slot)}
    if timer.output is not None:
        payload = keep(timer.output.payload, f"the output {timer.output.name!r}")
        tree["output"] = {"at": timer.due, "routine": timer.routine, "name": timer.output.name, "payload": payload}
    return tree


def _timer_of(saved: SavedTimer, load: _Load) -> Timer:
    delivery = output = None
    if saved.to is not None and saved.message is not None:
        delivery = Delivery(Destination(*saved.to), _message_of(saved.message, load))
    if saved.output is not None:
        output = Output(saved.output.name, _payload_of(saved.output.payload, load))
    return Timer(int(saved.id, 16), saved.routine, saved.due, saved.delay, delivery, output)


def _letter_tree(letter: DeadLetter, keep: _Keep) -> dict[str, Any]:
    return {
        "id": letter.id,
        "routine": letter.routine,
        "slots": list(letter.slots),
        "messages": [_message_tree(m, keep, letter.routine) for m in letter.messages],
        "strategy": letter.strategy,
        "error": _error_tree(letter.error),
        "at": letter.at,
        "is_repeatable": letter.is_repeatable,
    }


def _letter_of(saved: SavedLetter, load: _Load) -> DeadLetter:
    messages = tuple(_message_of(m, load) for m in saved.messages)
    return DeadLetter(
        saved.id, saved.routine, saved.slots, messages, saved.strategy, saved.error, saved.at, saved.is_repeatable
    )


def _error_tree(error: ErrorInfo | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"type": error.type, "text": error.text, "traceback": error.traceback, "cause": error.cause}


def _facts_tree(facts: Any) -> dict[str, Any]:
    tree = {name: getattr(facts, name) for name in ("status", "calls", "errors", "dead_letters", "last_call")}
    return {**tree, "last_error": _error_tree(facts.last_error)}


def _entry_tree(entry: ExecutionRecord, keep: _Keep) -> dict[str, Any]:
    tree = entry.to_dict()
    try:
        tree["payload"] = keep(entry.payload, "history")
    except UnencodableValueError:
        # History must not keep a job from being saved whose waiting messages are all plain data.
        tree["payload"] = keep(repr(entry.payload)[:1000], "history")
    return tree


def _entry_of(saved: ExecutionRecord, load: _Load) -> ExecutionRecord:
    return replace(saved, payload=load(saved.payload))
