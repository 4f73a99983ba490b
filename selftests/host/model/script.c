// SPDX-License-Identifier: MIT
/*
 * The interpreter. An operation parses all its words first (a bad one ends the
 * run), then acts element by element; what it prints goes to a buffer, which
 * an error replaces.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

#define MAX_WORDS 4096

struct words {
	char *w[MAX_WORDS];
	int n;
};

struct values {
	union {
		uint32_t num[MAX_WORDS];
		struct m_hash hash[MAX_WORDS];
	};
	uint32_t n;
};

/* Static: single-threaded, and too large for a small stack. */
static struct words words;
static struct values values;
static uint32_t ids[M_TOTAL_MAX];

/* ---- parsing ---- */

/* Half of a hash, or a sequence hash: 1 to 16 hexadecimal digits. */
static bool parse_hex(const char *w, uint64_t *v)
{
	size_t n = strlen(w);

	if (!n || n > 16 || strspn(w, "0123456789abcdefABCDEF") != n)
		return false;
	*v = strtoull(w, NULL, 16);
	return true;
}

/* Numbers too large for their type are as far out of range as the largest. */
static bool parse_u64(const char *w, uint64_t *v)
{
	if (!*w || strspn(w, "0123456789") != strlen(w))
		return false;
	*v = strtoull(w, NULL, 10);
	return true;
}

static bool parse_u32(const char *w, uint32_t *v)
{
	uint64_t x;

	if (!parse_u64(w, &x))
		return false;
	*v = x > UINT32_MAX ? UINT32_MAX : (uint32_t)x;
	return true;
}

static bool parse_numbers(int from)
{
	values.n = 0;
	for (int i = from; i < words.n; i++) {
		if (!parse_u32(words.w[i], &values.num[values.n++]))
			return false;
	}
	return true;
}

/* g0 g1, w0 w1 */
static bool parse_names(int from, char kind)
{
	values.n = 0;
	for (int i = from; i < words.n; i++) {
		if (words.w[i][0] != kind ||
		    !parse_u32(words.w[i] + 1, &values.num[values.n++]))
			return false;
	}
	return true;
}

/* HI:LO or HI LO; moves *at past what it took. */
static bool parse_hash(int *at, struct m_hash *h)
{
	char *hi, *lo;
	bool good;

	if (*at >= words.n)
		return false;
	hi = words.w[(*at)++];
	lo = strchr(hi, ':');
	if (lo) {
		*lo = 0;
		good = parse_hex(hi, &h->hi) && parse_hex(lo + 1, &h->lo);
		*lo = ':';
		return good;
	}
	if (*at >= words.n)
		return false;
	lo = words.w[(*at)++];
	return parse_hex(hi, &h->hi) && parse_hex(lo, &h->lo);
}

static bool parse_hashes(int from)
{
	values.n = 0;
	while (from < words.n) {
		if (!parse_hash(&from, &values.hash[values.n++]))
			return false;
	}
	return true;
}

/* ---- names ---- */

static uint32_t new_guard(struct script *s, uint32_t id)
{
	s->guard = realloc(s->guard, (s->n_guards + 1) * sizeof(*s->guard));
	M_ASSERT(s->guard);
	s->guard[s->n_guards] = (struct s_guard){
		.live = true,
		.session = s->session,
		.id = id,
	};
	return s->n_guards++;
}

/* A live guard of the current session, or the error. */
static int find_guard(const struct script *s, uint32_t g, uint32_t *id)
{
	if (g >= s->n_guards || !s->guard[g].live)
		return -ENOENT;
	if (s->guard[g].session != s->session)
		return -EPERM;
	*id = s->guard[g].id;
	return 0;
}

/* The same, and it is not offered. */
static int find_free_guard(const struct script *s, uint32_t g, uint32_t *id)
{
	int err = find_guard(s, g, id);

	return !err && s->guard[g].offered ? -EBUSY : err;
}

static int find_session(const struct script *s, const char *name)
{
	for (int i = 0; i < M_MAX_SESSIONS; i++) {
		if (s->name[i][0] && !strcmp(s->name[i], name))
			return i;
	}
	return -1;
}

/* ---- printing ---- */

static const char *error_name(int err)
{
	switch (-err) {
	case EPERM: return "EPERM";
	case ENOENT: return "ENOENT";
	case ENXIO: return "ENXIO";
	case EBUSY: return "EBUSY";
	case EINVAL: return "EINVAL";
	case EMFILE: return "EMFILE";
	case ENOSPC: return "ENOSPC";
	case EOVERFLOW: return "EOVERFLOW";
	case EOPNOTSUPP: return "EOPNOTSUPP";
	}
	M_ASSERT(!"an error without a name");
	return "";
}

static const char *comma(bool *any)
{
	const char *c = *any ? "," : "";

	*any = true;
	return c;
}

static void end_list(bool any, FILE *out)
{
	if (!any)
		fputc('-', out);
}

static void print_numbers(const uint32_t *v, uint32_t n, FILE *out)
{
	bool any = false;

	for (uint32_t i = 0; i < n; i++)
		fprintf(out, "%s%" PRIu32, comma(&any), v[i]);
	end_list(any, out);
}

static void print_hash(struct m_hash h, FILE *out)
{
	fprintf(out, "%016" PRIx64 ":%016" PRIx64, h.hi, h.lo);
}

/* ---- operations: 0, an error, or PARSE ---- */

#define PARSE 1

static void forget_store(struct script *s)
{
	model_free(s->m);
	s->m = NULL;
	for (int i = 1; i < M_MAX_SESSIONS; i++)
		s->name[i][0] = 0;
	s->session = 0;
	s->n_guards = 0;
	s->n_weaks = 0;
	s->n_offers = 0;
}

static bool parse_policy(const char *w, enum m_policy *p)
{
	if (!strcmp(w, "hashmap"))
		w = "fifo";
	if (!strcmp(w, "default"))
		w = "lineage_tick";
	for (int i = 0; i < M_POLICIES; i++) {
		if (!strcmp(w, m_policy_name[i])) {
			*p = i;
			return true;
		}
	}
	return false;
}

static int op_new(struct script *s, FILE *out)
{
	struct m_config c = { 0 };
	uint32_t reset, t[3];
	bool keep = false;
	int err;

	c.one_owner = true;
	if (words.n > 8 && !strcmp(words.w[words.n - 2], "keep")) {
		keep = true;
		if (!parse_u32(words.w[words.n - 1], &c.keep_blocks))
			return PARSE;
		words.n -= 2;
	}
	if ((words.n != 7 && words.n != 10) ||
	    !parse_u32(words.w[1], &c.total) ||
	    !parse_u32(words.w[2], &c.block_size) ||
	    !parse_policy(words.w[3], &c.policy) ||
	    !parse_u32(words.w[5], &reset) || reset > 1 ||
	    !parse_u64(words.w[6], &c.frequency))
		return PARSE;
	if (!strcmp(words.w[4], "allow"))
		c.dup = M_DUP_ALLOW;
	else if (!strcmp(words.w[4], "reject"))
		c.dup = M_DUP_REJECT;
	else
		return PARSE;
	c.reset = reset;
	if (c.frequency == 1)
		c.frequency = 1u << 21;
	for (int i = 0; words.n == 10 && i < 3; i++) {
		if (!parse_u32(words.w[7 + i], &t[i]))
			return PARSE;
		c.thresholds[i] = t[i] > 15 ? 16 : t[i];
	}
	/* All zero means "the default" to the model, but is a bad choice here. */
	if (words.n == 10 && !c.thresholds[0])
		c.thresholds[2] = 16;
	forget_store(s);
	if (keep && (!c.keep_blocks || c.keep_blocks > c.total))
		return -EINVAL;
	s->m = model_new(&c, &err);
	if (!s->m)
		return err;
	M_ASSERT(!m_session_open(s->m, 0));
	fputs("ok", out);
	return 0;
}

static int op_alloc(struct script *s, FILE *out)
{
	struct m_hash *evicted;
	uint32_t n_evicted;
	bool any = false;
	int err;

	if (words.n != 2 || !parse_numbers(1))
		return PARSE;
	evicted = calloc(s->m->cfg.total, sizeof(*evicted));
	M_ASSERT(evicted);
	err = m_allocate(s->m, s->session, values.num[0], ids, evicted,
			 &n_evicted);
	if (err) {
		fputs("none", out);
	} else {
		fputs("ids=", out);
		print_numbers(ids, values.num[0], out);
		fputs(" evicted=", out);
		for (uint32_t i = 0; i < n_evicted; i++) {
			fputs(comma(&any), out);
			print_hash(evicted[i], out);
		}
		end_list(any, out);
	}
	free(evicted);
	return 0;
}

static int op_alloc_reset(struct script *s, FILE *out)
{
	if (words.n != 2 || !parse_numbers(1))
		return PARSE;
	fputs("ids=", out);
	print_numbers(ids, m_allocate_reset(s->m, s->session, values.num[0],
					    ids), out);
	fputs(" evicted=-", out);
	return 0;
}

static int op_stage(struct script *s, FILE *out)
{
	uint32_t id, tokens = M_TOKENS_NONE;
	struct m_hash h;
	int at = 2, err;

	if (words.n < 3 || !parse_u32(words.w[1], &id) || !parse_hash(&at, &h))
		return PARSE;
	if (at < words.n && !parse_u32(words.w[at++], &tokens))
		return PARSE;
	if (at != words.n)
		return PARSE;
	err = m_stage(s->m, s->session, id, h, tokens);
	fputs("ok", out);
	return err;
}

static int op_unstage(struct script *s, FILE *out)
{
	if (words.n != 2 || !parse_numbers(1))
		return PARSE;
	fputs("ok", out);
	return m_unstage(s->m, s->session, values.num[0]);
}

static int op_register(struct script *s, FILE *out)
{
	static const char *const kinds[] = { "primary", "dup", "dedup" };

	if (!parse_numbers(1))
		return PARSE;
	for (uint32_t i = 0; i < values.n; i++) {
		enum m_kind kind;
		uint32_t held;
		int err = m_register(s->m, s->session, values.num[i],
				     M_DUP_DEFAULT, &kind, &held);

		if (err)
			return err;
		fprintf(out, "%sg%" PRIu32 " id=%" PRIu32 " kind=%s use=%" PRIu64,
			i ? " ; " : "", new_guard(s, held), held, kinds[kind],
			m_holds(s->m, held));
	}
	return 0;
}

static int op_match(struct script *s, FILE *out)
{
	bool any = false;
	uint32_t n;
	int err;

	if (!parse_hashes(1))
		return PARSE;
	err = m_match(s->m, s->session, values.hash, values.n, ids, &n);
	fputs("ids=", out);
	print_numbers(ids, n, out);
	fputs(" guards=", out);
	for (uint32_t i = 0; i < n; i++)
		fprintf(out, "%sg%" PRIu32, comma(&any), new_guard(s, ids[i]));
	end_list(any, out);
	return err;
}

static int op_scan(struct script *s, FILE *out)
{
	bool touch = !strcmp(words.w[0], "scan_touch"), any = false;
	uint32_t n;
	int err;

	if (!parse_hashes(1))
		return PARSE;
	err = m_scan(s->m, s->session, values.hash, values.n, touch, ids, &n);
	fputs("found=", out);
	for (uint32_t i = 0; i < n; i++) {
		if (ids[i] == M_NONE)
			continue;
		fputs(comma(&any), out);
		print_hash(values.hash[i], out);
		fprintf(out, "=%" PRIu32, ids[i]);
	}
	end_list(any, out);
	any = false;
	fputs(" guards=", out);
	for (uint32_t i = 0; i < n; i++) {
		if (ids[i] != M_NONE)
			fprintf(out, "%sg%" PRIu32, comma(&any),
				new_guard(s, ids[i]));
	}
	end_list(any, out);
	return err;
}

static int release_guard(struct script *s, uint32_t g)
{
	uint32_t id;
	int err = find_free_guard(s, g, &id);

	if (err)
		return err;
	s->guard[g].live = false;
	return m_release(s->m, s->session, id);
}

static int op_release(struct script *s, FILE *out)
{
	if (!parse_names(1, 'g'))
		return PARSE;
	for (uint32_t i = 0; i < values.n; i++) {
		int err = release_guard(s, values.num[i]);

		if (err)
			return err;
	}
	fprintf(out, "ok %" PRIu32, values.n);
	return 0;
}

static int op_release_all(struct script *s, FILE *out)
{
	uint32_t n = 0;

	if (words.n != 1)
		return PARSE;
	for (uint32_t g = 0; g < s->n_guards; g++) {
		if (!s->guard[g].live || s->guard[g].offered ||
		    s->guard[g].session != s->session)
			continue;
		M_ASSERT(!release_guard(s, g));
		n++;
	}
	fprintf(out, "ok %" PRIu32, n);
	return 0;
}

/* clone, use, weak: one guard each. */
static int op_guard(struct script *s, FILE *out)
{
	uint32_t id;
	int err;

	if (words.n != 2 || !parse_names(1, 'g'))
		return PARSE;
	err = find_guard(s, values.num[0], &id);
	if (err)
		return err;
	if (!strcmp(words.w[0], "clone")) {
		err = m_retain(s->m, s->session, id);
		if (err)
			return err;
		fprintf(out, "g%" PRIu32, new_guard(s, id));
	} else if (!strcmp(words.w[0], "use")) {
		fprintf(out, "%" PRIu64, m_holds(s->m, id));
	} else {
		s->weak = realloc(s->weak, (s->n_weaks + 1) * sizeof(*s->weak));
		M_ASSERT(s->weak);
		M_ASSERT(!m_weak(s->m, s->session, id, &s->weak[s->n_weaks]));
		fprintf(out, "w%" PRIu32, s->n_weaks++);
	}
	return 0;
}

static int op_upgrade(struct script *s, FILE *out)
{
	uint32_t id;
	int err;

	if (words.n != 2 || !parse_names(1, 'w'))
		return PARSE;
	if (values.num[0] >= s->n_weaks)
		return -ENOENT;
	err = m_upgrade(s->m, s->session, &s->weak[values.num[0]], &id);
	if (err)
		return err;
	if (id == M_NONE)
		fputs("none", out);
	else
		fprintf(out, "id=%" PRIu32 " g%" PRIu32, id, new_guard(s, id));
	return 0;
}

static int op_drop(struct script *s, FILE *out)
{
	enum m_state state = strcmp(words.w[0], "drop_mutable") ? M_STAGED :
								  M_MUTABLE;

	if (!parse_numbers(1))
		return PARSE;
	for (uint32_t i = 0; i < values.n; i++) {
		if (!m_owns(s->m, s->session, values.num[i], state))
			return -EPERM;
		M_ASSERT(!m_release(s->m, s->session, values.num[i]));
	}
	fputs("ok", out);
	return 0;
}

static int op_set_reset(struct script *s, FILE *out)
{
	if (words.n != 3 || !parse_numbers(1) || values.num[1] > 1)
		return PARSE;
	fputs("ok", out);
	return m_set_reset(s->m, s->session, values.num[0], values.num[1]);
}

static int op_reset_inactive(struct script *s, FILE *out)
{
	bool all;

	if (words.n != 1)
		return PARSE;
	m_reset_inactive(s->m, &all);
	if (all)
		fputs("ok", out);
	else
		fprintf(out, "partial reset=%" PRIu32 " total=%" PRIu32,
			s->m->n_free, s->m->cfg.total);
	return 0;
}

static int op_counts(struct script *s, FILE *out)
{
	struct m_stats st;

	if (words.n != 1)
		return PARSE;
	m_get_stats(s->m, &st);
	fprintf(out, "reset_len=%" PRIu32 " inactive_len=%" PRIu32
		" available=%" PRIu32 " registered=%" PRIu32, s->m->n_free,
		s->m->index.len, s->m->n_free + s->m->index.len,
		m_registered(s->m));
#define KVBM_STATS_CONTRACT
#define KVBM_STAT(name, help) fprintf(out, " " #name "=%" PRIu64, st.name);
#include "stats.def"
	return 0;
}

/* presence, pending, has_inactive, freq, touch, touch_newest */
static int op_ask(struct script *s, FILE *out)
{
	const char *what = words.w[0];
	bool any = false;

	if (!parse_hashes(1))
		return PARSE;
	if (!strncmp(what, "touch", 5)) {
		for (uint32_t i = 0; i < values.n; i++)
			(what[5] ? m_newest : m_touch)(s->m, values.hash[i]);
		fputs("ok", out);
		return 0;
	}
	for (uint32_t i = 0; i < values.n; i++) {
		enum m_presence p = m_presence(s->m, values.hash[i]);
		unsigned int v = p != M_ABSENT;

		if (!strcmp(what, "has_inactive"))
			v = p == M_IDLE;
		else if (!strcmp(what, "pending"))
			v = m_pending(s->m, values.hash[i]) == M_PENDING;
		else if (!strcmp(what, "freq"))
			v = m_frequency(s->m, values.hash[i]);
		fprintf(out, "%s%u", comma(&any), v);
	}
	end_list(any, out);
	return 0;
}

static int op_claim(struct script *s, FILE *out)
{
	static const char *const states[] = { "claimed", "pending", "present" };
	enum m_claim what;
	struct m_hash h;
	uint32_t id;
	int at = 2, err;

	if (words.n < 3 || !parse_u32(words.w[1], &id) ||
	    !parse_hash(&at, &h) || at != words.n)
		return PARSE;
	err = m_claim(s->m, s->session, id, h, &what);
	if (!err)
		fputs(states[what], out);
	return err;
}

static int op_offer(struct script *s, FILE *out)
{
	struct s_offer o = { .open = true, .giver = s->session };
	int err = 0;

	if (!parse_names(1, 'g'))
		return PARSE;
	/* The model's offers are not longer: scripts for it must not be. */
	M_ASSERT(values.n <= M_OFFER_MAX);
	for (uint32_t i = 0; i < values.n && !err; i++) {
		err = find_free_guard(s, values.num[i], &ids[i]);
		if (err)
			break;
		s->guard[values.num[i]].offered = true;
		o.guard[o.n++] = values.num[i];
	}
	if (!err)
		err = m_offer(s->m, s->session, ids, o.n);
	for (uint32_t i = 0; err && i < o.n; i++)
		s->guard[o.guard[i]].offered = false;
	if (err)
		return err;
	s->offer = realloc(s->offer, (s->n_offers + 1) * sizeof(*s->offer));
	M_ASSERT(s->offer);
	s->offer[s->n_offers] = o;
	fprintf(out, "o%" PRIu32, s->n_offers++);
	return 0;
}

static void end_offer(struct script *s, struct s_offer *o, bool gone)
{
	o->open = false;
	for (uint32_t i = 0; i < o->n; i++) {
		s->guard[o->guard[i]].offered = false;
		if (gone)
			s->guard[o->guard[i]].live = false;
	}
}

/* accept, withdraw */
static int op_hand_over(struct script *s, FILE *out)
{
	bool any = false, accept = !strcmp(words.w[0], "accept");
	struct s_offer *o;
	uint32_t done;
	int err;

	if (words.n != 2 || !parse_names(1, 'o'))
		return PARSE;
	if (values.num[0] >= s->n_offers)
		return -ENOENT;
	o = &s->offer[values.num[0]];
	if (!o->open || (!accept && o->giver != s->session))
		return -ENOENT;
	if (!accept) {
		M_ASSERT(!m_withdraw(s->m, s->session, &done));
		end_offer(s, o, false);
		fprintf(out, "ok %" PRIu32, done);
		return 0;
	}
	err = m_accept(s->m, s->session, o->giver, ids, &done);
	if (err)
		return err;
	end_offer(s, o, true);
	fputs("ids=", out);
	print_numbers(ids, done, out);
	fputs(" guards=", out);
	for (uint32_t i = 0; i < done; i++)
		fprintf(out, "%sg%" PRIu32, comma(&any), new_guard(s, ids[i]));
	end_list(any, out);
	return 0;
}

static const char *const rank_names[] = { "first", "normal", "high", "keep" };

static bool parse_rank(enum m_rank *rank)
{
	for (int i = 0; words.n > 1 && i < 4; i++) {
		if (strcmp(words.w[1], rank_names[i]))
			continue;
		*rank = i;
		return true;
	}
	return false;
}

static void print_kept(enum m_kept what, bool *any, FILE *out)
{
	static const char *const names[] = { "done", "absent", "denied", "full" };

	fprintf(out, "%s%s", comma(any), names[what]);
}

/* keep: hashes; keep_held: guards */
static int op_keep(struct script *s, FILE *out)
{
	bool any = false, held = !strcmp(words.w[0], "keep_held");
	enum m_kept what;
	enum m_rank rank;
	uint32_t id;
	int err;

	if (!parse_rank(&rank) ||
	    !(held ? parse_names(2, 'g') : parse_hashes(2)))
		return PARSE;
	if (!s->m->cfg.keep_blocks)
		return -EOPNOTSUPP;
	for (uint32_t i = 0; i < values.n; i++) {
		if (held) {
			err = find_guard(s, values.num[i], &id);
			if (err)
				return err;
			M_ASSERT(!m_keep_id(s->m, s->session, id, rank, 0,
					    &what));
		} else {
			m_keep_hash(s->m, s->session, values.hash[i], rank, 0,
				    &what);
		}
		print_kept(what, &any, out);
	}
	end_list(any, out);
	return 0;
}

static int op_rank(struct script *s, FILE *out)
{
	bool any = false;
	struct m_info info;

	if (!parse_numbers(1))
		return PARSE;
	for (uint32_t i = 0; i < values.n; i++) {
		int err = m_get_info(s->m, s->session, values.num[i], &info);

		if (err)
			return err;
		fprintf(out, "%s%s", comma(&any), rank_names[info.rank]);
	}
	end_list(any, out);
	return 0;
}

static void print_owned(const struct script *s, enum m_state state, FILE *out)
{
	bool any = false;

	for (uint32_t i = 0; i < s->m->cfg.total; i++) {
		if (m_owns(s->m, s->session, i, state))
			fprintf(out, "%s%" PRIu32, comma(&any), i);
	}
	end_list(any, out);
}

static int op_held(struct script *s, FILE *out)
{
	bool any = false;

	if (words.n != 1)
		return PARSE;
	fputs("mutable=", out);
	print_owned(s, M_MUTABLE, out);
	fputs(" staged=", out);
	print_owned(s, M_STAGED, out);
	fputs(" guards=", out);
	for (uint32_t g = 0; g < s->n_guards; g++) {
		if (s->guard[g].live && s->guard[g].session == s->session)
			fprintf(out, "%sg%" PRIu32 ":%" PRIu32, comma(&any), g,
				s->guard[g].id);
	}
	end_list(any, out);
	return 0;
}

static int op_plh(struct script *s, FILE *out)
{
	uint64_t current, parent = 0;
	uint32_t position;

	(void)s;
	if (words.n != 4 || !parse_hex(words.w[1], &current) ||
	    (strcmp(words.w[2], "-") && !parse_hex(words.w[2], &parent)) ||
	    !parse_u32(words.w[3], &position))
		return PARSE;
	if (position > M_POSITION_MAX)
		return -EINVAL;
	print_hash(m_hash_pack(current, parent, position), out);
	return 0;
}

static int op_session(struct script *s, FILE *out)
{
	int i;

	if (words.n != 2 || strlen(words.w[1]) >= S_NAME_MAX)
		return PARSE;
	i = find_session(s, words.w[1]);
	for (int k = 1; i < 0 && k < M_MAX_SESSIONS; k++) {
		if (s->name[k][0])
			continue;
		strcpy(s->name[k], words.w[1]);
		M_ASSERT(!m_session_open(s->m, k));
		i = k;
	}
	if (i < 0)
		return -EMFILE;
	s->session = i;
	fputs("ok", out);
	return 0;
}

/* close and kill: who holds the last reference makes no difference here. */
static int op_close(struct script *s, FILE *out)
{
	int i;

	if (words.n != 2 || strlen(words.w[1]) >= S_NAME_MAX)
		return PARSE;
	i = find_session(s, words.w[1]);
	if (!i)
		return -EBUSY;
	if (i < 0)
		return -ENOENT;
	for (uint32_t g = 0; g < s->n_guards; g++) {
		if (s->guard[g].session == i)
			s->guard[g].live = false;
	}
	for (uint32_t o = 0; o < s->n_offers; o++) {
		if (s->offer[o].giver == i)
			s->offer[o].open = false;
	}
	fprintf(out, "ok reclaimed=%" PRIu64, m_session_close(s->m, i));
	s->name[i][0] = 0;
	if (s->session == i)
		s->session = 0;
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct script *s, FILE *out);
} operations[] = {
	{ "new", op_new },
	{ "alloc", op_alloc },
	{ "alloc_reset", op_alloc_reset },
	{ "stage", op_stage },
	{ "unstage", op_unstage },
	{ "register", op_register },
	{ "match", op_match },
	{ "scan", op_scan },
	{ "scan_touch", op_scan },
	{ "release", op_release },
	{ "release_vec", op_release },
	{ "release_all", op_release_all },
	{ "clone", op_guard },
	{ "use", op_guard },
	{ "weak", op_guard },
	{ "upgrade", op_upgrade },
	{ "drop_mutable", op_drop },
	{ "drop_staged", op_drop },
	{ "set_reset", op_set_reset },
	{ "reset_inactive", op_reset_inactive },
	{ "counts", op_counts },
	{ "presence", op_ask },
	{ "has_inactive", op_ask },
	{ "freq", op_ask },
	{ "touch", op_ask },
	{ "touch_newest", op_ask },
	{ "claim", op_claim },
	{ "pending", op_ask },
	{ "offer", op_offer },
	{ "accept", op_hand_over },
	{ "withdraw", op_hand_over },
	{ "keep", op_keep },
	{ "keep_held", op_keep },
	{ "rank", op_rank },
	{ "held", op_held },
	{ "plh", op_plh },
	{ "session", op_session },
	{ "close", op_close },
	{ "kill", op_close },
};

void script_init(struct script *s)
{
	memset(s, 0, sizeof(*s));
	strcpy(s->name[0], "main");
}

void script_exit(struct script *s)
{
	model_free(s->m);
	free(s->guard);
	free(s->weak);
	free(s->offer);
}

/*
 * Without a store an operation still has to parse. Rather than parse in two
 * places, it runs on a store of one block that is thrown away.
 */
static int run_without_store(int (*run)(struct script *s, FILE *out), FILE *out)
{
	struct m_config one = { .total = 1, .block_size = 16 };
	struct script scratch;
	int err;

	script_init(&scratch);
	scratch.m = model_new(&one, &err);
	M_ASSERT(scratch.m && !m_session_open(scratch.m, 0));
	err = run(&scratch, out);
	script_exit(&scratch);
	return err == PARSE ? PARSE : -ENXIO;
}

bool script_line(struct script *s, const char *line, FILE *out)
{
	static const char separators[] = " \t\r\n,";
	char *copy = strdup(line), *save, *text = NULL;
	size_t len = 0, i;
	FILE *mem;
	int err = PARSE;

	M_ASSERT(copy);
	copy[strcspn(copy, "#")] = 0;
	words.n = 0;
	for (char *w = strtok_r(copy, separators, &save); w;
	     w = strtok_r(NULL, separators, &save)) {
		M_ASSERT(words.n < MAX_WORDS);
		words.w[words.n++] = w;
	}
	if (!words.n) {
		free(copy);
		return true;
	}
	mem = open_memstream(&text, &len);
	M_ASSERT(mem);
	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (strcmp(operations[i].name, words.w[0]))
			continue;
		if (s->m || operations[i].run == op_new)
			err = operations[i].run(s, mem);
		else
			err = run_without_store(operations[i].run, mem);
		break;
	}
	fclose(mem);
	if (!err)
		fprintf(out, "%s\n", text);
	else if (err < 0)
		fprintf(out, "err %s\n", error_name(err));
	free(text);
	free(copy);
	return err != PARSE;
}
