"""Files over HTTP: several at once, resumed, retried, checked, and in place only when whole."""

import json
import os
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from src.config import InputError
from src.weights.answers import CHUNK, Checksum, said

TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
RETRIES = 6  # in a row without a new byte
PAUSES = [0.5, 1, 2, 4, 8, 16]  # seconds before each
ANSWERLESS_RETRIES = 2  # where no server has ever answered


class Unavailable(InputError):
    """The server cannot be reached or does not have the file; another source may."""


class PassingFault(Exception):
    """What may be gone at the next try."""


@dataclass(frozen=True)
class File:
    """One file to fetch: where from, and where to."""

    url: str
    path: Path

    @property
    def part(self):
        return self.path.with_name(self.path.name + ".part")

    @property
    def facts(self):
        """Beside the part: what the server said of the whole (version, size, checksums), as JSON."""
        return self.path.with_name(self.path.name + ".part.json")


def inside(folder: str | Path, name: str) -> Path:
    """The path `folder / name`.

    Raises:
        InputError: a name, from a server or an archive, that leads out of the folder.
    """
    folder = Path(folder).resolve()
    path = (folder / name).resolve()
    if folder not in path.parents:
        raise InputError(f"{name!r}: this file name leads out of {folder}; the source is not to be trusted")
    return path


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
    """Fetch the files that are not there yet.

    Args:
        progress: called with the bytes that are there and all that have been announced, which grow with every file.

    A transfer that breaks leaves `NAME.part` and `NAME.part.json`, from which the next call goes on. Sizes are checked
    against Content-Length, contents against Content-MD5 or the hub's SHA-256 where the server gives one.

    Raises:
        Unavailable: no connection, or no such file.
        InputError: another lasting fault (a checksum that stays wrong, say); the message names the file.
        OSError: the disk is full or the folder cannot be written.
    """
    waiting, errors, stop = queue.SimpleQueue(), [], threading.Event()
    for file in files:
        if file.path.exists():
            file.facts.unlink(missing_ok=True)  # of a run that was killed in between
        else:
            waiting.put(file)
    tally = Tally(progress)

    def work():
        with requests.Session() as session:
            while not stop.is_set():
                try:
                    Transfer(waiting.get_nowait(), session, tally, stop).run()
                except queue.Empty:
                    return
                except Exception as error:  # handed to the caller
                    errors.append(error)
                    stop.set()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(n_parallel, waiting.qsize()))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        stop.set()
        for thread in threads:
            thread.join(timeout=1)  # ends at the next piece; one that waits for the network is left behind
        raise
    if errors:
        raise errors[0]


class Transfer:
    """One file on its way."""

    def __init__(self, file, session, tally, stop):
        self.file, self.session, self.tally, self.stop = file, session, tally, stop
        self.shown = None  # bytes of this file in the tally
        self.answered = False

    def run(self):
        """Try until the file is whole, with growing pauses while nothing new arrives."""
        failures = 0
        while not self.stop.is_set():
            before = self.size()
            try:
                return self.attempt()
            except (PassingFault, requests.RequestException, HTTPError) as error:
                failures = 1 if self.size() > before else failures + 1
                if failures > (RETRIES if self.answered else ANSWERLESS_RETRIES):
                    raise self.lasting(error) from error
                self.stop.wait(PAUSES[failures - 1])

    def lasting(self, error):
        """The error that a user is shown after the last retry."""
        if isinstance(error, requests.Timeout):
            why = "no answer in time"
        elif isinstance(error, requests.ConnectionError) and not self.answered:
            why = "cannot connect; check the network and the address"
        elif not isinstance(error, PassingFault):
            why = "the connection breaks again and again; start the same command later, it goes on where it stopped"
        else:
            why = str(error)
        return (InputError if isinstance(error, PassingFault) else Unavailable)(f"{self.file.url}: {why}")

    def size(self):
        """Bytes of the part that lie on the disk."""
        return self.file.part.stat().st_size if self.file.part.exists() else 0

    def facts(self):
        """What the server said of the file that the part belongs to."""
        try:
            return json.loads(self.file.facts.read_text())
        except (OSError, ValueError):
            return {}

    def attempt(self):
        """One request: fetch the rest, check the whole, move it into place."""
        facts, have = self.facts(), self.size()
        headers = {"Accept-Encoding": "identity"}
        if have and facts.get("version"):
            headers |= {"Range": f"bytes={have}-", "If-Range": facts["version"]}  # the whole again, if it has changed
        else:
            have = 0
        with self.session.get(self.file.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            self.answered = True
            self.check_status(response, have, facts)
            if response.status_code == 200:
                have, facts = 0, said(response)
                self.discard()  # a part of another version must never stand beside this one's facts
                self.file.facts.write_text(json.dumps(facts))
            with Checksum(facts, self.file.part, have) as checksum:
                if response.status_code != 416:
                    self.receive(response, have, facts.get("size"), checksum)
        if checksum.fault:
            self.discard()
            raise PassingFault(checksum.fault)
        os.replace(self.file.part, self.file.path)
        self.file.facts.unlink(missing_ok=True)

    def check_status(self, response, have, facts):
        """Raise for every answer that brings no bytes of this file."""
        status = response.status_code
        if status == 206:
            if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                return
            self.discard()
            raise PassingFault("the server sent another range than asked for")
        if status == 416:
            if have == facts.get("size"):  # all is there, only the last step is missing
                return
            self.discard()
            raise PassingFault("the part does not fit the server's file")
        if status == 429 or status >= 500:
            raise PassingFault(f"the server answers {status} {response.reason}")
        if status != 200:
            raise Unavailable(f"{self.file.url}: the server answers {status} {response.reason}")

    def receive(self, response, have, size, checksum):
        """Append the body to the part from byte `have` on."""
        self.show(have, size)
        with open(self.file.part, "r+b" if have else "wb", buffering=0) as f:
            f.seek(have)
            while chunk := response.raw.read1(CHUNK):  # unlike read, it keeps what came before a break
                f.write(chunk)
                checksum.add(chunk)
                have += len(chunk)
                self.show(have, size)
                if self.stop.is_set():
                    raise PassingFault("stopped")
        if size is not None and have != size:
            if have > size:
                self.discard()
            raise PassingFault(f"the body has {have} bytes, {size} were announced")

    def show(self, have, size):
        """Put this file's bytes into the tally."""
        self.tally.add(have - (self.shown or 0), (size or 0) if self.shown is None else 0)
        self.shown = have

    def discard(self):
        """Forget a part that cannot be continued."""
        self.file.part.unlink(missing_ok=True)
        self.file.facts.unlink(missing_ok=True)
