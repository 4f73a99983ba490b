// SPDX-License-Identifier: MIT
/*
 * System calls that no sane program makes, as ioctls and as io_uring entries:
 * see sysfuzz_args.h.  Only documented errnos may come back, enough calls must
 * get as far as the work itself, and the store must be consistent at every
 * quiet point.
 *
 *	sysfuzz [--seed S] [--iterations N] [--at-most SECONDS]
 *
 * The calls may revoke any session and destroy the store, which is then opened
 * or created again.
 */
#include <liburing.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <kvbm_uring.h>
#include "sysfuzz_args.h"

#define STORE		"sysfuzz"
#define UNIVERSE	64U
#define ROUND		512		/* calls with one set of descriptors */
#define LOOK		16		/* rounds from look to look */
#define ENOUGH		15000		/* calls, to ask for each success */
#define TAMPERED	(1ULL << 63)	/* in user_data */

enum { ANONYMOUS = 3, CONTROL, NOTHING, FDS };

static int fds[FDS];
static int watcher = -1;
static struct kvbm_hash universe[UNIVERSE];
static uint64_t saved_max_blocks;

/* The results. */
static struct tally {
	uint64_t calls, reached, well;
	uint64_t op_well[MAX_OP];
	uint64_t err[256];		/* by errno */
	uint64_t other;			/* errnos beyond */
	uint64_t undocumented;
} by_ioctl, by_ring;

static uint64_t died, made, looks;

/* Errnos that uapi/linux/kvbm.h names for a request, beyond the common. */
static const int common_errnos[] = {
	EFAULT, EINVAL, EOPNOTSUPP, E2BIG, ENOTTY, EINTR, ENODEV, ESHUTDOWN,
	EBADF,
};

static const int own_errnos[MAX_OP][8] = {
	[KVBM_OP_STORE_CREATE] = { EEXIST, EPERM, ENOMEM, ENFILE, EDQUOT,
				   EMFILE },
	[KVBM_OP_STORE_DESTROY] = { ENOENT, EPERM, EBUSY },
	[KVBM_OP_SESSION_OPEN] = { EUSERS, EMFILE, ENFILE, ENOMEM },
	[KVBM_OP_STORE_LIST] = { ENOMEM },
	[KVBM_OP_STORE_ACCESS] = { ENOENT, EPERM, ENOMEM },
	[KVBM_OP_STORE_INFO] = { ENOENT, EPERM },
	[KVBM_OP_COUNTS] = { ENOENT, EPERM },
	[KVBM_OP_STATS] = { ENOENT, EPERM },
	[KVBM_OP_SESSION_LIST] = { EPERM, ENOENT, ENOMEM },
	[KVBM_OP_SESSION_REVOKE] = { EPERM, ENOENT },
	[KVBM_OP_BLOCK_INFO] = { EPERM },
	[KVBM_OP_HOLDS] = { ENOMEM },
	[KVBM_OP_PAYLOAD] = { ENODATA, EMFILE, ENFILE, ENOMEM },
	[KVBM_OP_EXPORT] = { ENOMEM, EPERM, ENOENT },
	[KVBM_OP_EVENTS] = { ENODATA, EUSERS, EMFILE, ENFILE, ENOMEM, ENOENT,
			     EPERM },
	[KVBM_OP_RESET_INACTIVE] = { EPERM, ENOENT },
	[KVBM_OP_INVALIDATE] = { EPERM, ENOENT, ENOMEM },
	[KVBM_OP_ALLOC] = { ENOSPC, EDQUOT, ENOMEM, ETIMEDOUT, ENOENT },
	[KVBM_OP_STAGE] = { EPERM, ESTALE, EDQUOT, ENOMEM },
	[KVBM_OP_UNSTAGE] = { EPERM },
	[KVBM_OP_REGISTER] = { EPERM, ESTALE, ENOMEM, EDQUOT, EOVERFLOW },
	[KVBM_OP_MATCH] = { ENOMEM, EDQUOT, EOVERFLOW },
	[KVBM_OP_SCAN] = { ENOMEM, EDQUOT, EOVERFLOW },
	[KVBM_OP_RELEASE] = { EPERM, EBUSY },
	[KVBM_OP_RETAIN] = { EPERM, EOVERFLOW },
	[KVBM_OP_SET_RESET] = { EPERM },
	[KVBM_OP_UPGRADE] = { ENOMEM, EDQUOT, EOVERFLOW },
	[KVBM_OP_WAIT] = { ETIMEDOUT, EDEADLK, EMLINK, ENOMEM },
	[KVBM_OP_WATCH] = { ENOMEM },
	[KVBM_OP_KEEP] = { EPERM },
	[KVBM_OP_OFFER] = { EPERM, EBUSY, EDQUOT, ENOMEM, EXDEV, ENOENT },
	[KVBM_OP_ACCEPT] = { ENOENT, EMSGSIZE, EDQUOT, EOVERFLOW, ENOMEM },
	[KVBM_OP_WITHDRAW] = { ENOENT },
};

/* Refusals that need no look at the store. */
static const int early_errnos[] = {
	EFAULT, EINVAL, EOPNOTSUPP, E2BIG, ENOTTY, ENODEV, ESHUTDOWN, EBADF,
	ECANCELED,
};

static bool among(int err, const int *list, size_t n)
{
	while (n--)
		if (list[n] == err)
			return true;
	return false;
}

#define AMONG(err, list) among(err, list, sizeof(list) / sizeof((list)[0]))

static bool documented(int err, unsigned int op)
{
	return AMONG(err, common_errnos) ||
	       (op < MAX_OP && AMONG(err, own_errnos[op]));
}

/* @op: MAX_OP when it is not one of ours. */
static void count(struct tally *t, unsigned int op, long ret, bool allowed)
{
	int err = ret < 0 ? -ret : 0;

	t->calls++;
	if (!err) {
		t->reached++;
		t->well++;
		t->op_well[op % MAX_OP] += op < MAX_OP;
		return;
	}
	t->reached += !AMONG(err, early_errnos);
	if (err < 256)
		t->err[err]++;
	else
		t->other++;
	if (allowed)
		return;
	if (!t->undocumented++ || t->undocumented % 1000 == 0)
		printf("# request 0x%x: errno %d is not documented\n", op, err);
}

/* Descriptors */

static void close_strays(void)
{
	/* Descriptors opened by calls whose results went nowhere. */
	syscall(SYS_close_range, FIRST_FD, ~0U, 0);
}

/* Too many stores, sessions or descriptors: those that calls left behind. */
static bool made_room(int fd)
{
	if (fd != -EMFILE && fd != -ENFILE && fd != -EDQUOT && fd != -EUSERS)
		return false;
	close_strays();
	kt_destroy("a", KVBM_DESTROY_FORCE);
	kt_destroy("b", KVBM_DESTROY_FORCE);
	return true;
}

static int open_store(void)
{
	int fd = kvbm_open(STORE), err, file;

	if (fd != -ENOENT)
		return fd;
	file = memfd_create("sysfuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (file < 0 || ftruncate(file, TOTAL * KVBM_MIN_BLOCK_BYTES) ||
	    fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL))
		ksft_exit_fail_msg("no payload\n");
	err = kt_store(TOTAL, .name = STORE, .policy = "lineage_tick",
		       .freq_capacity = 1024,
		       .flags = KVBM_CREATE_PAYLOAD | KVBM_CREATE_RETENTION,
		       .payload_fd = file, .event_records = 256, .note_bytes = 40,
		       .block_bytes = KVBM_MIN_BLOCK_BYTES);
	close(file);
	if (err < -1)		/* -1: no descriptor, as it has a name */
		return err;
	made++;
	return kvbm_open(STORE);
}

static int open_kind(int i)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 64, .freq_capacity = 256,
		.uid = -1, .gid = -1, .monitor_gid = -1,
	};

	switch (i) {
	case ANONYMOUS:
		strcpy(c.policy, policies[rnd(&r, N_POLICIES)]);
		return kt_store_make(&c);
	case CONTROL:
		return kvbm_control_open();
	case NOTHING:
		return open("/dev/null", O_RDWR);
	default:
		return open_store();
	}
}

static int open_surely(int i)
{
	int fd = open_kind(i);

	if (fd < 0 && made_room(fd))
		fd = open_kind(i);
	if (fd < 0)
		ksft_exit_fail_msg("cannot open descriptor %d: %d\n", i, fd);
	return fd;
}

/* Gives a descriptor the number that is its own. */
static int renumber(int fd, int number)
{
	if (fd == number)
		return fd;
	if (dup2(fd, number) < 0)
		ksft_exit_fail_msg("no descriptors\n");
	close(fd);
	return number;
}

static void reopen(int i)
{
	fds[i] = renumber(open_surely(i), FIRST_FD - 2 - FDS + i);
	if (i < ANONYMOUS)
		session_ids[i] = kt_session_id(fds[i]);
}

/* The watcher's session may have been revoked, its store destroyed. */
static void revive_watcher(void)
{
	struct kvbm_counts c;

	if (watcher >= 0 && kvbm_counts(watcher, &c) >= 0)
		return;
	died += watcher >= 0;
	watcher = renumber(open_surely(0), FIRST_FD - 2);
	session_ids[ANONYMOUS] = kt_session_id(watcher);
}

static void reopen_all(void)
{
	int i;

	close_strays();
	for (i = 0; i < FDS; i++)
		reopen(i);
	revive_watcher();
	kvbm_reset_inactive(watcher, NULL, NULL);
}

/* Calls */

/* One in @others is not of the data path. */
static unsigned int any_op(unsigned int others)
{
	bool data = !chance(&r, others);
	const struct kt_op *o;

	if (chance(&r, 16))
		return rnd(&r, MAX_OP);
	do
		o = &kt_ops[rnd(&r, KT_NR_OPS)];
	while (o->data != data);
	return o->op;
}

/* Mostly one that knows the request. */
static int any_fd(unsigned int op)
{
	const struct kt_op *o = kt_op(op);

	if (chance(&r, 8))
		return rnd(&r, FDS);
	return o && !o->session ? CONTROL : rnd(&r, CONTROL);
}

/* The giver of each ticket: 1 + the place of its descriptor. */
static int givers[ARRAY_SIZE(tickets)];
static uint32_t spare;			/* a block that a session holds */

/* Registered blocks that the session at a place holds, one of them from now on. */
static uint32_t holds_of(int place, uint32_t ids[64])
{
	struct kvbm_export_entry there[16];
	struct kvbm_hold_entry held[64];
	uint64_t cursor = 0;
	uint32_t n = 0;
	int i, got;

	got = kvbm_export(fds[place], NULL, &cursor, ARRAY_SIZE(there), there,
			  NULL);
	if (got > 0)
		kvbm_scan(fds[place], 1, &there[rnd(&r, got)].hash, ids, 0,
			  NULL, NULL);
	cursor = 0;
	got = kvbm_holds(fds[place], &cursor, 64, held, NULL);
	for (i = 0; i < got; i++)
		if (held[i].holds && held[i].state >= KVBM_STATE_PRIMARY)
			ids[n++] = held[i].block;
	return n;
}

/* One that makes sense: its ticket is in the slot. */
static void an_offer(uint32_t slot)
{
	uint32_t ids[64], n;
	int place = rnd(&r, CONTROL);

	/* Nobody else would, and no session may have many. */
	if (givers[slot])
		kvbm_withdraw(fds[givers[slot] - 1], &tickets[slot]);
	givers[slot] = 1 + place;
	n = holds_of(place, ids);
	if (n)
		kvbm_offer(fds[place], 1 + rnd(&r, n), ids, &tickets[slot]);
}

/* Arguments of a hand-over that may succeed at *@place, or the same as others'. */
static uint64_t handing_over(unsigned int op, int *place)
{
	uint32_t slot = rnd(&r, ARRAY_SIZE(tickets)), ids[64], n;
	uint64_t where;

	if (chance(&r, 4) ||
	    (op != KVBM_OP_OFFER && op != KVBM_OP_ACCEPT &&
	     op != KVBM_OP_WITHDRAW))
		return arguments(op);
	if (op != KVBM_OP_OFFER && chance(&r, 2))
		an_offer(slot);
	if (op == KVBM_OP_OFFER) {
		struct kvbm_offer *o;

		*place = rnd(&r, CONTROL);
		n = holds_of(*place, ids);
		spare = n ? ids[rnd(&r, n)] : 0;
		o = a_structure(sizeof(*o), &where);
		o->count = 1;
		o->ids = (uintptr_t)&spare;
	} else if (op == KVBM_OP_ACCEPT) {
		struct kvbm_accept *a = a_structure(sizeof(*a), &where);

		a->count = ARRAY_SIZE(taken_over);
		a->ids = (uintptr_t)taken_over;
		a->ticket = tickets[slot];
	} else {
		struct kvbm_withdraw *w = a_structure(sizeof(*w), &where);

		w->ticket = tickets[slot];
		if (givers[slot])
			*place = givers[slot] - 1;
	}
	return where;
}

static void a_call(void)
{
	unsigned int op = any_op(4);
	unsigned long request = KVBM_IO(op);
	int i = any_fd(op), ret;
	uint64_t args;

	if (chance(&r, 40))
		request = rnd64(&r);
	else if (chance(&r, 40))
		request ^= 1UL << rnd(&r, 32);
	args = handing_over(op, &i);
	ret = syscall(SYS_ioctl, fds[i], request, args);
	ret = ret < 0 ? -errno : ret;
	/* The kernel sees 32 bits of a request. */
	op = (uint32_t)request == KVBM_IO(request & 0xff) &&
	     known_op(request & 0xff) ? request & 0xff : MAX_OP;
	count(&by_ioctl, op, ret, op < MAX_OP ? documented(-ret, op) :
	      ret == -ENOTTY);
	if ((ret == -ESHUTDOWN || ret == -ENODEV) && i <= ANONYMOUS &&
	    chance(&r, 4)) {
		died++;
		reopen(i);
	}
}

static void some_entries(struct io_uring *ring)
{
	unsigned int i, n = 1 + rnd(&r, 6);
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;

	for (i = 0; i < n; i++) {
		unsigned int op = chance(&r, 20) ? rnd64(&r) : any_op(16);
		int fd = any_fd(op);
		uint64_t data = op, k, args;

		sqe = io_uring_get_sqe(ring);
		if (!sqe)
			break;
		args = handing_over(op, &fd);
		kvbm_prep_op(sqe, fds[fd], op, (void *)(uintptr_t)args,
			     known_op(op) && !chance(&r, 16) ?
			     kt_op(op)->size : number());
		if (chance(&r, 16))
			for (k = 0; k < 16; k++)
				((unsigned char *)sqe->cmd)[k] = rnd64(&r);
		if (chance(&r, 4))
			sqe->flags |= IOSQE_ASYNC;
		if (chance(&r, 8))
			sqe->flags |= IOSQE_IO_LINK;
		/* io_uring itself may return anything for these. */
		if (chance(&r, 30)) {
			sqe->flags = rnd64(&r);
			data |= TAMPERED;
		}
		if (chance(&r, 30)) {
			sqe->rw_flags = rnd64(&r);
			data |= TAMPERED;
		}
		if (chance(&r, 30)) {
			sqe->fd = rnd64(&r);
			data |= TAMPERED;
		}
		/* Newer ones have commands of their own. */
		if (fd == NOTHING)
			data |= TAMPERED;
		io_uring_sqe_set_data64(sqe, data);
	}
	io_uring_submit(ring);
	while (!io_uring_peek_cqe(ring, &cqe)) {
		unsigned int op = cqe->user_data & ~TAMPERED;

		op = known_op(op) ? op : MAX_OP;
		count(&by_ring, cqe->user_data & TAMPERED ? MAX_OP : op,
		      cqe->res, cqe->user_data & TAMPERED ||
		      cqe->res == -ECANCELED || documented(-cqe->res, op));
		io_uring_cqe_seen(ring, cqe);
	}
}

static void tick(int sig)
{
}

static uint64_t module_limit(const char *name, uint64_t set)
{
	char path[96], buf[32] = {};
	uint64_t was = 0;
	int fd;

	snprintf(path, sizeof(path), "/sys/module/kvbm/parameters/%s", name);
	fd = open(path, O_RDWR);
	if (fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0) {
		was = strtoull(buf, NULL, 0);
		snprintf(buf, sizeof(buf), "%llu", (unsigned long long)set);
		if (pwrite(fd, buf, strlen(buf), 0) < 0)
			was = 0;
	}
	close(fd);
	return was;
}

/* Whichever way it ends, the next program finds the module as it was. */
static void restore(void)
{
	close(watcher);
	kt_destroy("a", KVBM_DESTROY_FORCE);
	kt_destroy("b", KVBM_DESTROY_FORCE);
	kt_destroy(STORE, KVBM_DESTROY_FORCE);
	if (saved_max_blocks)
		module_limit("max_blocks", saved_max_blocks);
}

/* Nobody is at work: everything must be in order. */
static void quiet(struct wrongs *w)
{
	int i;

	/* Nobody else is to get these numbers. */
	for (i = 0; i < FDS; i++)
		dup2(0, fds[i]);
	close_strays();
	revive_watcher();
	kt_until(kt_stats(watcher).sessions == 1);
	look(w, watcher, universe, UNIVERSE);
	looks++;
}

static void tell(const char *name, const struct tally *t)
{
	unsigned int i;

	printf("# %s: %llu calls, %llu past the checks, %llu well; errnos",
	       name, (unsigned long long)t->calls,
	       (unsigned long long)t->reached, (unsigned long long)t->well);
	for (i = 1; i < 256; i++)
		if (t->err[i])
			printf(" %u:%llu", i, (unsigned long long)t->err[i]);
	printf("%s\n", t->other ? " and others" : "");
}

/* Each request must have been served, or the fuzzer is blunt. */
static unsigned int never_well(void)
{
	unsigned int op, n = 0;

	printf("# well, by request (ioctl+uring):");
	for (op = 0; op < MAX_OP; op++) {
		if (!known_op(op))
			continue;
		printf(" %x:%llu+%llu", op,
		       (unsigned long long)by_ioctl.op_well[op],
		       (unsigned long long)by_ring.op_well[op]);
		n += !by_ioctl.op_well[op] ||
		     (kt_op(op)->data && !by_ring.op_well[op]);
	}
	printf("\n");
	return n;
}

int main(int argc, char **argv)
{
	uint64_t iterations = option(argc, argv, "iterations", 200000);
	uint64_t seed = option(argc, argv, "seed", kt_now()), i;
	uint64_t limit = option(argc, argv, "at-most", 0) * 1000000000ULL;
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = {};
	struct sigaction sa = { .sa_handler = tick };
	struct wrongs w = { .where = "at a quiet point" };
	uint64_t start = kt_now(), bad = 0;
	bool have_ring = false;
	struct io_uring ring;
	pthread_t thread;
	sigset_t alarm;
	unsigned int n;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 4096);
	ksft_print_header();
	ksft_set_plan(5);
	printf("# seed %llu, %llu iterations\n", (unsigned long long)seed,
	       (unsigned long long)iterations);
	r = rng_of(seed, 1, 2, 3);
	make_regions();
	saved_max_blocks = module_limit("max_blocks", 1 << 16);
	atexit(restore);
	for (n = 0; n < UNIVERSE; n++)
		universe[n] = prompt(n / 16, n % 16);
	/* Only the disturber is spared of the signals that end waits. */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigprocmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&thread, NULL, disturb, &seed);
	sigprocmask(SIG_UNBLOCK, &alarm, NULL);
	sigaction(SIGALRM, &sa, NULL);

	/* Every descriptor opened from now on has a number above ours. */
	while ((fd = dup(0)) < FIRST_FD)
		if (fd < 0)
			ksft_exit_fail_msg("no descriptors\n");
	close(fd);
	setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < iterations; i++) {
		if (i % ROUND == 0) {
			if (have_ring)
				io_uring_queue_exit(&ring);
			if (i % (ROUND * LOOK) == 0 && i)
				quiet(&w);
			if (limit && kt_now() - start > limit)
				break;
			reopen_all();
			have_ring = !io_uring_queue_init(32, &ring, 0);
		}
		if (i % 16 == 0)
			fill_page(universe, UNIVERSE);
		if (have_ring && chance(&r, 8))
			some_entries(&ring);
		else
			a_call();
	}
	if (i == iterations && have_ring)
		io_uring_queue_exit(&ring);
	__atomic_store_n(&stop_disturbing, true, __ATOMIC_RELAXED);
	setitimer(ITIMER_REAL, &never, NULL);
	pthread_join(thread, NULL);
	quiet(&w);
	for (i = 0; i < N_WRONG; i++)
		bad += w.n[i];
	tell("ioctl", &by_ioctl);
	tell("io_uring", &by_ring);
	n = never_well();
	printf("# %llu ended sessions replaced, store made %llu times, %llu looks; %llu ms\n",
	       (unsigned long long)died, (unsigned long long)made,
	       (unsigned long long)looks,
	       (unsigned long long)(kt_now() - start) / 1000000);
	ksft_test_result(!bad, "the store's books agree\n");
	ksft_test_result(!by_ioctl.undocumented && !by_ring.undocumented,
			 "no errno but the documented ones\n");
	/* Usual are 44 % and 31 %. */
	ksft_test_result(by_ioctl.reached * 4 > by_ioctl.calls &&
			 by_ring.reached * 6 > by_ring.calls,
			 "%.0f %% of the calls, %.0f %% of the entries got past the checks\n",
			 100.0 * by_ioctl.reached / by_ioctl.calls,
			 100.0 * by_ring.reached / by_ring.calls);
	if (by_ioctl.calls < ENOUGH)
		ksft_test_result_skip("too few calls to ask for all requests\n");
	else
		ksft_test_result(!n, "every request was served\n");
	/* The store still serves. */
	{
		uint32_t ids[64];

		ksft_test_result(kt_idle(watcher, 64, universe, ids) >= 0 &&
				 kvbm_match(watcher, 16, universe, ids,
					    NULL) == 16,
				 "the store works\n");
	}
	ksft_finished();
}
