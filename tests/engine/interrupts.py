"""An interrupt where a test wants it: as Ctrl-C does it, on the main thread, in the middle of what the library does."""

import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TypeVar

import actors
import flowforge

T = TypeVar("T")

_OURS = tuple(str(Path(str(package.__file__)).parent) for package in (actors, flowforge))


def is_interrupted(
    at: int, operation: Callable[[], object], where: Callable[[FrameType], bool] = lambda frame: True
) -> bool:
    """Have Ctrl-C come at the call or return of that number in our code, `where` it is so; False if there are fewer."""
    seen = 0

    def look(frame: FrameType, event: str, _: object) -> None:
        nonlocal seen
        if event in {"call", "c_return"} and frame.f_code.co_filename.startswith(_OURS) and where(frame):
            seen += 1
            if seen == at:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    sys.setprofile(look)
    try:
        operation()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return seen >= at


def each_interrupted(step: int, make: Callable[[], T], operation: Callable[[T], object]) -> Iterator[T]:
    """What was made anew each time, with the operation on it interrupted at every `step`-th place there is."""
    for at in itertools.count(1, step):
        made = make()
        if not is_interrupted(at, partial(operation, made)):
            return
        yield made
