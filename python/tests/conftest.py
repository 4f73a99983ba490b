# SPDX-License-Identifier: MIT
"""Which tests run where, and the audit after each.

Tests marked `module` need /dev/kvbm: they run in the virtual machine.
"""

import os

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "module: needs /dev/kvbm")


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
    # What a test that failed left is not this one's fault.
    known = {s.store_id for s in libkvbm.Store.list()}
    yield
    gc.collect()
    stores = [s for s in libkvbm.Store.list() if s.store_id not in known]
    left = set(os.listdir("/proc/self/fd")) - before
    paths = []
    for fd in left:
        try:
            paths.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            pass
    for store in stores:
        if store.name:
            try:
                libkvbm.Store(store.name).destroy(force=True)
            except libkvbm.NoModule:
                pass  # destroyed, and still open
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
