"""Several hosts, by flags, TF_CONFIG or Slurm: who belongs together, and what they have to have in common."""

import hashlib
import itertools
import json
import os
import re
import sys

from src import hosts
from src.cli.parser import Number, natural
from src.cli.process import Command, import_tensorflow, with_flags
from src.config import CLONE, InputError, one_line
from src.meeting import meet

FLAGS = {"hosts", "host_index", "host_wait"}
LOCAL = {"hosts", "host_index", "save_dir", "data_path", "ckpt_path", "color_cluster_path", "json", "save_tokens"}
LOCAL |= {"image", "train", "valid", "weights", "vgg_weights", "text"}  # paths; their contents are compared
DAYS = Number(float, 0.1, 7 * 24 * 3600, "a host that has not come in a week will not")
PORTS = range(12000, 32000)  # where the tasks of a Slurm job listen, by its number
SLURM = "PROCID", "STEP_NUM_TASKS", "STEP_NODELIST", "STEP_TASKS_PER_NODE", "JOB_ID"
TASKS = re.compile(r"(\d+)(?:\(x(\d+)\))?(?:,|$)")


def add_flags(group):
    """The flags FLAGS."""
    several = "a list, the same on all hosts; auto: as TF_CONFIG or Slurm say, else this one alone; none: alone"
    group.add_argument("--hosts", metavar="HOST:PORT,...", default="auto", help=several)
    group.add_argument("--host_index", type=natural, metavar="N", help="which host of the list this is, from 0")
    group.add_argument("--host_wait", type=DAYS, default=300, metavar="SECONDS", help="for hosts that are not there")


def check_flags(p, args):
    """Refuse flags that have no effect without others."""
    listed = args.hosts not in ("auto", "none")
    if listed and args.host_index is None:
        p.error("--host_index: say which host of --hosts this is, from 0")
    if args.host_index is not None and not listed:
        p.error("--host_index: is a place in the list that --hosts gives; give it, too")
    if args.hosts == "none" and "host_wait" in args.given:
        p.error("--host_wait: --hosts none waits for nobody; leave one of them out")


def find(args):
    """(addresses, index, what named them) of the hosts that the flags or the environment name; None for one alone."""
    if args.hosts == "none":
        return None
    if args.hosts != "auto":
        return checked(args.hosts.split(","), args.host_index, "--hosts")
    if os.environ.get("TF_CONFIG"):
        return by_tf_config(os.environ["TF_CONFIG"])
    if all(f"SLURM_{name}" in os.environ for name in SLURM):
        return by_slurm()
    return None


def checked(addresses, index, source):
    """(addresses, index, source) of two hosts or more; None of one."""
    if not 0 <= index < len(addresses):
        raise InputError(f"{source}: host {index} of {len(addresses)}, which are numbered from 0")
    if len(set(addresses)) < len(addresses):
        raise InputError(f"{source}: an address stands there twice; give each host its own port")
    return (addresses, index, source) if len(addresses) > 1 else None


def by_tf_config(text):
    """The hosts of TF_CONFIG, a chief first."""
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        kinds = [kind for kind in ("chief", "worker") if cluster.get(kind)]
        if cluster.keys() - {"chief", "worker"} or (cluster and task.get("type") not in kinds):
            raise InputError("TF_CONFIG: a cluster of chief and workers is run here, and the task is one of them")
        if not cluster:
            return None
        if not all(isinstance(cluster[kind], list) for kind in kinds):
            raise TypeError("the addresses of a kind are a list")
        addresses = [str(address) for kind in kinds for address in cluster[kind]]
        index, own = int(task["index"]), len(cluster[task["type"]])
        if not 0 <= index < own:
            raise InputError(f"TF_CONFIG: {task['type']} {index} of {own}, which are numbered from 0")
        before = len(cluster["chief"]) if task["type"] == "worker" and "chief" in kinds else 0
        return checked(addresses, before + index, "TF_CONFIG")
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"TF_CONFIG: not a cluster and a task ({one_line(error)}); mend it, or unset it") from error


def by_slurm():
    """The tasks of a Slurm step, in blocks on its nodes. TensorFlow's resolver puts node 10 before node 9."""
    names = {name: os.environ[f"SLURM_{name}"] for name in SLURM}
    try:
        tasks = [[int(n)] * int(times or 1) for n, times in TASKS.findall(names["STEP_TASKS_PER_NODE"])]
        nodes, port = slurm_nodes(names["STEP_NODELIST"]), PORTS[int(names["JOB_ID"]) % len(PORTS)]
        placed = zip(nodes, itertools.chain(*tasks), strict=True)
        addresses = [f"{node}:{port + task}" for node, many in placed for task in range(many)]
        index, count = int(names["PROCID"]), int(names["STEP_NUM_TASKS"])
        if len(addresses) != count:
            raise ValueError("not all tasks are placed")
    except (ValueError, IndexError) as error:
        raise InputError(f"Slurm's variables name no cluster ({one_line(names)}); name the hosts by `hosts`") from error
    return checked(addresses, index, "Slurm")


def slurm_nodes(text):
    """The names in a list of Slurm's, such as `a,b[1-2,07]`, in its order."""
    found = []
    for before, ranges, after in re.findall(r"([^,\[\]]+)(?:\[([\d,-]+)\])?([^,\[\]]*)(?:,|$)", text):
        for part in ranges.split(",") if ranges else ():
            low, _, high = part.partition("-")
            found += [f"{before}{n:0{len(low)}}{after}" for n in range(int(low), int(high or low) + 1)]
        found += [] if ranges else [before + after]
    return found


def join(args, alone=()):
    """Meet the other hosts, if the flags or the environment name any: the hosts of this command from here on.

    Args:
        alone: the modes that run on one host.
    """
    found = find(args)
    if found is None:
        if "host_wait" in args.given:
            raise InputError("`host_wait`: no other host is named, by `hosts`, TF_CONFIG or Slurm; leave it out")
        return
    addresses, index, source = found
    named = f"{source}: names {len(addresses)} hosts"
    for mode in sorted(args.modes.intersection(alone)):
        raise InputError(f"{named}, but --{mode} runs on one; start it there alone, with --hosts none")
    if len(args.modes) > 1:
        raise InputError(f"{named}, and {' and '.join(f'--{m}' for m in sorted(args.modes))}; give a command for each")
    import_tensorflow()  # before a host can be lost, for it hides the standard error
    here = meet(addresses, index, about(args), args.host_wait, leave_at_once, say)
    hosts.use(here)
    if here.first:
        print(f"hosts: {', '.join(addresses)} ({source})", flush=True)
    else:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # host 0 speaks for all


def about(args):
    """What has to be the same on all hosts, apart from what they read."""
    flags = {f"--{name}": value for name, value in vars(args).items() if name not in LOCAL | {"given", "modes"}}
    return {"the code": code()} | json.loads(json.dumps(flags))


def code():
    """A fingerprint of the code, and the versions of what computes."""
    from importlib.metadata import version

    digest = hashlib.sha256()
    for path in sorted([*CLONE.glob("*.py"), *(CLONE / "src").rglob("*.py")]):
        digest.update(path.read_bytes())
    return f"{digest.hexdigest()[:12]} with TensorFlow {version('tensorflow')}, Keras {version('keras')}"


def say(line):
    print(line, file=sys.stderr, flush=True)


def leave_at_once(line):
    """End the process from any thread, for another host has gone: TensorFlow's operations may wait for it forever."""
    Command.complain(with_flags(line))
    os._exit(1)
