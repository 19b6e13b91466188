"""run.py --fid as a user runs it, by a small graph with the names of Inception's; and how that graph is fetched."""

import gzip
import io
import json
import random
import re
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

import download
import run
from src.cli import fid, flags
from src.config import BUNDLED_GREY, INCEPTION_GRAPH
from src.measuring.frechet import Moments, frechet_distance, kernel_distance
from src.weights import addresses, archives, frozen, transfer
from src.weights.checkpoint import save_model
from tests import graphs
from tests.conftest import TINY, files, photo, random_model, random_tokens, run_here
from tests.server import serving
from tests.unit.test_frozen import small_network

ARCHIVE = f"/{addresses.INCEPTION}"


@pytest.fixture
def place(project, monkeypatch):
    """The project's folder with the graph where download.py leaves it, and a folder of pictures."""
    monkeypatch.setattr(fid, "DOWNLOADS", project / "downloads")
    (project / "downloads" / "inception").mkdir(parents=True)
    (project / "downloads" / "inception" / INCEPTION_GRAPH).write_bytes(graphs.inception().proto.SerializeToString())
    (project / "real").mkdir()
    for i in range(20):
        Image.fromarray(photo(28, 28, i)).save(project / "real" / f"{i:02}.png")
    return project


def main(*args):
    run.main([str(a) for a in args])


def by_hand(images):
    """Features of pictures by the small graph, without any of what is tested."""
    resized = [np.asarray(Image.fromarray(x).resize((299, 299), Image.Resampling.BICUBIC)) for x in images]
    return graphs.features(graphs.inception(), np.stack(resized))


def test_folders_against_what_is_computed_by_hand(place, capsys):
    (place / "mine").mkdir()
    for i in range(18):
        Image.fromarray(photo(28, 28, 5 * i + 2)).save(place / "mine" / f"{i:02}.png")
    main("--fid", place / "real", "--images", place / "mine", "--json", place / "f.json")
    out, found = capsys.readouterr().out, json.loads((place / "f.json").read_text())
    real, mine = by_hand([photo(28, 28, i) for i in range(20)]), by_hand([photo(28, 28, 5 * i + 2) for i in range(18)])
    assert found["frechet"] == pytest.approx(frechet_distance(Moments.of(mine), Moments.of(real)), rel=1e-3)
    assert found["kernel"] == pytest.approx(kernel_distance(mine, real)[0], rel=1e-3)
    assert (found["images"]["images"], found["real"]["images"], found["features"]) == (18, 20, 16)
    context = "18 against 20 images (all images); Inception of 2015, pool_3, 16 features; resizing: Pillow's bicubic"
    figures = [line for line in out.splitlines() if line.startswith(("FID", "KID"))]
    assert len(figures) == 2 and all(context in line for line in figures)
    assert "singular" not in out


def test_samples_against_tokens_then_kept_statistics(place, capsys):
    drawn = ["--ckpt_path", place / "tiny", "--n_samples", 17, "--batch_size", 5]
    kept = ["--save_statistics", place / "kept.npz", "--json", place / "a.json"]
    main("--fid", place / "tokens", *drawn, *kept)
    first = capsys.readouterr().out
    assert "13 images of 4x4, test of" in first and "17 images of 4x4, samples of seed 42 of" in first
    assert "13 images are not more than the 16 features: a covariance is singular" in first
    main("--fid", place / "kept.npz", *drawn[:4], "--batch_size", 17, "--n_sub_batch", 3, "--json", place / "b.json")
    a, b = (json.loads((place / f"{name}.json").read_text()) for name in "ab")
    assert a["real"] == b["real"] and a["images"] == b["images"]
    assert b["frechet"] == pytest.approx(a["frechet"], rel=1e-5) and b["kernel"] == pytest.approx(a["kernel"], rel=1e-4)
    main("--sample", *drawn, "--save_dir", place / "out")
    main("--fid", place / "tokens_teX.npy", "--images", place / "out", "--n_cpu", 2, "--json", place / "c.json")
    c = json.loads((place / "c.json").read_text())
    assert c["images"]["pixels"] == a["images"]["pixels"] and c["images"]["split"] == "newest drawing"
    assert c["frechet"] == pytest.approx(a["frechet"], rel=1e-5)


def test_guided_samples_are_those_that_a_guide_makes(place, capsys):
    worse = place / "worse/model.ckpt-2"
    shutil.copytree(place / "tiny", worse.parent)
    save_model(random_model(TINY, seed=1), worse)
    drawn = ["--ckpt_path", place / "tiny", "--n_samples", 17, "--guide", worse]
    main("--fid", place / "tokens", *drawn, "--json", place / "a.json")
    assert f"samples of seed 42, guide {worse}, guidance 0.3 of" in capsys.readouterr().out
    main("--sample", *drawn, "--save_dir", place / "out")
    main("--fid", place / "tokens", "--images", place / "out", "--json", place / "b.json")
    main("--fid", place / "tokens", *drawn[:4], "--json", place / "c.json")
    guided, shown, alone = (json.loads((place / f"{name}.json").read_text())["images"]["pixels"] for name in "abc")
    assert guided == shown != alone


def test_the_bundled_model_of_the_tokens_size_is_drawn_from(place, capsys, monkeypatch):
    np.save(place / "grey_teX.npy", np.zeros([20, 784], np.uint8))
    shutil.copy(BUNDLED_GREY / "clusters.npy", place / "grey_clusters.npy")
    monkeypatch.setattr(flags, "DOWNLOADS", place / "none")
    main("--fid", place / "grey", "--n_samples", 2, "--top_k", 1)
    assert "pretrained/igpt-fashion-mnist/model.ckpt" in capsys.readouterr().out


def test_the_bundled_model_of_the_pictures_size_is_drawn_from(place, capsys, monkeypatch):
    monkeypatch.setattr(flags, "DOWNLOADS", place / "none")
    for name, more in (place / "real", ["--save_statistics", place / "kept.npz"]), (place / "kept.npz", []):
        main("--fid", name, "--n_samples", 2, "--top_k", 1, *more)
        assert "pretrained/igpt-fashion-mnist/model.ckpt" in capsys.readouterr().out


def test_no_more_images_on_a_device_than_there_are(place, capsys):
    main("--fid", place / "real", "--images", place / "real", "--n_sub_batch", 10**9)
    assert "FID 0.0000: 20 against 20 images" in capsys.readouterr().out.replace("FID -0", "FID 0")


def test_a_set_is_at_no_distance_from_itself(place, capsys):
    main("--fid", place / "real", "--images", place / "real", "--json", place / "f.json")
    assert 0 <= json.loads((place / "f.json").read_text())["frechet"] < 1e-3


def test_another_network_has_its_own_name(place, capsys):
    small_network().save(place / "judge.keras")
    main("--fid", place / "real", "--images", place / "real", "--features", place / "judge.keras")
    out = capsys.readouterr().out
    assert "Fréchet distance " in out and "judge.keras, 6 features; resizing: Pillow's bicubic to 24x20" in out
    assert "FID" not in out and "KID" not in out


def test_as_many_samples_as_real_images(place, capsys):
    main("--fid", place / "tokens", "--ckpt_path", place / "tiny")
    out = capsys.readouterr().out
    assert "samples: 13, as many as real images" in out and "13 against 13 images (test)" in out


def rewritten(path, change):
    """Statistics with some of their members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(array):
    f = io.BytesIO()
    np.save(f, array)
    return f.getvalue()


def about(**changes):
    return lambda m: m.update({"about.json": json.dumps(json.loads(m["about.json"]) | changes).encode()})


def cut(folder):
    path = folder / "kept.npz"
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    "prepare, message",
    [
        (cut, "not statistics of features, or damaged"),
        (lambda folder: (folder / "kept.npz").write_bytes(b""), "not statistics of features, or damaged"),
        (lambda folder: np.savez(folder / "kept.npz", mean=np.zeros(3)), "damaged (it holds mean.npy)"),
        (lambda m: m.update({"mean.npy": npy(np.zeros(7))}), "for 20 images of 7 features"),
        (lambda m: m.update({"mean.npy": npy(np.full(16, np.nan))}), "NaN or infinity"),
        (lambda m: m.update({"scatter.npy": npy(np.zeros([16, 16], "f4"))}), "an array of float32 [16, 16]"),
        (lambda m: m.update({"features.npy": npy(np.zeros([3, 16], "f4"))}), "arrays of (16, 16) and (3, 16)"),
        (about(images=0), "images is 0, expected an integer"),
        (about(network_file="0" * 16), "not of Inception of 2015, pool_3"),
        (about(resizing="none"), "resizing none, not of"),
    ],
)
def test_statistics_that_cannot_be_used(prepare, message, place, capsys):
    main("--fid", place / "real", "--images", place / "real", "--save_statistics", place / "kept.npz")
    if prepare.__code__.co_varnames[0] == "m":
        rewritten(place / "kept.npz", prepare)
    else:
        prepare(place)
    before = files(place)
    capsys.readouterr()
    args = ["--fid", place / "kept.npz", "--images", place / "real", "--json", place / "f.json"]
    code, stderr = run_here(run.main, args, capsys)
    assert code == 1 and message in stderr and str(place / "kept.npz") in stderr and len(stderr.splitlines()) == 1
    assert files(place) == before


def empty(folder):
    (folder / "other").mkdir()


def one(folder):
    empty(folder)
    Image.fromarray(photo(28, 28)).save(folder / "other" / "0.png")


def mixed(folder):
    one(folder)
    Image.fromarray(photo(28, 30)).save(folder / "other" / "1.png")


def damaged(folder):
    one(folder)
    (folder / "other" / "1.png").write_bytes(b"no picture")


def no_graph(folder):
    (folder / "downloads" / "inception" / INCEPTION_GRAPH).unlink()


def another_graph(folder):
    (folder / "downloads" / "inception" / INCEPTION_GRAPH).write_bytes(b"<html>")


def tokens_alone(folder):
    np.save(folder / "alone_teX.npy", random_tokens(5))


def wrong_colours(folder):
    tokens_alone(folder)
    np.save(folder / "alone_clusters.npy", np.zeros([2, 3], np.float32))


def bare_file(folder):
    np.save(folder / "alone_teX.npy", np.zeros([4, 17], np.uint8))
    np.save(folder / "alone_clusters.npy", np.zeros([2, 3], np.float32))


MISTAKES = [
    (None, ["--fid", "{}/nowhere"], 1, "nowhere_teX.npy: no such file; --fid takes a folder"),
    (None, ["--fid", "{}/real", "--images", "{}/nowhere"], 1, "nowhere: no such folder"),
    (empty, ["--fid", "{}/real", "--images", "{}/other"], 1, "other: no image file in this folder"),
    (one, ["--fid", "{}/real", "--images", "{}/other"], 1, "other: one image only"),
    (one, ["--fid", "{}/other", "--images", "{}/real"], 1, "other: one image only"),
    (None, ["--fid", "{}/real", "--ckpt_path", "{}/tiny", "--n_samples", "1"], 1, "one image only"),
    (mixed, ["--fid", "{}/other", "--images", "{}/real"], 1, "1.png: 30x28 pixels, those before it have 28x28"),
    (damaged, ["--fid", "{}/other", "--images", "{}/real"], 1, "1.png: not a readable image"),
    (no_graph, ["--fid", "{}/real", "--images", "{}/real"], 1, "fetch it with download.py (--dataset inception)"),
    (another_graph, ["--fid", "{}/real", "--images", "{}/real"], 1, f"{INCEPTION_GRAPH}: not a frozen graph"),
    (tokens_alone, ["--fid", "{}/alone", "--images", "{}/real"], 1, "alone_clusters.npy: no palette beside"),
    (wrong_colours, ["--fid", "{}/alone", "--images", "{}/real"], 1, "its palette of 2 colours has not"),
    (bare_file, ["--fid", "{}/alone", "--images", "{}/real"], 1, "alone_teX.npy: tokens are integers"),
    (None, ["--fid", "{}/none.npz", "--images", "{}/real"], 1, "none.npz: no such file"),
    (None, ["--fid", "{}/real", "--images", "{}/real", "--n_samples", "9"], 2, "--n_samples: is of samples"),
    (None, ["--fid", "{}/real", "--images", "{}/real", "--ckpt_path", "x"], 2, "--ckpt_path: is of samples"),
    (None, ["--fid", "{}/real", "--images", "{}/real", "--n_px", "4"], 2, "--n_px: is of samples"),
    (None, ["--fid", "{}/real", "--images", "{}/real", "--color_cluster_path", "x"], 2, "--color_cluster_path: is of"),
    (
        None,
        ["--fid", "{}/tokens", "--images", "{}/real", "--color_cluster_path", "x"],
        2,
        "--color_cluster_path: is of",
    ),
    (
        None,
        ["--fid", "{}/real", "--ckpt_path", "{}/tiny", "--temperature", "0", "--top_p", "0.5"],
        1,
        "--top_p: --temp",
    ),
    (None, ["--fid", "{}/real", "--save_statistics", "{}/kept"], 2, "must end in .npz"),
    (None, ["--fid", "{}/a.npz", "--save_statistics", "{}/b.npz"], 2, "names statistics already"),
    (None, ["--fid", ""], 2, "--fid: an empty name"),
    (
        None,
        ["--fid", "{}/real", "--eval", "--json", "{}/f.json"],
        2,
        "--json: a file for the figures of one of --eval, --fid",
    ),
    (None, ["--fid", "{}/real", "--keep_rows", "2"], 2, "--keep_rows: --fid does not read it"),
    (None, ["--eval", "--images", "{}/real"], 2, "--images: --eval does not read it"),
]


@pytest.mark.parametrize("prepare, flags, code, message", MISTAKES, ids=[m[3] for m in MISTAKES])
def test_mistakes(prepare, flags, code, message, place, capsys):
    if prepare:
        prepare(place)
    before = files(place)
    got, stderr = run_here(run.main, [flag.format(place) for flag in flags], capsys)
    lines = [line for line in re.split(r"[\r\n]+", stderr) if line and not re.match("(real|images): ", line)]
    assert got == code and len(lines) == 1 and message in lines[0], stderr
    assert files(place) == before


def packed(**members):
    """A gzipped tar archive of files."""
    f = io.BytesIO()
    with tarfile.open(fileobj=f, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return f.getvalue()


@pytest.fixture
def graph(monkeypatch):
    """A graph, and its archive as the server has it."""
    content = random.Random(0).randbytes(60_000)
    served = packed(**{"cropped_panda.jpg": b"panda", INCEPTION_GRAPH: content, "../../evil": b"x"})
    monkeypatch.setattr(transfer, "PAUSES", [0.01] * 6)
    monkeypatch.setattr(addresses, "SIZES", {addresses.INCEPTION: len(served)})
    return content, served


def fetch(server, folder):
    return ["--dataset", "inception", "--download_dir", str(folder), "--base_url", server.url]


def test_the_graph_is_fetched_whatever_the_server_does(graph, tmp_path, capsys):
    content, served = graph
    faults = {ARCHIVE: ["cut", 503, "length", "checksum", "cut"]}
    with serving({ARCHIVE: served}, faults=faults, piece=4096) as server:
        download.main(fetch(server, tmp_path))
        asked = server.requests[ARCHIVE]
        download.main(fetch(server, tmp_path))
        assert server.requests[ARCHIVE] == asked >= 4  # what is there is not fetched again
    assert f"python run.py --fid REAL --features {tmp_path / 'inception' / INCEPTION_GRAPH}" in capsys.readouterr().out
    assert {str(path): x for path, x in files(tmp_path).items()} == {
        f"inception/{INCEPTION_GRAPH}": content,
        f"raw/inception/{addresses.INCEPTION}": served,
    }


def flipped(content):
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


@pytest.mark.parametrize(
    "served, message",
    [
        (packed(other=b"x"), f"no file {INCEPTION_GRAPH} in this archive"),
        (gzip.compress(b"no archive" * 99), "a damaged archive"),
        (flipped(packed(**{INCEPTION_GRAPH: b"x" * 99, "more": random.Random(0).randbytes(1 << 20)})), "a damaged"),
        (packed(**{INCEPTION_GRAPH: bytes(40 << 20)}), "unfolds to far more"),
        (b"<html>", "not a gzip file"),
    ],
    ids=["another", "no tar", "checksum", "bomb", "page"],
)
def test_an_archive_that_is_none(served, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(addresses, "SIZES", {})
    monkeypatch.setattr(transfer, "PAUSES", [0.01])
    with serving({ARCHIVE: served}) as server:
        code, stderr = run_here(download.main, fetch(server, tmp_path), capsys)
    assert code == 1 and message in stderr, stderr
    assert not list(tmp_path.rglob("*.pb"))


def test_an_archive_of_another_size_is_not_kept(graph, tmp_path, capsys):
    with serving({ARCHIVE: graph[1] + b"x"}) as server:
        code, stderr = run_here(download.main, fetch(server, tmp_path), capsys)
    assert code == 1 and f"{len(graph[1])} are right" in stderr and not files(tmp_path)


def test_the_archive_that_is_published_fits_the_bounds():
    """Its size stands in the output of many tutorials; of its graph it is known that it has 96 million bytes."""
    size = addresses.SIZES["inception-2015-12-05.tgz"]
    assert size == 88_931_400 and archives.LARGEST_RATIO * size > 96 << 20 and frozen.BYTES > 96 << 20
