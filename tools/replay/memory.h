/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_MEMORY_H
#define REPLAY_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Anonymous memory that forked processes share; NULL if there is none. */
void *shared_memory(size_t size);

/*
 * Are @bytes more available?  The kernel overcommits, and kills processes that
 * use such memory.  Returns 0, or -ENOMEM after printing what @what needs and
 * how much is available.
 */
int enough_memory(const char *what, uint64_t bytes);

#endif /* REPLAY_MEMORY_H */
