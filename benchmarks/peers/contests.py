"""FlowForge and each peer at the same works, in turn; and what is said of a peer that is not there."""

from functools import partial
from importlib import import_module, metadata
from typing import NamedTuple

from benchmarks.command import Measure
from benchmarks.harness import Effort, Row, Sample, take_turns
from benchmarks.peers.works import WORKS, flowforge_contenders

__all__ = ["CONTESTS"]


class Peer(NamedTuple):
    """A library, and the module that has it do the works."""

    name: str
    package: str
    module: str

    @property
    def version(self) -> str | None:
        """What is installed of it; None if it is not."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


PEERS = {
    "routilux": Peer("routilux", "routilux", "routilux_flows"),
    "langgraph": Peer("LangGraph", "langgraph", "langgraph_graphs"),
    "llama_index": Peer("LlamaIndex Workflows", "llama-index-workflows", "llama_index_workflows"),
    "ray": Peer("Ray actors", "ray", "ray_actors"),
    "dbos": Peer("DBOS on SQLite", "dbos", "dbos_workflows"),
}


def measure(name: str, effort: Effort) -> list[Row]:
    """A row for each work that the peer takes part in; a single one if it cannot."""
    peer = PEERS[name]
    if peer.version is None:
        return [absent(peer, "is not installed here")]
    try:
        return rows_against(peer, effort)
    except Exception as error:  # noqa: BLE001 - a peer that breaks must not take the table of the others with it
        return [absent(peer, f"{peer.version} broke here with {error!r}")]


def rows_against(peer: Peer, effort: Effort) -> list[Row]:
    """A row for each work."""
    rows = []
    with import_module(f"benchmarks.peers.{peer.module}").contenders() as theirs, flowforge_contenders() as ours:
        for name, contender in theirs.items():
            work, count = WORKS[name], WORKS[name].count(effort)
            both = {"ours": partial(work.rate, ours[name], count), "theirs": partial(work.rate, contender, count)}
            found = take_turns(both, effort.rounds, work.unit)
            text, label = work.text.format(count), f"{peer.name} {peer.version}"
            rows.append(Row(work=text, ours=found["ours"], peer=label, theirs=found["theirs"]))
    return rows


def absent(peer: Peer, reason: str) -> Row:
    """A row that says why there is nothing to compare with."""
    return Row(work=f"{peer.name} {reason}", ours=Sample((0.0,), "works"))


CONTESTS: dict[str, Measure] = {name: partial(measure, name) for name in PEERS}
"""For each peer, by name, its measurement."""
