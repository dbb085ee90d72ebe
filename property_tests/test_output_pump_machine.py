from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flowforge.output_handler import InlineOutputPump, OutputPump, OutputRecord

# Long enough for any machine; nothing here waits that long unless it fails.
PATIENCE = 30.0


class Picky:
    """Keeps the numbers that it likes, and raises at the others."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    def handle(self, output: OutputRecord) -> None:
        number = output.data["n"]
        if number < 0:
            raise ValueError(number)
        self.kept.append(number)


class PumpLife(RuleBasedStateMachine):
    """A pump, with or without a thread, beside the plain list of what its handler must have kept."""

    def __init__(self) -> None:
        super().__init__()
        self.handler = Picky()
        self.pump: OutputPump | InlineOutputPump = InlineOutputPump(self.handler, "outputs")
        self.kept: list[int] = []
        self.taken = self.errors = self.refused = 0
        self.is_closed = False

    @initialize(has_thread=st.booleans())
    def choose(self, has_thread: bool) -> None:
        if has_thread:
            self.pump = OutputPump(self.handler, "outputs")

    @rule(number=st.integers(-3, 9))
    def put(self, number: int) -> None:
        self.pump.put(OutputRecord("job", "routine", "routine.event", {"n": number}, 0.0))
        if self.is_closed:
            self.refused += 1
            return
        self.taken += 1
        if number < 0:
            self.errors += 1
        else:
            self.kept.append(number)

    @rule()
    def flush(self) -> None:
        assert self.pump.flush(PATIENCE)
        assert self.handler.kept == self.kept
        assert self.pump.statistics().waiting == 0

    @precondition(lambda self: self.taken > 3)
    @rule()
    def close(self) -> None:
        self.is_closed = True
        assert self.pump.close(PATIENCE)
        assert self.handler.kept == self.kept

    @invariant()
    def figures_add_up(self) -> None:
        figures = self.pump.statistics()
        assert figures.handled + figures.waiting == self.taken
        assert figures.refused == self.refused
        assert figures.errors <= self.errors

    def teardown(self) -> None:
        assert self.pump.close(PATIENCE)
        assert self.handler.kept == self.kept
        assert self.pump.statistics().errors == self.errors


TestPumpLife = PumpLife.TestCase
