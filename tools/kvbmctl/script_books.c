// SPDX-License-Identifier: MIT
/*
 * What a script has made and not given back yet. Guards and weak references
 * are indexes into arrays that only grow, as their numbers are never reused.
 */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

struct script_session *books_session(struct script_books *b, const char *name)
{
	struct script_session *s = b->sessions;

	while (s && strcmp(s->name, name))
		s = s->next;
	return s;
}

int books_add_session(struct script_books *b, const char *name, int fd,
		      struct script_session **session)
{
	struct script_session *s = calloc(1, sizeof(*s));
	struct script_session **end = &b->sessions;

	if (s)
		s->name = strdup(name);
	if (!s || !s->name) {
		free(s);
		return -ENOMEM;
	}
	s->fd = fd;
	s->first = SCRIPT_NO_GUARD;
	s->last = SCRIPT_NO_GUARD;
	while (*end)
		end = &(*end)->next;
	*end = s;
	*session = s;
	return 0;
}

void books_remove_session(struct script_books *b,
			  struct script_session *session)
{
	struct script_session **link = &b->sessions;

	while (*link != session)
		link = &(*link)->next;
	*link = session->next;
	while (session->first != SCRIPT_NO_GUARD)
		books_drop_guard(b, session->first);
	tdestroy(session->owned, free);
	free(session->name);
	free(session);
}

static int by_id(const void *a, const void *b)
{
	const struct script_owned *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static uint64_t *owned_count(struct script_session *session, bool staged)
{
	return staged ? &session->n_staged : &session->n_mutable;
}

struct script_owned *books_owned(struct script_session *session, uint32_t id)
{
	struct script_owned key = { .id = id };
	struct script_owned **node = tfind(&key, &session->owned, by_id);

	return node ? *node : NULL;
}

int books_own(struct script_session *session, uint32_t id, bool staged)
{
	struct script_owned *owned = books_owned(session, id);

	if (owned) {
		--*owned_count(session, owned->staged);
	} else {
		owned = malloc(sizeof(*owned));
		if (!owned)
			return -ENOMEM;
		owned->id = id;
		if (!tsearch(owned, &session->owned, by_id)) {
			free(owned);
			return -ENOMEM;
		}
	}
	owned->staged = staged;
	++*owned_count(session, staged);
	return 0;
}

void books_disown(struct script_session *session, uint32_t id)
{
	struct script_owned *owned = books_owned(session, id);

	if (!owned)
		return;
	--*owned_count(session, owned->staged);
	tdelete(owned, &session->owned, by_id);
	free(owned);
}

struct walk {
	bool staged;
	void (*fn)(uint32_t id, void *arg);
	void *arg;
};

static void visit(const void *node, VISIT which, void *arg)
{
	const struct script_owned *owned = *(struct script_owned * const *)node;
	struct walk *w = arg;

	if ((which == postorder || which == leaf) && owned->staged == w->staged)
		w->fn(owned->id, w->arg);
}

void books_each_owned(struct script_session *session, bool staged,
		      void (*fn)(uint32_t id, void *arg), void *arg)
{
	struct walk w = { staged, fn, arg };

	twalk_r(session->owned, visit, &w);
}

int books_add_guard(struct script_books *b, struct script_session *session,
		    uint32_t block, uint64_t *guard)
{
	struct script_guard *g;

	if (script_grow(&b->guards, &b->cap_guards, b->n_guards, 1,
			sizeof(*b->guards)))
		return -ENOMEM;
	*guard = b->n_guards++;
	g = &b->guards[*guard];
	g->session = session;
	g->block = block;
	g->in_batch = false;
	g->offered = false;
	g->next = SCRIPT_NO_GUARD;
	g->prev = session->last;
	if (session->last == SCRIPT_NO_GUARD)
		session->first = *guard;
	else
		b->guards[session->last].next = *guard;
	session->last = *guard;
	session->n_guards++;
	return 0;
}

void books_drop_guard(struct script_books *b, uint64_t guard)
{
	struct script_guard *g = &b->guards[guard];
	struct script_session *session = g->session;

	if (!session)
		return;
	if (g->prev == SCRIPT_NO_GUARD)
		session->first = g->next;
	else
		b->guards[g->prev].next = g->next;
	if (g->next == SCRIPT_NO_GUARD)
		session->last = g->prev;
	else
		b->guards[g->next].prev = g->prev;
	session->n_guards--;
	g->session = NULL;
}

int books_guard(struct script_books *b, struct script_session *session,
		uint64_t guard, uint32_t *block)
{
	if (guard >= b->n_guards || !b->guards[guard].session)
		return -ENOENT;
	if (b->guards[guard].session != session)
		return -EPERM;
	*block = b->guards[guard].block;
	return 0;
}

int books_free_guard(struct script_books *b, struct script_session *session,
		     uint64_t guard, uint32_t *block)
{
	int err = books_guard(b, session, guard, block);

	return !err && b->guards[guard].offered ? -EBUSY : err;
}

int books_add_offer(struct script_books *b, const struct kvbm_ticket *ticket,
		    const uint64_t *guards, size_t n, uint64_t *offer)
{
	struct script_offer *o;

	if (script_grow(&b->offers, &b->cap_offers, b->n_offers, 1,
			sizeof(*b->offers)))
		return -ENOMEM;
	o = &b->offers[b->n_offers];
	o->guards = calloc(n, sizeof(*guards));
	if (!o->guards)
		return -ENOMEM;
	o->ticket = *ticket;
	o->n = n;
	for (size_t i = 0; i < n; i++) {
		o->guards[i] = guards[i];
		b->guards[guards[i]].offered = true;
	}
	*offer = b->n_offers++;
	return 0;
}

void books_end_offer(struct script_books *b, uint64_t offer, bool drop)
{
	struct script_offer *o = &b->offers[offer];

	for (size_t i = 0; i < o->n; i++) {
		b->guards[o->guards[i]].offered = false;
		if (drop)
			books_drop_guard(b, o->guards[i]);
	}
	free(o->guards);
	o->guards = NULL;
	o->n = 0;
}

int books_add_weak(struct script_books *b, const struct kvbm_weak *weak,
		   uint64_t *number)
{
	if (script_grow(&b->weaks, &b->cap_weaks, b->n_weaks, 1,
			sizeof(*b->weaks)))
		return -ENOMEM;
	*number = b->n_weaks++;
	b->weaks[*number] = *weak;
	return 0;
}

void books_clear(struct script_books *b)
{
	while (b->sessions)
		books_remove_session(b, b->sessions);
	for (size_t i = 0; i < b->n_offers; i++)
		free(b->offers[i].guards);
	free(b->offers);
	free(b->guards);
	free(b->weaks);
	memset(b, 0, sizeof(*b));
}
