"""`python -m benchmarks.peers [names]`: the same work on FlowForge and on each peer, in turn, in one run."""

from benchmarks.command import run
from benchmarks.peers.contests import CONTESTS

if __name__ == "__main__":
    run("python -m benchmarks.peers", __doc__, CONTESTS)
