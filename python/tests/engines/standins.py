# SPDX-License-Identifier: MIT
"""vLLM's tiering manager without torch and without a GPU.

install() makes the files of a vLLM release importable although what they import
besides is not there. Everything below vllm/v1/kv_offload is the release's own;
these are stand-ins:

    vllm (the package's __init__ only), vllm.logger, vllm.config,
    vllm.platforms, vllm.triton_utils, vllm._custom_ops, torch,
    vllm.v1.core.kv_cache_utils (NONE_HASH), vllm.v1.kv_cache_interface,
    vllm.v1.kv_hints,
    vllm.distributed (the packages' __init__ only),
    vllm.distributed.kv_transfer.kv_connector.v1.metrics,
    vllm.distributed.kv_transfer.kv_connector.v1.offloading.canonical_mapping,
    vllm.distributed.device_communicators.shm_broadcast and .cuda_wrapper,
    vllm.v1.kv_offload.cpu.gpu_worker

kv_events() makes vllm.distributed.kv_events the release's own, over stand-ins
of vllm.config.kv_events and vllm.utils.network_utils.
"""

import dataclasses
import importlib.util
import logging
import sys
import types


class Anything:
    """A value of which nothing is used."""

    def __init__(self, *args, **kwargs):
        pass

    def __class_getitem__(cls, item):
        return cls


class Module(types.ModuleType):
    """A module that has every name, as a class of which nothing is used."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = type(name, (Anything,), {})
        setattr(self, name, value)
        return value


def module(name, path=None, **names):
    """Register a stand-in."""
    m = Module(name)
    if path is not None:
        m.__path__ = [str(path)]
    for key, value in names.items():
        setattr(m, key, value)
    sys.modules[name] = m
    parent, _, last = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], last, m)
    return m


class Logger(logging.LoggerAdapter):
    """vLLM's loggers have these besides."""

    def info_once(self, *args, **_):
        self.info(*args)

    def warning_once(self, *args, **_):
        self.warning(*args)

    def debug_once(self, *args, **_):
        self.debug(*args)


def install(root, version, seed="0"):
    """Import vLLM from root from now on, as of a version."""
    root = root / "vllm"
    module("vllm", root, __version__=version)
    module(
        "vllm.logger",
        init_logger=lambda name: Logger(logging.getLogger(name), {}),
    )
    for name in (
        "vllm.config",
        "vllm.platforms",
        "vllm.triton_utils",
        "vllm._custom_ops",
        "torch",
        "vllm.v1.kv_cache_interface",
        "vllm.v1.kv_hints",
    ):
        module(name)
    for name in (
        "distributed",
        "distributed.kv_transfer",
        "distributed.kv_transfer.kv_connector",
        "distributed.kv_transfer.kv_connector.v1",
        "distributed.kv_transfer.kv_connector.v1.offloading",
        "distributed.device_communicators",
        "utils",
    ):
        module(f"vllm.{name}", root / name.replace(".", "/"))
    v1 = "vllm.distributed.kv_transfer.kv_connector.v1"

    @dataclasses.dataclass
    class Stats:
        """As vLLM's: a dataclass with data."""

        data: dict = dataclasses.field(default_factory=dict)

    module(f"{v1}.metrics", KVConnectorStats=Stats)
    module(f"{v1}.offloading.canonical_mapping")
    module("vllm.distributed.device_communicators.shm_broadcast")
    module("vllm.distributed.device_communicators.cuda_wrapper")
    module("vllm.v1.kv_offload.cpu.gpu_worker")
    from vllm.utils.hashing import sha256_cbor

    module("vllm.v1.core")
    # What the connector's scheduler imports, for upstream's tests.
    for name in (
        "vllm.distributed.kv_events",
        "vllm.distributed.kv_transfer.kv_connector.utils",
        f"{v1}.base",
        f"{v1}.offloading.config",
        f"{v1}.offloading.events",
        "vllm.v1.core.kv_cache_manager",
        "vllm.v1.core.sched",
        "vllm.v1.core.sched.output",
        "vllm.v1.core.single_type_kv_cache_manager",
        "vllm.v1.core.kv_cache_coordinator",
        "vllm.v1.kv_cache_spec_registry",
        "vllm.v1.request",
        "vllm.v1.outputs",
    ):
        module(name)
    module(
        "vllm.v1.core.kv_cache_utils",
        NONE_HASH=sha256_cbor(seed),
        DEFAULT_NONE_HASH_SEED="vllm-none-hash",
        ExternalBlockHash=bytes | int,
    )


def kv_events(root):
    """vLLM's vllm.distributed.kv_events, over the stand-ins of install()."""
    module("vllm.config.kv_events")
    module("vllm.utils.network_utils")
    spec = importlib.util.spec_from_file_location(
        "vllm.distributed.kv_events",
        root / "vllm" / "distributed" / "kv_events.py",
    )
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found
