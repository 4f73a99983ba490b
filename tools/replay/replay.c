// SPDX-License-Identifier: MIT
/*
 * The parent: creates the stores, starts the workers, shows progress,
 * kills one on request, and checks the accounts at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay.h"

#define PROGRESS_MS	250
#define MAX_SESSIONS	4096U
/* Until a worker writes a block: it may first sleep in an allocation. */
#define STOP_WAIT_NS	(60 * UINT64_C(1000000000))

/* The workers' processes; 0 once reaped. */
struct crew {
	pid_t pid[MAX_WORKERS];
	uint32_t running;
	bool failed;
};

int complain(const char *what, int ret)
{
	const char *hint = "";

	if (ret == -ENOENT)
		hint = " (is the kvbm module loaded?)";
	else if (ret == -EACCES || ret == -EPERM)
		hint = " (run as root, or as the owner of the node)";
	fprintf(stderr, "kvbm-replay: %s: %s%s\n", what, strerror(-ret), hint);
	return ret;
}

/* A memory file for the store: its descriptor, or -errno after a message. */
static int make_payload(struct kvbm_store_create *create, uint64_t block_bytes)
{
	struct kvbm_payload_options memory = {
		.bytes = create->total_blocks * block_bytes,
	};
	int fd = kvbm_payload_create(&memory);

	if (fd == -ENOMEM && memory.available < memory.need)
		fprintf(stderr, "kvbm-replay: the blocks' bytes need %llu MiB, %llu MiB are available\n",
			(unsigned long long)memory.need >> 20,
			(unsigned long long)memory.available >> 20);
	else if (fd < 0)
		complain("memory for the blocks' bytes", fd);
	if (fd >= 0)
		kvbm_store_create_payload(create, fd, block_bytes);
	return fd;
}

int create_store(const struct kvbm_store_create *create, uint64_t block_bytes)
{
	struct kvbm_store_create copy = *create;
	int control, payload = -1, ret;

	control = kvbm_control_open();
	if (control < 0)
		return complain(KVBM_CONTROL_PATH, control);
	if (block_bytes) {
		payload = make_payload(&copy, block_bytes);
		if (payload < 0) {
			close(control);
			return payload;
		}
	}
	ret = kvbm_store_create(control, &copy);
	/* The store has it now. */
	if (payload >= 0)
		close(payload);
	close(control);
	return ret < 0 ? complain("cannot create the store", ret) : copy.fd;
}

/* Refuse to start if an existing store does not match the options. */
static bool as_asked(const struct options *o, const struct kvbm_store_info *info)
{
	const struct kvbm_store_create *c = &o->create;

	if (o->asked & ASKED_POLICY &&
	    strncmp(c->policy, info->policy, sizeof(info->policy)))
		fprintf(stderr, "kvbm-replay: store %s has policy %.*s, not %s\n",
			o->store, (int)sizeof(info->policy), info->policy,
			c->policy);
	else if (o->asked & ASKED_BLOCKS &&
		 c->total_blocks != info->total_blocks)
		fprintf(stderr, "kvbm-replay: store %s has %u blocks, not %u\n",
			o->store, info->total_blocks, c->total_blocks);
	else if (o->asked & ASKED_THRESHOLDS &&
		 memcmp(c->thresholds, info->thresholds, sizeof(c->thresholds)))
		fprintf(stderr, "kvbm-replay: store %s has other thresholds\n",
			o->store);
	else if (o->asked & ASKED_FREQUENCY &&
		 c->freq_capacity != info->freq_capacity)
		fprintf(stderr, "kvbm-replay: store %s tracks frequencies with a capacity of %u, not %u\n",
			o->store, info->freq_capacity, c->freq_capacity);
	else if (o->asked & ASKED_BYTES && o->block_bytes != info->block_bytes)
		fprintf(stderr, "kvbm-replay: store %s has blocks of %llu bytes, not %llu\n",
			o->store, (unsigned long long)info->block_bytes,
			(unsigned long long)o->block_bytes);
	else
		return true;
	return false;
}

static int open_store(struct replay *r)
{
	struct kvbm_store_info info;
	int fd, ret;

	fd = kvbm_open(r->options->store);
	if (fd < 0) {
		fprintf(stderr, "kvbm-replay: store %s: %s\n",
			r->options->store, strerror(-fd));
		return fd;
	}
	ret = kvbm_store_info(fd, &info);
	if (ret < 0)
		return complain("store info", ret);
	if (!as_asked(r->options, &info))
		return -EINVAL;
	r->nr_pools = 1;
	r->pools[0] = fd;
	r->pool_blocks[0] = info.total_blocks;
	return 0;
}

static int open_pools(struct replay *r)
{
	const struct options *options = r->options;
	uint32_t i;
	int fd;

	if (options->store)
		return open_store(r);

	r->nr_pools = options->private_pools ? options->workers : 1;
	for (i = 0; i < r->nr_pools; i++) {
		struct kvbm_store_create create = options->create;
		uint32_t rest = create.total_blocks % r->nr_pools;

		create.total_blocks /= r->nr_pools;
		create.total_blocks += i < rest;
		fd = create_store(&create, options->block_bytes);
		if (fd < 0)
			return fd;
		r->pools[i] = fd;
		r->pool_blocks[i] = create.total_blocks;
	}
	return 0;
}

static int take_stock(const struct replay *r, struct accounts *a)
{
	uint32_t i;

	memset(a, 0, sizeof(*a));
	for (i = 0; i < r->nr_pools; i++) {
		struct kvbm_counts counts;
		struct kvbm_stats stats;
		int ret;

		ret = kvbm_counts(r->pools[i], &counts);
		if (ret >= 0)
			ret = kvbm_stats(r->pools[i], &stats);
		if (ret < 0)
			return complain("counts and stats", ret);
		a->total += counts.total;
		a->reset += counts.reset;
		a->inactive += counts.inactive;
		a->held += counts.held;
		a->lingering += counts.lingering;
		a->holds += stats.inflight_mutable + stats.inflight_immutable +
			    stats.staged;
		a->others += stats.sessions - 1;
		a->evictions += stats.evictions;
		a->allocations += stats.allocations;
	}
	return 0;
}

bool accounts_balance(const struct accounts *a)
{
	return a->held == 0 && a->holds == 0 &&
	       a->reset + a->inactive + a->held + a->lingering == a->total;
}

bool kill_exact(const struct killed *k)
{
	return k->reclaimed_holds == k->holds && k->reclaimed_owned == k->owned;
}

bool kill_survived(const struct killed *k)
{
	return k->woken == k->bereft && k->taken_over == k->claimed;
}

/* The id stands for the block and its prefix, so its hash is a sequence hash. */
static uint64_t hash_id(uint64_t id)
{
	const uint32_t words[2] = { id, id >> 32 };

	return kvbm_block_hash(words, 2, KVBM_NO_SALT);
}

static struct kvbm_hash *hash_trace(const struct trace *trace)
{
	struct kvbm_hash *hashes = calloc(trace->nr_ids + 1, sizeof(*hashes));
	size_t i;
	uint32_t k;

	for (i = 0; hashes && i < trace->nr_requests; i++) {
		const struct request *req = &trace->requests[i];
		uint64_t parent = 0;

		for (k = 0; k < req->blocks; k++) {
			uint64_t own = hash_id(trace->ids[req->first + k]);

			/* Cannot fail: a trace has fewer blocks a request. */
			kvbm_hash_pack(own, parent, k, &hashes[req->first + k]);
			parent = own;
		}
	}
	return hashes;
}

int get_trace(const struct options *o, struct trace *trace)
{
	struct generator g = o->generator;
	int ret;

	if (o->trace) {
		ret = trace_load(trace, o->trace, o->limit);
		if (ret)
			return ret;
	} else {
		if (o->limit && o->limit < g.requests)
			g.requests = o->limit;
		ret = trace_generate(trace, &g);
		if (ret)
			return complain("cannot generate a trace", ret);
	}
	ret = trace_repeat(trace, o->group);
	return ret ? complain("the samples of a group", ret) : 0;
}

static pid_t start_worker(const struct replay *r, uint32_t number)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	close(r->kill_pipe[0]);
	_exit(worker_main(r, number));
}

/* The victim's entry in the list of sessions. */
static int find_session(const struct replay *r, pid_t pid,
			struct kvbm_session_entry *entry)
{
	struct kvbm_session_entry *list = calloc(MAX_SESSIONS, sizeof(*list));
	int i, n, ret = -ESRCH;

	if (!list)
		return -ENOMEM;
	n = kvbm_session_list(r->pools[0], MAX_SESSIONS, list, NULL);
	if (n < 0)
		ret = n;
	for (i = 0; i < n && ret; i++) {
		if (list[i].pid != (uint32_t)pid)
			continue;
		*entry = list[i];
		ret = 0;
	}
	free(list);
	return ret;
}

/*
 * Stop the victim somewhere in its work while it holds blocks, so its holds are
 * known exactly; a stopped process can be killed like any other.
 */
static int stop_holding(const struct replay *r, pid_t pid,
			struct kvbm_session_entry *entry)
{
	int status, tries, ret;

	for (tries = 0; tries < 1000; tries++) {
		if (kill(pid, SIGSTOP) || waitpid(pid, &status, WUNTRACED) < 0)
			return -errno;
		if (!WIFSTOPPED(status))
			return -ECHILD;
		/* It may not have opened its session yet. */
		ret = find_session(r, pid, entry);
		if (ret ? ret != -ESRCH : entry->held)
			return ret;
		kill(pid, SIGCONT);
		usleep(500 + 37 * tries);
	}
	return -ETIMEDOUT;
}

/*
 * The same for blocks with bytes: the victim stops itself in the middle of
 * writing one.
 */
static int stop_writing(const struct replay *r, pid_t pid, struct bytes *bytes,
			struct kvbm_session_entry *entry)
{
	uint64_t end = now_ns() + STOP_WAIT_NS;
	int status, ret;

	atomic_store(&bytes->stop, true);
	while (!(ret = waitpid(pid, &status, WUNTRACED | WNOHANG))) {
		if (now_ns() > end)
			return -ETIMEDOUT;
		usleep(1000);
	}
	if (ret < 0)
		return -errno;
	return WIFSTOPPED(status) ? find_session(r, pid, entry) : -ECHILD;
}

/* With claims: a worker that others wait for stops itself. */
static int stop_claimant(const struct replay *r, const struct crew *crew,
			 struct killed *k, struct kvbm_session_entry *entry)
{
	uint64_t end = now_ns() + STOP_WAIT_NS;
	int status, ret = 0;

	atomic_store(&r->shared->stop_claimant, true);
	while (!ret) {
		uint32_t victim = atomic_load(&r->shared->victim);

		if (victim) {
			k->worker = victim - 1;
			k->pid = crew->pid[k->worker];
			ret = waitpid(k->pid, &status, WUNTRACED | WNOHANG);
		}
		if (!ret && (now_ns() > end ||
			     atomic_load(&r->shared->failed)))
			return -ETIMEDOUT;
		if (!ret)
			usleep(1000);
	}
	if (ret < 0)
		return -errno;
	if (!WIFSTOPPED(status))
		return -ECHILD;
	ret = find_session(r, k->pid, entry);
	/* The others keep waiting until it is dead. */
	return ret ?: claims_bereave(r) ? 0 : -ESRCH;
}

static int stop_worker(const struct replay *r, const struct crew *crew,
		       struct killed *k, struct kvbm_session_entry *entry)
{
	if (r->options->single_flight)
		return stop_claimant(r, crew, k, entry);
	/* Any worker will do; the last one is easy to remember. */
	k->worker = r->options->workers - 1;
	k->pid = crew->pid[k->worker];
	if (!k->pid)
		return -ESRCH;
	if (r->options->block_bytes)
		return stop_writing(r, k->pid, &r->shared->bytes[k->worker],
				    entry);
	return stop_holding(r, k->pid, entry);
}

static int kill_worker(struct replay *r, struct crew *crew, struct killed *k)
{
	struct kvbm_session_entry entry = { .pid = 0 };
	struct kvbm_stats before, after;
	struct bytes *bytes;
	size_t i;
	int ret;

	ret = stop_worker(r, crew, k, &entry);
	if (ret) {
		if (k->pid)
			kill(k->pid, SIGCONT);
		return complain(r->options->single_flight ?
				"no worker has claims that others wait for" :
				"cannot stop a worker that holds blocks", ret);
	}
	bytes = &r->shared->bytes[k->worker];
	k->writing = atomic_load(&bytes->writing);
	k->held = entry.held;
	k->holds = entry.holds;
	k->owned = (uint64_t)entry.mutable_blocks + entry.staged_blocks;

	ret = kvbm_stats(r->pools[0], &before);
	k->at = atomic_load(&r->shared->next);
	k->killed_ns = now_ns();
	kill(k->pid, SIGKILL);
	waitpid(k->pid, NULL, 0);
	k->reaped_ns = now_ns() - k->killed_ns;
	if (ret >= 0)
		ret = kvbm_stats(r->pools[0], &after);
	if (ret < 0)
		return complain("stats", ret);
	crew->pid[k->worker] = 0;
	crew->running--;
	r->shared->finished_ns[k->worker] = 0;

	k->reclaimed_holds = after.reclaimed_holds - before.reclaimed_holds;
	k->reclaimed_owned = after.reclaimed_owned - before.reclaimed_owned;
	k->reclaim_ns = after.reclaim_last_ns;
	k->done = true;

	/* Others take over what it had begun; nobody notices the rest. */
	for (i = 0; i < r->trace->nr_requests; i++)
		if (atomic_load(&r->outcomes[i].state) == k->worker + 1)
			atomic_store(&r->shared->redo, i + 1);
	return 0;
}

static void progress(const struct replay *r, bool last)
{
	size_t i, done = 0, hits = 0, accesses = 0;
	size_t nr = r->trace->nr_requests;

	for (i = 0; i < nr; i++) {
		if (atomic_load(&r->outcomes[i].state) != STATE_DONE)
			continue;
		done++;
		hits += r->outcomes[i].hits;
		accesses += r->trace->requests[i].blocks;
	}
	fprintf(stderr, "\r\033[K%zu of %zu requests (%zu %%), hit rate %.1f %%",
		done, nr, nr ? 100 * done / nr : 100,
		accesses ? 100.0 * hits / accesses : 0.0);
	if (last)
		fputs("\r\033[K", stderr);
	fflush(stderr);
}

static void reap(struct crew *crew, uint32_t workers, int flags)
{
	uint32_t i;
	int status;

	for (i = 0; i < workers; i++) {
		if (!crew->pid[i] || waitpid(crew->pid[i], &status, flags) <= 0)
			continue;
		crew->pid[i] = 0;
		crew->running--;
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			fprintf(stderr, "kvbm-replay: worker %u failed\n", i);
			crew->failed = true;
		}
	}
}

static int supervise(struct replay *r, struct crew *crew, struct killed *killed)
{
	bool show = isatty(STDERR_FILENO) && !r->options->quiet;
	bool wanted = r->kill_at;
	struct pollfd pipe = { .fd = r->kill_pipe[0], .events = POLLIN };
	int ret = 0;
	char byte;

	/* The pipe has no writer left when every worker is gone. */
	for (;;) {
		int n = poll(&pipe, 1, PROGRESS_MS);

		if (n > 0 && pipe.revents & POLLIN &&
		    read(pipe.fd, &byte, 1) == 1 && wanted) {
			wanted = false;
			ret = kill_worker(r, crew, killed);
			if (ret)
				atomic_store(&r->shared->failed, true);
			atomic_store(&r->shared->kill_pending, false);
		} else if (n > 0 && !(pipe.revents & POLLIN)) {
			break;
		}
		if (atomic_load(&r->shared->failed))
			atomic_store(&r->shared->kill_pending, false);
		if (show)
			progress(r, false);
	}
	reap(crew, r->options->workers, 0);
	if (show)
		progress(r, true);
	return ret || crew->failed ? -EIO : 0;
}

static int run_workers(struct replay *r, struct killed *killed)
{
	struct crew crew = { .running = 0 };
	uint32_t i;
	int ret;

	if (pipe2(r->kill_pipe, O_CLOEXEC))
		return complain("pipe", -errno);
	atomic_store(&r->shared->kill_pending, r->kill_at != 0);
	r->shared->start_ns = now_ns();
	for (i = 0; i < r->options->workers; i++) {
		crew.pid[i] = start_worker(r, i);
		if (crew.pid[i] < 0) {
			crew.pid[i] = 0;
			atomic_store(&r->shared->failed, true);
			complain("fork", -errno);
			break;
		}
		crew.running++;
	}
	close(r->kill_pipe[1]);
	ret = supervise(r, &crew, killed);
	close(r->kill_pipe[0]);
	return ret;
}

static void sum_up(const struct replay *r, struct result *result)
{
	uint64_t end = r->shared->start_ns;
	uint32_t w, c;
	size_t i;

	result->requests = r->trace->nr_requests;
	for (i = 0; i < r->trace->nr_requests; i++) {
		const struct outcome *o = &r->outcomes[i];

		result->accesses += r->trace->requests[i].blocks;
		result->hits += o->hits;
		result->reused += o->reused;
		result->allocated += o->allocated;
		result->evicted += o->evicted;
		result->trimmed += o->trimmed;
		result->trimmed_requests += o->trimmed != 0;
		result->dedup += o->dedup;
		result->computed += o->computed;
		result->awaited += o->awaited;
		result->timeouts += o->timeouts;
		result->duplicates += o->duplicates;
		result->retries += o->retries;
		result->skipped += o->skipped;
		result->by_worker[o->worker]++;
	}
	for (w = 0; w < r->options->workers; w++) {
		const struct bytes *b = &r->shared->bytes[w];

		if (r->shared->finished_ns[w] > end)
			end = r->shared->finished_ns[w];
		result->bytes.written += b->written;
		result->bytes.read += b->read;
		result->bytes.wrong += b->wrong;
		result->bytes.wrong_blocks += b->wrong_blocks;
		result->bytes.write_ns += b->write_ns;
		result->bytes.read_ns += b->read_ns;
		for (c = 0; c < NR_CALLS; c++)
			hist_merge(&result->calls[c], &r->shared->calls[w][c]);
	}
	if (result->killed.done)
		claims_settle(r, &result->killed);
	result->seconds = (end - r->shared->start_ns) / 1e9;
}

static int settle(const struct replay *r, const struct result *result)
{
	const struct accounts *a = &result->after;
	size_t i;

	for (i = 0; i < r->trace->nr_requests; i++) {
		if (atomic_load(&r->outcomes[i].state) == STATE_DONE)
			continue;
		fprintf(stderr, "kvbm-replay: request %zu was lost\n", i + 1);
		return 1;
	}
	if (result->killed.done && !kill_exact(&result->killed)) {
		fprintf(stderr, "kvbm-replay: the kernel did not reclaim exactly what the killed worker held\n");
		return 1;
	}
	if (result->killed.done && !kill_survived(&result->killed)) {
		fprintf(stderr, "kvbm-replay: %u of %u that waited for the killed worker woke, and %llu of the %llu blocks that it had claimed were computed\n",
			result->killed.woken, result->killed.bereft,
			(unsigned long long)result->killed.taken_over,
			(unsigned long long)result->killed.claimed);
		return 1;
	}
	if (result->bytes.wrong) {
		fprintf(stderr, "kvbm-replay: %llu wrong bytes in %llu readings of a block\n",
			(unsigned long long)result->bytes.wrong,
			(unsigned long long)result->bytes.wrong_blocks);
		return 1;
	}
	/* Nothing can be checked in a store with other users. */
	if (!a->others && !accounts_balance(a)) {
		fprintf(stderr, "kvbm-replay: not every block is accounted for\n");
		return 1;
	}
	return 0;
}

/*
 * Further memory for the replay of a trace in memory.  No id is in flight
 * twice, except in the samples of a group, so the trace bounds them.
 */
static uint64_t memory_needed(const struct options *o, const struct trace *t)
{
	uint64_t flying = (uint64_t)o->workers * o->inflight * t->max_blocks;

	if (flying > t->nr_ids * o->group)
		flying = t->nr_ids * o->group;
	return t->nr_ids * sizeof(struct kvbm_hash) +
	       t->nr_requests * sizeof(struct outcome) +
	       t->max_blocks * sizeof(uint32_t) +
	       flying * (sizeof(uint32_t) + sizeof(bool)) +
	       o->workers * worker_memory(o, t->max_blocks);
}

/* When to kill, now that the number of requests is known. */
static int set_kill(struct replay *r)
{
	const struct options *o = r->options;
	size_t nr = r->trace->nr_requests;

	r->kill_at = o->kill_at;
	if (o->kill_percent >= 0) {
		r->kill_at = nr * o->kill_percent / 100;
		if (!r->kill_at)
			r->kill_at = 1;
	}
	if (r->kill_at <= nr)
		return 0;
	fprintf(stderr, "kvbm-replay: --kill-worker-at: the trace has only %zu requests\n",
		nr);
	return -EINVAL;
}

/* First the store, which is quick: a trace may be long. */
int replay_run(const struct options *options)
{
	struct trace trace = { .nr_requests = 0 };
	struct replay r = { .options = options, .trace = &trace };
	struct result *result = calloc(1, sizeof(*result));
	int ret = 1;

	if (open_pools(&r) || get_trace(options, &trace) || set_kill(&r) ||
	    enough_memory("this replay", memory_needed(options, &trace)))
		goto out;
	r.hashes = hash_trace(&trace);
	r.outcomes = shared_memory((trace.nr_requests + 1) *
				   sizeof(*r.outcomes));
	r.orphans = shared_memory((trace.max_blocks + 1) * sizeof(*r.orphans));
	r.shared = shared_memory(sizeof(*r.shared));
	if (!r.hashes || !r.outcomes || !r.orphans || !r.shared || !result) {
		complain("replay", -ENOMEM);
		goto out;
	}

	if (take_stock(&r, &result->before) ||
	    run_workers(&r, &result->killed) || take_stock(&r, &result->after))
		goto out;
	sum_up(&r, result);
	if (options->json)
		report_json(&r, result);
	else if (options->brief)
		report_brief(&r, result);
	else
		report_text(&r, result);
	ret = settle(&r, result);
out:
	free(result);
	free((void *)r.hashes);
	trace_free(&trace);
	return ret;
}
