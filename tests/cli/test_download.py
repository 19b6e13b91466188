"""download.py against servers that behave like the bucket and like the hub, then run.py on what arrived."""

import functools
import io
import random
import re
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import tensorflow as tf

import download
import run
from src.cli import flags
from src.config import HParams
from src.weights import addresses, huggingface, transfer
from tests.conftest import ROOT, files, random_model, random_tokens, run_command, run_here
from tests.server import serving
from tests.unit.test_data import write_mnist

MODEL = HParams(n_px=4, n_embd=64, n_head=2, n_layer=4, n_vocab=6)
CLUSTERS = np.linspace(-1, 1, 6, dtype=np.float32)[:, None].repeat(3, 1)
STEM = "model.ckpt-1000000"


def npy(array):
    f = io.BytesIO()
    np.save(f, array)
    return f.getvalue()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """Path to bytes of a model in 32 shards, its palette, and token files, as the bucket has them."""
    folder, params = tmp_path_factory.mktemp("bucket"), random_model(MODEL).params
    shards = [tf.strings.as_string(f"{folder}/part-{i:05d}-of-00032").numpy().decode() for i in range(32)]
    for shard, names in zip(shards, np.array_split(sorted(params), 32)):
        values = [params[n].read_value() for n in names]
        tf.raw_ops.SaveV2(prefix=shard, tensor_names=list(names), shape_and_slices=[""] * len(names), tensors=values)
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=shards, destination_prefix=f"{folder}/{STEM}")
    content = {f"/checkpoints/igpt-s/1000000/{p.name}": p.read_bytes() for p in folder.glob(f"{STEM}.*")}
    content[f"/checkpoints/igpt-s/1000000/{STEM}.meta"] = b"\x0a\x1ba graph that nobody reads.."
    assert len(content) == 34
    content["/color-clusters/kmeans_centers.npy"] = npy(CLUSTERS)
    for split in ("tr", "va", "te"):
        content[f"/datasets/cifar10_{split}X.npy"] = npy(random_tokens(5, MODEL))
        content[f"/datasets/cifar10_{split}Y.npy"] = npy(np.eye(10)[:5])
    return content


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The same model as the hub has it: addresses that redirect to the bytes."""
    folder = tmp_path_factory.mktemp("hub")
    huggingface.export_folder(random_model(MODEL), CLUSTERS, folder)
    base = "/openai/imagegpt-small/resolve"
    content = {f"{base}/main/{n}": (folder / n).read_bytes() for n in (huggingface.CONFIG, huggingface.PROCESSOR)}
    weights = f"{base}/refs%2Fpr%2F2/{huggingface.WEIGHTS}"
    content[weights] = content["/cdn/blob"] = (folder / huggingface.WEIGHTS).read_bytes()
    return content, {weights: "/cdn/blob"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSES", [0.01] * 6)
    monkeypatch.setattr(addresses, "PINS", {})  # what is served here is made up


def arrived(folder, content):
    """Assert that the folder holds the 34 files and the palette, byte for byte, and no part."""
    expected = {p.rsplit("/", 1)[1]: b for p, b in content.items() if p.startswith(("/checkpoints", "/color"))}
    assert {str(p): b for p, b in files(folder).items()} == expected


def evaluate_and_sample(folder, monkeypatch, capsys):
    """run.py without a flag that names a file."""
    monkeypatch.setattr(flags, "DOWNLOADS", folder)
    run.main(["--eval", "--sample", "--n_samples", "2", "--save_dir", str(folder / "out")])
    out = capsys.readouterr().out
    assert "test gen: " in out and (folder / "out" / "samples.png").exists()
    return out


def test_model_and_data_from_the_bucket_then_eval_and_sample(bucket, tmp_path, monkeypatch, capsys):
    with serving(bucket) as server:
        download.main(
            ["--model", "s", "--dataset", "cifar10", "--download_dir", str(tmp_path), "--base_url", server.url]
        )
        arrived(tmp_path / "igpt-s", bucket)
        assert len(server.requests) == 35 + 6 and set(server.requests.values()) == {1}
        download.main(["--model", "s", "--download_dir", str(tmp_path), "--base_url", server.url])
        assert set(server.requests.values()) == {1}
    assert str(tmp_path / "igpt-s" / STEM) in evaluate_and_sample(tmp_path, monkeypatch, capsys)


def test_auto_falls_back_to_the_hub(hub, bucket, tmp_path, monkeypatch, capsys):
    content, redirects = hub
    data = {p: b for p, b in bucket.items() if p.startswith("/datasets")}
    with serving(content | data, redirects=redirects, without_md5={"/cdn/blob"}) as server:
        download.main(
            ["--model", "s", "--dataset", "cifar10", "--download_dir", str(tmp_path), "--base_url", server.url]
        )
    assert "404 Not Found; trying Hugging Face's hub" in capsys.readouterr().err
    assert str(tmp_path / "igpt-s-hub") in evaluate_and_sample(tmp_path, monkeypatch, capsys)


def test_faults_at_random(bucket, tmp_path):
    chance = random.Random(0)
    faults = {p: chance.choices(["cut", 503, "length", "checksum"], k=chance.randrange(4)) for p in bucket}
    with serving(bucket, faults=faults) as server:
        download.main(["--model", "s", "--download_dir", str(tmp_path), "--base_url", server.url])
        assert sum(server.requests.values()) > 2 * 35
    arrived(tmp_path / "igpt-s", bucket)


def test_what_a_killed_run_left_beside_a_whole_file_is_cleared_away(bucket, tmp_path):
    with serving(bucket) as server:
        flags = ["--model", "s", "--source", "release", "--download_dir", str(tmp_path), "--base_url", server.url]
        download.main(flags)
        whole = next((tmp_path / "igpt-s").glob("*data-00011*"))
        whole.with_name(f"{whole.name}.part.json").write_text("{}")
        download.main(flags)
    arrived(tmp_path / "igpt-s", bucket)


@pytest.mark.parametrize("name", ["kmeans_centers.npy", f"{STEM}.index", f"{STEM}.meta", f"{STEM}.data-00011-of-00032"])
@pytest.mark.parametrize("kept", [b"<!DOCTYPE html><html></html>", b""])
def test_a_second_run_repairs_what_was_kept_wrongly(name, kept, bucket, tmp_path):
    with serving(bucket) as server:
        flags = ["--model", "s", "--source", "release", "--download_dir", str(tmp_path), "--base_url", server.url]
        download.main(flags)
        (tmp_path / "igpt-s" / name).write_bytes(kept)
        download.main(flags)
        assert sum(server.requests.values()) == 35 + 1
    arrived(tmp_path / "igpt-s", bucket)


def test_a_second_run_repairs_the_hubs_folder(hub, tmp_path):
    content, redirects = hub
    flags = ["--model", "s", "--source", "hub", "--download_dir", str(tmp_path), "--base_url"]
    with serving(content, redirects=redirects, without_md5={"/cdn/blob"}) as server:
        download.main([*flags, server.url])
        whole = files(tmp_path)
        for path in whole:
            (tmp_path / path).write_bytes(b"null")
        download.main([*flags, server.url])
    assert files(tmp_path) == whole and len(whole) == 3


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_and_started_again(how, bucket, tmp_path):
    size = sum(len(b) for p, b in bucket.items() if not p.startswith("/datasets"))
    with serving(bucket, piece=4096, delay=0.02) as server:
        flags = ["--model", "s", "--source", "release", "--download_dir", tmp_path, "--base_url", server.url]
        command = [sys.executable, "download.py", *map(str, flags)]
        heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
        while server.bytes_sent < size / 3:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(how)
        stderr = process.communicate(timeout=20)[1]
        assert process.returncode == (-9 if how == signal.SIGKILL else 130)
        assert "Traceback" not in stderr
        whole = {p.name for p in (tmp_path / "igpt-s").iterdir() if "part" not in p.name}
        before = server.requests.copy()
        server.slow.set()
        run_command("download.py", *flags)
        assert not any(server.requests[p] > before[p] for p in bucket if p.rsplit("/", 1)[1] in whole)
        assert server.bytes_sent < size * 1.05 + 8 * 4096 * 4  # what was on the way when it stopped, not more
    arrived(tmp_path / "igpt-s", bucket)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_originals_become_tokens(name, tmp_path):
    (tmp_path / "raw").mkdir()
    write_mnist(tmp_path / "raw", ending=".gz")
    content = {f"/{p.name}": p.read_bytes() for p in (tmp_path / "raw").iterdir()}
    with serving(content) as server:
        download.main(["--dataset", name, "--download_dir", str(tmp_path / "d"), "--base_url", server.url])
    X = np.load(tmp_path / "d" / f"{name}_teX.npy")
    assert X.shape == (7, 784) and X.max() < 16


def zipped(**members):
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return f.getvalue()


def test_div2k_is_unpacked_and_stays_inside(tmp_path, capsys):
    good = {f"/DIV2K_{s}_HR.zip": zipped(**{f"DIV2K_{s}_HR/1.png": b"x"}) for s in ("train", "valid")}
    with serving(good) as server:
        download.main(["--dataset", "div2k", "--download_dir", str(tmp_path / "a"), "--base_url", server.url])
    assert (tmp_path / "a" / "raw" / "div2k" / "DIV2K_valid_HR" / "1.png").read_bytes() == b"x"
    with serving(good | {"/DIV2K_train_HR.zip": zipped(**{"../../../evil": b"x"})}) as server:
        flags = ["--dataset", "div2k", "--download_dir", tmp_path / "b", "--base_url", server.url]
        code, stderr = run_here(download.main, flags, capsys)
    assert code == 1 and "leads out" in stderr
    with serving(good | {"/DIV2K_train_HR.zip": b"not an archive"}) as server:
        flags = ["--dataset", "div2k", "--download_dir", tmp_path / "c", "--base_url", server.url]
        code, stderr = run_here(download.main, flags, capsys)
    assert code == 1 and "no archive" in stderr
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "flags, code, message",
    [
        ([], 2, "say what to do: --model, --clusters, --dataset"),
        (["--model", "s", "--ckpt", "7"], 2, "--ckpt"),
        (["--model", "s", "--source", "hub", "--bert"], 2, "--source hub"),
        (["--dataset", "cifar10", "--ckpt", "131000"], 2, "--ckpt: --dataset does not read it; it belongs to --model"),
        (["--clusters", "--bert"], 2, "--bert: --clusters does not read it"),
        (["--clusters", "--source", "hub"], 2, "--source: --clusters does not read it"),
        (["--model", "s", "--source", "release"], 1, "404 Not Found"),
        (["--model", "s", "--bert"], 1, "404 Not Found"),
        (["--clusters", "--base_url", "http://127.0.0.1:9"], 1, "cannot connect"),
        (["--clusters", "--base_url", "nonsense"], 1, "nonsense"),
        (["--clusters", "--download_dir", "/proc/nowhere"], 1, "--download_dir /proc/nowhere: cannot be written"),
    ],
)
def test_mistakes(flags, code, message, tmp_path, capsys):
    with serving({}) as server:
        defaults = ["--download_dir", tmp_path, "--base_url", server.url]
        got, stderr = run_here(download.main, [*defaults, *flags], capsys)
    lines = [line for line in re.split(r"[\r\n]+", stderr) if line and not line.startswith("download: ")]
    assert got == code and len(lines) == 1 and message in lines[0], stderr
    assert not files(tmp_path)
