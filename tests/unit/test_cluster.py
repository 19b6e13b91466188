"""Several hosts on the command line: what names them, what is refused at once, and what has to be the same."""

import errno
import json
import os
import re
import types
from functools import partial

import pytest

import espcn
import run
import sample
import srgan
from src import hosts, meeting
from src.cli import cluster, process
from src.hosts import Disagreement, Hosts
from src.meeting import meet
from tests.conftest import run_here
from tests.unit.test_hosts import at_once, cut, free_addresses

A, B, C = "a:1", "b:2", "c:3"
STEP = {
    "SLURM_PROCID": "1",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_JOB_ID": "20007",
}


@pytest.fixture(autouse=True)
def lone(monkeypatch):
    """No hosts in the environment, and none in use afterwards."""
    for name in [name for name in os.environ if name.startswith("SLURM_") or name == "TF_CONFIG"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(hosts, "_current", Hosts())


@pytest.fixture
def hurried(monkeypatch):
    """Hosts that meet although they should not give up at once, and ask no server for the others' names."""
    monkeypatch.setattr(cluster, "meet", lambda *given: meet(*given[:3], 0.3, *given[4:]))
    monkeypatch.setattr(meeting.socket, "create_connection", refuse)


def refuse(address, timeout=None):
    raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody is at {address}")


@pytest.fixture
def environment(monkeypatch):
    """A function that sets the variables of an environment."""

    def change(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return change


def flags(*given):
    """The flags of a command of one mode."""
    return run.parse(["--train", *given])


def tf_config(task=("worker", 0), **kinds):
    """The text of TF_CONFIG: kind to addresses, and which of them this is."""
    kind, index = task
    return json.dumps({"cluster": kinds, "task": {"type": kind, "index": index}})


CONFIGS = {
    "first worker": (tf_config(worker=[A, B]), ([A, B], 0)),
    "last worker": (tf_config(("worker", 2), worker=[A, B, C]), ([A, B, C], 2)),
    "index as text": (tf_config(("worker", "1"), worker=[A, B]), ([A, B], 1)),
    "chief": (tf_config(("chief", 0), worker=[B, C], chief=[A]), ([A, B, C], 0)),
    "worker behind a chief": (tf_config(("worker", 1), worker=[B, C], chief=[A]), ([A, B, C], 2)),
    "one worker": (tf_config(worker=[A]), None),
    "a chief alone": (tf_config(("chief", 0), chief=[A]), None),
    "no cluster": ('{"cluster": {}, "task": {"type": "worker", "index": 0}}', None),
    "nothing": ("{}", None),
    "unset": ("", None),
}


@pytest.mark.parametrize("text, found", CONFIGS.values(), ids=CONFIGS.keys())
def test_tf_config_names_the_hosts(environment, text, found):
    environment({"TF_CONFIG": text})
    assert cluster.find(flags()) == (found and (*found, "TF_CONFIG"))


ROLES = "TF_CONFIG: a cluster of chief and workers is run here, and the task is one of them"
DAMAGED = r"TF_CONFIG: not a cluster and a task \(.*\); mend it, or unset it"
RANGE = r"TF_CONFIG: \w+ -?\d+ of \d, which are numbered from 0"
REFUSED = {
    "evaluator": (tf_config(("evaluator", 0), worker=[A, B]), ROLES),
    "evaluator in the cluster": (tf_config(("worker", 0), worker=[A, B], evaluator=[C]), ROLES),
    "servers of parameters": (tf_config(("ps", 0), worker=[A, B], ps=[C]), ROLES),
    "worker beside servers": (tf_config(("worker", 0), worker=[A, B], ps=[C]), ROLES),
    "a chief that is not there": (tf_config(("chief", 0), worker=[A, B]), ROLES),
    "no task": (json.dumps({"cluster": {"worker": [A, B]}}), ROLES),
    "no index": (json.dumps({"cluster": {"worker": [A, B]}, "task": {"type": "worker"}}), DAMAGED),
    "an index that is none": (tf_config(("worker", "x"), worker=[A, B]), DAMAGED),
    "no JSON": ('{"cluster": {"worker"', DAMAGED),
    "no UTF-8": ("{\udcff", DAMAGED),
    "a list": ("[1]", DAMAGED),
    "a cluster that is a list": ('{"cluster": [1], "task": {}}', DAMAGED),
    "no cluster but null": ('{"cluster": null}', DAMAGED),
    "a number of workers": ('{"cluster": {"worker": 2}, "task": {"type": "worker", "index": 0}}', DAMAGED),
    "out of range": (tf_config(("worker", 2), worker=[A, B]), RANGE),
    "below range": (tf_config(("worker", -1), worker=[A, B]), RANGE),
    "out of one": (tf_config(("worker", 1), worker=[A]), RANGE),
    "behind a chief": (tf_config(("worker", 2), worker=[B, C], chief=[A]), RANGE),
    "twice": (tf_config(worker=[A, B, A]), "TF_CONFIG: an address stands there twice; give each host its own port"),
}
MISSED = {
    "a second chief": (tf_config(("chief", 1), worker=[B], chief=[A]), "TF_CONFIG: "),
    "before the first worker": (tf_config(("worker", -1), worker=[B], chief=[A]), "TF_CONFIG: "),
    "a text of workers": (tf_config(worker="ab:"), "TF_CONFIG: "),
    "a boundless index": ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1e999}}', DAMAGED),
    "nested": ("[" * 100_000, DAMAGED),
}
CASES = [pytest.param(*case, id=name) for name, case in REFUSED.items()]
CASES += [pytest.param(*case, id=name) for name, case in MISSED.items()]


@pytest.mark.parametrize("text, message", CASES)
def test_what_tf_config_may_not_say(hurried, environment, capsys, text, message):
    environment({"TF_CONFIG": text})
    code, err = run_here(run.main, ["--train"], capsys)
    assert code == 1 and re.match(f"run.py: {message}", err) and len(err.splitlines()) == 1, err


STEPS = {
    "second of two": ({}, (["node1:12007", "node2:12007"], 1)),
    "first of two": ({"SLURM_PROCID": "0"}, (["node1:12007", "node2:12007"], 0)),
    "an early job": ({"SLURM_JOB_ID": "7"}, (["node1:12007", "node2:12007"], 1)),
    "a late job": ({"SLURM_JOB_ID": "19999"}, (["node1:31999", "node2:31999"], 1)),
    "numbers of many digits": ({"SLURM_STEP_NODELIST": "n[009-010]"}, (["n009:12007", "n010:12007"], 1)),
    "names": ({"SLURM_STEP_NODELIST": "alpha,beta"}, (["alpha:12007", "beta:12007"], 1)),
    "two on a node": (
        {
            "SLURM_PROCID": "2",
            "SLURM_STEP_NUM_TASKS": "3",
            "SLURM_STEP_TASKS_PER_NODE": "2,1",
        },
        (["node1:12007", "node1:12008", "node2:12007"], 2),
    ),
    "nine and ten": ({"SLURM_STEP_NODELIST": "node[9-10]"}, (["node9:12007", "node10:12007"], 1)),
    "another order": ({"SLURM_STEP_NODELIST": "beta,alpha"}, (["beta:12007", "alpha:12007"], 1)),
    "two on one node": (
        {"SLURM_STEP_NODELIST": "node1", "SLURM_STEP_TASKS_PER_NODE": "2"},
        (["node1:12007", "node1:12008"], 1),
    ),
    "a mixed list": (
        {
            "SLURM_STEP_NODELIST": "a,n[1,3-4]-ib,b[08-09]",
            "SLURM_STEP_TASKS_PER_NODE": "1(x6)",
            "SLURM_STEP_NUM_TASKS": "6",
        },
        ([f"{name}:12007" for name in ("a", "n1-ib", "n3-ib", "n4-ib", "b08", "b09")], 1),
    ),
    "one task": (
        {
            "SLURM_PROCID": "0",
            "SLURM_STEP_NUM_TASKS": "1",
            "SLURM_STEP_NODELIST": "node1",
            "SLURM_STEP_TASKS_PER_NODE": "1",
        },
        None,
    ),
}


@pytest.mark.parametrize("change, found", STEPS.values(), ids=STEPS.keys())
def test_slurm_names_the_hosts(environment, monkeypatch, change, found):
    monkeypatch.setenv("PATH", "")  # no tool of Slurm or of the GPUs is asked
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    environment(STEP | change)
    assert cluster.find(flags()) == (found and (*found, "Slurm"))
    assert "CUDA_VISIBLE_DEVICES" not in os.environ, "Slurm deals out GPUs"


@pytest.mark.parametrize("name", ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_JOB_ID"])
def test_outside_of_a_slurm_step_a_host_is_alone(environment, monkeypatch, name):
    environment(STEP)
    monkeypatch.delenv(name)
    assert cluster.find(flags()) is None


@pytest.mark.parametrize(
    "name, value",
    [
        ("SLURM_PROCID", "x"),
        ("SLURM_PROCID", "2"),
        pytest.param("SLURM_STEP_NUM_TASKS", "3"),
        ("SLURM_STEP_NODELIST", "node[1-"),
        ("SLURM_STEP_TASKS_PER_NODE", "1(x"),
        ("SLURM_STEP_TASKS_PER_NODE", "1"),
        ("SLURM_STEP_TASKS_PER_NODE", "1(x3)"),
        ("SLURM_STEP_NODELIST", "rack[1-2]node[1-2],b"),
        ("SLURM_JOB_ID", "x"),
    ],
)
def test_slurm_variables_that_name_no_cluster_are_one_line(hurried, environment, monkeypatch, capsys, name, value):
    environment(STEP)
    monkeypatch.setenv(name, value)
    code, err = run_here(run.main, ["--train"], capsys)
    assert code == 1 and len(err.splitlines()) == 1 and err.startswith("run.py: Slurm"), err


TWO = tf_config(("worker", 0), worker=["t:1", "t:2"])
BEFORE = {
    "flags before all": ({"TF_CONFIG": TWO} | STEP, [f"--hosts={A},{B}", "--host_index=1"], ([A, B], 1, "--hosts")),
    "TF_CONFIG before Slurm": ({"TF_CONFIG": TWO} | STEP, [], (["t:1", "t:2"], 0, "TF_CONFIG")),
    "none before TF_CONFIG": ({"TF_CONFIG": TWO}, ["--hosts=none"], None),
    "none before Slurm": (STEP, ["--hosts=none"], None),
    "auto": ({"TF_CONFIG": TWO}, ["--hosts=auto"], (["t:1", "t:2"], 0, "TF_CONFIG")),
    "damage that nobody looks at": ({"TF_CONFIG": "{"}, [f"--hosts={A},{B}", "--host_index=0"], ([A, B], 0, "--hosts")),
    "nor none": ({"TF_CONFIG": "{"}, ["--hosts=none"], None),
    "a list of one": ({}, [f"--hosts={A}", "--host_index=0"], None),
    "nothing": ({}, [], None),
}


@pytest.mark.parametrize("variables, given, found", BEFORE.values(), ids=BEFORE.keys())
def test_flags_come_before_tf_config_and_that_before_slurm(environment, variables, given, found):
    environment(variables)
    assert cluster.find(flags(*given)) == found


LISTED = ["--hosts", f"{A},{B}", "--host_index", "0"]
USAGE = {
    "list without index": (run, ["--train", *LISTED[:2]], "--host_index: say which host of --hosts this is, from 0"),
    "index without list": (run, ["--train", *LISTED[2:]], "--host_index: is a place in the list that --hosts gives"),
    "index beside none": (run, ["--train", "--hosts", "none", *LISTED[2:]], "--host_index: is a place in the list"),
    "index beside auto": (run, ["--train", "--hosts", "auto", *LISTED[2:]], "--host_index: is a place in the list"),
    "wait for nobody": (run, ["--train", "--hosts", "none", "--host_wait", "9"], "--host_wait: --hosts none waits for"),
    "no number": (run, ["--train", *LISTED[:3], "x"], "--host_index: must be a whole number, not x"),
    "index below": (run, ["--train", *LISTED[:3], "-1"], "--host_index: must be at least 0, not -1"),
    "no time": (run, ["--train", *LISTED, "--host_wait", "0"], "--host_wait: must be at least 0.1, not 0"),
    "all time": (run, ["--train", *LISTED, "--host_wait", "1e9"], "--host_wait: must be at most 604,800, not 1e9: a"),
    "sample.py": (sample, LISTED[:2], "--host_index: say which host of --hosts this is, from 0"),
    "espcn.py": (espcn, ["--train", "x", *LISTED[:2]], "--host_index: say which host of --hosts this is, from 0"),
    "srgan.py": (srgan, ["--train", "x", *LISTED[2:]], "--host_index: is a place in the list that --hosts gives"),
}


@pytest.mark.parametrize("command, given, message", USAGE.values(), ids=USAGE.keys())
def test_flags_of_hosts_that_make_no_sense_are_mistakes_of_usage(capsys, command, given, message):
    code, err = run_here(command.main, given, capsys)
    assert code == 2 and message in err and len(err.splitlines()) == 1, err


NAMED = "TF_CONFIG: names 2 hosts"
EARLY = {
    "index too high": (run, ["--train", *LISTED[:3], "2"], "--hosts: host 2 of 2, which are numbered from 0"),
    "twice": (
        run,
        ["--train", "--hosts", f"{A},{A}", *LISTED[2:]],
        "--hosts: an address stands there twice; give each",
    ),
    "no port": (run, ["--train", "--hosts", f"a,{B}", *LISTED[2:]], "--hosts a: must be HOST:PORT, the port from 1"),
    "an end": (run, ["--train", "--hosts", f",{B}", *LISTED[2:]], "--hosts : must be HOST:PORT, the port from 1"),
    "two modes": (
        run,
        ["--train", "--eval", *LISTED],
        "--hosts: names 2 hosts, and --eval and --train; give a command",
    ),
    "prediction": (run, ["--predict", "x"], f"{NAMED}, but --predict runs on one; start it there alone"),
    "distance": (run, ["--fid", "x"], f"{NAMED}, but --fid runs on one; start it there alone"),
    "export": (run, ["--export_hf", "x"], f"{NAMED}, but --export_hf runs on one; start it there alone"),
    "one of two": (run, ["--train", "--export_hf", "x"], f"{NAMED}, but --export_hf runs on one; start it there alone"),
    "listed": (
        run,
        ["--predict", "x", *LISTED],
        "--hosts: names 2 hosts, but --predict runs on one; start it there alone",
    ),
    "upscaling": (espcn, ["--upscale", "x"], f"{NAMED}, but --upscale runs on one; start it there alone"),
    "scores": (srgan, ["--eval", "x"], f"{NAMED}, but --eval runs on one; start it there alone"),
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("command, given, message", EARLY.values(), ids=EARLY.keys())
def test_what_several_hosts_cannot_do_is_said_before_they_meet(environment, capsys, tmp_path, command, given, message):
    environment({"TF_CONFIG": TWO})
    given = [*given, "--save_dir", tmp_path / "out"] if command is run and "--train" in given else given
    code, err = run_here(command.main, given, capsys)
    assert code == 1 and message in err and len(err.splitlines()) == 1, err
    assert list(tmp_path.iterdir()) == [], "something was made"


@pytest.mark.parametrize("command, mode", [(run, "--predict"), (run, "--fid"), (espcn, "--upscale"), (srgan, "--eval")])
def test_what_runs_on_one_host_runs_beside_others_when_told_so(environment, command, mode):
    environment({"TF_CONFIG": TWO})
    assert cluster.find(command.parse([mode, "x", "--hosts", "none"])) is None


def test_waiting_for_hosts_that_nobody_names_is_a_mistake(environment, capsys, tmp_path):
    environment({})
    code, err = run_here(run.main, ["--train", "--host_wait", "9", "--save_dir", tmp_path / "out"], capsys)
    assert code == 1 and "--host_wait: no other host is named" in err and len(err.splitlines()) == 1, err


def test_one_host_alone_joins_nobody(monkeypatch):
    monkeypatch.setattr(cluster, "meet", pytest.fail)
    cluster.join(run.parse(["--train", "--eval"]), alone={"eval"})
    assert hosts.current().count == 1


@pytest.fixture
def joined(monkeypatch):
    """A function that lets hosts join, each with flags of its own: what `meet` gave each, or raised."""
    monkeypatch.setattr(cluster, "leave_at_once", lambda line: None)  # which ends the process, and so the tests
    used, silenced = [], []
    monkeypatch.setattr(cluster, "hosts", types.SimpleNamespace(use=used.append))
    fake = types.SimpleNamespace(**{name: getattr(os, name) for name in ("environ", "devnull", "open", "O_WRONLY")})
    fake.dup2 = lambda a, b: silenced.append(b)
    monkeypatch.setattr(cluster, "os", fake)

    def join(*given, command=run, alone=()):
        addresses = free_addresses(len(given))
        several = ["--hosts", ",".join(addresses), "--host_wait", "5", "--host_index"]
        parsed = [command.parse([*several, str(i), *more]) for i, more in enumerate(given)]
        results = at_once(*(partial(cluster.join, args, alone) for args in parsed))
        return addresses, results, used, silenced

    yield join
    for host in used:
        cut(host)


def test_hosts_that_join_are_in_use_and_host_0_speaks_for_all(joined, capsys):
    addresses, results, used, silenced = joined(["--train"], ["--train"], ["--train"])
    assert results == [None] * 3 and sorted(host.index for host in used) == [0, 1, 2]
    assert {host.addresses for host in used} == {tuple(addresses)}
    assert capsys.readouterr().out == f"hosts: {', '.join(addresses)} (--hosts)\n" and silenced == [1, 1]


OTHERS = {
    "a rate": (["--lr", "0.5"], r"--lr is 0\.5 on host 1 \(.+\) but 0\.003 on host 0; give all hosts the same"),
    "a seed": (["--seed", "7"], r"--seed is 7 on host 1 \(.+\) but 42 on host 0; "),
    "a switch": (["--bert"], r"--bert is True on host 1 \(.+\) but False on host 0; "),
    "none there": (["--n_layer", "3"], r"--n_layer is 3 on host 1 \(.+\) but None on host 0; "),
    "GPUs": (["--n_gpu", "3"], r"--n_gpu is 3 on host 1 \(.+\) but None on host 0; "),
    "images on a device": (["--n_sub_batch", "3"], r"--n_sub_batch is 3 on host 1 \(.+\) but 8 on host 0; "),
}


@pytest.mark.parametrize("given, line", OTHERS.values(), ids=OTHERS.keys())
def test_hosts_with_other_flags_are_told_which(joined, given, line):
    _, results, used, _ = joined(["--train"], ["--train", *given])
    assert {type(error) for error in results} == {Disagreement} and len(set(map(str, results))) == 1, results
    assert re.match(line, str(results[0])), results
    assert used == []


def test_hosts_in_other_modes_are_told_so(joined):
    _, results, _, _ = joined(["--train"], ["--eval"])
    assert re.match(r"--eval is True on host 1 \(.+\) but False on host 0; ", str(results[0])), results


PATHS = {
    "run.py --train": (run, ["--train", "--data_path", "{}/d", "--save_dir", "{}/s"]),
    "run.py --eval": (
        run,
        ["--eval", "--ckpt_path", "{}/c", "--color_cluster_path", "{}/p", "--json", "{}/j", "--data_path", "{}/d"],
    ),
    "sample.py": (
        sample,
        ["--image", "{}/i", "--ckpt_path", "{}/c", "--save_tokens", "{}/t.npy", "--save_dir", "{}/s"],
    ),
    "espcn.py": (espcn, ["--train", "{}/t", "--valid", "{}/v", "--save_dir", "{}/s"]),
}


@pytest.mark.parametrize("command, given", PATHS.values(), ids=PATHS.keys())
def test_files_may_lie_elsewhere_on_each_host(joined, command, given):
    here, there = ([text.format(folder) for text in given] for folder in ("x", "y"))
    _, results, used, _ = joined(here, there, command=command)
    assert results == [None, None] and len(used) == 2


def test_every_flag_that_is_no_path_has_to_be_the_same():
    args = flags("--hosts", f"{A},{B}", "--host_index", "1")
    about = cluster.about(args)
    names = {name.removeprefix("--") for name in about if name.startswith("--")}
    assert names == set(vars(args)) - cluster.LOCAL - {"given", "modes"} and about["--lr"] == args.lr
    assert {"hosts", "host_index", "data_path", "save_dir"}.isdisjoint(names) and {"train", "valid"}.isdisjoint(names)
    assert json.loads(json.dumps(about)) == about, "no plain data"


def test_another_version_of_the_code_is_told(monkeypatch, tmp_path):
    ours = cluster.code()
    assert re.fullmatch(r"[0-9a-f]{12} with TensorFlow 2\.\d+\.\d+, Keras 3\.\d+\.\d+", ours) and ours == cluster.code()
    monkeypatch.setattr(cluster, "CLONE", tmp_path)
    (tmp_path / "src").mkdir()
    found = [cluster.code()]
    for path in ("run.py", "src/a.py", "src/a.py"):
        with (tmp_path / path).open("a") as file:
            file.write("x = 1\n")
        found.append(cluster.code())
    assert len({ours, *found}) == 5 and cluster.about(flags())["the code"] == found[-1]


@pytest.fixture
def ended(monkeypatch):
    """Codes with which the process would have ended."""
    codes = []
    monkeypatch.setattr(cluster.os, "_exit", codes.append)
    process.Command.begin(run.main)
    return codes


def test_a_loss_is_one_line_and_the_end_of_the_process(ended, capsys):
    cluster.leave_at_once("`n_px` is 3 on host 1 (b:2)")
    cluster.leave_at_once("a second line of the same end")
    assert ended == [1, 1] and capsys.readouterr().err == "run.py: --n_px is 3 on host 1 (b:2)\n"


def test_what_hosts_wait_for_is_on_standard_error(capsys):
    cluster.say("waiting for host 1 (b:2)")
    assert capsys.readouterr() == ("", "waiting for host 1 (b:2)\n")
