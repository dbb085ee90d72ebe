"""Small checks and helpers of the runtime."""

from __future__ import annotations

import uuid
import weakref
from _thread import start_new_thread
from threading import Thread
from typing import TYPE_CHECKING, Any

from flowforge._engine.logs import about, logger
from flowforge.binding import HandlerKind, check_parameters
from flowforge.flow_graph import FlowGraph
from flowforge.flow_registry import FlowRegistry
from flowforge.graph_errors import PayloadMismatchError
from flowforge.job_errors import RuntimeOptionError, WaitInStepError
from flowforge.names import check_name
from flowforge.option_checks import is_amount, is_positive
from flowforge.options import RuntimeOptions
from flowforge.step_context import CURRENT_STEP, MAY_WAIT

if TYPE_CHECKING:
    from actors.pooled_dispatcher import PooledDispatcher
    from flowforge._engine.plan import FlowPlan, RoutinePlan
    from flowforge.stores.store import Log, Store

__all__ = [
    "check_fits_handler",
    "check_only_resumed",
    "check_outside_a_step",
    "check_wait",
    "checked_id",
    "checked_options",
    "checked_registry",
    "checked_timeout",
    "drain",
    "end_soon",
    "known_registry",
    "note_failure",
    "registered_flow",
    "warn_of_concurrency",
]


def checked_options(
    thread_pool_size: int | None, options: RuntimeOptions | None, store: Log | str | None
) -> RuntimeOptions:
    """The options of a runtime on that store; RuntimeOptionError for what they cannot be.

    The pool's size may be given once only, and a full history needs a store that keeps it.
    """
    if options is None:
        return RuntimeOptions() if thread_pool_size is None else RuntimeOptions(thread_pool_size=thread_pool_size)
    if not isinstance(options, RuntimeOptions):
        raise RuntimeOptionError("options", options, "Give RuntimeOptions(...).")
    if thread_pool_size is not None:
        raise RuntimeOptionError("thread_pool_size", thread_pool_size, "Give it in the options, which were given too.")
    if options.history == "full" and not isinstance(store, str) and not getattr(store, "is_durable", False):
        remedy = "Give the runtime a store, which keeps it; in memory choose 'recent', with a larger max_history."
        raise RuntimeOptionError("history", "full", remedy)
    return options


def checked_registry(registry: FlowRegistry | None) -> FlowRegistry | None:
    """`registry` if it is one, or None; else RuntimeOptionError."""
    if registry is not None and not isinstance(registry, FlowRegistry):
        raise RuntimeOptionError("registry", registry, "Give a FlowRegistry, or None for the default one.")
    return registry


def known_registry(registry: FlowRegistry | None) -> FlowRegistry:
    """`registry`, or the default one."""
    return FlowRegistry.get_instance() if registry is None else registry


def registered_flow(registry: FlowRegistry | None, flow_or_name: object) -> FlowGraph:
    """The flow given, or the one of that name in `registry` or the default one."""
    if isinstance(flow_or_name, FlowGraph):
        return flow_or_name
    if not isinstance(flow_or_name, str):
        raise RuntimeOptionError("flow_or_name", flow_or_name, "Give a Flow, or the name of a registered one.")
    return known_registry(registry).get(flow_or_name)


def check_only_resumed(job_state: object, *others: object) -> None:
    """Raise RuntimeOptionError unless `job_state` is one and nothing is given that only a new job can use."""
    # By its parts: the class is defined on a layer that is built on this one.
    if not hasattr(job_state, "is_resting"):
        raise RuntimeOptionError("job_state", job_state, "Give a JobState, or None for a new job.")
    for other in others:
        if other is not None:
            remedy = "A job that is resumed has its entry, its id and its timeout; leave this out."
            raise RuntimeOptionError("beside job_state", other, remedy)


def check_fits_handler(plan: RoutinePlan, lane: int, payload: dict[str, Any]) -> None:
    """Raise PayloadMismatchError if the handler of a slot cannot be called with `payload`."""
    slot = plan.slots[lane]
    if plan.template.logic is not None or slot.shape is None or callable(slot.merge_strategy):
        return
    missing = check_parameters(slot.shape, payload)
    if missing:
        raise PayloadMismatchError(f"{plan.id}.{slot.name}", slot.shape.parameters, missing, tuple(payload))


def checked_timeout(timeout: float | None) -> float | None:
    """`timeout` if it is None or above 0; else RuntimeOptionError."""
    if timeout is not None and not is_positive(timeout):
        raise RuntimeOptionError("timeout", timeout, "Give seconds above 0, or None for no limit.")
    return timeout


def check_wait(timeout: object) -> None:
    """Raise RuntimeOptionError unless somebody can wait that long."""
    if timeout is not None and not is_amount(timeout):
        raise RuntimeOptionError("timeout", timeout, "Give seconds, 0 or more, or None to wait for ever.")


def checked_id(job_id: str | None) -> str:
    """`job_id` if it is a text without a dot, or a new one; IllegalNameError for anything else.

    Inside a step the new one is the same on every attempt.
    """
    if job_id is not None:
        return check_name("job id", job_id)
    step = CURRENT_STEP.get()
    return uuid.uuid4().hex if step is None or not step.is_open else step.idempotency_key()


def warn_of_concurrency(plan: FlowPlan, threads: int) -> None:
    """Log a warning, once for each plan, if a routine has more replicas than there are threads for them."""
    for routine in plan.routines:
        if routine.concurrency <= threads or plan.has_warned:
            continue
        kinds = {slot.shape.kind for slot in routine.slots if slot.shape is not None}
        if not kinds <= {HandlerKind.ASYNC, HandlerKind.ASYNC_GENERATOR} or not kinds:
            plan.has_warned = True
            text = "The routine %r has %d replicas, but the runtime has %d threads for handlers."
            logger.warning(text, routine.id, routine.template.concurrency, threads, extra=about("", routine.id))


def drain(runtime: weakref.ref[Any]) -> None:
    """At the end of the process: shut a runtime down, if there still is one, within its own deadline."""
    living = runtime()
    if living is not None:
        living.shutdown(timeout=living.options.shutdown_timeout)


def end_soon(dispatcher: PooledDispatcher | None, store: Store | None) -> None:
    """Have what was made for a runtime that nobody has any more, if anything, ended by a thread; wait for nothing.

    Any thread may call, whatever it holds: the garbage collector does, in the middle of whatever one of them does.
    """
    if dispatcher is None and store is None:
        return

    def end() -> None:
        if store is not None:
            store.close()
        if dispatcher is not None:
            dispatcher.shutdown()

    def start() -> None:
        Thread(target=end, name="flowforge-end", daemon=True).start()

    # A thread's start takes a lock that the calling thread may hold.
    start_new_thread(start, ())


def note_failure(runtime: weakref.ref[Any]) -> None:
    """The store of a runtime, if there still is one, keeps nothing any more."""
    living = runtime()
    if living is not None:
        living.stop_dead()


def check_outside_a_step(what: str) -> None:
    """Raise WaitInStepError inside a handler, and in functions of the user's that are called with a job's lock held."""
    if CURRENT_STEP.get() is not None or not MAY_WAIT.get():
        raise WaitInStepError(what)
