"""Orders are charged and shipped by a process that is killed half way; the next one goes on, and nobody pays twice.

What was done outside cannot be rolled back: an effect whose step was killed before its commit is done again. So each
carries a key, the same on every attempt, by which the other side knows it. One routine computes what is to be done,
another does it: between them it is on disk, so that a key never comes back with another invoice.
"""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from flowforge import ErrorHandler, ErrorStrategy, Flow, Routine, Runtime

ORDERS = {"A1": "visa", "A2": "visa", "A3": "blocked card", "A4": "amex"}


class Bill(Routine):
    """Computes, and does nothing outside, so it need not wait for the disk. Another attempt draws another invoice."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("orders", handler=self.bill)
        self.define_event("billed")
        self.set_pure()

    def bill(self, orders: dict[str, str]) -> None:
        for order, card in orders.items():
            self.emit("billed", order=order, card=card, invoice=uuid.uuid4().hex)


class Charge(Routine):
    """Has an effect, and computes nothing; a declined card becomes a dead letter."""

    def __init__(self, world: Path) -> None:
        super().__init__()
        self.world = world
        self.define_slot("billed", handler=self.charge)
        self.define_event("paid")
        self.set_error_handler(ErrorHandler(ErrorStrategy.SKIP))

    def charge(self, order: str, card: str, invoice: str) -> None:
        if card == "blocked card" and not (self.world / "unblocked").exists():
            raise PermissionError(f"The card of {order} was declined.")
        act(self.world, f"charge {order}", f"{self.idempotency_key()} {invoice}")
        if order == "A2" and not (self.world / "killed").exists():
            (self.world / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.emit("paid", order=order)


class Ship(Routine):
    """Has an effect, too."""

    def __init__(self, world: Path) -> None:
        super().__init__()
        self.world = world
        self.define_slot("paid", handler=self.ship)
        self.state["shipped"] = []

    def ship(self, order: str) -> None:
        act(self.world, f"ship {order}", self.idempotency_key())
        self.state["shipped"].append(order)


def act(world: Path, effect: str, key: str) -> None:
    """What the world outside sees of an effect: a line in a file."""
    with (world / "effects.txt").open("a", encoding="utf-8") as file:
        file.write(f"{effect}: {key}\n")


def run(world: Path) -> None:
    """One life of the process; it need not know whether there was one before."""
    flow = Flow(flow_id="orders")
    flow.add_routine(Bill(), "bill")
    flow.add_routine(Charge(world), "charge")
    flow.add_routine(Ship(world), "ship")
    flow.connect("bill.billed", "charge.billed")
    flow.connect("charge.paid", "ship.paid")
    with Runtime(store=f"sqlite:///{world / 'orders.db'}", flows=[flow]) as runtime:
        job = runtime.exec(flow, entry_params={"orders": ORDERS}, job_id="today")
        job.wait()
        if (world / "unblocked").exists():
            for letter in job.dead_letters:
                runtime.requeue_dead_letter(letter.id)
            job.wait()
        print(f"  {job.status}, shipped: {', '.join(job.get_routine_state('ship')['shipped'])}")
        for letter in job.dead_letters:
            print(f"  dead letter: {letter.reason}")


def main() -> None:
    """Run the shop until it is killed, run it again, and once more when the card is good."""
    with tempfile.TemporaryDirectory() as folder:
        for life in (1, 2, 3):
            print(f"Life {life}", flush=True)
            if life == 3:
                (Path(folder) / "unblocked").touch()
            ended = subprocess.run([sys.executable, __file__, folder], check=False).returncode
            print(f"  ended with {ended}")
        effects = (Path(folder) / "effects.txt").read_text(encoding="utf-8").splitlines()
    print("Effects, by their keys and invoices")
    for effect in sorted(set(effects)):
        print(" ", effect.partition(":")[0])
    print("A2 was charged", sum(effect.startswith("charge A2") for effect in effects), "times under one key.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        main()
