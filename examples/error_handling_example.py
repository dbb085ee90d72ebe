"""One unreliable routine under each of the four error strategies."""

from collections.abc import Iterator

from flowforge import ErrorHandler, ErrorStrategy, Flow, Routine


class Service:
    """Something outside of the flow, which answers each number only after some failures."""

    def __init__(self, failures: dict[int, int]) -> None:
        self.failures = dict(failures)

    def ask(self, number: int) -> int:
        if self.failures.get(number, 0) > 0:
            self.failures[number] -= 1
            raise ConnectionError(f"no answer to {number}")
        return number * number


class Numbers(Routine):
    """Emits 1, 2 and 3."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.count)
        self.define_event("number")

    def count(self) -> Iterator[None]:
        while self.state.get("last", 0) < 3:
            self.increment_stat("last")
            self.emit("number", number=self.state["last"])
            yield


class Ask(Routine):
    """Asks the service, which all instances share: what a constructor is given is not copied."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service
        self.define_slot("number", handler=self.ask)
        self.define_event("square")

    def ask(self, number: int) -> None:
        self.increment_stat("asked")
        self.emit("square", square=self.service.ask(number))


def run(handler: ErrorHandler, failures: int) -> None:
    """Ask for three squares, where the service fails `failures` times at 2, and print how it went."""
    flow = Flow(error_handler=handler)
    flow.add_routine(Numbers(), "numbers")
    flow.add_routine(Ask(Service({2: failures})), "ask")
    flow.connect("numbers.number", "ask.number")

    job_state = flow.execute()

    print(f"{handler.strategy.name}: {job_state.status}")
    squares = [payload["square"] for payload in job_state.outputs["ask.square"]]
    print("  squares:", squares, "committed:", job_state.get_routine_state("ask"))
    if job_state.status == "failed" and job_state.error is not None:
        print("  error:", job_state.error.text)
        flow.resume(job_state)
        print("  resumed:", job_state.status, job_state.outputs["ask.square"][1:])
    for letter in job_state.dead_letters:
        print("  dead letter:", letter.payload, letter.reason)


def main() -> None:
    """Try every strategy on an error, and RETRY on more errors than it has retries for."""
    run(ErrorHandler(ErrorStrategy.STOP), failures=1)
    run(ErrorHandler(ErrorStrategy.CONTINUE), failures=1)
    run(ErrorHandler(ErrorStrategy.SKIP), failures=1)
    run(ErrorHandler(ErrorStrategy.RETRY, max_retries=2, retry_delay=0.01), failures=2)
    run(ErrorHandler(ErrorStrategy.RETRY, max_retries=1, retry_delay=0.01, on_exhausted="skip"), failures=2)


if __name__ == "__main__":
    main()
