/* SPDX-License-Identifier: MIT */
/* What kvbmctl top has seen of stores and their sessions. */
#ifndef KVBMCTL_TOP_H
#define KVBMCTL_TOP_H

#include <stdio.h>

#include "kvbmctl.h"

struct store {
	char name[KVBM_NAME_LEN + 1];
	bool dying;
	struct kvbm_counts counts;
	struct kvbm_stats now, before;
	double seconds;		/* between the two; 0: no rates yet */
	double taken;
	struct kvbm_session_entry *sessions;
	uint32_t n_sessions;
	int sessions_err;
	bool seen;
};

struct top {
	char **names;		/* stores to watch; none: all */
	int n_names;
	double delay;
	uint64_t samples;	/* of a batch; 0: interactive */
	struct store *stores;
	size_t n;
};

/* Update all watched stores; 0 or -errno. */
int top_look(struct top *top, int control);

/* Per second, since the last update; negative: not known yet. */
double top_rate(const struct store *s, uint64_t now, uint64_t before);
/* In percent, since the last update; negative: no lookups. */
double top_hit_rate(const struct store *s);
/*
 * The median time that blocks evicted since the last update had been inactive;
 * of all evicted ones, if there were none. In seconds; negative: none ever.
 */
double top_age(const struct store *s);
/* "17ms", "2.5s", "4.0m", "1.5h", "12d"; "-" if negative. */
void top_format_age(double seconds, char text[16]);

/* On the terminal, until the user quits; 0 or -errno. */
int top_screen(struct top *top, int control);

#endif /* KVBMCTL_TOP_H */
