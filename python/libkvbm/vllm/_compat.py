# SPDX-License-Identifier: MIT
"""Differences between vLLM releases, and what they do not tell a tier.

The one place that knows versions. A release is added here when the tests of
python/tests/engines pass with it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from typing import Any

import vllm

from ..tier import Mismatch

# What "make test-engines" tests; later fixes of these are accepted, other
# releases are refused by name.
RELEASES = ("0.31.0", "0.32.0", "0.33.0")
SUPPORTED = tuple(r.rpartition(".")[0] for r in RELEASES)


def version() -> str:
    """The exact version of the running vLLM."""
    return str(vllm.__version__)


def check_version() -> None:
    """Mismatch for a release that was not tested."""
    v = version()
    if ".".join(v.split(".")[:2]) not in SUPPORTED:
        raise Mismatch(
            f"vLLM {v} was not tested with this libkvbm, which knows "
            f"{', '.join(SUPPORTED)}: install one of these, or a newer libkvbm"
        )


def find_vllm_config() -> Any:
    """The engine's VllmConfig, or None.

    A tier gets only the normalised OffloadingConfig, which lacks the model's
    revision and the overrides of its configuration. The code that constructs
    the connector has it.
    """
    frame = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals.get("vllm_config")
        if found is not None and hasattr(found, "model_config"):
            return found
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _plain(value: Any) -> Any:
    """A value that json writes the same way each time."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
        }
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return str(value)


def _files(path: str) -> Any:
    """The files in a directory of weights: names, sizes and times."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return None
    found = []
    for name in names:
        try:
            s = os.stat(os.path.join(path, name))
        except OSError:
            continue
        found.append([name, s.st_size, s.st_mtime_ns])
    return found


def _model(vllm_config: Any) -> dict[str, Any]:
    """The parts of a VllmConfig that determine the bytes of a block."""
    model = vllm_config.model_config
    facts: dict[str, Any] = {
        name: _plain(getattr(model, name, None))
        for name in (
            "model",
            "revision",
            "code_revision",
            "dtype",
            "quantization",
            "seed",
            "override_attention_dtype",
        )
    }
    hf = getattr(model, "hf_config", None)
    if hf is not None:
        # Rotary scaling and the like; the commit that was resolved.
        facts["hf_config"] = _plain(hf.to_dict())
        facts["commit"] = _plain(getattr(hf, "_commit_hash", None))
    facts["files"] = _files(str(model.model))
    cache = getattr(vllm_config, "cache_config", None)
    facts["cache_dtype"] = _plain(getattr(cache, "cache_dtype", None))
    load = getattr(vllm_config, "load_config", None)
    facts["load_format"] = _plain(getattr(load, "load_format", None))
    spec = getattr(vllm_config, "speculative_config", None)
    facts["speculative_model"] = _plain(getattr(spec, "model", None))
    return facts


def identity(config: Any, model: dict[str, Any] | None, **more: Any) -> bytes:
    """Everything that must be equal for two engines to share blocks.

    config: OffloadingConfig: model, data type, layout, parallelism, layers and
        their groups, tokens of a block and a chunk
    model: from _model()
    """
    facts = _plain(config)
    # Of this engine alone.
    for name in ("engine_id", "extra_config", "enable_kv_cache_events"):
        facts.pop(name, None)
    for name in list(facts["parallel"]):
        if name == "rank" or name.startswith("data_parallel"):
            del facts["parallel"][name]
    facts = {
        "vllm": version(),
        "python": list(sys.version_info[:2]),
        "config": facts,
        "model": model,
        **more,
    }
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def model_facts(vllm_config: Any) -> dict[str, Any] | None:
    """For identity(); None without a VllmConfig."""
    return None if vllm_config is None else _model(vllm_config)


def none_hash() -> tuple[str, bytes]:
    """The hash algorithm and NONE_HASH, with which each chain begins.

    Mismatch unless another process would get the same: computing NONE_HASH
    again finds the algorithm.
    """
    from vllm.utils import hashing
    from vllm.v1.core import kv_cache_utils

    value = getattr(kv_cache_utils, "NONE_HASH", None)
    if value is None:
        raise Mismatch(
            "vLLM has no NONE_HASH yet: is prefix caching on? Start it with "
            "--enable-prefix-caching"
        )
    value = bytes(value)
    seed = os.getenv("PYTHONHASHSEED")
    if seed is None:
        seed = getattr(kv_cache_utils, "DEFAULT_NONE_HASH_SEED", None)
    for name in ("sha256", "sha256_cbor"):
        if seed is not None and getattr(hashing, name)(seed) == value:
            return name, value
    raise Mismatch(
        "block hashes of this engine are no other's: set PYTHONHASHSEED to the "
        "same number for all engines, and "
        "--prefix-caching-hash-algo sha256_cbor (or sha256) for each"
    )


def short_digest(identity: bytes) -> str:
    """A digest for people to compare."""
    return hashlib.sha256(identity).hexdigest()[:12]
