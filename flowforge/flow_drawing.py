"""A flow as a picture."""

from collections.abc import Iterable

from flowforge.connection import Connection

__all__ = ["draw_mermaid"]


def draw_mermaid(routine_ids: Iterable[str], connections: Iterable[Connection]) -> str:
    """Return a Mermaid flowchart in the given order; each arrow names event, slot and what is renamed."""
    number_of = {routine_id: number for number, routine_id in enumerate(routine_ids)}
    lines = ["flowchart LR"]
    lines += [f'    r{number}["{_escaped(routine_id)}"]' for routine_id, number in number_of.items()]
    for connection in connections:
        source, target = number_of[connection.source_routine_id], number_of[connection.target_routine_id]
        lines.append(f'    r{source} -->|"{_escaped(_label(connection))}"| r{target}')
    return "\n".join(lines) + "\n"


def _label(connection: Connection) -> str:
    renamed = ", ".join(f"{source} → {target}" for source, target in connection.param_mapping.items())
    return f"{connection.source_event} → {connection.target_slot}" + (f" ({renamed})" if renamed else "")


def _escaped(text: str) -> str:
    for mark, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("\n", " ")):
        text = text.replace(mark, code)
    return text
