// SPDX-License-Identifier: MIT
/* The summary of a replay, for people and for programs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "replay.h"

static const char *const call_names[NR_CALLS] = {
	[CALL_MATCH] = "match",
	[CALL_SCAN] = "scan",
	[CALL_ALLOC] = "alloc",
	[CALL_REGISTER] = "register",
	[CALL_RELEASE] = "release",
	[CALL_CLAIM] = "claim",
	[CALL_WAIT] = "wait",
};

/* 12345678 -> 12,345,678; a few at a time. */
static const char *number(uint64_t n)
{
	static char buffers[8][32];
	static unsigned int turn;
	char plain[24], *out = buffers[turn++ % 8];
	int length = snprintf(plain, sizeof(plain), "%" PRIu64, n);
	int i, k = 0;

	for (i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			out[k++] = ',';
		out[k++] = plain[i];
	}
	out[k] = '\0';
	return out;
}

/* 348 us, 72.2 ms; a few at a time. */
static const char *duration(uint64_t ns)
{
	static char buffers[4][32];
	static unsigned int turn;
	char *out = buffers[turn++ % 4];

	if (ns < 1000000)
		snprintf(out, sizeof(buffers[0]), "%.0f us", ns / 1e3);
	else
		snprintf(out, sizeof(buffers[0]), "%.1f ms", ns / 1e6);
	return out;
}

/* 3.79 GB, 12.5 MB; a few at a time. */
static const char *amount(uint64_t bytes)
{
	static char buffers[4][32];
	static unsigned int turn;
	char *out = buffers[turn++ % 4];

	if (bytes < 1000000000)
		snprintf(out, sizeof(buffers[0]), "%.1f MB", bytes / 1e6);
	else
		snprintf(out, sizeof(buffers[0]), "%.2f GB", bytes / 1e9);
	return out;
}

static double per_second(uint64_t bytes, uint64_t ns)
{
	return ns ? bytes * 1e9 / ns : 0;
}

static double hit_rate(const struct result *result)
{
	return result->accesses ? (double)result->hits / result->accesses : 0;
}

static const char *trace_name(const struct options *options)
{
	const char *slash;

	if (!options->trace)
		return "generated";
	if (strcmp(options->trace, "-") == 0)
		return "standard input";
	slash = strrchr(options->trace, '/');
	return slash ? slash + 1 : options->trace;
}

static void describe_pool(const struct replay *r, char *text, size_t size)
{
	struct kvbm_store_info info = { .policy = "?" };

	kvbm_store_info(r->pools[0], &info);
	if (r->nr_pools > 1)
		snprintf(text, size, "%u private pools of %s blocks, %s",
			 r->nr_pools, number(r->pool_blocks[0]), info.policy);
	else
		snprintf(text, size, "one pool of %s blocks, %s",
			 number(r->pool_blocks[0]), info.policy);
}

void report_brief(const struct replay *r, const struct result *result)
{
	char pool[96];

	describe_pool(r, pool, sizeof(pool));
	printf("%-46s hit rate %6.2f %%\n", pool, 100 * hit_rate(result));
}

static void report_kill(const struct killed *k)
{
	printf("killed      worker %u after request %s, holding %s blocks (%s holds, and %s blocks\n"
	       "            not registered yet). The kernel reclaimed %s holds and %s blocks\n"
	       "            in %s; from SIGKILL to the reaped process %s\n",
	       k->worker, number(k->at), number(k->held), number(k->holds),
	       number(k->owned), number(k->reclaimed_holds),
	       number(k->reclaimed_owned), duration(k->reclaim_ns),
	       duration(k->reaped_ns));
	if (k->writing)
		printf("            It was in the middle of writing block %s\n",
		       number(k->writing - 1));
}

static void report_survivors(const struct killed *k)
{
	if (!k->bereft)
		return;
	printf("            It had claimed %s blocks; %u workers waited for them. Its end woke\n"
	       "            %u: the first %s after SIGKILL, the last after %s. ",
	       number(k->claimed), k->bereft, k->woken,
	       duration(k->first_woke_ns), duration(k->last_woke_ns));
	if (k->heir)
		printf("Worker %u\n            claimed next, after %s. ", k->heir - 1,
		       duration(k->heir_ns));
	printf("Others computed %s of the blocks\n", number(k->taken_over));
}

static uint64_t in_vain(const struct result *result)
{
	return result->dedup + result->duplicates;
}

static void report_computed(const struct options *o, const struct result *result)
{
	const struct hist *waits = &result->calls[CALL_WAIT];

	printf("computed    %s blocks, %s of them in vain: another had computed them\n",
	       number(result->computed), number(in_vain(result)));
	if (!o->single_flight)
		return;
	printf("waits       %s, for %.2f s in all and %s at most; %s ended by the deadline.\n"
	       "            They saved %s blocks\n",
	       number(waits->calls), waits->total_ns / 1e9,
	       duration(waits->max_ns), number(result->timeouts),
	       number(result->awaited));
}

static void report_bytes(const struct bytes *b, uint64_t block_bytes)
{
	printf("bytes       blocks of %s bytes; %s written before they were registered.\n"
	       "            %s wrong bytes in %s read: on each match, and again before\n"
	       "            each release\n",
	       number(block_bytes), amount(b->written), number(b->wrong),
	       amount(b->read));
}

void report_text(const struct replay *r, const struct result *result)
{
	const struct options *options = r->options;
	const struct accounts *a = &result->after;
	char pool[96];
	uint32_t c;

	describe_pool(r, pool, sizeof(pool));
	printf("trace       %s: %s requests, %s blocks\n", trace_name(options),
	       number(result->requests), number(result->accesses));
	printf("store       %s; workers %u, each %u in flight\n", pool,
	       options->workers, options->inflight);
	printf("hit rate    %.2f %%: %s blocks of prefixes; %s more reused behind a hole\n",
	       100 * hit_rate(result), number(result->hits),
	       number(result->reused));
	printf("allocated   %s blocks, %s of them by evicting; %s duplicates, %s dedups\n",
	       number(result->allocated), number(result->evicted),
	       number(result->duplicates), number(result->dedup));
	if (result->trimmed || result->retries || result->skipped)
		printf("shortage    %s retries for lack of blocks; %s requests skipped; %s trimmed\n"
		       "            to the pool's size, by %s blocks\n",
		       number(result->retries), number(result->skipped),
		       number(result->trimmed_requests),
		       number(result->trimmed));
	report_computed(options, result);
	if (result->killed.done) {
		report_kill(&result->killed);
		report_survivors(&result->killed);
	}
	if (options->block_bytes)
		report_bytes(&result->bytes, options->block_bytes);
	printf("time        %.2f s: %.0f requests/s, %.0f blocks/s\n",
	       result->seconds, result->requests / result->seconds,
	       result->accesses / result->seconds);
	printf("calls       us, median/p99:");
	for (c = 0; c < NR_CALLS; c++) {
		const struct hist *h = &result->calls[c];

		if (!h->calls)
			continue;
		printf("%s %s %.0f/%.0f", c == CALL_REGISTER ? "\n           " : "",
		       call_names[c], hist_percentile(h, 0.5) / 1e3,
		       hist_percentile(h, 0.99) / 1e3);
	}
	printf("\naccounted   reset %s + inactive %s + held %s", number(a->reset),
	       number(a->inactive), number(a->held));
	if (a->lingering)
		printf(" + lingering %s", number(a->lingering));
	printf(" = total %s: %s\n", number(a->total),
	       accounts_balance(a) ? "every block" :
	       a->others ? "others use this store" : "NOT EVERY BLOCK");
}

static void add(struct json_object *object, const char *key, uint64_t n)
{
	json_object_object_add(object, key, json_object_new_uint64(n));
}

static void add_real(struct json_object *object, const char *key, double x)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6f", x);
	json_object_object_add(object, key, json_object_new_double_s(x, text));
}

static void add_string(struct json_object *object, const char *key,
		       const char *s)
{
	json_object_object_add(object, key, json_object_new_string(s));
}

static struct json_object *json_store(const struct replay *r)
{
	struct json_object *o = json_object_new_object();
	struct kvbm_store_info info = { .policy = "?" };
	uint64_t total = 0;
	uint32_t i;

	kvbm_store_info(r->pools[0], &info);
	for (i = 0; i < r->nr_pools; i++)
		total += r->pool_blocks[i];
	add_string(o, "policy", info.policy);
	add(o, "blocks", total);
	add(o, "pools", r->nr_pools);
	add(o, "frequency_capacity", info.freq_capacity);
	add_string(o, "duplicates",
		   r->options->register_flags & KVBM_REGISTER_ALLOW ? "allow" :
								      "reject");
	return o;
}

static struct json_object *json_calls(const struct result *result)
{
	struct json_object *o = json_object_new_object();
	uint32_t c;

	for (c = 0; c < NR_CALLS; c++) {
		struct json_object *call = json_object_new_object();
		const struct hist *h = &result->calls[c];

		add(call, "calls", h->calls);
		add(call, "blocks", h->blocks);
		add(call, "mean_ns", h->calls ? h->total_ns / h->calls : 0);
		add(call, "p50_ns", hist_percentile(h, 0.5));
		add(call, "p99_ns", hist_percentile(h, 0.99));
		add(call, "max_ns", h->max_ns);
		json_object_object_add(o, call_names[c], call);
	}
	return o;
}

static struct json_object *json_kill(const struct killed *k)
{
	struct json_object *o = json_object_new_object();

	add(o, "worker", k->worker);
	add(o, "at_request", k->at);
	if (k->writing)
		add(o, "writing_block", k->writing - 1);
	add(o, "held_blocks", k->held);
	add(o, "holds", k->holds);
	add(o, "owned", k->owned);
	add(o, "reclaimed_holds", k->reclaimed_holds);
	add(o, "reclaimed_owned", k->reclaimed_owned);
	add(o, "reclaim_ns", k->reclaim_ns);
	add(o, "kill_to_reaped_ns", k->reaped_ns);
	json_object_object_add(o, "exact",
			       json_object_new_boolean(kill_exact(k)));
	if (!k->bereft)
		return o;
	add(o, "claimed_blocks", k->claimed);
	add(o, "taken_over", k->taken_over);
	add(o, "bereft", k->bereft);
	add(o, "woken", k->woken);
	add(o, "first_woke_ns", k->first_woke_ns);
	add(o, "last_woke_ns", k->last_woke_ns);
	if (k->heir) {
		add(o, "heir", k->heir - 1);
		add(o, "kill_to_claimed_ns", k->heir_ns);
	}
	return o;
}

static struct json_object *json_bytes(const struct bytes *b, uint64_t block_bytes)
{
	struct json_object *o = json_object_new_object();

	add(o, "block_bytes", block_bytes);
	add(o, "written", b->written);
	add(o, "read", b->read);
	add(o, "wrong", b->wrong);
	add(o, "wrong_blocks", b->wrong_blocks);
	/* Relative to the workers' time, not the replay's. */
	add(o, "written_per_second", per_second(b->written, b->write_ns));
	add(o, "read_per_second", per_second(b->read, b->read_ns));
	return o;
}

static struct json_object *json_accounts(const struct accounts *a)
{
	struct json_object *o = json_object_new_object();

	add(o, "total", a->total);
	add(o, "reset", a->reset);
	add(o, "inactive", a->inactive);
	add(o, "held", a->held);
	add(o, "lingering", a->lingering);
	add(o, "holds", a->holds);
	json_object_object_add(o, "balanced",
			       json_object_new_boolean(accounts_balance(a)));
	return o;
}

void report_json(const struct replay *r, const struct result *result)
{
	struct json_object *o = json_object_new_object();
	struct json_object *workers = json_object_new_array();
	uint32_t w;

	add_string(o, "trace", trace_name(r->options));
	if (!r->options->trace)
		add(o, "seed", r->options->generator.seed);
	json_object_object_add(o, "store", json_store(r));
	add(o, "workers", r->options->workers);
	add(o, "inflight", r->options->inflight);
	add(o, "group", r->options->group);
	add_real(o, "prefill_rate", r->options->prefill_rate);
	json_object_object_add(o, "single_flight",
			       json_object_new_boolean(r->options->single_flight));
	add(o, "requests", result->requests);
	add(o, "block_accesses", result->accesses);
	add(o, "prefix_hits", result->hits);
	add_real(o, "hit_rate", hit_rate(result));
	add(o, "reused_behind_hole", result->reused);
	add(o, "allocations", result->allocated);
	add(o, "evictions", result->evicted);
	add(o, "store_allocations",
	    result->after.allocations - result->before.allocations);
	add(o, "store_evictions",
	    result->after.evictions - result->before.evictions);
	add(o, "duplicates", result->duplicates);
	add(o, "dedups", result->dedup);
	add(o, "computed", result->computed);
	add(o, "computed_in_vain", in_vain(result));
	add(o, "waits", result->calls[CALL_WAIT].calls);
	add(o, "waited_ns", result->calls[CALL_WAIT].total_ns);
	add(o, "waits_timed_out", result->timeouts);
	add(o, "awaited_blocks", result->awaited);
	add(o, "trimmed_blocks", result->trimmed);
	add(o, "trimmed_requests", result->trimmed_requests);
	add(o, "skipped_requests", result->skipped);
	add(o, "retries", result->retries);
	add_real(o, "seconds", result->seconds);
	add_real(o, "requests_per_second", result->requests / result->seconds);
	add_real(o, "blocks_per_second", result->accesses / result->seconds);
	for (w = 0; w < r->options->workers; w++)
		json_object_array_add(workers,
				      json_object_new_uint64(result->by_worker[w]));
	json_object_object_add(o, "requests_by_worker", workers);
	json_object_object_add(o, "calls", json_calls(result));
	if (result->killed.done)
		json_object_object_add(o, "kill", json_kill(&result->killed));
	if (r->options->block_bytes)
		json_object_object_add(o, "bytes",
				       json_bytes(&result->bytes,
						  r->options->block_bytes));
	json_object_object_add(o, "final", json_accounts(&result->after));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
