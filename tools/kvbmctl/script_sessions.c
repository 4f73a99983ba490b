// SPDX-License-Identifier: MIT
/* Script operations that create and end stores and sessions. */
#include <errno.h>
#include <string.h>

#include "script_engine.h"

#define MAIN	"main"

/*
 * In the script a size of 0 is a bad one, and so are thresholds, a limit of
 * ranks and a size of notes that are written down as 0; the kernel takes them
 * for "the default" or "none".
 */
static bool config_valid(const struct script_new *c)
{
	return c->block_size && (!c->has_thresholds || c->thresholds[0]) &&
	       (!c->has_keep || c->keep) && (!c->has_note || c->note);
}

int script_op_new(struct script *s, const struct script_cmd *cmd)
{
	struct script_new config = cmd->config;
	struct script_session *session;
	int fd;

	script_drop_store(s);
	/* Only multi_lru has thresholds; elsewhere they say nothing. */
	if (strcmp(config.policy, "multi_lru")) {
		config.has_thresholds = false;
		memset(config.thresholds, 0, sizeof(config.thresholds));
	}
	if (!config_valid(&config))
		return -EINVAL;
	fd = s->backend->create(&config);
	if (fd < 0)
		return fd;
	if (books_add_session(&s->books, MAIN, fd, &session)) {
		s->backend->session_close(fd);
		return script_nomem(s);
	}
	s->current = session;
	s->total = config.total;
	s->note_bytes = config.note;
	script_put(s, "ok");
	return 0;
}

int script_op_session(struct script *s, const struct script_cmd *cmd)
{
	struct script_session *session = books_session(&s->books, cmd->name);
	int fd;

	if (!session) {
		fd = s->backend->session_open(s->books.sessions->fd);
		if (fd < 0)
			return fd;
		if (books_add_session(&s->books, cmd->name, fd, &session)) {
			s->backend->session_close(fd);
			return script_nomem(s);
		}
	}
	s->current = session;
	script_put(s, "ok");
	return 0;
}

static int end_session(struct script *s, const struct script_cmd *cmd)
{
	struct script_session *first = s->books.sessions;
	struct kvbm_stats before, after;
	struct script_session *session;
	uint64_t owned, holds;
	int err;

	session = books_session(&s->books, cmd->name);
	if (!session)
		return -ENOENT;
	if (session == first)
		return -EBUSY;

	err = s->backend->stats(first->fd, &before);
	if (err < 0)
		return err;
	if (cmd->op == SCRIPT_KILL) {
		err = s->backend->session_kill(session->fd);
		if (err)
			return err;
	} else {
		s->backend->session_close(session->fd);
	}
	err = s->backend->stats(first->fd, &after);
	if (err < 0)
		return err;

	owned = after.reclaimed_owned - before.reclaimed_owned;
	holds = after.reclaimed_holds - before.reclaimed_holds;
	if (owned != session->n_mutable + session->n_staged ||
	    holds != session->n_guards)
		script_complain(s, "the store took back %llu blocks and %llu holds, the script had %llu and %llu",
				(unsigned long long)owned,
				(unsigned long long)holds,
				(unsigned long long)(session->n_mutable +
						     session->n_staged),
				(unsigned long long)session->n_guards);
	if (s->current == session)
		s->current = first;
	books_remove_session(&s->books, session);
	script_put(s, "ok reclaimed=%llu", (unsigned long long)(owned + holds));
	return 0;
}

int script_op_close(struct script *s, const struct script_cmd *cmd)
{
	return end_session(s, cmd);
}

int script_op_kill(struct script *s, const struct script_cmd *cmd)
{
	return end_session(s, cmd);
}
