// SPDX-License-Identifier: MIT
/* Script operations that make and end stores and sessions. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "script_engine.h"

#define MAIN	"main"

/*
 * In the script a size of 0 is a bad one, and so are thresholds and a limit of
 * ranks that are written down as 0; the kernel takes them for "the default".
 */
static bool config_valid(const struct script_new *c)
{
	return c->block_size && (!c->has_thresholds || c->thresholds[0]) &&
	       (!c->has_keep || c->keep);
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
		close(fd);
		return script_nomem(s);
	}
	s->current = session;
	s->total = config.total;
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
			close(fd);
			return script_nomem(s);
		}
	}
	s->current = session;
	script_put(s, "ok");
	return 0;
}

/* Keeps @fd, and nothing else but @ready, open until somebody kills it. */
static void keep(int fd, int ready)
{
	unsigned int low = fd < ready ? fd : ready;
	unsigned int high = fd < ready ? ready : fd;
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (low)
		close_range(0, low - 1, 0);
	if (low + 1 < high)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0U, 0);
	if (write(ready, &byte, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/*
 * Makes a child process the only owner of @fd and kills it. When the child can
 * be reaped, what the session held is back. @fd is closed in any case where 0
 * is returned, and stays open otherwise.
 */
static int kill_owner(int fd)
{
	int ready[2], status, err = 0;
	ssize_t n;
	pid_t child;
	char byte;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	child = fork();
	if (child < 0)
		err = -errno;
	if (!child)
		keep(fd, ready[1]);

	close(ready[1]);
	if (!err) {
		do
			n = read(ready[0], &byte, 1);
		while (n < 0 && errno == EINTR);
		if (n == 1)
			close(fd);
		else
			err = -ECHILD;
		kill(child, SIGKILL);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(ready[0]);
	return err;
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
		err = kill_owner(session->fd);
		if (err)
			return err;
	} else {
		close(session->fd);
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
