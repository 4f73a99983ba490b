/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_MUTEX_H
#define HOST_LINUX_MUTEX_H

#include <pthread.h>
#include <linux/spinlock.h>

struct mutex {
	pthread_mutex_t m;
	unsigned int owner;	/* host_thread_id(), in checked builds */
};

#define DEFINE_MUTEX(name) \
	struct mutex name = { .m = PTHREAD_MUTEX_INITIALIZER }

#define mutex_init(lock) __mutex_init(lock)
void __mutex_init(struct mutex *lock);
void mutex_destroy(struct mutex *lock);
void mutex_lock(struct mutex *lock);
int mutex_trylock(struct mutex *lock);
void mutex_unlock(struct mutex *lock);
bool mutex_is_locked(struct mutex *lock);
bool host_mutex_held(const struct mutex *lock);
#define mutex_lock_nested(lock, subclass) mutex_lock(lock)

static inline int __must_check mutex_lock_interruptible(struct mutex *lock)
{
	mutex_lock(lock);
	return 0;
}

static inline int __must_check mutex_lock_killable(struct mutex *lock)
{
	mutex_lock(lock);
	return 0;
}

#endif
