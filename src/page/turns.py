"""One at a time, in the order of coming, each of whom knows its place."""

import contextlib
import threading
from collections.abc import Iterator

from src.config import InputError

MOST = 32  # in the queue, behind the one whose turn it is
GLANCE = 0.2  # seconds between two looks at the place


class Turns:
    """A queue for what only one may do at a time."""

    def __init__(self):
        self.changed, self.tickets = threading.Condition(), []

    @contextlib.contextmanager
    def ticket(self) -> Iterator[object]:
        """A place at the end of the queue, given up at the end of the `with` block, whether its turn has come or not.

        Raises:
            InputError: the queue is full.
        """
        ticket = object()
        with self.changed:
            if len(self.tickets) > MOST:
                raise InputError(f"{MOST} others wait already; try again later")
            self.tickets.append(ticket)
        try:
            yield ticket
        finally:
            with self.changed:
                self.tickets.remove(ticket)
                self.changed.notify_all()

    def places(self, ticket: object) -> Iterator[int]:
        """How many come before a ticket, again and again; ends when its turn has come."""
        while True:
            with self.changed:
                place = self.tickets.index(ticket)
            if place == 0:
                return
            yield place
            with self.changed:
                if self.tickets[0] is not ticket:
                    self.changed.wait(GLANCE)
