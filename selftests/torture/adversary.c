// SPDX-License-Identifier: MIT
/*
 * Clients that do harm within what the interface permits: they open sessions
 * without end, hold all that they can, pick keys that collide, flood the log,
 * or look for secrets in results.
 */
#include <sys/klog.h>
#include <sys/resource.h>
#include "torture.h"

#define KEYS		30000U
#define TENANT		1000
#define FEWER_KEYS	10000U	/* for kernels full of checks */

static uint32_t keys = FEWER_KEYS;

/* Opens until it is refused: how many, and the errno. */
static int open_all(int fd, int *list, int room, int *err)
{
	int n = 0;

	*err = 0;
	while (n < room) {
		list[n] = kvbm_session_open(fd);
		if (list[n] < 0) {
			*err = -list[n];
			break;
		}
		n++;
	}
	return n;
}

static void close_all(int *list, int n)
{
	while (n--)
		close(list[n]);
}

static void sessions_without_end(void)
{
	struct rlimit limit, few;
	int list[512], n, err, fd, other, *theirs = kt_shared(2 * sizeof(int));
	struct kt_pipe there, back;
	pid_t tenant;

	fd = kt_store(64, .max_sessions = 32);
	other = kt_store(64);
	kt_pipe_open(&there);
	kt_pipe_open(&back);
	tenant = kt_fork();
	if (!tenant) {
		KT_MUST(!setgid(TENANT) && !setuid(TENANT));
		theirs[0] = open_all(fd, list, 512, &theirs[1]);
		kt_tell(&there, 1);
		kt_hear(&back);
		/* One closed is one more to open. */
		close(list[0]);
		list[0] = kvbm_session_open(fd);
		kt_tell(&there, list[0] >= 0);
		kt_hear(&back);
		_exit(0);
	}
	kt_hear(&there);
	/* The first one is the creator's. */
	ksft_test_result(theirs[0] == 31 && theirs[1] == EUSERS,
			 "a store's limit on sessions: %d, then errno %d\n",
			 theirs[0] + 1, theirs[1]);
	/* A place is left for the owner, and one for the administrator. */
	n = open_all(fd, list, 512, &err);
	ksft_test_result(n == 2 && err == EUSERS &&
			 kt_stats(fd).sessions == 34,
			 "the owner and the administrator get in: %d, then errno %d\n",
			 n, err);
	close_all(list, n);
	err = kvbm_session_open(other);
	kt_tell(&back, 1);
	ksft_test_result(err >= 0 && kt_hear(&there) == 1,
			 "others are not hindered\n");
	close(err);
	kt_tell(&back, 1);
	kt_reap(tenant);
	kt_until(kt_stats(fd).sessions == 1);

	getrlimit(RLIMIT_NOFILE, &limit);
	few = (struct rlimit) { 100, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	n = open_all(other, list, 512, &err);
	close_all(list, n);
	setrlimit(RLIMIT_NOFILE, &limit);
	ksft_test_result(n && n < 100 && err == EMFILE &&
			 kt_stats(other).sessions == 1,
			 "the limit on descriptors: %d, then errno %d\n", n,
			 err);
	close(fd);
	close(other);
}

static void holds_everything(void)
{
	struct kvbm_registered res[8];
	struct kvbm_hash h[64];
	uint32_t ids[64], got = 0;
	int fd, greedy, i, more, match, reg;

	fd = kt_store(64, .max_held = 24, .policy = "lru");
	greedy = kvbm_session_open(fd);
	kt_singles(h, 64, 1000);
	kt_idle(fd, 8, h, ids);
	while (kvbm_alloc(greedy, 1, ids + got, NULL, NULL) == 1 && got < 63)
		got++;
	more = kvbm_alloc(greedy, 1, ids + got, NULL, NULL);
	match = kvbm_match(greedy, 8, h, ids + 32, NULL);
	ksft_test_result(got == 24 && more == -EDQUOT && match == -EDQUOT,
			 "a session's limit on held blocks: %u, then %d, match %d\n",
			 got, more, match);
	/* Its blocks can still be used and given back. */
	reg = kvbm_stage_register(greedy, 4, ids, h + 20, res, 0, NULL);
	more = kvbm_alloc(fd, 24, ids + 32, NULL, NULL);
	for (i = 0; i < 24; i++)
		kvbm_release(greedy, 1, ids + i, 0, NULL);
	ksft_test_result(reg == 4 && more == 24 && kt_self(greedy).held == 0,
			 "others get theirs (%d)\n", more);
	close(greedy);
	close(fd);
}

/* Keys of a family, all valid. */
static struct kvbm_hash key(unsigned int family, uint32_t i, struct rng *rng)
{
	switch (family) {
	case 0:			/* no pattern */
		return kt_hash(rnd64(rng), rnd64(rng), rnd(rng, 256));
	case 1:			/* the lower word is always the same */
		return kt_hash((uint64_t)i << 10, 0, 0);
	case 2:			/* the low 32 bits of the upper one, too */
		return kt_hash((uint64_t)i << 42, 0, 0);
	case 3:			/* an arithmetic series */
		return kt_hash((uint64_t)i * 65536, (uint64_t)i * 65536, 7);
	case 4:			/* all of them children of one parent */
		return kt_hash(i + 1, 0x123456789, 1);
	case 5:			/* parents that differ where it is cut off */
		return kt_hash(i, (uint64_t)i << 54, 9);
	default:		/* both halves cancel under xor */
		return kt_hash((uint64_t)i << 32 | i, (uint64_t)i << 22 | i,
			       3);
	}
}

#define FAMILIES	7

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Registers and finds all keys: the processor's time, ns, or -errno. */
static int64_t cost(unsigned int family)
{
	struct kvbm_hash *h = calloc(keys, sizeof(*h));
	uint32_t *ids = calloc(keys, sizeof(*ids));
	struct rng rng = { 99 };
	int64_t start, ret;
	uint32_t i;
	int fd;

	fd = kt_store_make(&(struct kvbm_store_create) {
			.size = sizeof(struct kvbm_store_create),
			.total_blocks = keys, .uid = -1, .gid = -1, .monitor_gid = -1 });
	for (i = 0; i < keys; i++)
		h[i] = key(family, i, &rng);
	start = cpu_ns();
	ret = fd < 0 ? fd : kt_fill(fd, keys, h, ids);
	if (ret >= 0)
		ret = kvbm_release(fd, keys, ids, 0, NULL);
	if (ret >= 0)
		ret = kvbm_match(fd, keys, h, ids, NULL);
	if (ret >= 0)
		ret = kvbm_release(fd, keys, ids, 0, NULL);
	start = cpu_ns() - start;
	close(fd);
	free(h);
	free(ids);
	/* A clock that stood still measured nothing. */
	return ret < 0 ? ret : ret != keys ? -ENODATA :
	       start > 0 ? start : -ETIME;
}

/* The best of several rounds: what a busy host takes is not ours. */
static void keep_best(int64_t *best, int64_t t)
{
	if (t < 0 || !*best || (*best > 0 && t < *best))
		*best = t;
}

/*
 * One long chain in the table would cost thousands of times as much as keys
 * without a pattern.  Both are measured in turns, and again while they differ
 * by more than any cache explains.
 */
static void colliding_keys(void)
{
	int64_t t, plain;
	unsigned int f, round;

	/* The first one pays for what is cold. */
	t = cost(0);
	if (t > 0 && t < 250000000)
		keys = KEYS;
	printf("# %u keys of each family\n", keys);
	for (f = 1; f < FAMILIES; f++) {
		t = 0;
		plain = 0;
		for (round = 0; round < 6; round++) {
			keep_best(&plain, cost(0));
			keep_best(&t, cost(f));
			if (t < 0 || plain < 0 || (round && t < plain * 2))
				break;
		}
		if (t < 0 || plain < 0)
			ksft_test_result_fail("keys of family %u: errno %d, random ones %d\n",
					      f, t < 0 ? (int)-t : 0,
					      plain < 0 ? (int)-plain : 0);
		else
			ksft_test_result(t < plain * 8,
					 "keys of family %u: %lld ns each, random ones %lld: ratio %.2f\n",
					 f, (long long)t / keys,
					 (long long)plain / keys,
					 (double)t / plain);
	}
}

static int log_lines(void)
{
	size_t size = klogctl(10, NULL, 0);
	char *buf = malloc(size);
	int i, n, lines = 0;

	n = klogctl(3, buf, size);
	for (i = 0; i < n; i++)
		lines += buf[i] == '\n';
	free(buf);
	return lines;
}

static void flooding_the_log(void)
{
	struct kvbm_store_create c;
	int before = log_lines(), i, after, fd, ses;
	struct kvbm_hash h = kt_single(5);
	uint32_t id = 12345;

	fd = kt_store(16);
	for (i = 0; i < 3000; i++) {
		kt_ioctl(fd, KVBM_IO(i & 255), NULL);
		kt_ioctl(fd, KVBM_IOC_MATCH, (void *)-64L);
		kvbm_release(fd, 1, &id, 0, NULL);
		kvbm_stage(fd, 1, &id, &h, NULL, NULL);
		/* The library would not put that name there. */
		kvbm_store_create_init(&c, NULL, i);
		strcpy(c.name, "..");
		kt_store_make(&c);
		kvbm_open("nothing");
		kt_destroy("nothing", KVBM_DESTROY_FORCE);
		if (i % 16)
			continue;
		/* Deaths and revocations of holders. */
		ses = kvbm_session_open(fd);
		kvbm_alloc(ses, 8, &(uint32_t [8]) {}[0], NULL, NULL);
		kvbm_session_revoke(fd, kt_session_id(ses), NULL);
		close(ses);
		kvbm_store_create_init(&c, "flood", 16);
		kt_store_make(&c);
		kt_destroy("flood", KVBM_DESTROY_FORCE);
	}
	after = log_lines();
	close(fd);
	ksft_test_result(after - before < 100,
			 "the log got %d lines of 20000 bad requests\n",
			 after - before);
}

static bool like_kernel_address(uint64_t v)
{
	return v >= 0xffff800000000000ULL && v < 0xfffffffffffff000ULL;
}

/*
 * The same question with two different fills must be answered alike: what
 * differs was not written, or came from elsewhere.
 */
static bool same_answers(const char *what, const void *a, const void *b,
			 size_t size)
{
	const unsigned char *x = a, *y = b;
	size_t i;

	for (i = 0; i < size && x[i] == y[i]; i++)
		;
	if (i < size)
		printf("# %s: differs from byte %zu on\n", what, i);
	return i == size;
}

#define ASKED(fd, type, ioc, ...) do {					\
	struct type a, b;						\
	uint64_t *p = (uint64_t *)&a;					\
	unsigned int k, addresses = 0;					\
	int ra, rb;							\
									\
	memset(&a, 0, sizeof(a));					\
	a = (struct type) { .size = sizeof(a), ##__VA_ARGS__ };		\
	b = a;								\
	poison_outputs_##type(&a, 0xa5);				\
	poison_outputs_##type(&b, 0x5a);				\
	ra = kt_ioctl(fd, KVBM_IOC_##ioc, &a);				\
	rb = kt_ioctl(fd, KVBM_IOC_##ioc, &b);				\
	/* A store's identity is a random number. */			\
	for (k = 2; k < sizeof(a) / 8; k++)				\
		addresses += like_kernel_address(p[k]);			\
	ksft_test_result(!ra && !rb && !addresses &&			\
			 same_answers(#ioc, &a, &b, sizeof(a)),		\
			 "%s tells no secrets (%d, %d; %u like addresses)\n", \
			 #ioc, ra, rb, addresses);			\
} while (0)

#define OUTPUTS(type, first, end)					\
static void poison_outputs_##type(struct type *s, int byte)		\
{									\
	memset(&s->first, byte, (end) - offsetof(struct type, first));	\
}

OUTPUTS(kvbm_features, features, sizeof(*s))
OUTPUTS(kvbm_counts, total, sizeof(*s))
OUTPUTS(kvbm_stats, allocations, sizeof(*s))
/* The store's id and name are the question, too. */
OUTPUTS(kvbm_store_info, total_blocks, sizeof(*s))
/* So is where a note is to go. */
OUTPUTS(kvbm_block_info, state, offsetof(struct kvbm_block_info, note))

static uint64_t boottime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Listings: every byte of an entry written, none beyond. */
static void listings(int fd, int control)
{
	struct kvbm_session_entry s[2][3];
	struct kvbm_store_entry e[2][3];
	uint32_t total;
	bool ok;
	int n[2], i;

	for (i = 0; i < 2; i++) {
		memset(s[i], i ? 0x5a : 0xa5, sizeof(s[i]));
		n[i] = kvbm_session_list(fd, 1, s[i], &total);
	}
	/* The one thing that differs from question to question. */
	ok = n[0] == 1 && n[1] == 1;
	for (i = 0; i < 2; i++) {
		ok &= s[i][0].last_call_ns >= s[i][0].opened_ns &&
		      s[i][0].last_call_ns <= boottime();
		s[i][0].last_call_ns = 0;
	}
	ok &= same_answers("SESSION_LIST", &s[0][0], &s[1][0],
			   sizeof(s[0][0]));
	for (i = 0; i < sizeof(s[0][0]) / 8; i++)
		ok &= !like_kernel_address(((uint64_t *)&s[0][0])[i]);
	ok &= s[0][1].session_id == 0xa5a5a5a5a5a5a5a5ULL;
	ksft_test_result(ok, "SESSION_LIST tells no secrets\n");
	for (i = 0; i < 2; i++) {
		memset(e[i], i ? 0x5a : 0xa5, sizeof(e[i]));
		n[i] = kvbm_store_list(control, 1, e[i], &total);
	}
	/* The identity begins at a random number: any value is right. */
	ok = n[0] == 1 && n[1] == 1 &&
	     same_answers("STORE_LIST", &e[0][0], &e[1][0], sizeof(e[0][0])) &&
	     !e[0][0].flags &&
	     e[0][1].store_id == 0xa5a5a5a5a5a5a5a5ULL;
	ksft_test_result(ok, "STORE_LIST tells no secrets\n");
}

static void secrets(void)
{
	int control = kvbm_control_open(), fd;
	struct kvbm_store_create c;
	struct kvbm_hash h[4];
	uint32_t ids[4];

	/* A monitoring group: 32 bits all set, as for none, look like an address. */
	kvbm_store_create_init(&c, NULL, 32);
	c.monitor_gid = 0;
	fd = kt_store_make(&c);
	kt_chain(h, 4, 40);
	kt_fill(fd, 4, h, ids);
	ASKED(fd, kvbm_features, FEATURES);
	ASKED(fd, kvbm_counts, COUNTS);
	ASKED(fd, kvbm_stats, STATS);
	ASKED(fd, kvbm_block_info, BLOCK_INFO, .block = ids[1]);
	ASKED(fd, kvbm_block_info, BLOCK_INFO, .block = 31);
	ASKED(fd, kvbm_store_info, STORE_INFO);
	listings(fd, control);
	close(fd);
	close(control);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 4096);
	ksft_print_header();
	ksft_set_plan(4 + 2 + FAMILIES - 1 + 1 + 8);
	sessions_without_end();
	holds_everything();
	colliding_keys();
	flooding_the_log();
	secrets();
	ksft_finished();
}
