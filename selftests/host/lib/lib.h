/* SPDX-License-Identifier: MIT */
#ifndef HOST_LIB_H
#define HOST_LIB_H

/* What the parts of the stand-ins want of each other. */
#include <stdbool.h>

/* There is something to do: starts or wakes the worker, unless manual. */
void host_worker_kick(void);
bool host_rcu_has_callbacks(void);
unsigned int host_rcu_run_callbacks(void);

/* A fatal signal is on its way to this thread: host_fatal_after(). */
bool host_fatal_soon(void);

void host_rcu_fork_lock(void);
void host_rcu_fork_unlock(bool child);
void host_alloc_fork_lock(void);
void host_alloc_fork_unlock(void);

#endif
