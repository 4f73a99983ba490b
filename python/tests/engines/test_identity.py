# SPDX-License-Identifier: MIT
"""What has to be equal for two engines to share blocks, field by field."""

import dataclasses
import os
from types import SimpleNamespace

import pytest
from engine import config
from vllm.v1.kv_offload.config import OffloadingConfig

from libkvbm.vllm import _compat

# Of one engine alone: nothing in the bytes depends on it.
NOT_IN_BYTES = {
    "enable_kv_cache_events",
    "extra_config",
    "engine_id",
    "parallel.rank",
    "parallel.data_parallel_index",
    "parallel.data_parallel_size",
    "parallel.data_parallel_rank_local",
}


def other(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if value is None:
        return "other"
    if isinstance(value, str):
        return value + "-other"
    if isinstance(value, tuple):
        return value[::-1] if value[::-1] != value else (*value, value[0])
    if isinstance(value, dict):
        return {**value, "other": 1}
    raise AssertionError(value)


def changes(value, path=""):
    """(path, changed copy) for each field of nested dataclasses."""
    for f in dataclasses.fields(value):
        inner = getattr(value, f.name)
        name = f"{path}{f.name}"
        if dataclasses.is_dataclass(inner):
            for p, changed in changes(inner, f"{name}."):
                yield p, dataclasses.replace(value, **{f.name: changed})
        elif f.name == "groups":
            (group,) = inner
            for p, changed in changes(group, "groups."):
                yield p, dataclasses.replace(value, groups=(changed,))
            yield name, dataclasses.replace(value, groups=inner * 2)
        else:
            yield name, dataclasses.replace(value, **{f.name: other(inner)})


def vllm_config(**more):
    """As much of a VllmConfig as is looked at."""
    hf = {"rope_scaling": None, "num_hidden_layers": 2, **more.pop("hf", {})}
    model = {
        "model": "/models/a",
        "revision": None,
        "code_revision": None,
        "dtype": "float16",
        "quantization": None,
        "seed": 0,
        "override_attention_dtype": None,
        **more.pop("model", {}),
    }
    return SimpleNamespace(
        model_config=SimpleNamespace(
            **model,
            hf_config=SimpleNamespace(
                to_dict=lambda: hf, _commit_hash=more.pop("commit", "1")
            ),
        ),
        cache_config=SimpleNamespace(
            cache_dtype=more.pop("cache_dtype", "auto")
        ),
        load_config=SimpleNamespace(
            load_format=more.pop("load_format", "auto")
        ),
        speculative_config=more.pop("speculative", None),
    )


def identity(c=None, v=None, **more):
    return _compat.identity(
        c or config(),
        _compat.model_facts(v or vllm_config()),
        **{"none_hash": "00", "hash_algorithm": "sha256", **more},
    )


def test_every_field():
    """Each field of vLLM's description counts, or is known not to matter."""
    same = identity()
    assert identity() == same
    seen = set()
    for path, changed in changes(config()):
        seen.add(path)
        differs = identity(changed) != same
        assert differs == (path not in NOT_IN_BYTES), path
    assert seen >= NOT_IN_BYTES
    assert {"parallel.tp_size", "groups.layer_names", "model.dtype"} <= seen
    assert {f.name for f in dataclasses.fields(OffloadingConfig)} <= {
        p.split(".")[0] for p in seen
    }


@pytest.mark.parametrize(
    "what",
    [
        {"model": {"model": "/models/b"}},
        {"model": {"revision": "2"}},
        {"model": {"code_revision": "2"}},
        {"model": {"dtype": "bfloat16"}},
        {"model": {"quantization": "fp8"}},
        {"model": {"seed": 1}},
        {"model": {"override_attention_dtype": "float32"}},
        {"hf": {"rope_scaling": {"factor": 2.0}}},
        {"commit": "2"},
        {"cache_dtype": "fp8"},
        {"load_format": "dummy"},
        {"speculative": SimpleNamespace(model="draft")},
    ],
    ids=lambda w: "-".join(
        f"{k}.{next(iter(v))}" if isinstance(v, dict) else k
        for k, v in w.items()
    ),
)
def test_model(what):
    """What decides about the bytes and is in no key."""
    assert identity(v=vllm_config(**what)) != identity()


def test_the_rest(monkeypatch, tmp_path):
    """The release, the hash, NONE_HASH, and weights changed in their files."""
    import vllm

    same = identity()
    assert identity(none_hash="01") != same
    assert identity(hash_algorithm="sha256_cbor") != same
    with monkeypatch.context() as m:
        m.setattr(vllm, "__version__", vllm.__version__ + ".post1")
        assert identity() != same
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1" * 10)
    v = vllm_config(model={"model": str(tmp_path)})
    before = identity(v=v)
    assert identity(v=v) == before
    os.utime(weights, ns=(1, 1))
    assert identity(v=v) != before
