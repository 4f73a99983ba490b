// SPDX-License-Identifier: MIT
/* Ends a session as the death of its process does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "script.h"

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

int script_kill_owner(int fd)
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
