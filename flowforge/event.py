"""What a routine sends payloads by."""

from collections.abc import Iterable

from flowforge.names import check_name
from flowforge.option_errors import OptionError

__all__ = ["Event"]


class Event:
    """A named output of a routine; `output_params` are the keys that its payloads promise, if declared."""

    __slots__ = ("name", "output_params", "routine_id")

    def __init__(self, name: str, output_params: Iterable[str] | None = None) -> None:
        self.name = check_name("event name", name)
        self.output_params = () if output_params is None else _checked_params(name, output_params)
        self.routine_id: str | None = None

    def __repr__(self) -> str:
        owner = "" if self.routine_id is None else f"{self.routine_id}."
        return f"<Event {owner}{self.name}>"


def _checked_params(name: str, output_params: object) -> tuple[str, ...]:
    if isinstance(output_params, list | Iterable) and not isinstance(output_params, str | bytes):
        params = tuple(output_params)
        if all(isinstance(param, str) and param for param in params) and len(set(params)) == len(params):
            return params
    raise OptionError(f"The event {name!r}", "output_params", output_params, "Give a list of different names.")
