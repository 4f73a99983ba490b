# SPDX-License-Identifier: MIT
"""A vLLM without its model: scheduler and connector, all vLLM's own.

Started with the options that the guide gives to `vllm serve`, on a model of
which there is a config.json only. GPU and worker are played: their bytes follow
from the tokens, so that each load is checked.
"""

import hashlib
import json
import os
import re
import time
from pathlib import Path

import numpy as np
import torch
from vllm.config import (
    CacheConfig,
    DeviceConfig,
    KVTransferConfig,
    ModelConfig,
    SchedulerConfig,
    VllmConfig,
)
from vllm.distributed.kv_transfer.kv_connector.v1.offloading.common import (
    OffloadingWorkerMetadata,
)
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_utils import (
    get_request_block_hasher,
    init_none_hash,
    resolve_kv_cache_block_sizes,
)
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import (
    FullAttentionSpec,
    KVCacheConfig,
    KVCacheGroupSpec,
    KVCacheTensor,
)
from vllm.v1.kv_offload.base import GPULoadStoreSpec
from vllm.v1.outputs import KVConnectorOutput, ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

GUIDE = Path(__file__).parents[3] / "Documentation" / "guides" / "vllm.rst"
BLOCK = 16
ROWS = 64


def guide_options():
    """What the guide says behind --kv-transfer-config."""
    found = re.search(
        r"--kv-transfer-config '(\{.*?\})'\n", GUIDE.read_text(), re.S
    )
    return json.loads(found.group(1))


def model(path, **changes):
    """A directory with a config.json, as of a small Llama."""
    path.mkdir()
    (path / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "num_hidden_layers": 2,
                "max_position_embeddings": 4096,
                "vocab_size": 1000,
                "torch_dtype": "float16",
                **changes,
            }
        )
    )
    return path


class Replica:
    """See the module."""

    def __init__(
        self,
        path,
        name="a",
        hash_algorithm="sha256_cbor",
        gpu_blocks=64,
        **tier_options,
    ):
        options = guide_options()
        extra = options["kv_connector_extra_config"]
        extra["cpu_bytes_to_use"] = ROWS * 4096
        extra["secondary_tiers"][0].update(tier_options)
        self.config = VllmConfig(
            model_config=ModelConfig(
                model=str(path), skip_tokenizer_init=True, dtype="float16"
            ),
            scheduler_config=SchedulerConfig(
                max_num_seqs=4,
                max_num_batched_tokens=4096,
                max_model_len=4096,
                enable_chunked_prefill=True,
                is_encoder_decoder=False,
                async_scheduling=False,
            ),
            cache_config=CacheConfig(
                block_size=BLOCK,
                enable_prefix_caching=True,
                prefix_caching_hash_algo=hash_algorithm,
            ),
            kv_transfer_config=KVTransferConfig(engine_id=name, **options),
            device_config=DeviceConfig("cpu"),
        )
        self.config.cache_config.kv_cache_layout = "LBNHC"
        self.config.cache_config.num_gpu_blocks = gpu_blocks
        spec = FullAttentionSpec(
            block_size=BLOCK, num_kv_heads=2, head_size=16, dtype=torch.float16
        )
        layers = ["model.layers.0.attn", "model.layers.1.attn"]
        page = spec.page_size_bytes
        kv = KVCacheConfig(
            num_blocks=gpu_blocks,
            kv_cache_tensors=[
                KVCacheTensor(
                    size=page * gpu_blocks * len(layers),
                    layers=layers,
                    layer_stride=page * gpu_blocks,
                    block_stride=page,
                )
            ],
            kv_cache_groups=[KVCacheGroupSpec(layers, spec)],
        )
        sizes = resolve_kv_cache_block_sizes(kv, self.config)
        self.scheduler = Scheduler(
            vllm_config=self.config,
            kv_cache_config=kv,
            log_stats=True,
            structured_output_manager=StructuredOutputManager(self.config),
            block_size=sizes[0],
            hash_block_size=sizes[1],
        )
        # As the engine's core does when it starts, after the scheduler.
        hash_fn = get_hash_fn_by_name(hash_algorithm)
        init_none_hash(hash_fn)
        self.hasher = get_request_block_hasher(sizes[1], hash_fn)
        connector = self.scheduler.connector.connector_scheduler
        self.manager = connector.manager
        self.jobs = connector._jobs
        self.primary = self.manager.primary_tier
        self.rows = np.asarray(self.primary.get_kv_memoryview()).view(np.uint8)
        (self.tier,) = self.manager.secondary_tiers
        self.n = 0
        self.checked = self.stats = 0

    @property
    def core(self):
        return self.tier._core

    def content(self, request, i):
        """What the model computes for a request's i-th block."""
        tokens = request.prompt_token_ids[: (i + 1) * BLOCK]
        seed = hashlib.sha256(
            f"{self.config.model_config.model} {tokens}".encode()
        ).digest()
        return np.frombuffer(seed * (self.rows.shape[1] // len(seed)), np.uint8)

    def _place(self):
        """GPU block to request and number."""
        (manager,) = (
            self.scheduler.kv_cache_manager.coordinator.single_type_managers
        )
        return {
            block.block_id: (self.scheduler.requests[r], i)
            for r, blocks in manager.req_to_blocks.items()
            for i, block in enumerate(blocks)
            if r in self.scheduler.requests
        }

    def step(self):
        """One step of the engine, the worker played."""
        out = self.scheduler.schedule()
        self.places.update(self._place())
        meta = out.kv_connector_metadata
        done = OffloadingWorkerMetadata()
        loaded = set()
        for job_id, job in meta.store_jobs.items():
            assert isinstance(job.src_spec, GPULoadStoreSpec)
            for gpu, row in zip(
                job.src_spec.block_ids, job.dst_spec.chunk_ids, strict=True
            ):
                data = self.content(*self.places[int(gpu)])
                self.rows[row][: len(data)] = data
            done.mark_completed(job_id)
        for job_id, job in meta.load_jobs.items():
            for row, gpu in zip(
                job.src_spec.chunk_ids, job.dst_spec.block_ids, strict=True
            ):
                data = self.content(*self.places[int(gpu)])
                assert np.array_equal(self.rows[row][: len(data)], data), (
                    "wrong bytes"
                )
                self.checked += 1
            done.mark_completed(job_id)
            loaded.add(job.req_id)
        running = list(out.num_scheduled_tokens)
        outputs = self.scheduler.update_from_output(
            out,
            ModelRunnerOutput(
                req_ids=running,
                req_id_to_index={r: i for i, r in enumerate(running)},
                sampled_token_ids=[[1] for _ in running],
                logprobs=None,
                prompt_logprobs_dict={},
                pooler_output=None,
                kv_connector_output=KVConnectorOutput(
                    finished_sending=set(),
                    finished_recving=loaded,
                    kv_connector_worker_meta=done,
                ),
            ),
        )
        for o in outputs.values():
            s = o.scheduler_stats
            if s is not None and s.kv_connector_stats:
                self.stats = s.kv_connector_stats

    def request(self, tokens):
        """Run one to its end: how many of its tokens were loaded."""
        self.n += 1
        self.places = {}
        sampling = SamplingParams(max_tokens=1, ignore_eos=True)
        request = Request(
            request_id=f"{os.getpid()}-{self.n}",
            prompt_token_ids=tokens,
            sampling_params=sampling,
            pooling_params=None,
            block_hasher=self.hasher,
        )
        self.scheduler.add_request(request)
        end = time.monotonic() + 60
        before = self.checked
        while (
            self.scheduler.requests
            or self.jobs
            or self.scheduler.finished_req_ids
            or self.manager.has_pending_work()
        ):
            assert time.monotonic() < end, "livelock"
            self.step()
        return (self.checked - before) * BLOCK

    def forget(self):
        """Empty GPU and CPU caches, but not the pool."""
        assert self.scheduler.kv_cache_manager.reset_prefix_cache()
        self.primary.reset_cache()

    def close(self):
        del self.rows
        self.scheduler.shutdown()
