"""One file over HTTP: resumed, retried, checked, and in place only when whole."""

import contextlib
import errno
import json
import os
import re
import shutil
import urllib.parse
from http.client import HTTPException

import requests
from urllib3.exceptions import HTTPError

from src.config import InputError
from src.weights.answers import CHUNK, Checksum, Pace, PassingFault, check_coding, readable_facts, said, version

TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
RETRIES = 6  # in a row without a new byte
WRONG = 3  # whole files that are not what they should be
PAUSES = [0.5, 1, 2, 4, 8, 16]  # seconds before each
ANSWERLESS_RETRIES = 2  # where no server has ever answered
HOPS = 10  # from one address to the next
ROOM = "make room and start the same command again, it goes on where it stopped"


class Unavailable(InputError):
    """The server cannot be reached or does not have the file; another source may."""


class WrongContent(PassingFault):
    """A whole file arrived, but not that one."""


class Direct(requests.Session):
    """A session that follows no redirect: requests reads the body of each into memory, however long it is."""

    def get_redirect_target(self, resp):
        return None


@contextlib.contextmanager
def writing(path):
    """An error of the disk as one line that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = ROOM if full else "give another folder"
        raise InputError(f"{error.filename or path}: cannot be written ({error.strerror}); {hint}") from error


class Transfer:
    """One file on its way."""

    def __init__(self, file, session, tally, stop):
        self.file, self.session, self.tally, self.stop = file, session, tally, stop
        self.pace = Pace()
        self.shown = None  # bytes of this file in the tally
        self.answered = False

    def run(self):
        """Try until the file is whole, with growing pauses while nothing new arrives."""
        failures = 0
        while not self.stop.is_set():
            before = self.size()
            try:
                return self.attempt()
            except (PassingFault, requests.RequestException, HTTPError, HTTPException) as error:
                failures = 1 if self.size() > before else failures + 1
                limit = WRONG if isinstance(error, WrongContent) else RETRIES
                if failures > (limit if self.answered else ANSWERLESS_RETRIES):
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
            return readable_facts(json.loads(self.file.facts.read_text()))
        except (OSError, ValueError, RecursionError):
            return {}

    def attempt(self):
        """One request: fetch the rest, check the whole, move it into place."""
        facts, have = self.facts(), self.size()
        headers = {"Accept-Encoding": "identity"}
        if have and facts.get("version"):
            headers |= {"Range": f"bytes={have}-", "If-Range": facts["version"]}  # the whole again, if it has changed
        else:
            have = 0
        response, hops = self.ask(headers)
        with response:
            self.check_status(response, have, facts)
            if response.status_code == 200:
                have, facts = 0, said(response, hops, self.file.packed)
                self.check_size(facts["size"], response)
                with writing(self.file.part):
                    self.discard()  # a part of another version must never stand beside this one's facts
                    self.file.facts.write_text(json.dumps(facts))
            with Checksum(facts, self.file.pin, self.file.part, have) as checksum:
                if response.status_code != 416:
                    self.receive(response, have, facts.get("size"), checksum)
        self.settle(checksum.fault)

    def ask(self, headers):
        """(the answer, those that led there); each wait is watched from outside, for headers may have no end."""
        url, hops = self.file.url, []
        while len(hops) <= HOPS:
            try:
                with self.pace.waiting():
                    response = self.session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
            except requests.exceptions.InvalidHeader as error:
                raise PassingFault("the headers of the answer contradict each other") from error
            except ValueError as error:  # requests and urllib3 have a dozen kinds for an address that is none
                where = "the server redirects to" if hops else "cannot ask"
                raise InputError(f"{self.file.url}: {where} {url[:200]!r}, not an address; check `base_url`") from error
            self.check_stop()
            self.answered = True
            target = response.headers.get("Location")
            if response.status_code not in (301, 302, 303, 307, 308) or not target:
                return response, hops
            response.close()
            hops.append(response)
            try:
                url = urllib.parse.urljoin(url, target)
            except ValueError:
                url = target
        raise InputError(f"{self.file.url}: the server redirects in a circle; check `base_url`, or try another source")

    def check_stop(self):
        """Raise where nobody waits for this file any more: nothing may be written then."""
        if self.stop.is_set():
            raise PassingFault("stopped")

    def check_status(self, response, have, facts):
        """Raise for every answer that brings no bytes of this file."""
        status = response.status_code
        if status == 206:
            return self.check_range(response, have, facts)
        if status == 416:
            if have and have == facts.get("size"):  # all is there, only the last step is missing
                return
            self.discard()
            raise PassingFault("the part does not fit the server's file")
        if status == 429 or status >= 500:
            raise PassingFault(f"the server answers {status} {response.reason}")
        if status != 200:
            raise Unavailable(f"{self.file.url}: the server answers {status} {response.reason}")

    def check_range(self, response, have, facts):
        """Raise for another range than the rest, or that of another version: the next try begins anew."""
        match = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("Content-Range", ""))
        total = {"*", str(facts.get("size"))} if facts.get("size") is not None else {match and match[2]}
        if not have or not match or int(match[1]) != have or match[2] not in total:
            self.discard()
            raise PassingFault("the server sent another range than asked for")
        if version(response) != facts.get("version"):
            self.discard()
            raise PassingFault("the server went on with another version of the file")
        check_coding(response.headers, self.file.packed)
        if match[2] != "*":
            facts["size"] = int(match[2])
        self.check_size(facts.get("size"), response)

    def check_size(self, size, response):
        """Raise for an announced size that cannot be right or has no room on the disk."""
        known, place = self.file.size, self.file.path.parent
        ends_itself = self.file.known or response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if size is None and not ends_itself:
            raise PassingFault("the server does not say how long the file is, so that a cut would not be noticed")
        if None not in (size, known) and size != known:
            raise WrongContent(f"the server announces {size} bytes, {known} are right")
        free = shutil.disk_usage(place).free + self.size()
        if (size or 0) > free:
            raise InputError(f"{self.file.url}: {size} bytes are announced, {free} are free in {place}; make room")

    def receive(self, response, have, size, checksum):
        """Append the body to the part from byte `have` on."""
        limit = self.file.size if size is None else size
        self.show(have, size)
        with open(self.file.part, "r+b" if have else "wb", buffering=0) as f:
            f.seek(have)
            while chunk := self.read(response):
                with writing(self.file.part):
                    rest = memoryview(chunk)
                    while rest:
                        rest = rest[f.write(rest) :]  # a disk that is nearly full takes a piece of it
                checksum.add(chunk)
                have += len(chunk)
                self.show(have, size)
                if limit is not None and have > limit:
                    self.discard()
                    raise PassingFault(f"the body has more than {limit} bytes")
        if size is not None and have != size:
            raise PassingFault(f"the body has {have} bytes, {size} were announced")

    def read(self, response):
        """What has arrived, at most CHUNK bytes; unlike `read`, `read1` keeps what came before a break."""
        with self.pace.waiting():
            chunk = response.raw.read1(CHUNK)
        self.check_stop()
        self.pace.add(len(chunk))
        return chunk

    def settle(self, fault):
        """Give a part that is what it should be its place."""
        if fault:
            self.discard()
            raise WrongContent(fault)
        try:
            self.file.verify(self.file.part)
        except InputError:
            self.discard()
            raise
        with writing(self.file.path):
            os.replace(self.file.part, self.file.path)
            self.file.facts.unlink(missing_ok=True)

    def show(self, have, size):
        """Put this file's bytes into the tally."""
        self.tally.add(have - (self.shown or 0), (size or 0) if self.shown is None else 0)
        self.shown = have

    def tidy(self):
        """Forget a part that no later call could go on with."""
        if not (self.size() and self.facts().get("version")):
            self.discard()

    def discard(self):
        """Forget a part that cannot be continued."""
        self.file.part.unlink(missing_ok=True)
        self.file.facts.unlink(missing_ok=True)
