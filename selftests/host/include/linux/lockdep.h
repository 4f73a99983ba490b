/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_LOCKDEP_H
#define HOST_LINUX_LOCKDEP_H

#include <linux/types.h>
#include <linux/bug.h>

struct lock_class_key { };
struct lockdep_map { };

#define SINGLE_DEPTH_NESTING 1
#define lockdep_init_map(map, name, key, subclass) \
	do { (void)(map); (void)(name); (void)(key); } while (0)
#define lock_map_acquire(map) ((void)(map))
#define lock_map_release(map) ((void)(map))
#define lock_map_acquire_read(map) ((void)(map))
#define lock_acquire_exclusive(map, subclass, trylock, nest, ip) ((void)(map))
#define lockdep_set_class(lock, key) ((void)(lock))
#define lockdep_set_subclass(lock, sub) ((void)(lock))
#define lockdep_register_key(key) ((void)(key))
#define lockdep_unregister_key(key) ((void)(key))
#define lockdep_assert_irqs_enabled() ((void)0)
#define lockdep_assert_irqs_disabled() ((void)0)
#define lockdep_assert_in_rcu_read_lock() ((void)0)

/* Checked where the holder is known, in checked builds. */
#define lockdep_is_held(lock)                                     \
	_Generic((lock),                                          \
		 struct spinlock *: host_spin_held,               \
		 const struct spinlock *: host_spin_held,         \
		 struct mutex *: host_mutex_held,                 \
		 const struct mutex *: host_mutex_held)(lock)
#ifdef HOST_DEBUG
#define lockdep_assert_held(lock) WARN_ON(!lockdep_is_held(lock))
#define lockdep_assert_not_held(lock) WARN_ON(lockdep_is_held(lock))
#define lockdep_assert(cond) WARN_ON(!(cond))
#else
#define lockdep_assert_held(lock) ((void)(lock))
#define lockdep_assert_not_held(lock) ((void)(lock))
#define lockdep_assert(cond) ((void)0)
#endif
#define lockdep_assert_held_once(lock) lockdep_assert_held(lock)
#define lockdep_assert_once(cond) lockdep_assert(cond)

struct spinlock;
struct mutex;
static inline bool host_spin_held(const struct spinlock *lock);
bool host_mutex_held(const struct mutex *lock);

#endif
