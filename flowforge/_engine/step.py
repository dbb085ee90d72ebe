"""A step: one call of a routine, and the buffer of all that it does until it commits."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

from flowforge._engine.message_ids import MODULUS, POINT, child_id, posted_id
from flowforge._engine.shared import SharedBuffer
from flowforge._engine.tracked_plain import detach, plain_copy
from flowforge.graph_errors import UnknownEventError
from flowforge.records import Delivery, Destination, Message, Output, Timer
from flowforge.routine_errors import AbandonedStepError
from flowforge.structs import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flowforge._engine.plan import Target
    from flowforge._engine.work import Work
    from flowforge._engine.worker import Worker
    from flowforge.routine import Routine

__all__ = ["Step"]


class Step(Struct, eq=False):
    """What a handler's `emit`, state and shared data go to; used by the thread or task that runs the handler.

    Nothing in it can be seen by another step before the job commits it, or after it was rolled back.
    """

    worker: Worker
    work: Work
    epoch: int
    started: float
    """By the monotonic clock, as `ended`."""
    began: float
    """Seconds since the epoch."""
    routine: Routine
    """The instance whose handler is called."""
    state: dict[str, Any]
    """Kept here, so that a step that was abandoned cannot reach the state of the attempt after it."""
    index: int
    """The number of the next message that it emits, among those of its work."""
    emissions: list[tuple[Target | None, str, dict[str, Any]]]
    ended: float = 0.0
    is_open: bool = True
    is_final: bool = True
    is_abandoned: bool = False
    error: BaseException | None = None
    outputs: list[Output] | None = None
    shared: SharedBuffer | None = None
    shared_log: list[Any] | None = None
    deliveries: tuple[Delivery, ...] = ()
    timers: tuple[Timer, ...] = ()
    delays: dict[int, tuple[float, float]] | None = None
    """The instant and the delay of those emissions that are for later, by their place among all."""
    posts: list[tuple[Destination, dict[str, Any], str | None]] | None = None
    after_commit: Sequence[tuple[Callable[[], object], Callable[[], object] | None]] = ()
    _calls: int = 0
    _random: random.Random | None = None

    # What a handler reaches through its routine

    @property
    def job_state(self) -> Any:
        return self.worker.job.job_state

    @property
    def routine_id(self) -> str:
        return self.worker.plan.id

    @property
    def is_cancelled(self) -> bool:
        return self.is_abandoned or self.epoch != self.worker.job.epoch

    @property
    def random(self) -> random.Random:
        if self._random is None:
            self._random = random.Random(child_id(self.work.messages[0].id, self.work.messages[0].progress))
        return self._random

    def owns(self, routine: object) -> bool:
        return routine is self.routine or routine is self.worker.plan.template

    def now(self) -> float:
        return self.worker.job.clock.now()

    def idempotency_key(self) -> str:
        self._calls += 1
        message = self.work.messages[0]
        text = f"{self.worker.job.id}\x00{self.routine_id}\x00{message.id}\x00{message.progress}\x00{self._calls}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def emit(self, event: str, payload: dict[str, Any]) -> None:
        worker = self.worker
        targets = worker.plan.targets.get(event)
        if targets is None:
            raise UnknownEventError(event, self.routine_id, tuple(worker.plan.targets))
        if worker.tracked.journal.changes:
            # A container that this step has just put into the state is still the handler's own object.
            payload = plain_copy(payload)
        elif worker.has_containers:
            payload = detach(payload)
        if not targets:
            self.emissions.append((None, worker.plan.sources[event], self._isolated(payload)))
            return
        for number, target in enumerate(targets):
            if target.connection is not None:
                sent = target.connection.apply(payload)
            else:
                sent = dict(payload) if number else payload
            self.emissions.append((target, target.source, self._isolated(sent) if worker.job.is_isolated else sent))

    def emit_later(self, event: str, payload: dict[str, Any], due: float, delay: float) -> None:
        """Buffer an emission that takes place at an instant."""
        start = len(self.emissions)
        self.emit(event, payload)
        if self.delays is None:
            self.delays = {}
        for place in range(start, len(self.emissions)):
            self.delays[place] = due, delay

    def _isolated(self, payload: dict[str, Any]) -> dict[str, Any]:
        job = self.worker.job
        return job.codec.copy(payload, "payload") if job.is_isolated else payload

    def send_output(self, name: str, payload: dict[str, Any]) -> None:
        output = Output(name, self.worker.job.codec.copy(payload, f"output {name!r}"), is_event=False)
        if self.outputs is None:
            self.outputs = []
        self.outputs.append(output)

    def do_after_commit(self, action: Callable[[], object], undo: Callable[[], object] | None = None) -> None:
        """Buffer an effect outside the job, such as the start of another.

        `action` is called once when this step has committed, without the job's lock and in the order of commits;
        `undo` if it will not commit. `action` waits for nothing: until it is done nothing becomes safe.
        AbandonedStepError for a step that was given up although it still runs.
        """
        with self.worker.job.lock:
            if self.is_abandoned:
                raise AbandonedStepError(self.routine_id)
            self.after_commit = [*self.after_commit, (action, undo)]

    def post(self, to: Destination, payload: dict[str, Any], key: str | None) -> None:
        """Buffer a message from outside for a slot of this step's own job."""
        if self.posts is None:
            self.posts = []
        self.posts.append((to, payload, key))

    def shared_buffer(self) -> SharedBuffer:
        """This step's view of the shared data."""
        if self.shared is None:
            self.shared = SharedBuffer(self.worker.job.shared, self.worker.job.codec)
        return self.shared

    def append_shared(self, entry: Any) -> None:
        """Buffer an entry of the shared log."""
        if self.shared_log is None:
            self.shared_log = []
        self.shared_log.append(self.worker.job.codec.copy(entry, "shared_log entry"))

    # What the engine does with it

    def seal(self, at: float) -> None:
        """Turn what was emitted into messages, numbered from where the work's last commit ended."""
        parent, job_id, index = self.work.messages[0], self.worker.job.id, self.index
        parent_id, trace = parent.id, parent.trace
        correlation, point = parent.correlation or parent_id, parent_id * POINT
        deliveries: list[Delivery] = []
        for target, source, payload in self.emissions if self.delays is None else self._immediate():
            if target is None:
                if self.outputs is None:
                    self.outputs = []
                self.outputs.append(Output(source, payload))
                continue
            index += 1
            number = (point + index) % MODULUS
            message = Message(number, job_id, source, payload, at, correlation, parent_id, 0, 0, trace)
            deliveries.append(Delivery(target.destination, message))
        self.index = index + 1
        self.deliveries = tuple(deliveries)
        if self.delays is not None:
            self._seal_timers(at, self.delays)
        if self.posts is not None:
            self._seal_posts(at, self.posts)

    def _seal_timers(self, at: float, delays: dict[int, tuple[float, float]]) -> None:
        timers: list[Timer] = []
        for place, (due, delay) in delays.items():
            target, source, payload = self.emissions[place]
            message = self._next_message(source, payload, at)
            if target is None:
                timers.append(Timer(message.id, self.worker.plan.id, due, delay, None, Output(source, payload)))
            else:
                delivery = Delivery(target.destination, message)
                timers.append(Timer(message.id, self.worker.plan.id, due, delay, delivery))
        self.timers = tuple(timers)

    def _seal_posts(self, at: float, posts: list[tuple[Destination, dict[str, Any], str | None]]) -> None:
        sealed = [Delivery(to, self._next_message("", payload, at, key)) for to, payload, key in posts]
        self.deliveries = (*self.deliveries, *sealed)

    def _next_message(self, source: str, payload: dict[str, Any], at: float, key: str | None = None) -> Message:
        parent, job_id = self.work.messages[0], self.worker.job.id
        number = child_id(parent.id, self.index) if key is None else posted_id(job_id, key)
        self.index += 1
        correlation = parent.correlation or parent.id
        return Message(number, job_id, source, payload, at, correlation, parent.id, 0, 0, parent.trace, key)

    def _immediate(self) -> list[tuple[Target | None, str, dict[str, Any]]]:
        """What is emitted at the commit itself."""
        later = self.delays or {}
        return [emission for place, emission in enumerate(self.emissions) if place not in later]
