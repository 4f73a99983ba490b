/* SPDX-License-Identifier: MIT */
/*
 * For tests whose threads sleep until they are woken.  Sleepers never check
 * again by themselves, so a test in which nothing moves for PATIENCE seconds
 * has lost a wake-up, and ends.
 */
#ifndef HOST_WATCHDOG_H
#define HOST_WATCHDOG_H

#include <linux/atomic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "host.h"

#define PATIENCE 20

static atomic64_t moved;	/* steps of the test */
static const char *doing = "";

static inline void step(void)
{
	atomic64_inc(&moved);
}

static void *watchdog(void *arg)
{
	unsigned int still = 0;
	s64 seen = -1;

	for (;; usleep(100000)) {
		s64 now = atomic64_read(&moved);

		still = now == seen ? still + 1 : 0;
		seen = now;
		if (still < PATIENCE * 10)
			continue;
		printf("# nothing moved for %u s after %lld steps: %s\n",
		       PATIENCE, (long long)now, READ_ONCE(doing));
		fflush(stdout);
		abort();
	}
	return NULL;
}

/* From now on; in "weak" threads come late, too. */
static void watch_over(const char *what)
{
	pthread_t t;

	WRITE_ONCE(doing, what);
	atomic64_set(&moved, 0);
	BUG_ON(pthread_create(&t, NULL, watchdog, NULL));
	pthread_detach(t);
	host_delays(6);
}

#endif
