// SPDX-License-Identifier: MIT
/*
 * model-gen --script SEED N POLICY [none|some|many]: writes a random script of
 * N lines for kvbmctl exec and model-script, and runs each line on the model
 * as it goes. With POLICY "any", each store of the script has its own policy.
 * The last word says how many hashes share a node key (none by default).
 *
 * Scripts contain only what the language defines, mistakes included.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"
#include "script_engine.h"
#include "script_model.h"

#define LINES_PER_STORE 1500

struct maker {
	struct g_rng rng;
	struct script *s;
	struct script_cmd cmd;
	struct g_universe u;
	enum g_twins twins;
	const char *policy;
	uint32_t sleep;		/* the next line lets so much time pass, ms */
	char line[16384];
	size_t len;
};

__attribute__((format(printf, 2, 3)))
static void add(struct maker *k, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(k->line + k->len, sizeof(k->line) - k->len, fmt, ap);
	va_end(ap);
	M_ASSERT(n >= 0 && k->len + n < sizeof(k->line));
	k->len += n;
}

static const struct script_books *books(const struct maker *k)
{
	return &k->s->books;
}

/* The model's session, which is the script's current one. */
static int session(const struct maker *k)
{
	return k->s->current->fd;
}

/* A hash in one of the forms the language takes. */
static void add_hash(struct maker *k, struct m_hash h, bool first)
{
	add(k, "%s", first || !g_once_in(&k->rng, 3) ? " " : ",");
	switch (g_below(&k->rng, 4)) {
	case 0:
		add(k, "%" PRIx64 " %" PRIx64, h.hi, h.lo);
		break;
	case 1:
		add(k, "%" PRIx64 ":%" PRIx64, h.hi, h.lo);
		break;
	default:
		add(k, "%016" PRIx64 ":%016" PRIx64, h.hi, h.lo);
		break;
	}
}

static uint32_t count_of(struct maker *k)
{
	return 1 + g_below(&k->rng, g_once_in(&k->rng, 30) ? 80 :
				    g_once_in(&k->rng, 4) ? 16 : 4);
}

static struct m_hash one_hash(struct maker *k)
{
	if (g_once_in(&k->rng, 40))
		return g_bad_hash(&k->rng);
	return k->u.node[g_below(&k->rng, k->u.n)].hash;
}

static void add_query(struct maker *k, uint32_t n, bool bad)
{
	struct m_hash h[G_MAX];

	if (n > G_MAX)
		n = G_MAX;
	if (g_once_in(&k->rng, 4))
		g_runs(&k->u, &k->rng, h, n);
	else
		n = g_path(&k->u, &k->rng, h, n);
	if (bad && g_once_in(&k->rng, 30))
		h[g_below(&k->rng, n)] = g_bad_hash(&k->rng);
	for (uint32_t i = 0; i < n; i++)
		add_hash(k, h[i], !i);
}

/* Blocks of the current session in a state; at most max. */
static uint32_t owned(const struct maker *k, enum m_state state, uint32_t *ids,
		      uint32_t max)
{
	const struct model *m = script_model_store();
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->cfg.total && n < max; i++) {
		if (m_owns(m, session(k), i, state))
			ids[n++] = i;
	}
	return n;
}

/* One of these is of the time before everything was forgotten. */
static bool has_stale(const struct maker *k, enum m_state state)
{
	const struct model *m = script_model_store();

	for (uint32_t i = 0; i < m->cfg.total; i++)
		if (m_owns(m, session(k), i, state) &&
		    m->slot[i].epoch != m->epoch)
			return true;
	return false;
}

/* Now and then an id that the session may not have. */
static uint32_t one_owned(struct maker *k, enum m_state state)
{
	uint32_t ids[64], n = owned(k, state, ids, 64);

	if (!n || g_once_in(&k->rng, 30))
		return g_below(&k->rng, script_model_store()->cfg.total + 2);
	return ids[g_below(&k->rng, n)];
}

static void add_owned(struct maker *k, enum m_state state)
{
	uint32_t ids[64], n = owned(k, state, ids, 64);
	uint32_t want = 1 + g_below(&k->rng, 4), at;

	if (!n || g_once_in(&k->rng, 15)) {
		/* Any one, the same one twice, or one that is not its own. */
		add(k, " %" PRIu32, one_owned(k, state));
		if (g_once_in(&k->rng, 2))
			add(k, " %" PRIu32, one_owned(k, state));
		return;
	}
	at = g_below(&k->rng, n);
	for (uint32_t i = 0; i < want && i < n; i++)
		add(k, " %" PRIu32, ids[(at + i) % n]);
}

static uint32_t live_guards(const struct maker *k, uint32_t *g, uint32_t max)
{
	uint32_t n = 0;

	for (uint64_t i = k->s->current->last; i != SCRIPT_NO_GUARD && n < max;
	     i = books(k)->guards[i].prev)
		g[n++] = i;
	return n;
}

static uint32_t one_guard(struct maker *k)
{
	uint32_t g[512], n = live_guards(k, g, 512);

	/* One that never was. */
	if (!n || g_once_in(&k->rng, 60))
		return books(k)->n_guards + g_below(&k->rng, 3);
	return g[g_below(&k->rng, n)];
}

static void add_guards(struct maker *k)
{
	uint32_t g[512], n = live_guards(k, g, 512), want = count_of(k), at;

	if (!n || g_once_in(&k->rng, 5)) {
		add(k, " g%" PRIu32, one_guard(k));
		return;
	}
	/* A run of neighbours: newest first, which is tail first, or oldest. */
	at = g_below(&k->rng, n);
	if (want > n - at)
		want = n - at;
	if (g_once_in(&k->rng, 3)) {
		for (uint32_t i = want; i-- > 0;)
			add(k, " g%" PRIu32, g[at + i]);
	} else {
		for (uint32_t i = 0; i < want; i++)
			add(k, " g%" PRIu32, g[at + i]);
	}
	if (g_once_in(&k->rng, 40))
		add(k, " g%" PRIu32, g[at]);
}

static void new_store(struct maker *k)
{
	const char *policy = k->policy;
	uint32_t total = 1 + g_below(&k->rng, g_once_in(&k->rng, 3) ? 200 : 40);
	bool multi;
	int n;

	if (!strcmp(policy, "any"))
		policy = m_policy_name[g_below(&k->rng, M_POLICIES)];
	multi = !strcmp(policy, "multi_lru");
	n = total / 2 + 2 + (int)g_below(&k->rng, 5 * total / 2 + 2);
	if (n > G_UNIVERSE)
		n = G_UNIVERSE;
	g_universe_init(&k->u, &k->rng, n, k->twins);
	add(k, "new %" PRIu32 " %u %s %s %u %u", total,
	    1 + g_below(&k->rng, 1u << g_below(&k->rng, 21)), policy,
	    g_once_in(&k->rng, 2) ? "allow" : "reject", g_once_in(&k->rng, 4),
	    multi || g_once_in(&k->rng, 2));
	if (multi && g_once_in(&k->rng, 2)) {
		uint32_t a = 1 + g_below(&k->rng, 5);
		uint32_t b = a + 1 + g_below(&k->rng, 4);

		add(k, " %" PRIu32 " %" PRIu32 " %" PRIu32, a, b,
		    b + 1 + g_below(&k->rng, 15 - b));
	}
	if (g_once_in(&k->rng, 2))
		add(k, " keep %" PRIu32, 1 + g_below(&k->rng, total));
	if (g_once_in(&k->rng, 2))
		add(k, " note %u", 1 + (g_once_in(&k->rng, 4) ?
					g_below(&k->rng, 256) :
					g_below(&k->rng, 12)));
}

static void session_line(struct maker *k)
{
	static const char *const name[] = { "main", "a", "b", "c" };
	uint32_t i = g_below(&k->rng, 4);

	if (g_once_in(&k->rng, 5))
		add(k, "%s %s", g_once_in(&k->rng, 4) ? "kill" : "close",
		    name[i]);
	else
		add(k, "session %s", name[i]);
}

enum act {
	A_ALLOC, A_ALLOC_RESET, A_STAGE, A_UNSTAGE, A_REGISTER, A_MATCH, A_SCAN,
	A_RELEASE, A_RELEASE_VEC, A_RELEASE_ALL, A_CLONE, A_USE, A_WEAK,
	A_UPGRADE, A_DROP_MUTABLE, A_DROP_STAGED, A_SET_RESET,
	A_RESET_INACTIVE, A_COUNTS, A_ASK, A_TOUCH, A_HELD, A_PLH, A_SESSION,
	A_CLAIM, A_OFFER, A_ACCEPT, A_WITHDRAW, A_KEEP, A_KEEP_HELD, A_RANK,
	A_REGISTER_NOTE, A_MATCH_NOTES, A_SCAN_NOTES, A_NOTE, A_INVALIDATE,
	A_INVALIDATE_PREFIX, A_INVALIDATE_ALL,
	A_ACTS
};

static const int weight[A_ACTS] = {
	[A_ALLOC] = 110, [A_ALLOC_RESET] = 20, [A_STAGE] = 260,
	[A_UNSTAGE] = 10, [A_REGISTER] = 170, [A_MATCH] = 150, [A_SCAN] = 50,
	[A_RELEASE] = 130, [A_RELEASE_VEC] = 130, [A_RELEASE_ALL] = 12,
	[A_CLONE] = 30, [A_USE] = 20, [A_WEAK] = 30, [A_UPGRADE] = 40,
	[A_DROP_MUTABLE] = 15, [A_DROP_STAGED] = 10, [A_SET_RESET] = 30,
	[A_RESET_INACTIVE] = 2, [A_COUNTS] = 30, [A_ASK] = 40, [A_TOUCH] = 20,
	[A_HELD] = 20, [A_PLH] = 6, [A_SESSION] = 40, [A_CLAIM] = 60,
	[A_OFFER] = 40, [A_ACCEPT] = 40, [A_WITHDRAW] = 10, [A_KEEP] = 40,
	[A_KEEP_HELD] = 20, [A_RANK] = 10, [A_REGISTER_NOTE] = 60,
	[A_MATCH_NOTES] = 40, [A_SCAN_NOTES] = 15, [A_NOTE] = 30,
	[A_INVALIDATE] = 10, [A_INVALIDATE_PREFIX] = 6, [A_INVALIDATE_ALL] = 1,
};

static enum act any_act(struct maker *k)
{
	int sum = 0, at;

	for (int i = 0; i < A_ACTS; i++)
		sum += weight[i];
	at = (int)g_below(&k->rng, sum);
	for (int i = 0;; i++) {
		at -= weight[i];
		if (at < 0)
			return i;
	}
}

/* The kernel permits some more. */
static bool has_many_offers(const struct maker *k)
{
	const struct model *m = script_model_store();
	int n = 0;

	for (uint32_t i = 0; i < m->n_offers; i++)
		n += m->offer[i].giver == session(k);
	return n >= 4;
}

static bool is_open(const struct maker *k, uint32_t offer)
{
	const struct script_offer *o = &books(k)->offers[offer];

	return o->n && books(k)->guards[o->guards[0]].session;
}

/* Mostly one that is open. */
static uint32_t one_offer(struct maker *k)
{
	uint32_t n = books(k)->n_offers;

	for (uint32_t i = n; i-- > 0 && !g_once_in(&k->rng, 20);) {
		if (is_open(k, i) && !g_once_in(&k->rng, 3))
			return i;
	}
	return g_below(&k->rng, n + 1 + g_once_in(&k->rng, 10));
}

static void add_rank(struct maker *k, const char *what)
{
	static const char *const rank[] = { "first", "normal", "high", "keep" };

	add(k, "%s %s", what, rank[g_below(&k->rng, 4)]);
	if (g_once_in(&k->rng, 3))
		add(k, " for %" PRIu32, 3600000 + g_below(&k->rng, 3));
}

/* Whether one block more may be raised, at any time. */
static bool may_raise(void)
{
	const struct model *m = script_model_store();
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->cfg.total; i++)
		n += m->slot[i].rank > M_RANK_NORMAL;
	return n < m->cfg.keep_blocks;
}

/*
 * A rank for a moment. The real one may be over at once, so what is printed
 * until then must not depend on it: one block, which is not one too many, and
 * time passes before anything else happens.
 */
static void short_keep_line(struct maker *k)
{
	static const char *const rank[] = { "first", "high", "keep" };
	uint32_t ms = 1 + g_below(&k->rng, 10);

	add(k, "keep %s for %" PRIu32,
	    rank[may_raise() ? g_below(&k->rng, 3) : 0], ms);
	add_query(k, 1, false);
	k->sleep = ms + 5;
}

/* As long as the store's notes, or shorter; now and then too long. */
static void add_note(struct maker *k)
{
	uint32_t most = k->s->note_bytes ? k->s->note_bytes : 8;
	uint32_t n = 1 + g_below(&k->rng, most);

	if (most < KVBM_MAX_NOTE_BYTES && g_once_in(&k->rng, 60))
		n = most + 1;
	while (n--)
		add(k, "%02x", g_below(&k->rng, 256));
}

/* Mostly where there are notes. */
static bool gives_note(struct maker *k)
{
	return g_once_in(&k->rng, script_model_store()->cfg.notes ? 2 : 60);
}

/* Whether the current session has what the act is about. */
static bool has_object(const struct maker *k, enum act act)
{
	uint32_t one;

	switch (act) {
	case A_STAGE:
	case A_CLAIM:
	case A_DROP_MUTABLE:
		return owned(k, M_MUTABLE, &one, 1);
	case A_UNSTAGE:
	case A_REGISTER:
	case A_REGISTER_NOTE:
	case A_DROP_STAGED:
		return owned(k, M_STAGED, &one, 1);
	case A_RELEASE:
	case A_RELEASE_VEC:
	case A_RELEASE_ALL:
	case A_CLONE:
	case A_USE:
	case A_WEAK:
	case A_SET_RESET:
	case A_KEEP_HELD:
		return live_guards(k, &one, 1);
	case A_OFFER:
		return live_guards(k, &one, 1) && !has_many_offers(k);
	case A_ACCEPT:
	case A_WITHDRAW:
		return books(k)->n_offers;
	case A_UPGRADE:
		return books(k)->n_weaks;
	default:
		return true;
	}
}

/* When little is available: give back, or go on to where that is possible. */
static enum act relief(struct maker *k)
{
	if (g_once_in(&k->rng, 40))
		return A_RELEASE_ALL;
	if (has_object(k, A_RELEASE) && !g_once_in(&k->rng, 3))
		return A_RELEASE_VEC;
	if (has_object(k, A_REGISTER))
		return A_REGISTER;
	if (has_object(k, A_STAGE))
		return g_once_in(&k->rng, 4) ? A_DROP_MUTABLE : A_STAGE;
	return A_SESSION;
}

static void stage_line(struct maker *k)
{
	struct m_hash h = one_hash(k);
	uint32_t tokens = script_model_store()->cfg.block_size;

	add(k, "stage %" PRIu32, one_owned(k, M_MUTABLE));
	add_hash(k, h, true);
	if (g_once_in(&k->rng, 20))
		tokens = 1 + g_below(&k->rng, 2000);
	if (gives_note(k)) {
		add(k, " note ");
		add_note(k);
	} else if (g_once_in(&k->rng, 3)) {
		add(k, " %" PRIu32, tokens);
	}
}

/* Without notes there is little to ask about them. */
static bool is_apt(const struct model *m, enum act act)
{
	switch (act) {
	case A_REGISTER_NOTE:
	case A_MATCH_NOTES:
	case A_SCAN_NOTES:
	case A_NOTE:
		return m->cfg.notes;
	default:
		return true;
	}
}

static void any_line(struct maker *k)
{
	static const char *const ask[] = { "presence", "has_inactive", "freq",
					   "pending" };
	struct g_rng *r = &k->rng;
	enum act act = any_act(k);
	const struct model *m = script_model_store();
	uint32_t available = m->n_free + m->index.len;

	if (k->sleep) {
		add(k, "sleep %" PRIu32, k->sleep);
		k->sleep = 0;
		return;
	}
	if (available < m->cfg.total / 4 + 1 && g_once_in(r, 2))
		act = relief(k);
	while ((!has_object(k, act) || !is_apt(m, act)) && !g_once_in(r, 40))
		act = any_act(k);
	if (has_stale(k, M_STAGED) && g_once_in(r, 4))
		act = A_DROP_STAGED;
	if (has_stale(k, M_MUTABLE) && g_once_in(r, 4))
		act = A_DROP_MUTABLE;
	if (act == A_OFFER && has_many_offers(k))
		act = A_WITHDRAW;
	switch (act) {
	case A_ALLOC:
		add(k, "alloc %" PRIu32, count_of(k));
		break;
	case A_ALLOC_RESET:
		add(k, "alloc_reset %" PRIu32, count_of(k));
		break;
	case A_STAGE:
		stage_line(k);
		break;
	case A_UNSTAGE:
		add(k, "unstage %" PRIu32, one_owned(k, M_STAGED));
		break;
	case A_REGISTER:
		add(k, "register");
		add_owned(k, M_STAGED);
		break;
	case A_MATCH:
		add(k, "match");
		add_query(k, count_of(k), true);
		break;
	case A_SCAN:
		add(k, g_once_in(r, 2) ? "scan" : "scan_touch");
		add_query(k, count_of(k), true);
		break;
	case A_RELEASE:
	case A_RELEASE_VEC:
		add(k, act == A_RELEASE ? "release" : "release_vec");
		add_guards(k);
		break;
	case A_RELEASE_ALL:
		add(k, "release_all");
		break;
	case A_CLONE:
		add(k, "clone g%" PRIu32, one_guard(k));
		break;
	case A_USE:
		add(k, "use g%" PRIu32, one_guard(k));
		break;
	case A_WEAK:
		add(k, "weak g%" PRIu32, one_guard(k));
		break;
	case A_UPGRADE:
		add(k, "upgrade w%" PRIu32, g_below(r, books(k)->n_weaks +
						    g_once_in(r, 20) + 1));
		break;
	case A_DROP_MUTABLE:
		add(k, "drop_mutable");
		add_owned(k, M_MUTABLE);
		break;
	case A_DROP_STAGED:
		add(k, "drop_staged");
		add_owned(k, M_STAGED);
		break;
	case A_SET_RESET: {
		uint32_t g = one_guard(k), id = g_below(r, m->cfg.total + 1);

		if (g < books(k)->n_guards)
			id = books(k)->guards[g].block;
		add(k, "set_reset %" PRIu32 " %u", id, g_once_in(r, 2));
		break;
	}
	case A_RESET_INACTIVE:
		add(k, "reset_inactive");
		break;
	case A_COUNTS:
		add(k, "counts");
		break;
	case A_ASK:
		add(k, "%s", ask[g_below(r, 4)]);
		add_query(k, count_of(k), true);
		break;
	case A_TOUCH:
		add(k, g_once_in(r, 2) ? "touch" : "touch_newest");
		add_query(k, count_of(k), false);
		break;
	case A_HELD:
		add(k, "held");
		break;
	case A_PLH:
		add(k, "plh %" PRIx64 " %" PRIx64 " %" PRIu32, g_random(r),
		    g_random(r), g_below(r, g_once_in(r, 2) ? 1u << 24 : 1000));
		break;
	case A_CLAIM:
		add(k, "claim %" PRIu32, one_owned(k, M_MUTABLE));
		add_hash(k, one_hash(k), true);
		if (gives_note(k)) {
			add(k, " note ");
			add_note(k);
		}
		break;
	case A_REGISTER_NOTE:
		add(k, "register_note ");
		add_note(k);
		add_owned(k, M_STAGED);
		break;
	case A_MATCH_NOTES:
		add(k, "match_notes");
		add_query(k, count_of(k), true);
		break;
	case A_SCAN_NOTES:
		add(k, "scan_notes");
		add_query(k, count_of(k), true);
		break;
	case A_NOTE:
		add(k, "note");
		for (uint32_t i = g_below(r, 6); i; i--)
			add(k, " %" PRIu32, g_below(r, m->cfg.total +
						    g_once_in(r, 20)));
		break;
	case A_INVALIDATE:
		add(k, "invalidate");
		add_query(k, count_of(k), true);
		break;
	case A_INVALIDATE_PREFIX:
		add(k, "invalidate_prefix");
		add_query(k, 1 + g_below(r, 2), true);
		break;
	case A_INVALIDATE_ALL:
		add(k, "invalidate_all");
		break;
	case A_OFFER:
		add(k, "offer");
		add_guards(k);
		break;
	case A_ACCEPT:
		/* Mostly somebody else's. */
		add(k, "accept o%" PRIu32, one_offer(k));
		break;
	case A_WITHDRAW:
		add(k, "withdraw o%" PRIu32, one_offer(k));
		break;
	case A_KEEP:
		if (m->cfg.keep_blocks && g_once_in(r, 5)) {
			short_keep_line(k);
			break;
		}
		add_rank(k, "keep");
		add_query(k, count_of(k), true);
		break;
	case A_KEEP_HELD:
		add_rank(k, "keep_held");
		add_guards(k);
		break;
	case A_RANK:
		add(k, "rank %" PRIu32, g_below(r, m->cfg.total + 1));
		break;
	default:
		session_line(k);
		break;
	}
}

static void complain(const char *text)
{
	fprintf(stderr, "model-gen: %s\n", text);
	exit(2);
}

/* Runs the line; what comes next depends on it. */
static void run_line(struct maker *k, FILE *sink)
{
	const char *why;

	if (script_parse(&k->cmd, k->line, &why) != 1)
		complain(why);
	M_ASSERT(!script_run(k->s, &k->cmd, sink));
}

static int usage(const char *self)
{
	fprintf(stderr,
		"usage: %s --script SEED N POLICY|any [none|some|many]\n",
		self);
	return 2;
}

int main(int argc, char **argv)
{
	static const char *const twins[] = { "none", "some", "many" };
	static struct maker k;
	unsigned long n;
	FILE *sink;

	if (argc < 5 || argc > 6 || strcmp(argv[1], "--script"))
		return usage(argv[0]);
	k.rng.s = strtoull(argv[2], NULL, 0);
	n = strtoul(argv[3], NULL, 0);
	k.policy = argv[4];
	for (int i = 0; argc == 6 && i <= 3; i++) {
		if (i == 3)
			return usage(argv[0]);
		if (!strcmp(argv[5], twins[i])) {
			k.twins = i;
			break;
		}
	}
	sink = fopen("/dev/null", "w");
	M_ASSERT(sink);
	k.s = script_start(&script_model, complain);
	M_ASSERT(k.s);
	for (unsigned long i = 0; i < n; i++) {
		k.len = 0;
		if (i % LINES_PER_STORE == 0)
			new_store(&k);
		else
			any_line(&k);
		puts(k.line);
		run_line(&k, sink);
	}
	script_end(k.s);
	script_cmd_free(&k.cmd);
	fclose(sink);
	return 0;
}
