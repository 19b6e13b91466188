"""The page in Debian's chromium, as a visitor uses it."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

import sample
from src.config import BUNDLED
from src.page.models import Models
from tests.conftest import ROOT, run_here
from tests.page.conftest import CHROMIUM, SMALL, WAIT, served, there, visit

expect.set_options(timeout=WAIT)
TABS = "Complete", "Draw", "Enlarge", "Look inside"


def tab(page, name):
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel", name=name)


def start(panel):
    panel.locator(".start").click()


def status(panel, text):
    expect(panel.locator("form .status")).to_have_text(re.compile(text))


def pixels(panel, canvas=".grid canvas"):
    """What the first such canvas shows: its rows as lists of red, green, blue and opacity."""
    drawn = panel.locator(canvas).first.evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    row = 4 * int(len(drawn) / 4) ** 0.5
    return [drawn[int(i * row) : int((i + 1) * row)] for i in range(int(len(drawn) / row))]


def unknown(rows):
    return [all(row[i : i + 4] == [160, 176, 200, 255] for i in range(0, len(row), 4)) for row in rows]


def freed(pace):
    """See that a drawing ends before its rows do, when the browser has closed the connection in its own time."""
    for _ in range(2):
        pace.let(1)
        if pace.closed.wait(2):
            return
    raise AssertionError("rows are drawn for nobody")


def download(page, link):
    with page.expect_download() as found:
        link.click()
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def upload(panel, picture):
    panel.locator("input[type=file]").set_input_files(picture)
    expect(panel.locator(".size")).to_have_text("80 x 60 pixels")


def test_a_picture_is_completed_stopped_completed_again_enlarged_and_saved(
    page, pace, picture, downloads, tmp_path, capsys
):
    panel = tab(page, "Complete")
    panel.locator("select[name=model]").select_option("small")
    upload(panel, picture)
    box = panel.locator(".view img").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    expect(panel.locator(".selection")).to_be_visible()
    for name, value in {"Size": 48, "Left": 10, "Top": 4}.items():
        panel.get_by_label(name, exact=True).fill(str(value))
    panel.get_by_label("Rows to keep").fill("3")
    expect(panel.locator(".given")).to_have_js_property("width", SMALL.n_px)
    assert unknown(pixels(panel, ".given")) == [False] * 3 + [True] * 5
    panel.get_by_label("Images").select_option("4")

    start(panel)
    for row in (4, 5):
        pace.let(1)
        status(panel, f"{row} of 8 rows")
        assert unknown(pixels(panel)) == [False] * row + [True] * (8 - row)
    panel.locator("form .stop").click()
    status(panel, "Stopped")
    freed(pace)

    pace.let(100)
    start(panel)
    status(panel, "Done")
    assert not any(unknown(pixels(panel)))
    panel.get_by_role("button", name="Image 2").click()
    name, content = download(page, panel.get_by_role("link", name="Download PNG"))
    photograph, save_dir = picture.rename(tmp_path / "photo"), tmp_path / "save"
    flags = ["--image", photograph, "--crop", "10,4,48,48", "--keep_rows", 3, "--n_samples", 4, "--animate", "webp"]
    assert run_here(sample.main, [*flags, "--ckpt_path", downloads / "small", "--save_dir", save_dir], capsys)[0] == 0
    assert name == "photo_completion_2.png" and content == (save_dir / name).read_bytes()
    for text in ("Download the sheet", "Download the animation"):
        name, content = download(page, panel.get_by_role("link", name=text))
        assert content == (save_dir / name).read_bytes()

    panel.get_by_role("button", name="Enlarge 4 times").click()
    expect(panel.locator(".chosen .status")).to_have_text("Done.")
    for network in ("bicubic", "ESPCN", "SRGAN"):
        _, content = download(page, panel.get_by_role("link", name=f"Download {network}"))
        assert content.startswith(b"\x89PNG")
    panel.get_by_role("button", name="Look inside").click()
    expect(page.get_by_role("tab", name="Look inside")).to_have_attribute("aria-selected", "true")
    inside = page.get_by_role("tabpanel", name="Look inside")
    expect(inside.locator(".size")).to_have_text("8 x 8 pixels")
    expect(inside.locator(".palette")).to_have_js_property("width", SMALL.n_px)
    expect(inside.locator("form .status")).to_have_text("Done.")
    expect(inside.locator("[data-group=layers] img")).to_have_count(SMALL.n_layer)


def test_samples_are_drawn(page):
    panel = tab(page, "Draw")
    panel.locator("select[name=model]").select_option("small")
    panel.get_by_label("Images").select_option("8")
    start(panel)
    status(panel, "Done")
    expect(panel.locator(".grid canvas")).to_have_count(8)
    name, content = download(page, panel.get_by_role("link", name="Download the sheet"))
    assert name == "samples.png" and content.startswith(b"\x89PNG")


class Held:
    """Requests of a kind, which wait until a test lets them go on; once `open`, later ones do at once."""

    def __init__(self, page, kind):
        self.page, self.routes, self.open = page, [], False
        page.route(f"**/do/{kind}?*", lambda route: route.continue_() if self.open else self.routes.append(route))

    def wait_for(self, number):
        while len(self.routes) < number:
            self.page.wait_for_timeout(20)

    def release(self, number):
        self.open = True
        self.routes[number].continue_()


def test_what_is_shown_belongs_to_the_image_that_is_chosen(page):
    """The page once showed one image's enlargement under another, and looked inside another than was asked for."""
    panel, asked = tab(page, "Draw"), Held(page, "enlarge")
    panel.locator("select[name=model]").select_option("small")
    panel.get_by_label("Images").select_option("4")
    start(panel)
    status(panel, "Done")
    larger = panel.get_by_role("button", name="Enlarge 4 times")
    larger.click()
    asked.wait_for(1)
    panel.get_by_role("button", name="Image 1").click()
    expect(larger).to_be_enabled()
    asked.release(0)
    larger.click()
    expect(panel.locator(".chosen .status")).to_have_text("Done.")
    name, _ = download(page, panel.get_by_role("link", name="Download ESPCN"))
    assert name == "sample_1_espcn_x4.png" and panel.locator(".tiles figure").count() == 4

    asked, inside = Held(page, "inside"), page.get_by_role("tabpanel", name="Look inside")
    panel.locator("select[name=model]").select_option("igpt-fashion-mnist")  # what was drawn was the small one's
    for number in (1, 2):
        panel.get_by_role("button", name=f"Image {number}").click()
        panel.get_by_role("button", name="Look inside").click()
        asked.wait_for(number)
        tab(page, "Draw")
    assert all("%22model%22%3A%22small%22" in route.request.url for route in asked.routes)
    asked.release(1)
    tab(page, "Look inside")
    expect(inside.locator("form .status")).to_have_text("Done.")
    expect(inside.locator("[data-group=layers] img")).to_have_count(SMALL.n_layer)


def test_the_newest_picture_counts_and_one_that_failed_leaves_nothing(page, picture, tmp_path):
    panel, asked = tab(page, "Complete"), Held(page, "open")
    panel.locator("select[name=model]").select_option("small")
    Image.new("RGB", (99, 50)).save(tmp_path / "second.png")
    (tmp_path / "none.png").write_bytes(b"none")
    panel.locator("input[type=file]").set_input_files(picture)
    asked.wait_for(1)
    asked.open = True
    panel.locator("input[type=file]").set_input_files(tmp_path / "second.png")
    expect(panel.locator(".size")).to_have_text("99 x 50 pixels")
    asked.release(0)
    expect(panel.locator(".given")).to_have_js_property("width", SMALL.n_px)
    expect(panel.locator(".size")).to_have_text("99 x 50 pixels")
    panel.locator("input[type=file]").set_input_files(tmp_path / "none.png")
    expect(panel.locator(".size")).to_have_class(re.compile("wrong"))
    for canvas in (".palette", ".given"):
        assert not any(map(any, pixels(panel, canvas)))


@pytest.mark.slow
def test_an_own_picture_is_enlarged_and_compared(page, picture):
    panel = tab(page, "Enlarge")
    upload(panel, picture)
    panel.get_by_label("Times as large").select_option("2")
    expect(panel.get_by_label("SRGAN")).to_be_disabled()
    start(panel)
    status(panel, "Done")
    expect(panel.locator("img.after")).to_have_js_property("naturalWidth", 160)
    assert panel.get_by_label("Left").locator("option").all_text_contents() == ["bicubic", "ESPCN"]
    panel.get_by_label("Divide").fill("25")
    expect(panel.locator("img.before")).to_have_css("clip-path", "inset(0px 75% 0px 0px)")


@pytest.mark.slow
def test_an_own_picture_is_edited_as_a_prompt_says(page, picture):
    panel = tab(page, "Enlarge")
    upload(panel, picture)
    for network in ("ESPCN", "SRGAN"):
        panel.get_by_label(network).uncheck()
    start(panel)
    expect(panel.locator("form .error")).to_have_text("Choose a network, or write a prompt.")
    panel.get_by_label("Prompt").fill("make it dark")
    start(panel)
    status(panel, "Done")
    assert panel.get_by_label("Left").locator("option").all_text_contents() == ["bicubic", "As told"]
    expect(panel.locator("img.after")).to_have_js_property("naturalWidth", 320)
    panel.get_by_label("Times as large").select_option("2")
    expect(panel.get_by_label("Prompt")).to_be_disabled()


@pytest.mark.slow
def test_the_second_of_two_visitors_waits_and_gets_images_of_his_own(chromium, server, pace):
    with visit(chromium, server) as first, visit(chromium, server) as second:
        panels = [tab(page, "Draw") for page in (first, second)]
        for panel, seed in zip(panels, ("1", "2")):
            panel.locator("select[name=model]").select_option("small")
            panel.get_by_label("Images").select_option("1")
            panel.get_by_label("Seed").fill(seed)
        start(panels[0])
        pace.let(1)
        status(panels[0], "1 of 8 rows")
        start(panels[1])
        status(panels[1], "Waiting in the queue: 1 before you")
        pace.let(100)
        for panel in panels:
            status(panel, "Done")
        assert pixels(panels[0]) != pixels(panels[1])


@pytest.mark.slow
def test_closing_the_page_frees_the_sampler(chromium, server, pace):
    with visit(chromium, server) as page:
        panel = tab(page, "Draw")
        panel.locator("select[name=model]").select_option("small")
        start(panel)
        pace.let(1)
        status(panel, "1 of 8 rows")
    freed(pace)


def test_a_hostile_picture_is_one_sentence(page, tmp_path):
    path = tmp_path / "..&<b>photo.png"
    path.write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")
    panel = tab(page, "Complete")
    panel.locator("input[type=file]").set_input_files(path)
    expect(panel.locator(".size.wrong")).to_have_text(re.compile(r"^This is not a readable image \(none of .*\)\.$"))
    path.write_bytes(bytes((1 << 25) + 1))
    with page.expect_file_chooser() as chosen:
        panel.locator("input[type=file]").click()
    chosen.value.set_files(path)  # the same file again
    expect(panel.locator(".size.wrong")).to_have_text("A file of more than 32 MB; take a smaller one.")
    start(panel)
    expect(panel.locator("form .error")).to_have_text("Choose a picture first.")


@pytest.mark.slow
def test_the_keyboard_reaches_everything(page, picture):
    upload(page.locator("#complete"), picture)
    page.get_by_role("tab", name="Complete").focus()
    for name in (*TABS[1:], TABS[0]):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        panel = page.get_by_role("tabpanel", name=name)
        expect(panel).to_be_visible()
        controls = panel.locator(":is(input, select, button):enabled:visible, summary:visible")
        reached = 0
        for _ in range(controls.count() + 3):
            page.keyboard.press("Tab")
            reached += panel.evaluate("panel => panel.contains(document.activeElement)")
        assert reached >= controls.count()
        page.get_by_role("tab", name=name).focus()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", TABS)
def test_nothing_serious_for_screen_readers_and_nothing_too_wide(chromium, server, picture, tmp_path, name, width):
    with visit(chromium, server, width) as page:
        panel = tab(page, name)
        if name != "Enlarge":
            panel.locator("select[name=model]").select_option("small")
        if name != "Draw":
            upload(panel, picture)
        start(panel)
        status(panel, "Done")
        found = Axe().run(page).response["violations"]
        serious = [(v["id"], [n["html"] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")]
        assert not serious
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)


@pytest.mark.slow
def test_the_bundled_model_completes_a_photograph_as_the_command_line_does(chromium, picture, tmp_path, capsys):
    with served(Models(tmp_path)) as server, visit(chromium, server) as page:
        panel = tab(page, "Complete")
        upload(panel, picture)
        for name, value in {"Size": 48, "Left": 10, "Top": 4}.items():
            panel.get_by_label(name, exact=True).fill(str(value))
        panel.get_by_label("Rows to keep").fill("12")
        panel.get_by_label("Images").select_option("2")
        start(panel)
        status(panel, "of 32 rows")
        panel.locator("form .stop").click()
        status(panel, "Stopped")
        assert unknown(pixels(panel))[-1]
        panel.locator("form .status").evaluate(
            "s => { window.said = []; "
            "new MutationObserver(() => said.push(s.textContent)).observe(s, {childList: true}) }"
        )
        start(panel)
        status(panel, "Done")
        said = [text for text in page.evaluate("said") if "rows" in text]
        assert said == [f"{row} of 32 rows" for row in range(12, 33)]
        panel.get_by_role("button", name="Image 1").click()
        name, content = download(page, panel.get_by_role("link", name="Download PNG"))
    photograph, save_dir = picture.rename(tmp_path / "photo"), tmp_path / "save"
    flags = ["--image", photograph, "--crop", "10,4,48,48", "--keep_rows", 12, "--n_samples", 2]
    assert run_here(sample.main, [*flags, "--ckpt_path", BUNDLED, "--save_dir", save_dir], capsys)[0] == 0
    assert content == (save_dir / name).read_bytes()


@pytest.mark.slow
def test_first_rows_of_the_bundled_model_are_shown_while_others_are_drawn(chromium, tmp_path):
    with served(Models(tmp_path)) as server, visit(chromium, server) as page:
        panel = tab(page, "Complete")
        panel.get_by_role("button", name="Example: ogre").click()
        expect(panel.locator(".size")).to_have_text("32 x 32 pixels")
        start(panel)
        status(panel, "Done")  # the model is in memory
        panel.get_by_label("Seed").fill("1")
        start(panel)
        status(panel, r"1[789] of 32 rows")
        status(panel, "Done")
        expect(panel.locator(".grid canvas")).to_have_count(16)


def test_without_a_browser_the_tests_fail(tmp_path):
    with pytest.raises(pytest.fail.Exception, match="chromium is missing; install it"):
        there(tmp_path / "chromium")
    script = (ROOT / ".ci" / "run").read_text()
    assert CHROMIUM in script and "apt-get install" in script
