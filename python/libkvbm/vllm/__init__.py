# SPDX-License-Identifier: MIT
"""A secondary tier of vLLM's KV offloading: one pool for all engines of a host.

    vllm serve MODEL --kv-transfer-config '{
        "kv_connector": "OffloadingConnector", "kv_role": "kv_both",
        "kv_connector_extra_config": {
            "spec_name": "TieringOffloadingSpec",
            "cpu_bytes_to_use": 4294967296,
            "secondary_tiers": [{
                "type": "Kvbm", "module_path": "libkvbm.vllm",
                "store": "pool"}]}}'

Further members of the tier are the fields of libkvbm.tier.Options, and:

revision
    of the model, if vLLM does not report it

vLLM is unpatched. See Documentation/guides/vllm.rst.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from vllm.logger import init_logger
from vllm.v1.kv_offload.base import (
    Locality,
    LookupResult,
    Medium,
    OffloadingCounterMetadata,
    OffloadingEvent,
    OffloadingGaugeMetadata,
    OffloadingMetricMetadata,
    OffloadKey,
    ReqContext,
    RequestOffloadingContext,
    ScheduleEndContext,
)
from vllm.v1.kv_offload.tiering.base import (
    JobResult,
    SecondaryTierManager,
    TransferJob,
)

from .. import tier
from . import _compat

if TYPE_CHECKING:
    from vllm.distributed.kv_transfer.kv_connector.v1.offloading.metrics import (  # noqa: E501
        OffloadingConnectorStats,
    )
    from vllm.v1.kv_offload.base import OffloadingSpec

logger = init_logger(__name__)

_METRIC = "vllm:kv_offload_kvbm_"
_ON = _METRIC + "on"


# A member by its class costs a call in Python 3.11: pay it once.
_MISS, _HIT, _RETRY = LookupResult.MISS, LookupResult.HIT, LookupResult.RETRY
_POOL_HIT, _POOL_RETRY = tier.Answer.HIT, tier.Answer.RETRY


# Of an OffloadKey: get_offload_group_idx() takes them, big-endian.
_GROUP_BYTES = 4


class Kvbm(SecondaryTierManager):  # type: ignore[misc]
    """The tier. vLLM's scheduler calls it, under the manager's lock.

    None of the methods raises: an exception would end the scheduler.
    """

    medium: ClassVar[Medium] = Medium.CPU

    def __init__(
        self,
        offloading_spec: OffloadingSpec,
        primary_kv_view: memoryview,
        tier_type: str,
        revision: str | None = None,
        locality: str | None = None,
        backpressure_detector: Any = None,
        **options: Any,
    ) -> None:
        """See vLLM's SecondaryTierManager, and the module.

        Raises TypeError for an unknown option and ValueError for a
        wrong one; with required also if the tier cannot work.
        """
        super().__init__(
            offloading_spec, primary_kv_view, tier_type, backpressure_detector
        )
        self.locality = Locality(locality or "LOCAL")
        known = {f.name for f in dataclasses.fields(tier.Options)}
        for name in options:
            if name not in known:
                raise TypeError(
                    f"tier {tier_type}: no option {name!r}; there are "
                    f"{', '.join(sorted(known | {'revision', 'locality'}))}"
                )
        self._options = tier.Options(**options)
        self._revision = revision
        self._config = offloading_spec.config
        self._model = _compat.model_facts(_compat.find_vllm_config())
        self._core: tier.Tier | None = None
        # Jobs that no tier took: failed loads, and empty stores.
        self._lost_jobs: list[JobResult] = []
        # Requests with such a load: their lookups miss from then on.
        self._lost_requests: set[str] = set()
        try:
            self._check(offloading_spec)
            self._core = tier.Tier(
                self._options,
                primary_kv_view,
                self._block_size_bytes,
                self._identity,
                _GROUP_BYTES,
                logger,
            )
        except tier.Mismatch as e:
            if self._options.required:
                raise RuntimeError(f"kvbm: {e}") from e
            logger.error("kvbm: the tier is off: %s", e)

    def _check(self, spec: OffloadingSpec) -> None:
        _compat.check_version()
        if (
            spec.kv_events_config.enable_kv_cache_events
            and spec.blocks_per_chunk > 1
        ):
            raise tier.Mismatch(
                "KV events with more than one block a chunk: routers could "
                "not tell which blocks a chunk has. Remove blocks_per_chunk "
                "and block_size from kv_connector_extra_config"
            )
        if self._model is None and self._revision is None:
            raise tier.Mismatch(
                "it is not known which revision of the model runs: give the "
                "tier the option revision"
            )

    def _identity(self) -> bytes:
        algorithm, none_hash = _compat.none_hash()
        what = _compat.identity(
            self._config,
            self._model,
            revision=self._revision,
            hash_algorithm=algorithm,
            none_hash=none_hash.hex(),
            row_bytes=self._block_size_bytes,
        )
        logger.info(
            "kvbm: pool %s, engines share blocks with digest %s: %s",
            self._options.store,
            _compat.short_digest(what),
            what.decode(),
        )
        return what

    def _failed(self, what: str, e: Exception) -> None:
        logger.exception("kvbm: %s failed: %s", what, e)

    def lookup(self, key: OffloadKey, req_context: ReqContext) -> LookupResult:
        """HIT: held until a load takes it, or the step ends; MISS; or RETRY."""
        try:
            core = self._core
            request = req_context.req_id
            if core is not None and request not in self._lost_requests:
                answer = core.lookup(key, request)
                if answer is _POOL_HIT:
                    return _HIT
                if answer is _POOL_RETRY:
                    return _RETRY
        except Exception as e:
            self._failed("lookup", e)
        return _MISS

    def submit_store(self, job_metadata: TransferJob) -> None:
        """Queue copies into the pool."""
        self._submit(job_metadata, load=False)

    def submit_load(self, job_metadata: TransferJob) -> None:
        """Queue copies from the pool."""
        self._submit(job_metadata, load=True)

    def _submit(self, job: TransferJob, *, load: bool) -> None:
        core = self._core
        try:
            if core is not None:
                submit = core.submit_load if load else core.submit_store
                submit(
                    job.job_id,
                    list(job.keys),
                    job.chunk_ids.tolist(),
                    job.req_context.req_id,
                )
                return
        except Exception as e:
            self._failed("submit_load" if load else "submit_store", e)
        self._lost_jobs.append(JobResult(job_id=job.job_id, success=not load))
        if load:
            self._lost_requests.add(job.req_context.req_id)

    def get_finished_jobs(self) -> Iterable[JobResult]:
        """Jobs that ended since the last call."""
        results = list(self._lost_jobs)
        self._lost_jobs.clear()
        try:
            if self._core is not None:
                results += [
                    JobResult(
                        job_id=done.job,
                        success=done.success,
                        successful_keys=(
                            None
                            if done.success or not done.keys
                            else tuple(map(OffloadKey, done.keys))
                        ),
                        transfer_time=done.seconds,
                        transfer_bytes=done.bytes,
                    )
                    for done in self._core.finished()
                ]
        except Exception as e:
            self._failed("get_finished_jobs", e)
        return results

    def has_pending_work(self) -> bool:
        """Whether jobs have not been reported."""
        return bool(self._lost_jobs) or (
            self._core is not None and self._core.busy()
        )

    def take_events(self) -> Iterable[OffloadingEvent]:
        """Returns None: the pool has one publisher for all its engines."""
        return ()

    def touch(
        self, keys: Collection[OffloadKey], req_context: ReqContext
    ) -> None:
        """Keep these in the pool longer."""
        try:
            if self._core is not None:
                self._core.touch(keys)
        except Exception as e:
            self._failed("touch", e)

    def on_new_request(
        self, req_context: ReqContext
    ) -> RequestOffloadingContext:
        """Does not influence what is offloaded."""
        return RequestOffloadingContext()

    def on_request_finished(self, req_context: ReqContext) -> None:
        """Forget the request's failed loads."""
        self._lost_requests.discard(req_context.req_id)
        try:
            if self._core is not None:
                self._core.request_finished(req_context.req_id)
        except Exception as e:
            self._failed("on_request_finished", e)

    def on_schedule_end(self, context: ScheduleEndContext) -> None:
        """Release blocks that were looked up and not loaded."""
        try:
            if self._core is not None:
                self._core.end_of_step()
        except Exception as e:
            self._failed("on_schedule_end", e)

    def drain_jobs(self) -> None:
        """Wait for copies in progress; a new epoch of names begins."""
        try:
            if self._core is not None:
                self._core.drain()
        except Exception as e:
            self._failed("drain_jobs", e)

    def shutdown(self) -> None:
        """Join the threads and release vLLM's memory."""
        core, self._core = self._core, None
        try:
            if core is not None:
                core.shutdown()
        except Exception as e:
            self._failed("shutdown", e)

    @classmethod
    def build_metric_definitions(
        cls, extra_config: dict[str, Any]
    ) -> dict[str, OffloadingMetricMetadata]:
        """A counter for each of libkvbm.tier.COUNTERS, and whether it is on."""
        found: dict[str, OffloadingMetricMetadata] = {
            _METRIC + name: OffloadingCounterMetadata(
                documentation=f"kvbm: {what}."
            )
            for name, what in tier.COUNTERS.items()
        }
        found[_ON] = OffloadingGaugeMetadata(
            documentation="kvbm: 1 while the pool is in use, else 0."
        )
        return found

    def get_stats(self) -> OffloadingConnectorStats | None:
        """Counters since the last call."""
        try:
            from vllm.distributed.kv_transfer.kv_connector.v1.offloading.metrics import (  # noqa: E501
                OffloadingConnectorStats,
            )

            stats = OffloadingConnectorStats()
            core = self._core
            stats.set_gauge(
                _ON, float(core is not None and core.open), labelvalues=()
            )
            if core is not None:
                for name, n in core.take_counts().items():
                    if n:
                        stats.increase_counter(_METRIC + name, n, ())
            return stats
        except Exception as e:
            self._failed("get_stats", e)
            return None


def register() -> None:
    """Entry point of vLLM's general plugins: the tier by its short name."""
    from vllm.v1.kv_offload.tiering.factory import SecondaryTierFactory

    if "Kvbm" not in SecondaryTierFactory._registry:
        SecondaryTierFactory.register_tier("Kvbm", __name__, "Kvbm")


__all__ = ["Kvbm", "register"]
