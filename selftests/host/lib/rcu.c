// SPDX-License-Identifier: MIT
/* Grace periods and callbacks; linux/rcupdate.h explains how they work. */
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/rcupdate.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/delay.h>
#include "host.h"
#include "lib.h"

__thread struct host_rcu_reader host_rcu_self;
unsigned long host_rcu_period = 1;
bool host_rcu_slow;

/* Guards the list of readers, and makes grace periods one at a time. */
static pthread_mutex_t readers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct host_rcu_reader *readers;
static pthread_key_t reader_key;

static pthread_mutex_t cb_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rcu_head *cb_head, **cb_tail = &cb_head;

/* Held while a batch of callbacks is waited for and run, so in order. */
static pthread_mutex_t batch_lock = PTHREAD_MUTEX_INITIALIZER;

static void reader_gone(void *arg)
{
	struct host_rcu_reader *r = arg;

	BUG_ON(r->nest);	/* a thread ended inside of a reader */
	pthread_mutex_lock(&readers_lock);
	*r->pprev = r->next;
	if (r->next)
		r->next->pprev = r->pprev;
	pthread_mutex_unlock(&readers_lock);
	r->known = false;
}

void host_rcu_fork_lock(void)
{
	pthread_mutex_lock(&batch_lock);
	pthread_mutex_lock(&readers_lock);
	pthread_mutex_lock(&cb_lock);
}

void host_rcu_fork_unlock(bool child)
{
	struct host_rcu_reader *r = &host_rcu_self;

	if (child) {
		/* Nobody else came along. */
		readers = NULL;
		if (r->known) {
			r->next = NULL;
			r->pprev = &readers;
			readers = r;
		}
	}
	pthread_mutex_unlock(&cb_lock);
	pthread_mutex_unlock(&readers_lock);
	pthread_mutex_unlock(&batch_lock);
}

static int __maybe_unused membarrier(int cmd)
{
	return syscall(__NR_membarrier, cmd, 0, 0);
}

static void __attribute__((constructor)) rcu_setup(void)
{
	BUG_ON(pthread_key_create(&reader_key, reader_gone));
#ifndef HOST_TSAN
	host_rcu_slow =
		membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
#endif
}

void host_rcu_register(void)
{
	struct host_rcu_reader *r = &host_rcu_self;

	pthread_mutex_lock(&readers_lock);
	r->next = readers;
	r->pprev = &readers;
	if (readers)
		readers->pprev = &r->next;
	readers = r;
	pthread_mutex_unlock(&readers_lock);
	r->known = true;
	pthread_setspecific(reader_key, r);
}

static void barrier_everywhere(void)
{
#ifdef HOST_TSAN
	smp_mb();	/* readers are fully ordered there */
#else
	if (!host_rcu_slow &&
	    membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
		/* A forked child has to say again that it wants this. */
		BUG_ON(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
		BUG_ON(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
	}
	smp_mb();
#endif
}

void synchronize_rcu(void)
{
	struct host_rcu_reader *r;
	unsigned long period;

	might_sleep();
	BUG_ON(rcu_read_lock_held());	/* would wait for itself */
	pthread_mutex_lock(&readers_lock);
	period = __atomic_add_fetch(&host_rcu_period, 1, __ATOMIC_SEQ_CST);
	barrier_everywhere();
	for (r = readers; r; r = r->next) {
		for (;;) {
			unsigned long began = smp_load_acquire(&r->began);

			if (!began || began >= period)
				break;
			sched_yield();
		}
	}
	barrier_everywhere();
	pthread_mutex_unlock(&readers_lock);
}

void call_rcu(struct rcu_head *head, rcu_callback_t func)
{
	WRITE_ONCE(head->func, func);
	head->next = NULL;
	pthread_mutex_lock(&cb_lock);
	*cb_tail = head;
	cb_tail = &head->next;
	pthread_mutex_unlock(&cb_lock);
	host_worker_kick();
}

bool host_rcu_has_callbacks(void)
{
	bool any;

	pthread_mutex_lock(&cb_lock);
	any = cb_head;
	pthread_mutex_unlock(&cb_lock);
	return any;
}

unsigned int host_rcu_run_callbacks(void)
{
	struct rcu_head *head, *next;
	unsigned int n = 0;

	pthread_mutex_lock(&batch_lock);
	pthread_mutex_lock(&cb_lock);
	head = cb_head;
	cb_head = NULL;
	cb_tail = &cb_head;
	pthread_mutex_unlock(&cb_lock);
	if (head)
		synchronize_rcu();
	for (; head; head = next) {
		unsigned long func = (unsigned long)head->func;

		next = head->next;
		if (func < 4096) {
			kvfree((void *)head - func);
		} else {
			host_atomic_enter();
			((rcu_callback_t)func)(head);
			host_atomic_leave();
		}
		n++;
	}
	pthread_mutex_unlock(&batch_lock);
	return n;
}

void rcu_barrier(void)
{
	might_sleep();
	/* Waits for the batch that is under way, then runs the rest. */
	host_rcu_run_callbacks();
}

void host_rcu_quiesce(void)
{
	synchronize_rcu();
	rcu_barrier();
}
