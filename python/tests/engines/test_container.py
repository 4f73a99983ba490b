# SPDX-License-Identifier: MIT
"""Documentation/guides/vllm.rst, "In a container": by runc, which Docker has.

The containers have what the guide's command gives them, a user namespace
besides where a test says so, and a root file system of their own.
"""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import numpy
import pytest
from engine import Engine, prompt
from test_guide import GUIDE, commands

import libkvbm

pytestmark = pytest.mark.module

CGROUPS = Path("/sys/fs/cgroup")
MIB = 1 << 20
# Number on the host of the user who is 0 in a user namespace here.
ROOT = 100000
# Where numpy is.
SITE = Path(numpy.__file__).parents[1]
# What Docker leaves to root.
DOCKER = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
]
# Of the host's, read-only.
SHARED = ["/usr", "/bin", "/lib", "/lib64"]


def size(text):
    """Bytes that an option of Docker's says."""
    return int(text[:-1]) << {"m": 20, "g": 30}[text[-1]]


class Machine:
    """Makes containers of one root file system."""

    def __init__(self, work):
        self.work = work
        self.n = 0
        self.running = []
        os.chmod(work, 0o755)
        root = work / "root"
        stage = root / "stage"
        for name in ["proc", "dev", *(p[1:] for p in SHARED)]:
            (root / name).mkdir(parents=True)
        shutil.copytree(os.environ["KVBM_STAGE"], stage)
        shutil.copy(os.environ["LIBKVBM"], stage / "libkvbm.so")
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text(
            "root:x:0:0::/:/bin/sh\nother:x:1001:1001::/:/bin/sh\n"
        )
        (root / "etc/group").write_text("root:x:0:\nother:x:1001:\n")
        os.chmod(stage, 0o755)

    def config(self, args, options, mapped, nodes):
        """As Docker would write it for these options."""
        user = {"uid": 0, "gid": 0}
        caps = list(DOCKER)
        memory, shm = None, "64m"
        devices, allowed = [], [{"allow": False, "access": "rwm"}]
        binds = [(p, p) for p in SHARED]
        env = [
            "PATH=/usr/bin:/bin",
            "KVBM_STAGE=/stage",
            "LIBKVBM=/stage/libkvbm.so",
            f"KVBM_VLLM_VERSION={os.environ['KVBM_VLLM_VERSION']}",
            f"PYTHONPATH=/stage:/stage/tests:{SITE}",
            "PYTHONDONTWRITEBYTECODE=1",
        ]
        options = iter(options)
        for option in options:
            value = next(options)
            if option == "--user":
                user["uid"], user["gid"] = map(int, value.split(":"))
            elif option == "--cap-drop":
                assert value == "ALL"
                caps = []
            elif option == "--memory":
                memory = size(value)
            elif option == "--shm-size":
                shm = value
            elif option == "--env":
                env.append(value)
            elif option == "--volume":
                binds.append(value.split(":"))
            else:
                assert option == "--device", option
                path, inside, access = value.split(":")
                s = os.stat(path)
                assert stat.S_ISCHR(s.st_mode)
                number = {
                    "type": "c",
                    "major": os.major(s.st_rdev),
                    "minor": os.minor(s.st_rdev),
                }
                devices.append(
                    {
                        "path": inside,
                        "fileMode": stat.S_IMODE(s.st_mode),
                        "uid": s.st_uid,
                        "gid": s.st_gid,
                        **number,
                    }
                )
                allowed.append({"allow": True, "access": access, **number})
        if nodes:
            # Docker lets all nodes be made, and none be opened.
            allowed.append({"allow": True, "access": "m", "type": "c"})
        linux = {
            "cgroupsPath": f"/kvbm-test/c{self.n}",
            "devices": devices,
            "resources": {"devices": allowed},
            "namespaces": [
                {"type": t}
                for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")
            ],
        }
        if memory is not None:
            linux["resources"]["memory"] = {"limit": memory}
        if mapped:
            linux["namespaces"].append({"type": "user"})
            ids = [{"containerID": 0, "hostID": ROOT, "size": 65536}]
            linux["uidMappings"] = linux["gidMappings"] = ids
        kept = [f"CAP_{c}" for c in caps]
        # Who is not root has capabilities at hand only.
        now = kept if user["uid"] == 0 else []
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "mode=755"],
            },
            {
                "destination": "/dev/shm",
                "type": "tmpfs",
                "source": "shm",
                "options": ["nosuid", "nodev", "mode=1777", f"size={shm}"],
            },
        ]
        mounts += [
            {
                "destination": inside,
                "type": "bind",
                "source": path,
                "options": ["rbind"]
                if path.startswith("/dev")
                else ["rbind", "ro"],
            }
            for path, inside in binds
        ]
        return {
            "ociVersion": "1.0.0",
            "process": {
                "terminal": False,
                "user": user,
                "args": args,
                "env": env,
                "cwd": "/",
                "capabilities": {
                    "bounding": kept,
                    "permitted": now,
                    "effective": now,
                },
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.work / "root"), "readonly": True},
            "hostname": "container",
            "mounts": mounts,
            "linux": linux,
        }

    def runc(self, *args):
        return ["runc", f"--root={self.work}/state", *args]

    def start(self, args, options, *, mapped=False, nodes=False):
        """A running container."""
        self.n += 1
        bundle = self.work / f"bundle{self.n}"
        bundle.mkdir()
        (bundle / "config.json").write_text(
            json.dumps(self.config(args, options, mapped, nodes))
        )
        c = Container(self, f"c{self.n}", bundle)
        self.running.append(c)
        return c

    def sh(self, script, options, **how):
        """What a shell in a container says."""
        c = self.start(["sh", "-c", f"{script} 2>&1"], options, **how)
        said, _ = c.process.communicate(timeout=60)
        return said

    def close(self):
        for c in self.running:
            c.kill()
            with c.process:
                pass


class Container:
    """One that runs."""

    def __init__(self, machine, name, bundle):
        self.machine, self.name = machine, name
        self.cgroup = CGROUPS / "kvbm-test" / name
        # A root that is an initramfs cannot be pivoted.
        self.process = subprocess.Popen(
            machine.runc(
                "run",
                "--no-pivot",
                "--no-new-keyring",
                f"--bundle={bundle}",
                name,
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # A container that says nothing is not waited for.
        self.limit = threading.Timer(200, self.kill)
        self.limit.daemon = True
        self.limit.start()

    def hear(self, what):
        """What it says of this; its log may come before."""
        other = ""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)[what]
            other += line
        pytest.fail(other)

    def memory(self, name):
        """A number of its memory cgroup."""
        if name in ("peak", "current"):
            return int((self.cgroup / f"memory.{name}").read_text())
        text = (self.cgroup / "memory.stat").read_text()
        return int(re.search(rf"^{name} (\d+)$", text, re.M).group(1))

    def kill(self):
        self.limit.cancel()
        if self.process.poll() is None:
            subprocess.run(
                self.machine.runc("kill", self.name, "KILL"), check=False
            )
        return self.process.wait(timeout=60)


@pytest.fixture
def machine(tmp_path_factory):
    """Containers, all of which end with the test."""
    work = tmp_path_factory.mktemp("container")
    for path in work.parents:
        os.chmod(path, os.stat(path).st_mode | 0o055)
    m = Machine(work)
    yield m
    m.close()
    shutil.rmtree(work)


def guide():
    """The guide's commands: of kvbmctl, and the options of docker."""
    make, run = commands("container")
    run = shlex.split(run.replace("\\\n", " "))
    assert run[:2] == ["docker", "run"] and run[-1] == "..."
    return make, run[2:-2]


@pytest.fixture
def make():
    """Stores made by the guide's command, somewhat changed."""
    command, _ = guide()
    names = []

    def made(name="pool", *more, blocks=64, **instead):
        words = shlex.split(command)
        words[words.index("create") + 1] = name
        for option, value in {"blocks": blocks, **instead}.items():
            words[words.index(f"--{option}") + 1] = str(value)
        subprocess.run(words + list(more), check=True)
        names.append(name)
        return name

    yield made
    for name in names:
        store = libkvbm.Store(name)
        try:
            with store.open() as s:
                c = s.counts()
        except libkvbm.NoModule:
            continue  # destroyed by the test
        store.destroy(force=True)
        assert c.available == c.total


@pytest.mark.parametrize("mapped", [False, True])
def test_engine(make, machine, capsys, mapped):
    """Shares blocks with the host's, pays for none of the pool, is killed."""
    _, options = guide()
    i = options.index("--memory") + 1
    options[i] = "128m"
    options[options.index("--shm-size") + 1] = "64m"
    uid, gid = map(int, options[options.index("--user") + 1].split(":"))
    if mapped:
        uid, gid = uid + ROOT, gid + ROOT
    blocks = 65536
    make(blocks=blocks, group=gid)
    total = blocks * 4096
    assert total == 2 * size(options[i])
    host = Engine(store="pool")
    host.request(prompt("host", 6))
    host.forget()

    c = machine.start(
        ["python3", "/stage/tests/engines/contained.py", "engine", "pool"],
        options,
        mapped=mapped,
    )
    assert c.hear("found") == 6
    assert c.hear("touched") == total
    held = c.hear("held")
    # What the container stored is there for others: verified.
    assert host.request(prompt("container", 6)) == 6
    host.quiet()
    with libkvbm.Session("pool") as s:
        assert s.counts().total - s.counts().available == held
        there = {x.uid for x in s.sessions() if x.held}
        assert there == {uid}
    used = {n: c.memory(n) for n in ("peak", "current", "shmem", "pagetables")}
    with capsys.disabled():
        print("# of", total, "bytes of the pool", json.dumps(used))
    assert used["peak"] < total / 4
    # Its own part of /dev/shm, and nothing of the pool.
    assert used["shmem"] < MIB
    # What maps the pool is its own: 8 bytes a page.
    assert total / 512 <= used["pagetables"] < total / 512 + 4 * MIB

    assert c.kill() != 0
    with libkvbm.Session("pool") as s:
        assert s.counts().available == blocks
        assert not [x for x in s.sessions() if x.held]
    host.close()


def test_own_file(make, machine):
    """A file of one's own is charged to whoever touches a page first."""
    _, options = guide()
    options[options.index("--memory") + 1] = "512m"
    path = Path("/dev/shm/pool")
    with path.open("wb") as f:
        f.truncate(64 * MIB)
    try:
        make("pool", "--payload", str(path), blocks=16384)
        c = machine.start(
            ["python3", "/stage/tests/engines/contained.py", "touch", "pool"],
            options,
        )
        assert c.hear("touched") == 64 * MIB
        assert c.memory("shmem") >= 64 * MIB
        c.process.stdin.close()
        assert c.process.wait(timeout=60) == 0
    finally:
        path.unlink()


OPEN = "exec 3<>/dev/kvbm/pool && echo open"


def test_who_gets_in(make, machine):
    """The node and the pool's owner, group and mode decide, and both."""
    _, options = guide()
    make()
    make("other")

    def but(**instead):
        """The guide's options with others; None: without."""
        pairs = dict(zip(options[::2], options[1::2], strict=True))
        pairs.update(
            {f"--{k.replace('_', '-')}": v for k, v in instead.items()}
        )
        return [w for k, v in pairs.items() if v is not None for w in (k, v)]

    assert machine.sh(OPEN, options) == "open\n"
    # Another user; the group counts, and the user alone does not.
    assert "Permission denied" in machine.sh(OPEN, but(user="1001:1001"))
    assert machine.sh(OPEN, but(user="1001:1000")) == "open\n"
    # Root owns the pool, or overrides; not that of another namespace.
    assert machine.sh(OPEN, but(user=None)) == "open\n"
    assert "Permission denied" in machine.sh(OPEN, options, mapped=True)
    assert "Permission denied" in machine.sh(OPEN, but(user=None), mapped=True)
    # No node.
    assert "nonexistent directory" in machine.sh(OPEN, but(device=None))
    # A volume brings the node, and does not let it be opened.
    volume = but(device=None, volume="/dev/kvbm/pool:/dev/kvbm/pool")
    assert "Operation not permitted" in machine.sh(OPEN, volume)

    # One made inside, of a pool that was not let in.
    rdev = os.stat("/dev/kvbm/other").st_rdev
    node = f"mknod /dev/other c {os.major(rdev)} {os.minor(rdev)}"
    root = but(user=None, cap_drop=None)
    script = f"{node} && exec 3<>/dev/other"
    assert "/dev/other: Operation not permitted" in machine.sh(
        script, root, nodes=True
    )
    assert "mknod: /dev/other: Operation not permitted" in machine.sh(
        script, root, nodes=True, mapped=True
    )
    # Permissions of a container's own node say nothing.
    script = (
        "chmod 666 /dev/kvbm/pool && ls -l /dev/kvbm/pool && "
        f"exec su other -c '{OPEN}'"
    )
    said = machine.sh(script, root)
    assert said.startswith("crw-rw-rw-") and "Permission denied" in said


def test_made_anew(make, machine):
    """A pool made anew has another number: the old node leads nowhere."""
    _, options = guide()
    make()
    c = machine.start(
        ["sh", "-c", f"echo ready; while read x; do ({OPEN}) 2>&1; done"],
        options,
    )

    def again():
        c.process.stdin.write("\n")
        c.process.stdin.flush()
        return c.process.stdout.readline()

    assert c.process.stdout.readline() == "ready\n"
    assert again() == "open\n"
    libkvbm.Store("pool").destroy(force=True)
    assert "No such device or address" in again()
    make()
    assert "No such device or address" in again()
    # A container that is started now gets in.
    assert machine.sh(OPEN, options) == "open\n"


def test_compose():
    """The guide's file for Compose says what its command says."""
    _, options = guide()
    text = re.search(
        r"code-block:: yaml\n\n((?:   .*\n|\n)+)", GUIDE.read_text()
    ).group(1)
    said = dict(zip(options[::2], options[1::2], strict=True))
    for option, wanted in (
        ("--user", 'user: "{}"'),
        ("--cap-drop", "cap_drop: [{}]"),
        ("--device", 'devices: ["{}"]'),
        ("--env", 'environment: ["{}"]'),
        ("--memory", "mem_limit: {}"),
        ("--shm-size", "shm_size: {}"),
    ):
        assert wanted.format(said[option]) in text, option
