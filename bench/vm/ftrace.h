/* SPDX-License-Identifier: MIT */
/*
 * ftrace.h - how long the module's chunk functions run and hold locks
 *
 * The kernel's function_graph tracer watches the chunk functions and the
 * spinlocks inside them.  A section lasts from the first lock taken to the
 * last one dropped.  Timer interrupts and what they run are counted apart.
 */
#ifndef FTRACE_H
#define FTRACE_H

#include <stdbool.h>
#include <stdint.h>

/* Durations of one kind; the clock's unit. */
struct series {
	uint32_t *clean;		/* without an interrupt inside */
	uint32_t n, room;
	uint32_t max;			/* of these */
	const char *max_in;		/* while the program did this */
	uint32_t ticked;		/* with an interrupt inside: how many */
	uint32_t max_ticked;
};

uint32_t series_median(struct series *s);	/* sorts */

struct traced {
	char name[64];
	uint64_t addr;
	struct series calls;		/* from entry to exit */
	struct series sections;		/* with a lock held */
};

extern struct traced traced[];
extern unsigned int nr_traced;

void ftrace_setup(void);
void ftrace_start(void);		/* the tracer, not tracing yet */
void ftrace_stop(void);			/* no hooks any more */
void ftrace_begin(const char *phase);
void ftrace_end(void);			/* stop, take in what was traced */
void ftrace_forget(void);		/* all series */

#endif
