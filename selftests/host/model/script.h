/* SPDX-License-Identifier: MIT */
/* The script language of kvbmctl exec, run on the model. */
#ifndef KVBM_MODEL_SCRIPT_H
#define KVBM_MODEL_SCRIPT_H

#include "model.h"

#define S_NAME_MAX	32

struct s_guard {
	bool live;
	bool offered;
	int session;
	uint32_t id;
};

/* What a session offered; only the last one of a session can be open. */
struct s_offer {
	bool open;
	int giver;
	uint32_t n;
	uint32_t guard[M_OFFER_MAX];
};

struct script {
	struct model *m;	/* NULL before the first good "new" */
	int session;		/* the current one */
	char name[M_MAX_SESSIONS][S_NAME_MAX];	/* "" for unused; 0 is main */
	struct s_guard *guard;
	uint32_t n_guards;
	struct m_weak *weak;
	uint32_t n_weaks;
	struct s_offer *offer;
	uint32_t n_offers;
};

void script_init(struct script *s);
void script_exit(struct script *s);
/* Prints the operation's line, if any, on out. False: cannot be parsed. */
bool script_line(struct script *s, const char *line, FILE *out);

#endif
