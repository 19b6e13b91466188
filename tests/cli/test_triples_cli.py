"""triples.py as its users run it."""

import argparse
import json

import pytest
from PIL import Image

import triples
from src.cli.parser import Number, Parser
from src.data.edits import OPERATIONS
from src.data.triples import read_triples
from tests.conftest import files, photo, run_command, run_here
from tests.unit.test_edits import write_textured
from tests.unit.test_pix2pix import row, write_parquet

DARK = "dark-skin-tone"


@pytest.fixture
def sources(photos):
    """A folder with `photos`, `emoji`, and `rows.parquet`."""
    write_textured(photos)
    for i, split in enumerate(("train", "valid", "test")):
        folder = photos.parent / "emoji" / split / "people-body"
        folder.mkdir(parents=True)
        for j, tone in enumerate(("", f"-{DARK}")):
            Image.fromarray(photo(20, 20, 2 * i + j)).save(folder / f"noto-woman-{split}{tone}.png")
    write_parquet(photos.parent / "rows.parquet", [row(i) for i in range(3)])
    return photos.parent


def command(source, place, *flags, to="out"):
    return [source, str(place), "--save_dir", str(place.parent / to), *map(str, flags)]


COMMANDS = [("emoji", "emoji", []), ("photographs", "photos", ["--crops", 2]), ("instructpix2pix", "rows.parquet", [])]


@pytest.mark.parametrize("source, place, flags", COMMANDS)
def test_the_same_bytes_twice_and_never_over_what_is_there(source, place, flags, sources, capsys):
    for to in ("out", "again"):
        triples.main(command(source, sources / place, "--size", 16, *flags, to=to))
    first, second = files(sources / "out"), files(sources / "again")
    assert first == second and len(first) > 3
    for name in (n for n in first if n.suffix == ".jsonl"):
        assert read_triples(sources / "out" / name)
    capsys.readouterr()
    code, err = run_here(triples.main, command(source, sources / "nowhere", "--size", 16, *flags), capsys)
    assert code == 1 and err == (
        f"triples.py: {sources}/out/train.jsonl: is there already; remove it, or name another place as --save_dir\n"
    )
    assert files(sources / "out") == first


def test_what_is_printed(sources, capsys):
    triples.main(command("emoji", sources / "emoji", "--size", 16))
    assert capsys.readouterr().out.splitlines() == [
        f"{sources}/out/train.jsonl: 2 triples (skin tone 2)",
        f"{sources}/out/valid.jsonl: 2 triples (skin tone 2)",
        f"{sources}/out/test.jsonl: 4 triples (skin tone 4)",
    ]
    (sources / "photos" / "bad.png").write_bytes(b"x")
    flags = ["--size", 16, "--crops", 2, "--phrasings", "both", "--name", "photos-2"]
    triples.main(command("photographs", sources / "photos", *flags))
    printed = capsys.readouterr()
    each = ", ".join(f"{kind} 12" for kind in sorted(OPERATIONS))
    assert printed.out.splitlines() == [
        "6 crops of 4 photographs",
        f"{sources}/out/photos-2.jsonl: {12 * len(OPERATIONS)} triples ({each})",
    ]
    assert f"skipped: {sources}/photos/bad.png: not a readable image" in printed.err
    triples.main(command("instructpix2pix", sources / "rows.parquet", "--size", 16, "--limit", 2, "--name", "p"))
    assert capsys.readouterr().out == f"{sources}/out/p.jsonl: 2 triples\n"


def test_seeds_and_phrasings(sources):
    made = {}
    for name, flags in {"a": [], "b": ["--seed", 43], "c": ["--phrasings", "held_out"]}.items():
        triples.main(command("photographs", sources / "photos", "--size", 16, "--crops", 1, "--name", name, *flags))
        lines = (sources / "out" / f"{name}.jsonl").read_text().splitlines()
        made[name] = [json.loads(line) for line in lines]
    pictures = {n: [(sources / "out" / t["image"]).read_bytes() for t in made[n]] for n in made}
    assert pictures["a"] == pictures["c"] != pictures["b"]
    assert {t["phrasing"] for t in made["a"]} == {"seen"} and {t["phrasing"] for t in made["c"]} == {"held out"}


@pytest.mark.parametrize(
    "flags, code, message",
    [
        ([], 2, "the following arguments are required: SOURCE"),
        (["sketches"], 2, "invalid choice"),
        (["emoji", "{}/emoji"], 2, "--save_dir"),
        (["emoji", "{}/emoji", "--save_dir", "{}/new", "--size", 30], 1, "--size 30: images are multiples of 4"),
        (["emoji", "{}/emoji", "--save_dir", "{}/new", "--size", 1], 2, "argument --size: must be at least 4"),
        (["emoji", "{}/emoji", "--save_dir", "{}/new", "--crops", 1], 2, "unrecognized arguments: --crops"),
        (["emoji", "{}/nowhere", "--save_dir", "{}/new"], 1, "/nowhere: no such folder"),
        (["emoji", "{}/photos", "--save_dir", "{}/new"], 1, "/photos: no emoji in it"),
        (["emoji", "{}/emoji", "--save_dir", "{}/rows.parquet"], 1, "--save_dir {}/rows.parquet: cannot be written"),
        (["photographs", "{}/new", "--save_dir", "{}/new"], 1, "/new: no image file in this folder"),
        (["photographs", "{}/photos", "--save_dir", "{}/new", "--name", "../a"], 1, "--name ../a: letters, digits"),
        (["instructpix2pix", "--save_dir", "{}/new"], 2, "FILE"),
        (["instructpix2pix", "{}/photos/0.png", "--save_dir", "{}/new"], 1, "/photos/0.png: not a Parquet file"),
    ],
)
def test_mistakes(flags, code, message, sources, capsys):
    before = files(sources)
    got, err = run_here(triples.main, [str(f).format(sources) for f in flags], capsys)
    assert got == code and message.format(sources) in err and len(err.splitlines()) == 1, err
    assert err.startswith("triples.py") and files(sources) == before
    assert not (message.startswith("--") and (sources / "new").exists()), "work has begun"


def test_ctrl_c_leaves_nothing(sources, capsys, monkeypatch):
    def interrupted(done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(triples, "progress_bar", lambda *names: interrupted)
    code, err = run_here(triples.main, command("photographs", sources / "photos", "--size", 16), capsys)
    assert code == 130 and err == "triples.py: interrupted\n" and not list((sources / "out").iterdir())


@pytest.mark.parametrize("source", [[], ["emoji"], ["photographs"], ["instructpix2pix"]])
def test_help_does_not_wait_for_numpy(source):
    result = run_command("-X", "importtime", "triples.py", *source, "--help")
    assert "usage: " in result.stdout and "argparse" in result.stderr
    assert not any(name in result.stderr for name in ("tensorflow", "numpy", "PIL", "pyarrow"))


def test_every_number_has_bounds(monkeypatch):
    seen, add = [], Parser.add_argument

    def adding(self, *names, **options):
        seen.append(action := add(self, *names, **options))
        return action

    monkeypatch.setattr(argparse._ActionsContainer, "add_argument", adding)
    with pytest.raises(SystemExit):
        triples.parse(["emoji"])
    numbers = [a for a in seen if a.type]
    assert len(numbers) == 7 and all(isinstance(a.type, Number) for a in numbers)
