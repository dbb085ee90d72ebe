"""Changes of a store that a signal must not cut in two."""

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["uninterrupted"]

T = TypeVar("T")


def uninterrupted(change: Callable[[], T]) -> T:
    """Call `change` where no handler of a signal can raise in the middle of it: not on the main thread.

    Whoever is interrupted while he waits for it leaves it to go on. Gives what it returns, and raises what it raises.
    """
    if threading.current_thread() is not threading.main_thread():
        return change()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(change())
        except BaseException as error:  # noqa: BLE001 - it is raised where the change was asked for
            errors.append(error)

    thread = threading.Thread(target=run, name="flowforge-store-change", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # The interpreter ends, and handlers of signals with it.
        return change()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
