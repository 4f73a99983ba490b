// SPDX-License-Identifier: MIT
/*
 * The model against cases worked out by hand from the contract, and against its
 * own invariants under random operations. KTAP.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"
#include "script_model.h"

static const char *why;		/* of the failure, or NULL */
static char why_buf[512];

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			snprintf(why_buf, sizeof(why_buf), "%s:%d: %s", \
				 __FILE__, __LINE__, #cond); \
			why = why_buf; \
			return; \
		} \
	} while (0)

/* ---- scenes: idle blocks and the order in which they go ---- */

/*
 * Letters are hashes:	A - B - C - D	a chain from position 0
 *			 \   \ T
 *			  S, q		q: the node key of B, another hash
 *			a - b		b: the node key of B, another parent
 *			R		a root,  X: position 300, parent unknown
 */
static struct m_hash letter(char c)
{
	const uint64_t high = 1ull << 60;

	switch (c) {
	case 'A': return m_hash_pack(0xa, 0, 0);
	case 'B': return m_hash_pack(0xb, 0xa, 1);
	case 'C': return m_hash_pack(0xc, 0xb, 2);
	case 'D': return m_hash_pack(0xd, 0xc, 3);
	case 'S': return m_hash_pack(0x5, 0xa, 1);
	case 'T': return m_hash_pack(0x7, 0xb, 2);
	case 'R': return m_hash_pack(0x8, 0, 0);
	case 'X': return m_hash_pack(0x9, 0x99, 300);
	case 'a': return m_hash_pack(0xa1, 0, 0);
	case 'b': return m_hash_pack(high | 0xb, 0xa1, 1);
	case 'q': return m_hash_pack(2 * high | 0xb, 0xa, 1);
	}
	M_ASSERT(!"no such letter");
	return m_hash_pack(0, 0, 0);
}

static uint32_t held(const struct model *m, char c)
{
	for (uint32_t i = 0; i < m->cfg.total; i++) {
		if (m->slot[i].holds[0] &&
		    m_hash_equal(m->slot[i].hash, letter(c)))
			return i;
	}
	M_ASSERT(!"not held");
	return M_NONE;
}

static bool scene_step(struct model *m, char verb, char c)
{
	struct m_hash h = letter(c), evicted;
	uint32_t id, n;
	enum m_kind kind;

	switch (verb) {
	case '+':	/* becomes registered, held once */
		for (id = 0; id < m->cfg.total; id++) {
			if (m_owns(m, 0, id, M_MUTABLE))
				break;
		}
		if (id == m->cfg.total && m_allocate_reset(m, 0, 1, &id) != 1)
			return false;
		return !m_stage_register(m, 0, id, h, M_DUP_DEFAULT, &kind,
					 &id);
	case '-':	/* released */
		return !m_release(m, 0, held(m, c));
	case '=':	/* matched */
		return !m_match(m, 0, &h, 1, &id, &n) && n == 1;
	case '~':	/* will be reset on release */
		return !m_set_reset(m, 0, held(m, c), true);
	case '!':	/* evicted next */
		while (m_allocate_reset(m, 0, 1, &id))
			;
		return !m_allocate(m, 0, 1, &id, &evicted, &n) && n == 1 &&
		       m_hash_equal(evicted, h);
	}
	return false;
}

static void scene(enum m_policy policy, const char *text)
{
	struct m_config cfg = { .total = 16, .block_size = 16,
				.policy = policy, .frequency = 1 << 16 };
	struct model *m;
	char verb = 0;
	int err;

	if (why)
		return;
	m = model_new(&cfg, &err);
	M_ASSERT(m && !m_session_open(m, 0));
	for (const char *p = text; *p && !why; p++) {
		if (*p == ' ') {
			verb = 0;
		} else if (!verb) {
			verb = *p;
		} else if (!scene_step(m, verb, *p)) {
			snprintf(why_buf, sizeof(why_buf), "%s: %s: at %d, %c%c",
				 m_policy_name[policy], text, (int)(p - text),
				 verb, *p);
			why = why_buf;
		}
		model_check(m);
	}
	model_free(m);
}

static void t_flat(void)
{
	scene(M_fifo, "+ABCR -CARB =A -A !C !R !B !A");
	scene(M_lru, "+ABCR -CARB =A -A !C !R !B !A");
	/* Counts: registered 1, each match one more; thresholds 3, 8, 15. */
	scene(M_multi_lru, "+ABC -ABC =A -A =A -A !B !C !A");
	scene(M_multi_lru, "+ABC -ABC =A -A !B !C !A");
	scene(M_multi_lru, "+ABC =AAA =BBBBBBB -BBBBBBBB -AAAA -C !C !A !B");
}

static void t_lineage_leaves(void)
{
	scene(M_lineage_tick, "+ABC -ABC =B !C !A -B !B");
	scene(M_lineage_fifo, "+ABC -ABC =B !C !A -B !B");
	scene(M_lineage_tick, "+ABCR -ABCR !C !B !A !R");
	scene(M_lineage_fifo, "+ABCR -ABCR !C !R !B !A");
	scene(M_lineage_tick, "+ABCS -CBAS !C !B !S !A");
	scene(M_lineage_fifo, "+ABCS -CBAS !C !S !B !A");
	scene(M_lineage_tick, "+ABCTX -XTBCA !X !T !C !B !A");
	scene(M_lineage_fifo, "+AB -A =A -AB !B !A");
}

static void t_lineage_placeholders(void)
{
	/* No upward link under a parent that is not inactive. */
	scene(M_lineage_tick, "+ABC -AC !A !C");
	/* Its block comes, takes the place and hangs under its own parent. */
	scene(M_lineage_tick, "+ABC -AC -B !C !B !A");
	scene(M_lineage_fifo, "+ABC -AC -B !C !B !A");
	/* Taken out of the middle: the link stays, one or two deep. */
	scene(M_lineage_tick, "+ABCD -ABCD =BC !D !A");
	scene(M_lineage_tick, "+ABCD -ABCD =BC -B !D !B !A");
	/* It comes back as the last in order. */
	scene(M_lineage_tick, "+ABCR -ABCR =B -B !C !R !B !A");
	scene(M_lineage_fifo, "+ABCR -ABCR =B -B !C !R !B !A");
	/* The hash leaves the store: so does the link. */
	scene(M_lineage_tick, "+ABC -ABC =B ~B -B !A !C");
	scene(M_lineage_fifo, "+ABC -ABC =B ~B -B !C !A");
	scene(M_lineage_tick, "+ABC -ABC =B ~B -B +B -B !C !B !A");
	scene(M_lineage_tick, "+ABCD -ABCD =BC ~B -B !A !D");
	scene(M_lineage_tick, "+ABCD -ABCD =BC ~C -C !A !D");
}

static void t_lineage_twins(void)
{
	scene(M_lineage_tick, "+aAbBC -AaBbC !b !a !C !B !A");
	scene(M_lineage_tick, "+aAbBC -AaBbC =B !b !a !C !A");
	scene(M_lineage_tick, "+aAbBC -AaBbC =B -B !b !a !C !B !A");
	scene(M_lineage_tick, "+aAbBC -AaBbC =B ~B -B !A !C !b !a");
	scene(M_lineage_tick, "+aAbBqC -AaBbqC =B ~B -B !q !A !C !b !a");
	/* The carrier leaves with nothing under it, then comes back. */
	scene(M_lineage_tick, "+aAbB -AaBb =B +C -CB !C !b !a !B !A");
}

/* ---- the rest, by calls ---- */

static struct model *fresh(uint32_t total, enum m_dup dup, bool reset)
{
	struct m_config cfg = { .total = total, .block_size = 16, .dup = dup,
				.policy = M_lineage_tick, .reset = reset,
				.frequency = 1 << 16 };
	int err;
	struct model *m = model_new(&cfg, &err);

	M_ASSERT(m && !m_session_open(m, 0) && !m_session_open(m, 1));
	return m;
}

/* Shared by the tests below; freed by the runner. */
static struct model *m;
static uint32_t id, n, ids[16];
static struct m_hash gone[16];
static enum m_kind kind;

static int put(int s, uint32_t block, char c, uint32_t *where)
{
	return m_stage_register(m, s, block, letter(c), M_DUP_DEFAULT, &kind,
				where);
}

static void t_hash(void)
{
	struct m_hash h = m_hash_pack(1, 0, 0);
	struct m_key k;

	CHECK(h.hi == 0 && h.lo == 0x0040000000000000);
	h = m_hash_pack(~0ull, ~0ull, 255);
	CHECK(h.hi == 0x3fffffffffffffff && h.lo == ~0ull);
	CHECK(m_hash_node_key(h).fragment == (1ull << 46) - 1);
	h = m_hash_pack(0x123456789abcdef0, ~0ull, 256);
	CHECK(h.hi >> 46 == (1u << 16 | 256) && m_hash_position(h) == 256);
	CHECK(m_hash_current(h) == 0x123456789abcdef0);
	CHECK(m_hash_parent(h) == (1ull << 46) - 1);
	CHECK(m_hash_parent_key(h, &k) && k.position == 255);
	CHECK(k.fragment == (1ull << 46) - 1);
	h = m_hash_pack(5, ~0ull, 65536);
	CHECK(h.hi >> 38 == (2u << 24 | 65536));
	CHECK(m_hash_parent(h) == (1ull << 38) - 1);
	h = m_hash_pack(~0ull, 1, 65535);
	CHECK(m_hash_node_key(h).fragment == (1ull << 38) - 1);
	h = m_hash_pack(7, 7, 0);
	CHECK(m_hash_valid(h) && !m_hash_parent_key(h, &k));
	for (uint32_t p = 0; p <= M_POSITION_MAX; p += p < 70000 ? 1 : 4097) {
		h = m_hash_pack(~0ull, 0, p);
		CHECK(m_hash_valid(h) && m_hash_position(h) == p);
	}
	CHECK(!m_hash_valid((struct m_hash){ .hi = 3ull << 62 }));
	CHECK(!m_hash_valid((struct m_hash){ .hi = 1ull << 62 | 255ull << 46 }));
	CHECK(m_hash_valid((struct m_hash){ .hi = 1ull << 62 | 256ull << 46 }));
	CHECK(!m_hash_valid((struct m_hash){ .hi = 2ull << 62 | 65535ull << 38 }));
	CHECK(m_hash_valid((struct m_hash){ .hi = 2ull << 62 | 65536ull << 38 }));
}

static void t_sketch(void)
{
	struct m_sketch k;

	m_sketch_init(&k, 1);
	for (int i = 0; i < 9; i++)
		m_sketch_touch(&k, letter('A'));
	CHECK(m_sketch_read(&k, letter('A')) == 9);
	m_sketch_touch(&k, letter('A'));
	CHECK(m_sketch_read(&k, letter('A')) == 5 && k.counted == 5);
	for (int i = 0; i < 3; i++)
		m_sketch_touch(&k, letter('A'));
	m_sketch_touch(&k, letter('B'));
	m_sketch_touch(&k, letter('B'));
	/* 8 and 2 at the tenth: both even, none lost. */
	CHECK(m_sketch_read(&k, letter('A')) == 4 && k.counted == 5);
	CHECK(m_sketch_read(&k, letter('B')) == 1);
	m_sketch_exit(&k);
	m_sketch_init(&k, 3);
	for (int i = 0; i < 40; i++)
		m_sketch_touch(&k, letter('A'));
	CHECK(m_sketch_read(&k, letter('A')) == 15 && k.counted == 15);
	for (int i = 0; i < 15; i++)
		m_sketch_touch(&k, letter('B'));
	/* 15 and 15: two odd hashes. */
	CHECK(m_sketch_read(&k, letter('B')) == 7 && k.counted == 13);
	m_sketch_exit(&k);
	m_sketch_init(&k, 0);
	m_sketch_touch(&k, letter('A'));
	CHECK(m_sketch_read(&k, letter('A')) == 0);
	m_sketch_exit(&k);
}

static void t_config(void)
{
	struct m_config good = { .total = 1, .block_size = M_BLOCK_SIZE_MAX,
				 .policy = M_multi_lru, .frequency = 1,
				 .thresholds = { 1, 2, 15 } }, bad;
	int err;

	m = model_new(&good, &err);
	CHECK(m && !err);
	model_free(m);
	m = NULL;
#define REFUSED(change) \
	do { bad = good; bad.change; err = 0; \
	CHECK(!model_new(&bad, &err) && err == -EINVAL); } while (0)
	REFUSED(total = 0);
	REFUSED(total = M_TOTAL_MAX + 1);
	REFUSED(block_size = 0);
	REFUSED(block_size = M_BLOCK_SIZE_MAX + 1);
	REFUSED(frequency = 0);
	REFUSED(thresholds[0] = 0);
	REFUSED(thresholds[1] = 1);
	REFUSED(thresholds[2] = 16);
	REFUSED(policy = M_POLICIES);
#undef REFUSED
}

static void t_allocate(void)
{
	m = fresh(4, M_DUP_ALLOW, false);
	CHECK(m_allocate(m, 0, 5, ids, gone, &n) == -EINVAL);
	CHECK(!m_allocate(m, 0, 0, ids, gone, &n) && !n);
	CHECK(!m_allocate(m, 0, 3, ids, gone, &n) && ids[2] == 2);
	CHECK(m_allocate(m, 1, 2, ids, gone, &n) == -ENOSPC);
	CHECK(!m_release(m, 0, 1) && !m_release(m, 0, 0));
	CHECK(m_release(m, 0, 0) == -EPERM && m_release(m, 1, 2) == -EPERM);
	CHECK(m_release(m, 0, 4) == -EPERM);
	CHECK(!put(0, 2, 'A', &id) && !m_release(m, 0, 2));
	/* The free list first, in order of return, then the idle block. */
	CHECK(!m_allocate(m, 1, 4, ids, gone, &n) && n == 1);
	CHECK(ids[0] == 3 && ids[1] == 1 && ids[2] == 0 && ids[3] == 2);
	CHECK(m_hash_equal(gone[0], letter('A')));
	CHECK(m->slot[2].generation == 1 && !m->slot[3].generation);
	CHECK(m->count.allocations == 7 && m->count.evictions == 1);
	CHECK(m->count.allocations_from_reset == 6);
	CHECK(m_allocate_reset(m, 0, 9, ids) == 0);
	CHECK(!m_release(m, 1, 3) && m_allocate_reset(m, 0, 9, ids) == 1);
}

static void t_stage(void)
{
	struct m_hash bad = { .hi = ~0ull };

	m = fresh(4, M_DUP_ALLOW, false);
	CHECK(!m_allocate(m, 0, 2, ids, gone, &n));
	CHECK(m_stage(m, 1, 0, letter('A'), 16) == -EPERM);
	CHECK(m_stage(m, 1, 0, bad, 16) == -EPERM);
	CHECK(m_stage(m, 0, 0, bad, 16) == -EINVAL);
	CHECK(m_stage(m, 0, 0, letter('A'), 15) == -EINVAL);
	CHECK(m_register(m, 0, 0, 0, &kind, &id) == -EPERM);
	CHECK(!m_stage(m, 0, 0, letter('A'), M_TOKENS_NONE));
	CHECK(m_stage(m, 0, 0, letter('A'), 16) == -EPERM);
	CHECK(put(0, 0, 'A', &id) == -EPERM);
	CHECK(m_retain(m, 0, 0) == -EINVAL && m_retain(m, 1, 0) == -EPERM);
	CHECK(m_set_reset(m, 0, 0, true) == -EPERM);
	CHECK(m_presence(m, letter('A')) == M_ABSENT);
	CHECK(m_unstage(m, 0, 1) == -EPERM && !m_unstage(m, 0, 0));
	CHECK(!put(0, 0, 'A', &id) && id == 0 && kind == M_KIND_PRIMARY);
	CHECK(m_presence(m, letter('A')) == M_ACTIVE);
	CHECK(m->count.stagings == 2 && m->count.registrations == 1);
	CHECK(m_frequency(m, letter('A')) == 1);
}

static void t_duplicates(void)
{
	m = fresh(4, M_DUP_ALLOW, false);
	CHECK(!m_allocate(m, 0, 4, ids, gone, &n));
	CHECK(!put(0, 3, 'A', &id) && !put(0, 0, 'A', &id));
	CHECK(id == 0 && kind == M_KIND_DUP && m_holds(m, 3) == 2);
	CHECK(!m_release(m, 0, 3) && m->slot[3].state == M_PRIMARY);
	CHECK(!m_set_reset(m, 0, 0, true));
	CHECK(m_set_reset(m, 0, 3, true) == -EPERM);
	CHECK(!m_release(m, 0, 0) && m->slot[3].state == M_INACTIVE);
	CHECK(m->slot[0].state == M_RESET && m->slot[0].generation == 1);
	/* Registered again while idle: resurrected, both ways. */
	CHECK(!put(0, 1, 'A', &id) && kind == M_KIND_DUP && id == 1);
	CHECK(m->slot[3].state == M_PRIMARY && !m_release(m, 0, 1));
	CHECK(!m_stage(m, 0, 2, letter('A'), 16));
	CHECK(!m_register(m, 0, 2, M_DUP_REJECT, &kind, &id));
	CHECK(kind == M_KIND_DEDUP && id == 3 && m_holds(m, 3) == 1);
	CHECK(m->slot[2].state == M_RESET && !m->slot[2].generation);
	CHECK(m->free[0] == 0 && m->free[1] == 1 && m->free[2] == 2);
	CHECK(m->count.registrations == 4 && m->count.duplicate_blocks == 2);
	CHECK(m->count.registration_dedup == 1);
	CHECK(m_frequency(m, letter('A')) == 1);
	/* With the flag: own slot first, then the Primary follows it. */
	CHECK(!m_allocate(m, 0, 3, ids, gone, &n) && !m_set_reset(m, 0, 3, 1));
	CHECK(!put(0, 1, 'A', &id) && !m_release(m, 0, 3));
	CHECK(!m_release(m, 0, 1) && m->n_free == 2 && m->free[0] == 1);
	CHECK(m->free[1] == 3 && m->slot[3].generation == 1);
}

static void t_flag(void)
{
	bool all;

	m = fresh(2, M_DUP_ALLOW, true);
	CHECK(!m_allocate(m, 0, 2, ids, gone, &n));
	CHECK(!put(0, 0, 'A', &id) && !m_release(m, 0, 0));
	CHECK(m->slot[0].state == M_RESET && m->slot[0].generation == 1);
	CHECK(!put(0, 1, 'B', &id) && !m_set_reset(m, 0, 1, false));
	CHECK(!m_release(m, 0, 1) && m->slot[1].state == M_INACTIVE);
	gone[0] = letter('B');
	CHECK(!m_match(m, 1, gone, 1, ids, &n) && n == 1);
	CHECK(!m_release(m, 1, 1) && m->slot[1].state == M_INACTIVE);
	CHECK(m_reset_inactive(m, &all) == 1 && all);
	CHECK(m->slot[1].generation == 1 && !m->count.evictions);
	CHECK(!m_allocate(m, 0, 2, ids, gone, &n) && m->slot[1].reset);
}

static void t_match_scan(void)
{
	struct m_hash q[4] = { letter('A'), letter('A'), letter('S'),
			       letter('B') };

	m = fresh(4, M_DUP_ALLOW, false);
	CHECK(!m_allocate(m, 0, 2, ids, gone, &n));
	CHECK(!put(0, 0, 'A', &id) && !put(0, 1, 'B', &id));
	CHECK(!m_release(m, 0, 1) && m_presence(m, letter('B')) == M_IDLE);
	CHECK(!m_match(m, 1, q, 4, ids, &n) && n == 2 && ids[1] == 0);
	CHECK(!m_scan(m, 1, q, 4, false, ids, &n) && n == 4 && ids[0] == 0);
	CHECK(ids[2] == M_NONE && ids[3] == 1 && m->slot[0].holds[1] == 4);
	CHECK(m_frequency(m, letter('A')) == 3);
	CHECK(!m_scan(m, 1, q, 4, true, ids, &n));
	CHECK(m_frequency(m, letter('A')) == 5);
	CHECK(m->count.match_hashes_requested == 4);
	CHECK(m->count.match_blocks_returned == 2);
	CHECK(m->count.scan_hashes_requested == 8);
	CHECK(m->count.scan_blocks_returned == 6);
}

static void t_weak(void)
{
	struct m_weak w, dup, forged;
	bool all;

	m = fresh(4, M_DUP_ALLOW, false);
	CHECK(!m_allocate(m, 0, 3, ids, gone, &n) && !put(0, 0, 'A', &id));
	CHECK(!put(0, 1, 'A', &id) && m_weak(m, 1, 0, &w) == -EPERM);
	CHECK(!m_weak(m, 0, 0, &w) && !m_weak(m, 0, 1, &dup));
	CHECK(!m_upgrade(m, 1, &dup, &id) && id == 1);
	CHECK(!m_release(m, 0, 1) && !m_release(m, 1, 1));
	CHECK(!m_upgrade(m, 1, &dup, &id) && id == 0);
	CHECK(!m_release(m, 1, 0) && !m_release(m, 0, 0));
	forged = w;
	forged.hash = letter('B');
	CHECK(!m_upgrade(m, 1, &forged, &id) && id == M_NONE);
	CHECK(!m_upgrade(m, 1, &w, &id) && id == 0 && !m_release(m, 1, 0));
	CHECK(m_reset_inactive(m, &all) == 1 && !all);
	CHECK(!m_upgrade(m, 1, &w, &id) && id == M_NONE);
	/* Registered elsewhere: the hash counts. */
	CHECK(!put(0, 2, 'A', &id) && !m_upgrade(m, 1, &w, &id) && id == 2);
	CHECK(!m->count.match_blocks_returned);
	CHECK(m_frequency(m, letter('A')) == 2);
}

static void t_close(void)
{
	static const uint32_t order[] = { 0, 1, 3, 5, 7, 2, 4 };

	m = fresh(8, M_DUP_ALLOW, false);
	CHECK(!m_allocate(m, 0, 8, ids, gone, &n));
	CHECK(!put(0, 6, 'A', &id) && !put(0, 2, 'A', &id));
	CHECK(!put(0, 4, 'B', &id) && !m_stage(m, 0, 3, letter('C'), 16));
	CHECK(!m_retain(m, 0, 4) && !m_set_reset(m, 0, 4, true));
	gone[0] = letter('A');
	CHECK(!m_match(m, 1, gone, 1, ids, &n));
	CHECK(m_session_close(m, 0) == 9);
	/* 0 1 3 5 7 were Mutable or Staged, 2 a Duplicate, 4 flagged. */
	for (int i = 0; i < 7; i++)
		CHECK(m->free[i] == order[i]);
	CHECK(m->slot[6].state == M_PRIMARY && m_holds(m, 6) == 1);
	CHECK(m_session_close(m, 1) == 1 && m->slot[6].state == M_INACTIVE);
}

static void t_limit(void)
{
	struct m_config cfg = { .total = 2, .block_size = 16, .hold_limit = 2 };
	struct m_hash q[3] = { letter('A'), letter('A'), letter('A') };
	int err;

	m = model_new(&cfg, &err);
	CHECK(!m_session_open(m, 0) && !m_allocate(m, 0, 2, ids, gone, &n));
	CHECK(!put(0, 0, 'A', &id));
	CHECK(m_match(m, 0, q, 3, ids, &n) == -EOVERFLOW && n == 1);
	CHECK(m_retain(m, 0, 0) == -EOVERFLOW);
	CHECK(!m_stage(m, 0, 1, q[0], 16));
	CHECK(m_register(m, 0, 1, M_DUP_REJECT, &kind, &id) == -EOVERFLOW);
	CHECK(m_owns(m, 0, 1, M_STAGED) && !m_unstage(m, 0, 1));
	CHECK(m_stage_register(m, 0, 1, q[0], M_DUP_REJECT, &kind, &id) ==
	      -EOVERFLOW);
	CHECK(m_owns(m, 0, 1, M_MUTABLE) && m->count.stagings == 2);
	CHECK(m->count.registrations == 1);
}

static void t_gauges(void)
{
	struct m_stats st;

	m = fresh(4, M_DUP_ALLOW, false);
	m_get_stats(m, &st);
	CHECK(st.reset_pool_size == 4 && !st.inflight_mutable);
	CHECK(!m_allocate(m, 0, 4, ids, gone, &n) && !put(0, 0, 'A', &id));
	CHECK(!put(0, 1, 'A', &id) && !m_retain(m, 0, 1));
	CHECK(!m_stage(m, 0, 2, letter('B'), 16));
	m_get_stats(m, &st);
	CHECK(st.inflight_mutable == 1 && st.inflight_immutable == 3);
	CHECK(!m_release(m, 0, 0));
	m_get_stats(m, &st);
	CHECK(st.inflight_immutable == 2 && !st.inactive_pool_size);
	m_session_close(m, 0);
	m_get_stats(m, &st);
	CHECK(st.inactive_pool_size == 1 && st.reset_pool_size == 3);
	CHECK(!st.inflight_mutable && !st.inflight_immutable);
}

/* The language's own example, and corners of its output. */
static const char *const script_text[][2] = {
	{ "alloc 1", "err ENXIO\n" },
	{ "new 4 16 lineage_tick allow 0 1", "ok\n" },
	{ "plh 1 - 0", "0000000000000000:0040000000000000\n" },
	{ "alloc 2", "ids=0,1 evicted=-\n" },
	{ "stage 0 0 0040000000000000", "ok\n" },
	{ "register 0", "g0 id=0 kind=primary use=1\n" },
	{ "release g0", "ok 1\n" },
	{ "match 0:0040000000000000", "ids=0 guards=g1\n" },
	{ "  # nothing", "" },
	{ "", "" },
	{ "alloc 5", "none\n" },
	{ "alloc 3", "none\n" },
	{ "alloc_reset 9", "ids=2,3 evicted=-\n" },
	{ "alloc_reset 9", "ids=- evicted=-\n" },
	{ "stage 2 0:0040000000000000 15", "err EINVAL\n" },
	{ "stage 2 0:0040000000000000 16", "ok\n" },
	{ "stage 3 0:0040000000000000", "ok\n" },
	{ "register 2 3", "g2 id=2 kind=dup use=1 ; g3 id=3 kind=dup use=1\n" },
	{ "use g1", "3\n" },
	{ "scan 0:0040000000000000, 0 1 0 0040000000000000",
	  "found=0000000000000000:0040000000000000=0,"
	  "0000000000000000:0040000000000000=0 guards=g4,g5\n" },
	{ "release g4 g5 g5 g1", "err ENOENT\n" },
	{ "held", "mutable=1 staged=- guards=g1:0,g2:2,g3:3\n" },
	{ "weak g1", "w0\n" },
	{ "clone g1 # again", "g6\n" },
	{ "session a", "ok\n" },
	{ "release g1", "err EPERM\n" },
	{ "upgrade w0", "id=0 g7\n" },
	{ "kill a", "ok reclaimed=1\n" },
	{ "close a", "err ENOENT\n" },
	{ "close main", "err EBUSY\n" },
	{ "use g7", "err ENOENT\n" },
	{ "reset_inactive", "partial reset=0 total=4\n" },
	{ "release_all", "ok 4\n" },
	{ "drop_staged 1", "err EPERM\n" },
	{ "drop_mutable 1", "ok\n" },
	{ "presence 0 1 0 0040000000000000", "0,1\n" },
	{ "has_inactive 0:0040000000000000", "1\n" },
	{ "freq 0:0040000000000000", "2\n" },
	{ "counts", "reset_len=3 inactive_len=1 available=4 registered=1 "
	  "allocations=4 allocations_from_reset=4 evictions=0 registrations=3 "
	  "duplicate_blocks=2 registration_dedup=0 stagings=3 "
	  "match_hashes_requested=1 match_blocks_returned=1 "
	  "scan_hashes_requested=3 scan_blocks_returned=2 inflight_mutable=0 "
	  "inflight_immutable=0 reset_pool_size=3 inactive_pool_size=1\n" },
	{ "reset_inactive", "ok\n" },
	{ "upgrade w0", "none\n" },
	{ "plh 1 - 16777216", "err EINVAL\n" },
	{ "plh 1 - 18446744073709551616", "err EINVAL\n" },
	{ "alloc 18446744073709551616", "none\n" },
	{ "new 0 16 fifo allow 0 0", "err EINVAL\n" },
	{ "new 4 16 multi_lru allow 0 0", "err EINVAL\n" },
	{ "new 4 16 multi_lru reject 1 64 0 0 0", "err EINVAL\n" },
	{ "new 4 16 multi_lru reject 1 64 1 2 3", "ok\n" },
	{ "nonsense", NULL },
	{ "alloc", NULL },
	{ "alloc x", NULL },
	{ "match 0", NULL },
	{ "match 00000000000000000:0", NULL },
	{ "release 0", NULL },
};

static void complain(const char *text)
{
	snprintf(why_buf, sizeof(why_buf), "model and engine: %s", text);
	why = why_buf;
}

/* What a line prints is in *text; false: it cannot be parsed. */
static bool run_line(struct script *s, struct script_cmd *cmd, const char *line,
		     char **text)
{
	char *copy = strdup(line);
	const char *reason;
	size_t len;
	FILE *out = open_memstream(text, &len);
	int got;

	M_ASSERT(copy && out);
	got = script_parse(cmd, copy, &reason);
	if (got == 1)
		M_ASSERT(!script_run(s, cmd, out));
	fclose(out);
	free(copy);
	return got >= 0;
}

static void t_script(void)
{
	struct script *s = script_start(&script_model, complain);
	struct script_cmd cmd = { 0 };

	M_ASSERT(s);
	for (size_t i = 0; i < sizeof(script_text) / sizeof(script_text[0]); i++) {
		const char *want = script_text[i][1];
		char *text = NULL;
		bool good = run_line(s, &cmd, script_text[i][0], &text);

		if (!why && (good != !!want || (want && strcmp(text, want)))) {
			snprintf(why_buf, sizeof(why_buf), "%s: %s, not %s",
				 script_text[i][0], good ? text : "no parse",
				 want ? want : "no parse");
			why = why_buf;
		}
		free(text);
		if (why)
			break;
	}
	script_end(s);
	script_cmd_free(&cmd);
}

/* Random operations: every invariant after each, and every event happens. */
static uint64_t seen[G_KINDS], failed[G_KINDS], evictions, twins_seen, ph_seen;

static void run_stream(uint64_t seed, int ops)
{
	static struct g_op op;
	static struct g_res res;
	static struct gen g;
	struct g_rng r = { .s = seed };
	struct m_config cfg = {
		.total = 1 + g_below(&r, 48),
		.block_size = 16,
		.policy = seed % M_POLICIES,
		.dup = 1 + g_below(&r, 2),
		.reset = g_once_in(&r, 4),
		.frequency = 1 << 20,
	};
	struct g_config gc = {
		.seed = seed,
		.sessions = 1 + (int)g_below(&r, 5),
		.twins = g_below(&r, 3),
		.invalid = g_once_in(&r, 2),
	};
	int err;

	if (g_once_in(&r, 2)) {
		cfg.keep_blocks = 1 + cfg.total / 3;
		cfg.keep_user_blocks = 1 + cfg.keep_blocks / 2;
	}
	m = model_new(&cfg, &err);
	M_ASSERT(m);
	gen_init(&g, &gc, cfg.total);
	for (int i = 0; i < ops; i++) {
		gen_next(&g, m, &op);
		g_apply(m, &op, &res);
		seen[op.kind] += res.done + res.forgotten.idle +
				 res.forgotten.held;
		failed[op.kind] += !!res.err;
		evictions += res.n_evicted;
		model_check(m);
		for (int k = 0; k < m->index.n_nodes; k++) {
			const struct m_node *x = &m->index.node[k];

			twins_seen += x->used && x->twin;
			ph_seen += x->used && x->stands_for != M_NONE;
		}
	}
	model_free(m);
	m = NULL;
}

static void t_random(void)
{
	for (uint64_t seed = 1; seed <= 100; seed++)
		run_stream(seed, 1000);
	for (int k = 0; k < G_KINDS; k++) {
		if (k != G_OPEN && k != G_COUNTS && k != G_INFO && k != G_TIME)
			CHECK(seen[k]);
	}
	CHECK(failed[G_RELEASE] && failed[G_STAGE] && failed[G_ALLOC]);
	CHECK(failed[G_REGISTER] && failed[G_INFO] && failed[G_RETAIN]);
	CHECK(failed[G_OFFER] && failed[G_ACCEPT] && failed[G_WITHDRAW]);
	CHECK(evictions && twins_seen && ph_seen);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "hash layout", t_hash },
	{ "exact sketch", t_sketch },
	{ "configuration", t_config },
	{ "allocate", t_allocate },
	{ "stage and register", t_stage },
	{ "duplicates", t_duplicates },
	{ "reset on release", t_flag },
	{ "match and scan", t_match_scan },
	{ "weak references", t_weak },
	{ "close", t_close },
	{ "hold limit", t_limit },
	{ "gauges", t_gauges },
	{ "flat orders", t_flat },
	{ "lineage leaves", t_lineage_leaves },
	{ "lineage placeholders", t_lineage_placeholders },
	{ "lineage twins", t_lineage_twins },
	{ "script language", t_script },
	{ "random operations", t_random },
};

int main(void)
{
	const int count = sizeof(tests) / sizeof(tests[0]);
	int bad = 0;

	printf("KTAP version 1\n1..%d\n", count);
	for (int i = 0; i < count; i++) {
		why = NULL;
		m = NULL;
		tests[i].run();
		if (m)
			model_check(m);
		model_free(m);
		if (why)
			printf("# %s\n", why);
		printf("%s %d model: %s\n", why ? "not ok" : "ok", i + 1,
		       tests[i].name);
		bad += !!why;
	}
	printf("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:0 error:0\n",
	       count - bad, bad);
	return bad ? 1 : 0;
}
