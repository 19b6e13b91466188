"""Files over HTTP, several at once, each complete in its place or not there."""

import queue
import threading
from collections.abc import Callable, Iterable

from src.weights import answers
from src.weights.arrivals import File
from src.weights.transfer import Direct, Transfer, Unavailable, writing

WATCH = 0.1  # seconds between two looks at the pace


class Tally:
    """Bytes that have arrived and that are announced, over all files, told to `progress` from whichever thread."""

    def __init__(self, progress: Callable[[int, int], None] | None):
        self.progress, self.done, self.total, self.lock = progress, 0, 0, threading.Lock()

    def add(self, done: int, announced: int = 0):
        with self.lock:
            self.done += done
            self.total += announced
            if self.progress:
                self.progress(self.done, self.total)


def fetch(files: Iterable[File], *, n_parallel: int = 4, progress: Callable[[int, int], None] | None = None):
    """Fetch the files that are not there yet, or not what they should be.

    Args:
        progress: called with the bytes that are there and all that have been announced, which grow with every file.

    A transfer that breaks leaves `NAME.part` and `NAME.part.json`, from which the next call goes on. Sizes are checked
    against Content-Length, contents by kind and against the file's pin, Content-MD5 or the hub's SHA-256, before a file
    takes its place; one that is there stays until then.

    Raises:
        Unavailable: no connection, no progress, or no such file.
        InputError: another lasting fault (a checksum that stays wrong, a full disk); the message names the file.
    """
    waiting = queue.SimpleQueue()
    for file in files:
        with writing(file.path):
            if file.is_there():
                file.facts.unlink(missing_ok=True)  # of a run that was killed in between
            else:
                waiting.put(file)
    crew = Crew(waiting, Tally(progress))
    threads = [threading.Thread(target=crew.work, daemon=True) for _ in range(min(n_parallel, waiting.qsize()))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive() and not crew.errors:
                thread.join(timeout=WATCH)
                crew.look()
    finally:
        crew.stop.set()
        for thread in threads:
            thread.join(timeout=1)  # ends at the next piece; one that waits for the network is left behind
        for transfer in crew.running:
            transfer.tidy()
    if crew.errors:
        raise crew.errors[0]


class Crew:
    """Threads that take one file after another; the first error stops them all."""

    def __init__(self, waiting, tally):
        self.waiting, self.tally, self.stop = waiting, tally, threading.Event()
        self.running, self.errors = [], []

    def work(self):
        """Transfer files until none is waiting."""
        with Direct() as session:
            while not self.stop.is_set():
                try:
                    transfer = Transfer(self.waiting.get_nowait(), session, self.tally, self.stop)
                    self.running.append(transfer)
                    transfer.run()
                    if not self.stop.is_set():
                        self.running.remove(transfer)
                except queue.Empty:
                    return
                except Exception as error:  # handed to the caller
                    self.errors.append(error)
                    self.stop.set()

    def look(self):
        """Note as an error where a transfer waits in vain, which it may not notice itself."""
        stalled = next((t for t in list(self.running) if t.pace.stalled()), None)
        if stalled and not self.errors:
            reason = f"no progress for {answers.STALL} s; start the same command later, it goes on where it stopped"
            self.errors.append(Unavailable(f"{stalled.file.url}: {reason}"))
