// SPDX-License-Identifier: MIT
/*
 * The script engine against a store that fails on purpose: what a real one
 * does only without memory, at a limit, or by mistake. The store here knows
 * nothing; each test tells it what to answer. Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script.h"

static struct {
	int err;		/* of the next failing call */
	uint32_t done;		/* elements that it does first */
	struct kvbm_stats stats;
	uint64_t reclaim_owned, reclaim_holds;	/* at each look at stats */
	uint32_t released;
	uint32_t hits_too_many;
	uint32_t too_few;	/* holds handed over */
	uint8_t state;		/* what a claim comes to, a rank */
	bool wrong_state;
	int writer;		/* of the pipe that stands for a session */
	int kills;
} fake;

static int open_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int create(const struct script_new *config)
{
	return open_null();
}

static int session_open(int session)
{
	return fake.writer >= 0 ? fake.writer : open_null();
}

static void session_close(int session)
{
	close(session);
}

static int session_kill(int session)
{
	fake.kills++;
	return script_kill_owner(session);
}

/* Does @n elements, or what it was told to fail after. */
static int answer(uint32_t n, uint32_t *error)
{
	uint32_t d = fake.err && fake.done < n ? fake.done : n;

	if (error)
		*error = -fake.err;
	return d || !fake.err ? (int)d : fake.err;
}

static int alloc(int session, uint32_t n, uint32_t *ids,
		 struct kvbm_evicted *evicted, uint32_t *nr_evicted)
{
	for (uint32_t i = 0; i < n; i++)
		ids[i] = i;
	*nr_evicted = 0;
	return fake.err ? fake.err : (int)n;
}

static int match(int session, uint32_t n, const struct kvbm_hash *hashes,
		 uint32_t *ids, uint32_t *error)
{
	for (uint32_t i = 0; i < n; i++)
		ids[i] = 10 + i;
	return answer(n, error);
}

static int scan(int session, uint32_t n, const struct kvbm_hash *hashes,
		uint32_t *ids, uint32_t flags, uint32_t *hits, uint32_t *error)
{
	int done = match(session, n, hashes, ids, error);

	if (n > 1)
		ids[1] = KVBM_NO_BLOCK;
	*hits = done - (done > 1) + fake.hits_too_many;
	return done;
}

/* Each says its number. */
static int match_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
		       uint32_t *ids, void *notes, uint32_t *error)
{
	memset(notes, 0xee, n);
	for (uint32_t i = 0; i < n; i++)
		((uint8_t *)notes)[i] = i;
	return match(session, n, hashes, ids, error);
}

static int scan_notes(int session, uint32_t n, const struct kvbm_hash *hashes,
		      uint32_t *ids, void *notes, uint32_t flags,
		      uint32_t *hits, uint32_t *error)
{
	match_notes(session, n, hashes, ids, notes, error);
	return scan(session, n, hashes, ids, flags, hits, error);
}

static int release(int session, uint32_t n, const uint32_t *ids,
		   uint32_t flags, uint32_t *error)
{
	int done = answer(n, error);

	fake.released += done > 0 ? done : 0;
	return done;
}

static int stage(int session, uint32_t n, const uint32_t *ids,
		 const struct kvbm_hash *hashes, const uint32_t *tokens,
		 uint32_t *error)
{
	return answer(n, error);
}

static int stage_notes(int session, uint32_t n, const uint32_t *ids,
		       const struct kvbm_hash *hashes, const void *notes,
		       uint32_t *error)
{
	return answer(n, error);
}

static int claim(int session, uint32_t n, const uint32_t *ids,
		 const struct kvbm_hash *hashes, uint8_t *states,
		 uint32_t *error)
{
	memset(states, fake.state, n);
	return answer(n, error);
}

static int offer(int session, uint32_t n, const uint32_t *ids,
		 struct kvbm_ticket *ticket)
{
	memset(ticket, 1, sizeof(*ticket));
	return fake.err;
}

/* What match() gave. */
static int accept_offer(int session, const struct kvbm_ticket *ticket,
			uint32_t room, uint32_t *ids, uint32_t *total)
{
	for (uint32_t i = 0; i < room; i++)
		ids[i] = 10 + i;
	*total = room;
	return fake.err ? fake.err : (int)(room - fake.too_few);
}

static int withdraw(int session, const struct kvbm_ticket *ticket)
{
	return fake.err ? fake.err : 2;
}

static int keep_hashes(int session, uint32_t n, const struct kvbm_hash *hashes,
		       uint32_t rank, uint64_t until_ns, uint32_t flags,
		       uint8_t *results, uint32_t *error)
{
	memset(results, fake.state, n);
	return answer(n, error);
}

static int invalidate(int session, uint32_t n, const struct kvbm_hash *hashes,
		      uint32_t flags, uint32_t *idle, uint32_t *held)
{
	*idle = n;
	*held = flags;
	return fake.err;
}

static int sleep_ms(int session, uint64_t ms)
{
	return fake.err;
}

static int stats(int session, struct kvbm_stats *stats)
{
	*stats = fake.stats;
	fake.stats.reclaimed_owned += fake.reclaim_owned;
	fake.stats.reclaimed_holds += fake.reclaim_holds;
	return 0;
}

static int counts(int session, struct kvbm_counts *c)
{
	memset(c, 0, sizeof(*c));
	return 0;
}

static int block_info(int session, uint32_t block,
		      struct kvbm_block_info *info)
{
	memset(info, 0, sizeof(*info));
	info->state = fake.wrong_state ? KVBM_STATE_RESET : KVBM_STATE_MUTABLE;
	info->own_holds = 1;
	return 0;
}

static const struct script_backend backend = {
	.create = create,
	.session_open = session_open,
	.session_close = session_close,
	.session_kill = session_kill,
	.alloc = alloc,
	.match = match,
	.scan = scan,
	.release = release,
	.match_notes = match_notes,
	.scan_notes = scan_notes,
	.stage = stage,
	.stage_notes = stage_notes,
	.claim = claim,
	.offer = offer,
	.accept = accept_offer,
	.withdraw = withdraw,
	.keep_hashes = keep_hashes,
	.invalidate = invalidate,
	.sleep = sleep_ms,
	.stats = stats,
	.counts = counts,
	.block_info = block_info,
};

static struct script *script;
static struct script_cmd cmd;
static int complaints, checks, failures;
static char *printed;
static size_t printed_len;

static void complain(const char *text)
{
	complaints++;
}

static void check(bool good, const char *what)
{
	checks++;
	failures += !good;
	printf("%sok %d %s\n", good ? "" : "not ", checks, what);
}

/* Runs a line and tells whether it prints @want. */
static bool says(const char *text, const char *want)
{
	char *line = strdup(text);
	const char *why = "";
	bool good;
	FILE *out;

	free(printed);
	out = open_memstream(&printed, &printed_len);
	good = script_parse(&cmd, line, &why) == 1 &&
	       !script_run(script, &cmd, out);
	fputc('\0', out);
	fclose(out);
	free(line);
	if (good && strlen(printed))
		printed[strlen(printed) - 1] = '\0';
	if (good && !strcmp(printed, want))
		return true;
	printf("# %s\n#   expected: %s\n#   got:      %s\n", text, want,
	       good ? printed : "no answer");
	return false;
}

/* Runs a line for its effects. */
static void run(const char *text)
{
	char *line = strdup(text);
	const char *why = "";
	FILE *out = fopen("/dev/null", "w");

	if (script_parse(&cmd, line, &why) != 1 ||
	    script_run(script, &cmd, out))
		exit(1);
	fclose(out);
	free(line);
}

static void begin(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.writer = -1;
	complaints = 0;
	if (script)
		script_end(script);
	script = script_start(&backend, complain);
	if (!script || !says("new 100 16 lru allow 0 0", "ok"))
		exit(1);
}

static void test_partial_match(void)
{
	begin();
	fake.err = -ENOMEM;
	fake.done = 2;
	check(says("match 0:1 0:2 0:3", "err ENOMEM"),
	      "a match that fails prints only its error");
	fake.err = 0;
	check(says("held", "mutable=- staged=- guards=g0:10,g1:11"),
	      "the holds that it took before are guards");
	check(says("match 0:1", "ids=10 guards=g2"),
	      "their numbers stay used");
}

static void test_partial_scan(void)
{
	begin();
	fake.err = -EDQUOT;
	fake.done = 3;
	check(says("scan 0:1 0:2 0:3 0:4", "err EDQUOT"),
	      "a scan that fails prints only its error");
	fake.err = 0;
	check(says("held", "mutable=- staged=- guards=g0:10,g1:12"),
	      "misses before the failure are no guards");
	check(complaints == 0, "nothing to complain about yet");
	fake.hits_too_many = 1;
	run("scan 0:1 0:2");
	check(complaints == 1, "a wrong number of hits is noticed");
}

static void test_partial_release(void)
{
	begin();
	run("match 0:1 0:2 0:3 0:4");
	fake.err = -EPERM;
	fake.done = 1;
	check(says("release_vec g2 g0 g1", "err EPERM"),
	      "the store's error comes before that of the script's books");
	fake.err = 0;
	check(says("held", "mutable=- staged=- guards=g0:10,g1:11,g3:13"),
	      "what was released before the failure is gone");
	fake.released = 0;
	check(says("release_vec g0 g1 g0 g3", "err ENOENT"),
	      "a guard named twice is gone by its second place");
	check(fake.released == 2, "the store never sees it twice");
	fake.err = -EINTR;
	fake.done = 0;
	check(says("release_all", "err EINTR"), "release_all can fail");
	fake.err = 0;
	check(says("release_all", "ok 1"), "and be repeated");
}

static void test_partial_drop(void)
{
	begin();
	run("alloc 3");
	fake.err = -ENODEV;
	fake.done = 2;
	check(says("drop_mutable 0 1 2", "err ENODEV"), "a drop can fail");
	fake.err = 0;
	check(says("held", "mutable=2 staged=- guards=-"),
	      "the blocks before the failure are gone");
	check(complaints == 0, "a block that the store knows is in order");
	fake.wrong_state = true;
	run("held");
	check(complaints == 1, "a block in another state is noticed");
}

static void test_claim(void)
{
	begin();
	run("alloc 2");
	fake.state = KVBM_CLAIM_PENDING;
	check(says("claim 0 0:1", "pending"), "somebody else's claim");
	check(says("held", "mutable=0,1 staged=- guards=-"),
	      "leaves the block Mutable");
	fake.state = KVBM_CLAIMED;
	check(says("claim 0 0:1", "claimed"), "a claim");
	fake.err = -ENOMEM;
	check(says("claim 1 0:2", "err ENOMEM"), "a claim can fail");
	fake.err = 0;
	fake.state = 7;
	run("claim 1 0:2");
	check(complaints == 1, "a state that is none is noticed");
}

static void test_offer(void)
{
	begin();
	run("match 0:1 0:2 0:3");
	fake.err = -ENOMEM;
	check(says("offer g0 g1", "err ENOMEM"), "an offer can fail");
	fake.err = 0;
	check(says("offer g0 g1", "o0"), "and be repeated");
	fake.err = -EDQUOT;
	run("session b");
	check(says("accept o0", "err EDQUOT"), "so can its acceptance");
	fake.err = 0;
	check(says("accept o0", "ids=10,11 guards=g3,g4"),
	      "the guards are the other session's");
	run("session main");
	check(says("release_all", "ok 1"), "one is left to the giver");
	check(complaints == 0, "all in order");
	run("match 0:1 0:2");
	run("offer g5 g6");
	fake.too_few = 1;
	run("session b");
	run("accept o1");
	check(complaints == 1, "a hold that is missing is noticed");
	run("session main");
	run("match 0:1");
	run("offer g8");
	run("withdraw o2");
	check(complaints == 2, "and one too many that comes back");
}

static void test_keep(void)
{
	begin();
	fake.state = KVBM_KEEP_DENIED;
	check(says("keep high 0:1 0:2", "denied,denied"), "what is denied");
	fake.err = -EINTR;
	fake.done = 1;
	check(says("keep high 0:1 0:2", "err EINTR"), "a part is an error");
}

static void test_notes(void)
{
	begin();
	run("new 100 16 lru allow 0 0 note 1");
	check(says("match_notes 0:1 0:2", "ids=10,11 guards=g0,g1 notes=00,01"),
	      "notes of what matches");
	check(says("scan_notes 0:1 0:2 0:3",
		   "found=0000000000000000:0000000000000001=10,"
		   "0000000000000000:0000000000000003=12 guards=g2,g3 notes=00,02"),
	      "a miss has no note");
	fake.err = -EDQUOT;
	fake.done = 1;
	check(says("match_notes 0:1 0:2", "err EDQUOT"), "a part is an error");
	fake.done = 0;
	check(says("stage 0 0:1 note 01", "err EDQUOT"), "staging can fail");
	fake.err = 0;
	check(says("held", "mutable=- staged=- guards=g0:10,g1:11,g2:10,g3:12,g4:10"),
	      "and leaves the books alone");
	check(says("stage 0 0:1 note 0102", "err EINVAL"),
	      "the store never sees a note that is too long");
}

static void test_invalidate(void)
{
	begin();
	check(says("invalidate 0:1 0:2", "ok idle=2 held=0"), "by hashes");
	check(says("invalidate_prefix 0:1", "ok idle=1 held=1"), "by prefix");
	check(says("invalidate_all", "ok idle=0 held=2"), "all");
	fake.err = -EPERM;
	check(says("invalidate 0:1", "err EPERM"), "forgetting can fail");
	check(says("invalidate_all", "err EPERM"), "all of it, too");
	fake.err = -EINVAL;
	check(says("sleep 1", "err EINVAL"), "so can sleeping");
}

static void test_errors(void)
{
	begin();
	fake.err = -ENOSPC;
	check(says("alloc 1", "none"), "a shortage is none");
	fake.err = -EDQUOT;
	check(says("alloc 1", "err EDQUOT"), "a limit is an error");
	fake.err = -EINVAL;
	check(says("stage 0 0:1", "err EINVAL"), "errors go by their names");
	fake.err = -5000;
	check(says("stage 0 0:1", "err 5000"), "or by their numbers");
	fake.err = 0;
	check(says("held", "mutable=- staged=- guards=-"),
	      "what failed is not in the books");
}

static void test_reclaim(void)
{
	begin();
	run("session b");
	run("alloc 2");
	run("match 0:1");
	fake.reclaim_owned = 2;
	fake.reclaim_holds = 1;
	check(says("close b", "ok reclaimed=3"), "the store's count is printed");
	check(complaints == 0, "it is what the script had");
	check(!fake.kills, "closed, not killed");
	run("session b");
	check(says("close b", "ok reclaimed=3"), "also when it is wrong");
	check(complaints == 1, "which is noticed");
	fake.reclaim_owned = 0;
	fake.reclaim_holds = 0;
}

static void test_gauges(void)
{
	static __u64 * const gauges[] = {
		&fake.stats.inflight_mutable, &fake.stats.staged,
		&fake.stats.inflight_immutable, &fake.stats.sessions,
		&fake.stats.reset_pool_size, &fake.stats.inactive_pool_size,
	};

	begin();
	fake.stats.sessions = 1;
	run("counts");
	check(complaints == 0, "gauges that are as the script's");
	for (size_t i = 0; i < sizeof(gauges) / sizeof(*gauges); i++) {
		complaints = 0;
		++*gauges[i];
		run("counts");
		check(complaints == 1, "a wrong gauge is noticed");
		--*gauges[i];
	}
}

/*
 * The session is the writing end of a pipe: its reader sees the end of file
 * when the last process that has it is gone.
 */
static void test_kill(void)
{
	struct pollfd p = { .events = POLLIN };
	int fds[2];

	begin();
	if (pipe2(fds, O_CLOEXEC))
		exit(1);
	p.fd = fds[0];
	fake.writer = fds[1];
	run("session b");
	fake.writer = -1;
	check(poll(&p, 1, 0) == 0, "the session is open");
	check(says("kill b", "ok reclaimed=0") && fake.kills == 1,
	      "a session is killed");
	check(poll(&p, 1, 0) == 1 && p.revents & POLLHUP,
	      "nobody has it any more when kill returns");
	close(fds[0]);
	check(says("held", "mutable=- staged=- guards=-"),
	      "main is as it was");
}

int main(void)
{
	printf("TAP version 13\n");
	test_partial_match();
	test_partial_scan();
	test_partial_release();
	test_partial_drop();
	test_claim();
	test_offer();
	test_keep();
	test_notes();
	test_invalidate();
	test_errors();
	test_reclaim();
	test_gauges();
	test_kill();
	script_end(script);
	script_cmd_free(&cmd);
	free(printed);
	printf("1..%d\n", checks);
	return failures ? 1 : 0;
}
