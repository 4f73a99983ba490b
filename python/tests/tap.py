# SPDX-License-Identifier: MIT
"""A pytest plugin: results as TAP on standard output, and nothing else."""

import os

import pytest


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
            for title, text in report.sections:
                print(f"# {title}")
                for line in text.splitlines()[-40:]:
                    print(f"#   {line}")
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
    config.pluginmanager.register(Tap())
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reporter._tw._file = open(os.devnull, "w")
