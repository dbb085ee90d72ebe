"""A watch over simulated handlers: whether they ask the real world for what only the simulation should answer.

Guarantees:

- Only calls on the thread that entered a watch are caught, and only those inside a step that is open.
- Only calls that a user's module makes itself are caught: not those of the standard library, of installed packages,
  of FlowForge or of its actors.
- A caught call raises nothing in its handler, whose ErrorHandler would answer it; a caught `time.sleep` does not sleep.
- Every function is back in its place once all watches have ended, in whichever order.

What only reaches the real world through an installed package is not seen, nor is what only C code calls; a replay
that differs is what shows these.
"""

import asyncio
import concurrent.futures
import multiprocessing.process
import os
import random
import secrets
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from types import BuiltinMethodType, CodeType, FrameType, FunctionType, MethodType, ModuleType, TracebackType
from typing import Any, Final, Self

from flowforge.errors import FlowForgeError
from flowforge.step_context import CURRENT_STEP

__all__ = ["OutsideWorldError", "WorldWatch"]


class OutsideWorldError(FlowForgeError):
    """A simulated handler asked the real world for time, chance, a thread or the network."""

    def __init__(self, call: str, where: str, remedy: str) -> None:
        super().__init__(f"A simulated step called {call!r} at {where!r}, which no replay can repeat. {remedy}")
        self.call = call
        self.where = where
        self.remedy = remedy


class WorldWatch:
    """A context manager for the time of one simulation, for one thread; it may be entered again while it is open.

    With `is_exact` a profile function also sees what was imported by name (`from time import time`), and
    `datetime.now()`, unless a profiler is set already. Every call then takes longer, and a `sleep` that was imported by
    name does sleep.
    """

    __slots__ = ("_depth", "_hook", "_is_exact", "_patches", "_thread", "_users", "caught")

    caught: OutsideWorldError | None
    """The first call that was caught, or None; it is kept when the watch ends."""

    def __init__(self, *, is_exact: bool = False) -> None:
        self.caught = None
        self._is_exact = is_exact
        self._depth = 0
        self._thread = 0
        self._patches: list[_Patch] = []
        self._users: dict[tuple[str, str], bool] = {}
        self._hook: Callable[[FrameType, str, object], None] | None = None

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            self._thread = threading.get_ident()
            with _PATCHING:
                self._patches.extend(_Patch(watched, self._catches) for watched in _WATCHED)
            if self._is_exact and sys.getprofile() is None:
                self._hook = self._on_event
                sys.setprofile(self._hook)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        if self._hook is not None and sys.getprofile() is self._hook:
            sys.setprofile(None)
        self._hook = None
        self._thread = 0
        with _PATCHING:
            while self._patches:
                self._patches.pop().remove()

    def _catches(self, watched: "_Watched", caller: FrameType) -> bool:
        """Whether a call of `watched` by `caller` is one to be caught; the first such is remembered."""
        if threading.get_ident() != self._thread:
            return False
        step = CURRENT_STEP.get()
        if step is None or not step.is_open or not self._is_users(caller):
            return False
        if self.caught is None:
            code = caller.f_code
            where = f"{PurePath(code.co_filename).name}:{caller.f_lineno} in {code.co_name}"
            call = f"{watched.module}.{watched.qualname}".removesuffix(".__init__")
            self.caught = OutsideWorldError(call, where, watched.remedy)
        return True

    def _is_users(self, frame: FrameType) -> bool:
        place = frame.f_code.co_filename, frame.f_globals.get("__name__") or ""
        known = self._users.get(place)
        if known is None:
            known = self._users[place] = _is_users_module(*place)
        return known

    def _on_event(self, frame: FrameType, event: str, arg: object) -> None:
        if event == "c_call" and isinstance(arg, BuiltinMethodType):
            watched = _BUILTINS.get(arg) or _clock_of(arg)
            if watched is not None:
                self._catches(watched, frame)
        elif event == "call" and frame.f_code.co_name in _PYTHON and frame.f_back is not None:
            for code, instance, watched in _PYTHON[frame.f_code.co_name]:
                if frame.f_code is code and (instance is None or frame.f_locals.get("self") is instance):
                    self._catches(watched, frame.f_back)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A function that asks the real world, unless it is called with `pure_from` arguments or more."""

    owner: ModuleType | type
    name: str
    remedy: str
    pure_from: int = sys.maxsize

    @property
    def module(self) -> str:
        return self.owner.__name__ if isinstance(self.owner, ModuleType) else self.owner.__module__

    @property
    def qualname(self) -> str:
        return self.name if isinstance(self.owner, ModuleType) else f"{self.owner.__qualname__}.{self.name}"


_Catches = Callable[[_Watched, FrameType], bool]


class _Patch:
    """What stands in the place of one watched function for one watch; below it may be another watch's."""

    __slots__ = ("is_owners", "original", "replacement", "watched")

    def __init__(self, watched: _Watched, catches: _Catches) -> None:
        owner, name = watched.owner, watched.name
        self.watched = watched
        self.is_owners = name in vars(owner)
        self.original: Callable[..., Any] = getattr(owner, name)
        self.replacement = _replacement(self, catches)
        setattr(owner, name, self.replacement)

    def remove(self) -> None:
        """Put the original back, below the patches of watches that are still open."""
        owner, name = self.watched.owner, self.watched.name
        found = getattr(owner, name)
        if found is not self.replacement:
            above: _Patch | None = getattr(found, _MARK, None)
            while above is not None and above.original is not self.replacement:
                above = getattr(above.original, _MARK, None)
            if above is not None:
                above.original, above.is_owners = self.original, self.is_owners
        elif self.is_owners:
            setattr(owner, name, self.original)
        else:
            delattr(owner, name)
        # The two refer to each other, and a search for a bug makes thousands of them.
        del self.replacement


def _replacement(patch: _Patch, catches: _Catches) -> Callable[..., Any]:
    watched = patch.watched
    is_sleep = watched.remedy is _SLEEP

    def call_watched(*args: Any, **kwargs: Any) -> Any:
        if len(args) < watched.pure_from and catches(watched, sys._getframe(1)) and is_sleep:  # noqa: SLF001
            # Bad arguments are still the original's to refuse.
            return patch.original(*(min(seconds, 0) for seconds in args), **kwargs)
        return patch.original(*args, **kwargs)

    # Whoever prints it, or pickles it by name, means what stands in its place later.
    call_watched.__module__, call_watched.__name__ = watched.module, watched.name
    call_watched.__qualname__ = watched.qualname
    vars(call_watched)[_MARK] = patch
    return call_watched


def _is_users_module(file: str, name: str) -> bool:
    package = name.partition(".")[0]
    if package in {"flowforge", "actors"}:
        return False
    if file.startswith("<"):
        return not file.startswith("<frozen ") and package not in sys.stdlib_module_names
    return not file.startswith(_LIBRARY_FOLDERS) and not any(f"{os.sep}{part}{os.sep}" in file for part in _INSTALLED)


def _clock_of(function: BuiltinMethodType) -> _Watched | None:
    """The entry of a method of date or datetime that reads the clock: each look-up makes another such object."""
    name, owner = function.__name__, function.__self__
    if name in _CLOCK_METHODS and isinstance(owner, type) and issubclass(owner, date):
        return _Watched(owner, name, _TIME)
    return None


def _watched(owner: ModuleType | type, remedy: str, names: str, *, pure_from: int = sys.maxsize) -> Iterator[_Watched]:
    return (_Watched(owner, name, remedy, pure_from) for name in names.split() if hasattr(owner, name))


def _builtins() -> dict[object, _Watched]:
    """The entries of functions that C implements, by function."""
    found = ((getattr(watched.owner, watched.name), watched) for watched in _WATCHED)
    return {
        function: watched
        for function, watched in found
        if isinstance(function, BuiltinMethodType) and watched.pure_from == sys.maxsize
    }


def _python_functions() -> dict[str, list[tuple[CodeType, object, _Watched]]]:
    """The entries of other functions, by name since a code object's hash is computed anew each time.

    With each goes the instance that it is bound to: `random.choice` has the code of every Random's.
    """
    found: dict[str, list[tuple[CodeType, object, _Watched]]] = {}
    for watched in _WATCHED:
        function = getattr(watched.owner, watched.name)
        if isinstance(function, FunctionType | MethodType):
            code, instance = function.__code__, getattr(function, "__self__", None)
            found.setdefault(code.co_name, []).append((code, instance, watched))
    return found


_TIME: Final = "Use self.now(), which is the simulation's clock and in production the real one."
_CHANCE: Final = "Draw from self.random, which gives the same numbers to every attempt at a step."
_UUID: Final = "Use uuid.UUID(int=self.random.getrandbits(128)), or self.idempotency_key()."
_SLEEP: Final = "Use self.emit_after, an async def handler with asyncio.sleep, or an ErrorHandler that retries later."
_THREAD: Final = "Use an async def handler, or replicas of the routine by set_concurrency."
_WORLD: Final = "Give the routine a client from outside, so that a simulation can hand it a stand-in."

_CLOCKS: Final = (
    "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns thread_time "
    "thread_time_ns clock_gettime clock_gettime_ns"
)
_DRAWS: Final = (
    "betavariate binomialvariate choice choices expovariate gammavariate gauss getrandbits lognormvariate "
    "normalvariate paretovariate randbytes randint random randrange sample seed shuffle triangular uniform "
    "vonmisesvariate weibullvariate"
)
_WATCHED: Final = (
    *_watched(time, _TIME, _CLOCKS),
    *_watched(time, _TIME, "asctime ctime gmtime localtime", pure_from=1),
    *_watched(time, _TIME, "strftime", pure_from=2),
    *_watched(time, _SLEEP, "sleep"),
    *_watched(random, _CHANCE, _DRAWS),
    *_watched(os, _CHANCE, "urandom getrandom"),
    *_watched(secrets, _CHANCE, "choice randbelow randbits token_bytes token_hex token_urlsafe"),
    *_watched(uuid, _UUID, "uuid1 uuid4 uuid6 uuid7"),
    *_watched(threading.Thread, _THREAD, "start"),
    *_watched(multiprocessing.process.BaseProcess, _THREAD, "start"),
    *_watched(concurrent.futures.Executor, _THREAD, "map"),
    *_watched(concurrent.futures.ThreadPoolExecutor, _THREAD, "submit"),
    *_watched(concurrent.futures.ProcessPoolExecutor, _THREAD, "submit map"),
    *_watched(os, _WORLD, "fork popen system"),
    *_watched(subprocess, _WORLD, "call check_call check_output getoutput getstatusoutput run"),
    *_watched(subprocess.Popen, _WORLD, "__init__"),
    *_watched(asyncio, _WORLD, "create_subprocess_exec create_subprocess_shell open_connection"),
    *_watched(socket, _WORLD, "create_connection getaddrinfo gethostbyname"),
    *_watched(socket.socket, _WORLD, "connect connect_ex sendto"),
    *_watched(urllib.request, _WORLD, "urlopen urlretrieve"),
)
_MARK: Final = "flowforge_patch"
_CLOCK_METHODS: Final = frozenset({"now", "today", "utcnow"})

# What a from-import of a watched function has bound, as a profile function meets it.
_BUILTINS: Final = _builtins()
_PYTHON: Final = _python_functions()

_INSTALLED: Final = ("site-packages", "dist-packages")
# The spelling of the standard library's own files decides, which may differ from the configured folder by a link.
_LIBRARY_FOLDERS: Final = tuple(
    f"{folder}{os.sep}"
    for folder in (PurePath(threading.__file__).parent, *map(sysconfig.get_path, ("stdlib", "platstdlib")))
)

# The functions' places belong to the process, so all watches share it.
_PATCHING: Final = threading.Lock()
