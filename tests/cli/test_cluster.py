"""Several hosts: real processes on loopback, or in network namespaces, do what one does; and what becomes of a loss."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from src.superres.files import save_network
from src.superres.srgan import Generator
from tests.conftest import ROOT, files, photo, run_command
from tests.fuzz import chaos
from tests.hosts import addresses, finish, last_line, run_hosts, start

SIZES = ["--n_px", 4, "--n_embd", 8, "--n_head", 2, "--n_layer", 2]
TRAIN = ["run.py", "--train", *SIZES, "--n_batch", 6, "--log_every", 1, "--eval_every", 3, "--save_every", 2, "--flip"]
NAMESPACES = os.geteuid() == 0 and shutil.which("ip") and not os.system("ip netns add igpt-try 2> /dev/null")
if NAMESPACES:
    os.system("ip netns delete igpt-try")


def train(project, *more):
    return [*TRAIN, "--data_path", project / "tokens", *more]


def weights(folder, step):
    reader = tf.train.load_checkpoint(str(folder / f"model.ckpt-{step}"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def check_same_log(found, expected, atol):
    assert [entry.keys() for entry in found] == [entry.keys() for entry in expected]
    for a, b in zip(found, expected):
        np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=0, atol=atol)


def check_same_run(found, expected, step):
    """Losses within 1e-5 and weights within 1e-4."""
    check_same_log(log(found), log(expected), 1e-5)
    theirs = weights(expected, step)
    for name, value in weights(found, step).items():
        np.testing.assert_allclose(value, theirs[name], rtol=0, atol=1e-4)


def test_hosts_train_as_one_with_as_many_devices(project):
    flags = train(project, "--steps", 6, "--ema", 0.9)
    out, *others = run_hosts(3, project, *flags)
    run_command(*flags, "--n_cpu", 3, "--save_dir", project / "one")
    check_same_run(project / "0", project / "one", 6)
    assert out.startswith("hosts: 127.0.0.1:") and "checkpoint: " in out and not any(others)
    assert not any((project / str(index)).exists() for index in (1, 2))


@pytest.mark.slow
def test_another_number_of_hosts_goes_on_to_rounding(project):
    flags = train(project, "--optimizer", "muon", "--schedule", "constant")
    run_command(*flags, "--steps", 6, "--save_dir", project / "one")
    run_hosts(2, project, *flags, "--steps", 4)
    run_command(*flags, "--steps", 6, "--save_dir", project / "0")
    found, expected = ([e for e in log(project / name) if "loss/train" in e] for name in ("0", "one"))
    check_same_log(found, expected, 1e-5)
    found, expected = weights(project / "0", 6), weights(project / "one", 6)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-4)


def test_a_probe_is_shared_and_gathered_in_order(project):
    model = ["--ckpt_path", project / "tiny", "--data_path", project / "tokens", "--n_sub_batch", 2]
    out, other = run_hosts(2, project, "run.py", "--probe", *model)
    assert "chosen" in out and not other
    run_command("run.py", "--probe", *model, "--save_dir", project / "one")
    found, expected = ({p.name: p for p in (project / name).glob("features-*.npy")} for name in ("0", "one"))
    assert found.keys() == expected.keys() and len(found) == 2
    for name, path in expected.items():
        np.testing.assert_allclose(np.load(found[name]), np.load(path), rtol=0, atol=1e-5)
    assert not (project / "1").exists()


def evaluate(project, index):
    """The flags of --eval, whose figures go to INDEX.json; it reads no --save_dir."""
    model = ["--ckpt_path", project / "tiny", "--data_path", project / "tokens", "--n_sub_batch", 2]
    return ["run.py", "--eval", *model, "--json", project / f"{index}.json"]


def test_evaluation_is_that_of_one_host(project):
    hosts = addresses(2)
    processes = [start(hosts, index, None, *evaluate(project, index)) for index in range(2)]
    (code, out, err), (other, quiet, _) = map(finish, processes)
    assert code == other == 0, err[-300:]
    run_command(*evaluate(project, "one"))
    found, expected = (json.loads((project / f"{name}.json").read_text())["splits"] for name in ("0", "one"))
    for split, figures in expected.items():
        assert found[split]["gen"] == pytest.approx(figures["gen"], abs=1e-6)
    assert "test gen: " in out and not quiet and not (project / "1.json").exists()


@pytest.mark.parametrize("photos", [False, True])
def test_samples_and_completions_are_those_of_one_host(project, photos):
    flags = ["sample.py" if photos else "run.py", "--ckpt_path", project / "tiny", "--n_samples", 5, "--batch_size", 4]
    flags += ["--image", project / "a.png", project / "b.png", "--keep_rows", 2] if photos else ["--sample"]
    for name in "ab":
        Image.fromarray(photo(30, 30, ord(name))).save(project / f"{name}.png")
    run_hosts(2, project, *flags, each=lambda index: ["--save_tokens", project / f"tokens-{index}.npy"])
    run_command(*flags, "--save_dir", project / "one", "--save_tokens", project / "tokens-one.npy")
    np.testing.assert_array_equal(np.load(project / "tokens-0.npy"), np.load(project / "tokens-one.npy"))
    assert files(project / "0") == files(project / "one")
    assert not (project / "1").exists() and not (project / "tokens-1.npy").exists()


GAN = ["--stage", "gan", "--patch", "9", "--content", "pixel", "--weights", "{}/small.keras"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "result"),
    [
        (["run.py", "--finetune", "--data_path", "{}/tokens", "--ckpt_path", "{}/tiny", "--n_batch", "6"], ""),
        (["espcn.py", "--train", "{}/photos", "--scale", "2"], "espcn_x2"),
        (["srgan.py", "--train", "{}/photos", *GAN], "srgan_x4"),
    ],
    ids=["finetune", "espcn", "srgan"],
)
def test_the_other_trainings_are_those_of_two_devices(project, photos, flags, result):
    steps = ["--steps", 4, "--eval_every", 2] if result == "" else ["--steps", 2, "--epochs", 2, "--n_batch", 4]
    steps += ["--keep_every", 1, "--picture_every", 1] if result.startswith("srgan") else []
    save_network(project / "small.keras", Generator(blocks=1))
    flags = [flag.format(project) for flag in flags] + steps
    run_hosts(2, project, *flags)
    run_command(*flags, "--n_cpu", 2, "--save_dir", project / "one")
    check_same_log(log(project / "0" / result), log(project / "one" / result), 2e-3)
    found, expected = ({p.name for p in (project / name / result).iterdir()} for name in ("0", "one"))
    assert found == expected and not (project / "1").exists()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A folder of data, and the result of two hosts that nothing happens to."""
    folder = tmp_path_factory.mktemp("chaos")
    chaos.make_data(folder)
    for process in chaos.begin(folder, folder / "alone"):
        assert finish(process)[0] == 0
    return folder, chaos.result(folder / "alone")


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_after_a_loss_the_same_command_goes_on_to_the_same_weights(unbroken, tmp_path, victim, number):
    data, expected = unbroken
    folder = tmp_path / "lost"
    processes = chaos.begin(data, folder)
    while not chaos.steps_done(folder):
        assert processes[victim].poll() is None
        time.sleep(0.01)
    found, code, seconds, line = chaos.strike(processes, victim, number)
    assert found == victim and code == 1 and seconds < 60
    assert line.startswith("run.py: ") and f"host {victim} (" in line and line.endswith("on all hosts again")
    for process in chaos.begin(data, folder):
        assert finish(process)[0] == 0
    assert chaos.result(folder) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_host_saves_on_all_and_goes_on(project, number):
    flags, hosts = train(project, "--steps", 100_000, "--save_every", 50_000), addresses(2)
    processes = [start(hosts, index, project, *flags) for index in range(2)]
    while not (project / "0" / "log.jsonl").exists():
        assert processes[1].poll() is None, processes[1].communicate()[1][-300:]
        time.sleep(0.05)
    processes[1].send_signal(number)
    for code, _, err in map(finish, processes):
        assert code == 128 + number
        assert "run.py: stopped; the same command goes on from step" in last_line(err)
    states = list((project / "0" / "state").glob("ckpt-*.index"))
    assert len(states) == 1 and int(states[0].stem.split("-")[1]) == log(project / "0")[-1]["step"]


def ends(project, *flags, each=lambda index: [], hosts=None, only=(0, 1)):
    """What the hosts of a training that cannot be end with: index to (exit code, last line)."""
    hosts = hosts or addresses(2)
    processes = {i: start(hosts, i, project, *train(project, "--steps", 4, *flags), *each(i)) for i in only}
    found = {i: finish(process) for i, process in processes.items()}
    return hosts, {i: (code, last_line(err)) for i, (code, _, err) in found.items()}


def test_an_address_in_use_is_named(project):
    hosts = addresses(2)
    with socket.create_server(("127.0.0.1", int(hosts[0].split(":")[1]))):
        _, found = ends(project, hosts=hosts, only=[0])
    assert found[0][0] == 1 and f"--hosts {hosts[0]}: the port of host 0 cannot be used" in found[0][1]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_host_that_does_not_come_is_named(project, missing):
    hosts, found = ends(project, "--host_wait", 3, only=[1 - missing])
    code, line = found[1 - missing]
    assert code == 1 and f"host {missing} ({hosts[missing]}) did not come within 3 s" in line
    assert not (project / "0" / "recipe.json").exists()


def test_other_settings_on_one_host_are_named(project):
    _, found = ends(project, each=lambda index: ["--lr", 0.001 * (1 + index)])
    assert {code for code, _ in found.values()} == {1}
    assert all("--lr is 0.002 on host 1 (" in line and "but 0.001 on host 0" in line for _, line in found.values())


def test_other_data_on_one_host_are_named(project):
    shutil.copytree(project, project / "elsewhere")
    np.save(project / "elsewhere" / "tokens_trX.npy", np.load(project / "tokens_trX.npy")[::-1])
    _, found = ends(project, each=lambda index: ["--data_path", project / ("elsewhere" if index else ".") / "tokens"])
    assert {code for code, _ in found.values()} == {1}
    assert all("tokens is " in line and " on host 1 (" in line for _, line in found.values())


def test_other_code_on_one_host_is_named(project):
    copy = project / "copy"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run.py", copy)
    with open(copy / "src" / "utils.py", "a") as f:
        f.write("# newer\n")
    hosts = addresses(2)
    first = start(hosts, 0, project, *train(project, "--steps", 4))
    second = start(hosts, 1, project, copy / "run.py", *train(project, "--steps", 4)[1:])
    for code, _, err in map(finish, (first, second)):
        assert code == 1 and "the code is " in last_line(err) and " on host 1 (" in last_line(err)


def test_a_folder_of_host_0_that_cannot_be_written_ends_all(project):
    (project / "0").write_text("in the way")
    _, found = ends(project)
    assert {code for code, _ in found.values()} == {1}
    assert all(f"--save_dir {project / '0'}: cannot be written" in line for _, line in found.values())
    assert found[1][1].startswith("run.py: host 0 (")


@pytest.fixture
def two_networks():
    """(addresses of two hosts, each in a network namespace, the commands that run something there)."""
    names, ends, addresses = ("igpt-a", "igpt-b"), ("igpt-va", "igpt-vb"), ("10.213.0.1", "10.213.0.2")

    def ip(*args, check=True):
        subprocess.run(["ip", *args], check=check)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        for name, end, address in zip(names, ends, addresses):
            ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield [f"{address}:7000" for address in addresses], [["ip", "netns", "exec", name] for name in names]
    finally:
        for name in names:
            ip("netns", "delete", name, check=False)


in_namespaces = pytest.mark.skipif(not NAMESPACES, reason="network namespaces need root and iproute2")


@pytest.mark.slow
@in_namespaces
def test_hosts_with_networks_of_their_own_train_as_one(project, two_networks):
    hosts, within = two_networks
    flags = train(project, "--steps", 6)
    processes = [start(hosts, i, project, *flags, within=within[i]) for i in range(2)]
    assert [code for code, *_ in map(finish, processes)] == [0, 0]
    run_command(*flags, "--n_cpu", 2, "--save_dir", project / "one")
    check_same_run(project / "0", project / "one", 6)


@pytest.mark.slow
@in_namespaces
def test_a_host_that_is_cut_off_ends_and_so_do_the_others(project, two_networks):
    hosts, within = two_networks
    flags = train(project, "--steps", 100_000)
    processes = [start(hosts, i, project, *flags, within=within[i]) for i in range(2)]
    while not (project / "0" / "log.jsonl").exists():
        assert processes[1].poll() is None, processes[1].communicate()[1][-300:]
        time.sleep(0.05)
    subprocess.run(["ip", "-n", "igpt-b", "link", "set", "igpt-vb", "down"], check=True)
    cut = time.monotonic()
    for index, (code, _, err) in enumerate(map(finish, processes)):
        assert code == 1 and f"host {1 - index} ({hosts[1 - index]}) has" in last_line(err)
    assert time.monotonic() - cut < 60
