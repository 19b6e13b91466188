"""The page on a small model in this process, and Debian's chromium to look at it with."""

import contextlib
import http.client
import json
import threading
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from src.config import HParams
from src.drawing.sampling import Sampler
from src.page.jobs import Desk
from src.page.models import Models
from src.page.server import PageOptions, Server
from src.weights.checkpoint import save_model
from tests.conftest import photo, random_model

CHROMIUM = "/usr/bin/chromium"
SMALL = HParams(n_px=8, n_embd=8, n_head=2, n_layer=2, n_vocab=16)
WAIT = 60_000  # milliseconds, on a machine that is busy with other things


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    """A folder of checkpoints with a single small one, `small`, that draws 8x8 pixels."""
    folder = tmp_path_factory.mktemp("page") / "downloads"
    (folder / "small").mkdir(parents=True)
    save_model(random_model(SMALL), folder / "small" / "model.ckpt-1")
    colours = np.random.default_rng(1).uniform(-1, 1, [SMALL.n_vocab, 3]).astype(np.float32)
    np.save(folder / "small" / "clusters.npy", colours)
    return folder


@contextlib.contextmanager
def served(models, **options):
    """A server in threads of this process; it must not have met an error of its own in the end."""
    errors = []
    with Server(PageOptions(port=0, **options), lambda: Desk(models), errors.append) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
    assert not errors, errors[0]
    assert not Path(server.folder.name).exists()


@pytest.fixture(scope="module")
def server(downloads):
    with served(Models(downloads)) as running:
        yield running


class Pace:
    """Lets a sampler draw so many rows and no more."""

    def __init__(self):
        self.rows, self.closed = threading.Semaphore(0), threading.Event()

    def let(self, rows):
        self.rows.release(rows)

    def grow(self, original):
        def paced(sampler, *args, **options):
            try:
                for tokens in original(sampler, *args, **options):
                    assert self.rows.acquire(timeout=60)
                    yield tokens
            finally:
                self.closed.set()

        return paced


@pytest.fixture
def pace(monkeypatch):
    """Rows come one by one, as a test lets them."""
    pace = Pace()
    monkeypatch.setattr(Sampler, "grow", pace.grow(Sampler.grow))
    yield pace
    pace.let(1000)


def request(server, method, path, body=b"", headers=None):
    """(status, body, headers) of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers


def ask(server, kind, options, body=b""):
    """The steps of an answer."""
    said = urllib.parse.quote(json.dumps(options))
    status, content, _ = request(server, "POST", f"/do/{kind}?options={said}", body)
    assert status == 200, content
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture
def picture(tmp_path):
    """A photograph in a file."""
    path = tmp_path / "picture.png"
    Image.fromarray(photo()).save(path)
    return path


def there(path):
    """The path of a browser. It is not skipped where there is none: then nobody knows whether the page works."""
    if not Path(path).exists():
        pytest.fail(f"{path} is missing; install it with: sudo apt-get install chromium", pytrace=False)
    return path


@pytest.fixture(scope="session")
def chromium():
    """The browser."""
    flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=there(CHROMIUM), args=flags)
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(chromium, server, width=1280):
    """A tab with the page; that it asks another host for anything, or has an error in its scripts, fails the test."""
    context, faults = chromium.new_context(viewport={"width": width, "height": 900}), []
    page = context.new_page()
    page.set_default_timeout(WAIT)
    own = (server.address, "blob:", "data:")
    page.on("request", lambda r: None if r.url.startswith(own) else faults.append(r.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto(server.address)
    page.locator("#complete select[name=model] option").first.wait_for(state="attached")
    yield page
    context.close()
    assert not faults


@pytest.fixture
def page(chromium, server):
    with visit(chromium, server) as page:
        yield page
