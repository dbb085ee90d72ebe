"""Properties of jobs on a stepped dispatcher: taking the steps that were drawn, comparing what came of them."""

from collections import Counter
from typing import Any

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.job_state import JobState
from flowforge.stores.codec import canonical

__all__ = ["result_of", "take_steps"]


def take_steps(dispatcher: SteppedDispatcher, choices: list[int]) -> None:
    """Take one step for each choice, which counts round what is ready; time passes when nothing is."""
    for choice in choices:
        ready = len(dispatcher.choices())
        if ready:
            dispatcher.step(choice % ready)
        elif not dispatcher.advance_to_next():
            return


def result_of(job: JobState) -> dict[str, Any]:
    """What does not depend on the order of steps, in a confluent flow."""
    return {
        "status": job.status,
        "outputs": {name: Counter(map(canonical, payloads)) for name, payloads in job.outputs.items()},
        "states": job.routine_states,
        "shared": dict(job.shared_data),
        "letters": Counter(
            (letter.routine, letter.reason, canonical(message.payload))
            for letter in job.dead_letters
            for message in letter.messages
        ),
    }
