"""What histories drawn at random have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.pipeline.decisions import holds
from dev.fakes.world import World
from dev.fakes.wrappers import Crash

Step = Callable[[], object]


class Drawn:
    """A history: steps in a random order, each of which may be killed at any of its calls."""

    accounts: Sequence[str]

    def __init__(self, name: str, world: World) -> None:
        self.dice = random.Random(name)
        self.world = world
        world.crasher.tears = self.dice.random() < 0.5

    def live(self, steps: Mapping[Step, int], *, pauses: Sequence[float]) -> None:
        """Take 6 to 25 steps by their weights, with pauses of so many seconds between them."""
        for step in self.dice.choices(list(steps), weights=list(steps.values()), k=self.dice.randint(6, 25)):
            crasher = self.world.crasher
            if self.dice.random() < 0.4:
                crasher.calls, crasher.at, crasher.after = 0, self.dice.randint(1, 45), self.dice.random() < 0.5
            with suppress(Crash):
                step()
            crasher.at = 0
            self.world.clock.advance(seconds=self.dice.choice(pauses))

    def decided(self) -> None:
        """Let a person approve or refuse the oldest hold."""
        world = self.world
        for work in holds.all_held(world.rows, self.accounts)[:1]:
            with suppress(Conflict, NotFound):
                if self.dice.random() < 0.6:
                    world.approve(work.chunk)
                else:
                    holds.refuse(world.run(), work.chunk, actor="ana", reason="seen")


def judge_each(numbers: Sequence[int], run: Callable[[int], object]) -> None:
    """Run histories by their numbers. A failure names its history."""
    for number in numbers:
        try:
            run(number)
        except AssertionError as error:
            raise AssertionError(f"history {number}: {error}") from error
