// SPDX-License-Identifier: MIT
/*
 * model-check: random operations on the model and on the real core, compared
 * result by result and block by block. Each epoch has a pair of fresh stores
 * and a seed of its own, and runs in a child process, so that a crash counts
 * as a difference. The operations depend on the model only: the parent can
 * generate them again, find the shortest list that still fails, and print it.
 * Prints KTAP.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"

#define EPOCH_OPS	4000	/* before the store is drained */
#define STATE_EVERY	64	/* operations between looks at every block */
#define EPOCH_ROOM	(EPOCH_OPS + PAIR_TOTAL_MAX + 2 * M_MAX_SESSIONS + 2)
#define COVERED_OPS	50000	/* enough to meet everything */
#define SHRINK_SECONDS	30	/* to spend on a shorter list */
#define SHRINK_MAX	4	/* failures that are worth it */

struct epoch {
	uint64_t seed;
	enum m_policy policy;
	enum g_twins twins;
	struct m_config cfg;
	struct g_config gen;
};

/* What the children saw; shows whether the checks had anything to check. */
struct tally {
	uint64_t ops, evictions, failed, dups, dedups, twins, placeholders;
	uint64_t quota;		/* refused as max_held allows no more */
	uint64_t kept[M_KEEP_FULL + 1], timed;
};

static int tests, failures;
static struct tally *tally;	/* shared with the children */
static struct g_op ops[EPOCH_ROOM];
static const char *const twins_name[] = { "none", "some", "many" };

/* ---- an epoch: its stores and its operations ---- */

static void epoch_init(struct epoch *e, uint64_t seed, enum m_policy policy,
		       enum g_twins twins)
{
	struct g_rng r = { .s = seed };
	uint32_t a, b;

	memset(e, 0, sizeof(*e));
	e->seed = seed;
	e->policy = policy;
	e->twins = twins;
	if (g_once_in(&r, 40))
		e->cfg.total = 300 + g_below(&r, PAIR_TOTAL_MAX - 300);
	else if (g_once_in(&r, 8))
		e->cfg.total = 1 + g_below(&r, 4);
	else
		e->cfg.total = 8 + g_below(&r, g_once_in(&r, 4) ? 120 : 40);
	e->cfg.block_size = 1 + g_below(&r, 1u << g_below(&r, 21));
	e->cfg.policy = policy;
	e->cfg.dup = 1 + g_below(&r, 2);
	e->cfg.reset = g_once_in(&r, 4);
	if (policy == M_multi_lru || g_once_in(&r, 2))
		e->cfg.frequency = 1 << 18;
	if (policy == M_multi_lru && g_once_in(&r, 2)) {
		a = 1 + g_below(&r, 5);
		b = a + 1 + g_below(&r, 5);
		e->cfg.thresholds[0] = a;
		e->cfg.thresholds[1] = b;
		e->cfg.thresholds[2] = b + 1 + g_below(&r, 15 - b);
	}
	/* Some that hardly let a session work, some that it meets at times. */
	if (g_once_in(&r, 2))
		e->cfg.max_held = 1 + g_below(&r, g_once_in(&r, 4) ? 3 :
							    e->cfg.total);
	if (g_once_in(&r, 2)) {
		e->cfg.keep_blocks = (e->cfg.total + 1) / 2;
		if (g_once_in(&r, 3))
			e->cfg.keep_blocks = 1 + g_below(&r, e->cfg.total);
		e->cfg.keep_user_blocks = 1 + g_below(&r, e->cfg.keep_blocks);
	}
	e->cfg.notes = g_once_in(&r, 2);
	e->gen.seed = g_random(&r);
	e->gen.sessions = 1 + (int)g_below(&r, 6);
	e->gen.twins = twins;
	e->gen.invalid = !g_once_in(&r, 3);
}

/* Gives everything back, then evicts block by block: the order of all. */
static bool drain(const struct epoch *e, uint32_t step, struct g_op *op)
{
	uint32_t closing = e->gen.sessions;

	memset(op, 0, sizeof(*op));
	if (step < closing) {
		op->kind = G_CLOSE;
		op->session = (int)step;
	} else if (step == closing) {
		op->kind = G_OPEN;
	} else if (step <= closing + e->cfg.total + 1) {
		op->kind = G_ALLOC;
		op->n = 1;
	} else {
		return false;
	}
	return true;
}

/* ---- running ---- */

static void count(const struct pair *p, const struct g_op *op)
{
	tally->ops++;
	tally->failed += !!p->rm.err;
	tally->quota += p->rm.err == -EDQUOT;
	tally->evictions += p->rm.n_evicted;
	if (op->kind == G_KEEP || op->kind == G_KEEP_HASHES) {
		for (uint32_t i = 0; i < p->rm.done; i++)
			tally->kept[p->rm.val[i]]++;
		tally->timed += op->ns && p->rm.done;
	}
	if (op->kind != G_REGISTER && op->kind != G_STAGE_REGISTER)
		return;
	for (uint32_t i = 0; i < p->rm.done; i++) {
		tally->dups += p->rm.val[i] == M_KIND_DUP;
		tally->dedups += p->rm.val[i] == M_KIND_DEDUP;
	}
}

static void count_nodes(const struct m_index *x)
{
	for (int i = 0; i < x->n_nodes; i++) {
		tally->twins += x->node[i].used && x->node[i].twin;
		tally->placeholders += x->node[i].used &&
				       x->node[i].block == M_NONE;
	}
}

/* In the child: the whole epoch. False: they differ. */
static bool run_epoch(const void *arg)
{
	const struct epoch *e = arg;
	static struct gen g;
	static struct g_op op;
	struct pair p;
	uint32_t step = 0;
	bool same = true;

	gen_init(&g, &e->gen, e->cfg.total);
	pair_init(&p, &e->cfg);
	for (int i = 0; same; i++) {
		if (i < EPOCH_OPS)
			gen_next(&g, p.m, &op);
		else if (!drain(e, step++, &op))
			break;
		same = !pair_apply(&p, &op);
		count(&p, &op);
		if (same && i % STATE_EVERY == 0) {
			same = !pair_state(&p, NULL);
			count_nodes(&p.m->index);
		}
	}
	same = same && !pair_state(&p, NULL);
	pair_exit(&p);
	return same;
}

/* The same operations again, from the model alone; returns how many. */
static int remake_epoch(const struct epoch *e)
{
	static struct gen g;
	static struct g_res res;
	struct model *m;
	uint32_t step = 0;
	int err, n;

	gen_init(&g, &e->gen, e->cfg.total);
	m = model_new(&e->cfg, &err);
	M_ASSERT(m);
	for (n = 0; n < EPOCH_ROOM; n++) {
		if (n < EPOCH_OPS)
			gen_next(&g, m, &ops[n]);
		else if (!drain(e, step++, &ops[n]))
			break;
		g_apply(m, &ops[n], &res);
	}
	model_free(m);
	return n;
}

/* Runs a list; returns the first operation after which they differ, or -1. */
static int replay(const struct m_config *cfg, const struct g_op *list, int n,
		  FILE *out)
{
	struct pair p;
	const char *what = NULL;
	int i;

	pair_init(&p, cfg);
	for (i = 0; i < n && !what; i++) {
		what = pair_apply(&p, &list[i]);
		if (out) {
			fprintf(out, "# %d: ", i);
			g_print_op(&list[i], out);
			if (what) {
				fputs("# model: ", out);
				g_print_res(&list[i], &p.rm, out);
				fputs("# core:  ", out);
				g_print_res(&list[i], &p.rc, out);
			}
			fflush(out);
		}
		/* When it is for eyes, as early as can be; else what is quick. */
		if (!what && (out || i == n - 1 || i % STATE_EVERY == 0))
			what = pair_state(&p, out);
		if (what && out)
			fprintf(out, "# they differ: %s\n", what);
	}
	pair_exit(&p);
	return what ? i - 1 : -1;
}

/* In a child of its own: does the list fail, by difference or by crash? */
static bool fails(const struct m_config *cfg, const struct g_op *list, int n)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	M_ASSERT(pid >= 0);
	if (!pid) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		alarm(20);
		_exit(replay(cfg, list, n, NULL) >= 0);
	}
	M_ASSERT(waitpid(pid, &status, 0) == pid);
	return status != 0;
}

/* ---- shrinking ---- */

/*
 * Shared with the child that does it: should a trial crash the child, then the
 * trial is a list that fails, and the parent goes on from there.
 */
struct shrinking {
	int n, trial_n;
	struct g_op best[EPOCH_ROOM], trial[EPOCH_ROOM];
};

static struct shrinking *shrinking;
static time_t shrink_until;

static void adopt_trial(struct shrinking *k)
{
	k->n = k->trial_n;
	memcpy(k->best, k->trial, k->n * sizeof(*k->best));
}

static bool trial_fails(const struct m_config *cfg, struct shrinking *k)
{
	if (time(NULL) >= shrink_until)
		return false;
	alarm(20);
	if (replay(cfg, k->trial, k->trial_n, NULL) < 0)
		return false;
	adopt_trial(k);
	return true;
}

/* Takes out ever smaller pieces for as long as the rest still fails. */
static void shrink_list(const struct m_config *cfg, struct shrinking *k)
{
	int piece = k->n;

	while (piece) {
		for (int at = k->n; at > 0;) {
			int from = at > piece ? at - piece : 0;

			memcpy(k->trial, k->best, from * sizeof(*k->best));
			memcpy(k->trial + from, k->best + at,
			       (k->n - at) * sizeof(*k->best));
			k->trial_n = k->n - (at - from);
			trial_fails(cfg, k);
			at = from;
		}
		piece = piece > 1 ? (piece + 1) / 2 : 0;
	}
}

static void without(struct g_op *op, uint32_t at)
{
	uint32_t after = op->n - at - 1;

	memmove(op->ids + at, op->ids + at + 1, after * sizeof(op->ids[0]));
	memmove(op->generation + at, op->generation + at + 1,
		after * sizeof(op->generation[0]));
	memmove(op->hash + at, op->hash + at + 1, after * sizeof(op->hash[0]));
	op->n--;
}

static void shrink_batches(const struct m_config *cfg, struct shrinking *k)
{
	for (int i = k->n; i-- > 0;) {
		for (uint32_t at = k->best[i].n; at-- > 0;) {
			if (k->best[i].n <= 1)
				break;
			k->trial_n = k->n;
			memcpy(k->trial, k->best, k->n * sizeof(*k->best));
			without(&k->trial[i], at);
			trial_fails(cfg, k);
		}
	}
}

/* From ops[0..n-1] to the shortest list found, in ops; returns its length. */
static int shrink(const struct m_config *cfg, int n)
{
	struct shrinking *k = shrinking;
	int status;
	pid_t pid;

	k->trial_n = n;
	memcpy(k->trial, ops, n * sizeof(*ops));
	adopt_trial(k);
	shrink_until = time(NULL) + SHRINK_SECONDS;
	do {
		fflush(NULL);
		pid = fork();
		M_ASSERT(pid >= 0);
		if (!pid) {
			if (!freopen("/dev/null", "w", stderr))
				_exit(0);
			shrink_list(cfg, k);
			shrink_batches(cfg, k);
			_exit(0);
		}
		M_ASSERT(waitpid(pid, &status, 0) == pid);
		if (status)
			adopt_trial(k);
	} while (status && time(NULL) < shrink_until);
	memcpy(ops, k->best, k->n * sizeof(*ops));
	return k->n;
}

static void report(const struct epoch *e)
{
	const struct m_config *c = &e->cfg;
	int n = remake_epoch(e), low = 0, high = n;
	pid_t pid;
	int status;

	printf("# differs: --epoch %" PRIu64 " --policy %s --twins %s\n",
	       e->seed, m_policy_name[e->policy], twins_name[e->twins]);
	printf("# store: %" PRIu32 " blocks of %" PRIu32 ", %s, reset %d, frequency %"
	       PRIu64 ", thresholds %u %u %u, max_held %" PRIu32
	       ", keep %" PRIu32 ", %" PRIu32 " a user\n", c->total,
	       c->block_size, c->dup == M_DUP_REJECT ? "reject" : "allow",
	       c->reset, c->frequency, c->thresholds[0], c->thresholds[1],
	       c->thresholds[2], c->max_held, c->keep_blocks,
	       c->keep_user_blocks);
	if (!fails(c, ops, n)) {
		printf("# no list of operations does it alone: a leak? Try --epoch\n");
		return;
	}
	/* The shortest beginning that fails. */
	while (high - low > 1) {
		int mid = (low + high) / 2;

		if (fails(c, ops, mid))
			high = mid;
		else
			low = mid;
	}
	printf("# first seen at operation %d\n", high - 1);
	if (failures >= SHRINK_MAX)
		return;
	n = shrink(c, high);
	printf("# shortest list found: %d operations%s\n", n,
	       time(NULL) < shrink_until ? "" : " (gave up early)");
	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(STDOUT_FILENO, STDERR_FILENO);
		replay(c, ops, n, stdout);
		fflush(NULL);
		_exit(0);
	}
	M_ASSERT(waitpid(pid, &status, 0) == pid);
	if (status)
		printf("# ... and there it crashes, status %#x\n", status);
}

/* ---- tests ---- */

static bool in_child(bool (*test)(const void *arg), const void *arg)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	M_ASSERT(pid >= 0);
	/* exit(), not _exit(): so that leaks are looked for. */
	if (!pid)
		exit(test(arg) ? 0 : 1);
	M_ASSERT(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		printf("# killed by signal %d\n", WTERMSIG(status));
	else if (WEXITSTATUS(status) > 1)
		printf("# exit status %d\n", WEXITSTATUS(status));
	return !status;
}

struct directed {
	int number;
	uint64_t seed;
};

#define DIRECTED 5

static const char *const directed_name[DIRECTED] = {
	"configurations",
	"hold limit",
	"halving",
	"long prunings, lineage_tick",
	"long prunings, lineage_fifo",
};

static bool run_directed(const void *arg)
{
	const struct directed *d = arg;

	switch (d->number) {
	case 0:
		return config_test();
	case 1:
		return hold_limit_test();
	case 2:
		return halving_test();
	case 3:
		return deep_test(M_lineage_tick, d->seed);
	default:
		return deep_test(M_lineage_fifo, d->seed);
	}
}

static bool random_test(enum m_policy policy, enum g_twins twins, uint64_t seed,
			uint64_t want)
{
	struct g_rng r = { .s = seed ^ (uint64_t)policy << 8 ^ twins };
	bool lineage = policy == M_lineage_tick || policy == M_lineage_fifo;
	struct epoch e;

	memset(tally, 0, sizeof(*tally));
	while (tally->ops < want) {
		epoch_init(&e, g_random(&r), policy, twins);
		if (!in_child(run_epoch, &e)) {
			report(&e);
			return false;
		}
	}
	printf("# %" PRIu64 " operations, %" PRIu64 " refused, %" PRIu64
	       " by max_held, %" PRIu64 " evictions, %" PRIu64 " duplicates, %" PRIu64 " dedups, %"
	       PRIu64 " twins and %" PRIu64 " placeholders seen\n# ranks: %"
	       PRIu64 " given, %" PRIu64 " of what was absent, %" PRIu64
	       " denied, %" PRIu64 " too many; %" PRIu64 " calls for a time\n",
	       tally->ops, tally->failed, tally->quota, tally->evictions,
	       tally->dups, tally->dedups, tally->twins, tally->placeholders,
	       tally->kept[M_KEPT], tally->kept[M_KEEP_ABSENT],
	       tally->kept[M_KEEP_DENIED], tally->kept[M_KEEP_FULL],
	       tally->timed);
	/* A run that met nothing has shown nothing; a short one may not. */
	if (want < COVERED_OPS)
		return true;
	return tally->failed && tally->quota && tally->evictions && tally->dups &&
	       tally->dedups && tally->kept[M_KEPT] &&
	       tally->kept[M_KEEP_ABSENT] && tally->kept[M_KEEP_DENIED] &&
	       tally->kept[M_KEEP_FULL] && tally->timed &&
	       (!lineage || tally->placeholders) &&
	       (!lineage || !tally->twins == (twins == G_TWINS_NONE));
}

/* ---- main ---- */

static int find_name(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++) {
		if (!strcmp(name, names[i]))
			return i;
	}
	fprintf(stderr, "no such name: %s\n", name);
	exit(2);
}

static void result(bool good, const char *what, const char *detail,
		   const char *more)
{
	failures += !good;
	printf("%s %d model-check: %s%s%s%s\n", good ? "ok" : "not ok", ++tests,
	       what, detail, *more ? ", twins " : "", more);
	fflush(stdout);
}

static void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	M_ASSERT(p != MAP_FAILED);
	return p;
}

static int usage(const char *self)
{
	fprintf(stderr,
		"usage: %s [--ops N] [--seed S] [--policy P] [--twins none|some|many] [--epoch E]\n"
		"  --ops N    operations for each policy (default 300000)\n"
		"  --epoch E  only the epoch of this seed, of one policy and kind of twins\n",
		self);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "ops", required_argument, NULL, 'o' },
		{ "seed", required_argument, NULL, 's' },
		{ "policy", required_argument, NULL, 'p' },
		{ "twins", required_argument, NULL, 't' },
		{ "epoch", required_argument, NULL, 'e' },
		{ }
	};
	uint64_t want = 300000, seed = 1, epoch = 0;
	int policy = -1, twins = -1, n = 0, o;
	struct epoch e;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 'o':
			want = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'e':
			epoch = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			policy = find_name(optarg, m_policy_name, M_POLICIES);
			break;
		case 't':
			twins = find_name(optarg, twins_name, 3);
			break;
		default:
			return usage(argv[0]);
		}
	}
	if (optind != argc || (epoch && (policy < 0 || twins < 0)))
		return usage(argv[0]);

	tally = shared_memory(sizeof(*tally));
	shrinking = shared_memory(sizeof(*shrinking));
	core_setup();
	if (epoch) {
		epoch_init(&e, epoch, policy, twins);
		n = in_child(run_epoch, &e);
		puts(n ? "the same" : "different");
		if (!n)
			report(&e);
		return !n;
	}

	for (int p = 0; p < M_POLICIES; p++) {
		for (int t = 0; t < 3; t++)
			n += (policy < 0 || p == policy) &&
			     (twins < 0 || t == twins);
	}
	printf("KTAP version 1\n1..%d\n# seed %" PRIu64 ", %" PRIu64
	       " operations a policy\n", n + DIRECTED, seed, want);
	for (int d = 0; d < DIRECTED; d++)
		result(in_child(run_directed, &(struct directed){ d, seed }),
		       directed_name[d], "", "");
	for (int p = 0; p < M_POLICIES; p++) {
		for (int t = 0; t < 3; t++) {
			if ((policy >= 0 && p != policy) ||
			    (twins >= 0 && t != twins))
				continue;
			result(random_test(p, t, seed,
					   twins < 0 ? want / 3 : want),
			       "random operations, ", m_policy_name[p],
			       twins_name[t]);
		}
	}
	printf("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:0 error:0\n",
	       tests - failures, failures);
	return failures ? 1 : 0;
}
