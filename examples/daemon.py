"""A flow inside a daemon: SIGTERM pauses the job and saves it to a file; the next start goes on from there.

    python examples/daemon.py STATE_FILE < LINES

Each line is posted with its number as key. A key is taken once in the life of a job, so the daemon simply reads its
input from the start each time, and yet counts each line once. POSIX only, for the way it waits for signals.
"""

import signal
import sys
import threading
from pathlib import Path

from flowforge import CallbackOutputHandler, Flow, JobFinishedError, JobState, Routine, Runtime

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class CountWords(Routine):
    """Counts lines and words in its state."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("line", handler=self.count)
        self.state.update(lines=0, words=0)

    def count(self, text: str) -> None:
        self.increment_stat("lines")
        self.increment_stat("words", len(text.split()))
        self.send_output("counted", **self.state)


def start_or_go_on(runtime: Runtime, flow: Flow, path: Path) -> JobState:
    """The job of the saved state, or a new one."""
    if not path.exists():
        return runtime.exec(flow, keep_alive=True)
    saved = JobState.load(str(path))
    print("Going on from", saved.get_routine_state("count"), flush=True)
    return runtime.exec(flow, job_state=saved)


def feed(runtime: Runtime, job: JobState) -> None:
    """Post every line of the standard input; runs on a thread of its own, for reading blocks."""
    try:
        for number, text in enumerate(sys.stdin, start=1):
            runtime.post(job, "count", "line", {"text": text}, key=f"line {number}")
    except JobFinishedError:
        # The job was paused meanwhile; what was not taken is read again at the next start.
        return


def main() -> None:
    """Run until a signal comes, then save."""
    path = Path(sys.argv[1])
    flow = Flow(flow_id="word_count")
    flow.add_routine(CountWords(), "count")
    # Blocked before any thread starts, so that all threads inherit it and `sigwait` alone gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    with Runtime() as runtime:
        job = start_or_go_on(runtime, flow, path)
        job.set_output_handler(CallbackOutputHandler(lambda _job, _routine, _type, data: print(data, flush=True)))
        threading.Thread(target=feed, args=(runtime, job), daemon=True).start()
        received = signal.sigwait(STOP_SIGNALS)
        runtime.pause_job(job, reason=signal.Signals(received).name)
    job.save(str(path))
    print("Saved:", job.status, job.pause_reason, job.get_routine_state("count"), flush=True)


if __name__ == "__main__":
    main()
