# SPDX-License-Identifier: MIT
"""Results as TAP, and the audit after each test.

Tests marked `module` need /dev/kvbm: they run in the virtual machine.
"""

import os

import pytest

CONTROL = "/dev/kvbm/control"


class Tap:
    """Prints a line a test, and why one failed."""

    def __init__(self):
        self.n = 0

    def line(self, ok, name, more=""):
        self.n += 1
        print(f"{'ok' if ok else 'not ok'} {self.n} {name}{more}", flush=True)

    def pytest_sessionstart(self):
        print("TAP version 13")

    def pytest_sessionfinish(self):
        print(f"1..{self.n}")

    def pytest_collectreport(self, report):
        if report.failed:
            for line in str(report.longrepr).splitlines():
                print(f"# {line}")
            self.line(False, f"collect {report.nodeid}")

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.split("tests/")[-1].replace("#", "")
        if report.failed:
            for line in report.longreprtext.splitlines():
                print(f"# {line}")
            what = "" if report.when == "call" else f" ({report.when})"
            self.line(False, name + what)
        elif report.skipped:
            why = report.longrepr
            why = why[2] if isinstance(why, tuple) else str(why)
            self.line(True, name, f" # SKIP {why}")
        elif report.when == "call":
            self.line(True, name, f" ({report.duration:.1f} s)")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "module: needs /dev/kvbm")
    if os.environ.get("KVBM_TAP"):
        config.pluginmanager.register(Tap())
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        reporter._tw._file = open(os.devnull, "w")


def pytest_collection_modifyitems(config, items):
    """With the module its tests, without it the others."""
    wanted = bool(os.environ.get("KVBM_VM"))
    chosen, other = [], []
    for item in items:
        has = item.get_closest_marker("module") is not None
        (chosen if has == wanted else other).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=other)


@pytest.fixture(autouse=True)
def audit(request):
    """Nothing is left: no store, no descriptor."""
    if request.node.get_closest_marker("module") is None:
        yield
        return
    import gc

    import libkvbm

    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    stores = libkvbm.Store.list()
    left = set(os.listdir("/proc/self/fd")) - before
    paths = []
    for fd in left:
        try:
            paths.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            pass
    for store in stores:
        if store.name:
            libkvbm.Store(store.name).destroy(force=True)
    assert not stores, f"stores left: {stores}"
    assert not paths, f"descriptors left: {paths}"


@pytest.fixture
def store():
    """An anonymous store of 16 blocks; all must be given back."""
    import libkvbm

    with libkvbm.Store.anonymous(16) as keeper:
        yield keeper
        c = keeper.counts()
        held = [s for s in keeper.sessions() if s.held]
        assert c.available == c.total, f"{c}, held by {held}"


@pytest.fixture
def session(store):
    """A session of that store."""
    with store.open_session() as s:
        yield s
        if not s.closed:
            mine = s.info().session_id
            held = [x.held for x in s.sessions() if x.session_id == mine]
            assert held in ([0], []), f"held at the end: {held}"
