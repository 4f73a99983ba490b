/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_MEMORY_H
#define REPLAY_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Anonymous memory that forked processes share; NULL when there is none. */
void *shared_memory(size_t size);

/*
 * Is there room for @bytes more?  The kernel promises what it does not have,
 * and ends processes when they use it.  Returns 0, or -ENOMEM and has told what
 * @what needs and what there is.
 */
int enough_memory(const char *what, uint64_t bytes);

#endif /* REPLAY_MEMORY_H */
