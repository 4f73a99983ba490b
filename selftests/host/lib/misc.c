// SPDX-License-Identifier: MIT
/* Messages, warnings, random numbers, time, strings, the current thread. */
#include <execinfo.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/random.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/time_namespace.h>
#include <linux/cred.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/rcupdate.h>
#include <linux/delay.h>
#include "host.h"

#ifdef HOST_TSAN
unsigned long host_tsan_fence;
#endif

/* --- messages and warnings ---------------------------------------------- */

static bool warn_expected;
static unsigned int warn_count;

void host_printk(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
}

static void backtrace_now(void)
{
	void *frames[32];

	backtrace_symbols_fd(frames, backtrace(frames, ARRAY_SIZE(frames)), 2);
}

void host_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "BUG at %s:%d: %s\n", file, line, what);
	backtrace_now();
	abort();
}

void host_warn(const char *file, int line, const char *what)
{
	if (READ_ONCE(warn_expected)) {
		__atomic_fetch_add(&warn_count, 1, __ATOMIC_RELAXED);
		return;
	}
	fprintf(stderr, "WARNING at %s:%d: %s\n", file, line, what);
	backtrace_now();
	abort();
}

unsigned int host_warn_expect(bool expected)
{
	WRITE_ONCE(warn_expected, expected);
	return __atomic_exchange_n(&warn_count, 0, __ATOMIC_RELAXED);
}

/* --- random numbers: splitmix64 over a counter -------------------------- */

static u64 random_state;
static bool random_seeded;

void host_seed(uint64_t seed)
{
	__atomic_store_n(&random_state, seed, __ATOMIC_RELAXED);
	__atomic_store_n(&random_seeded, true, __ATOMIC_RELEASE);
}

u64 get_random_u64(void)
{
	u64 z;

	if (!__atomic_load_n(&random_seeded, __ATOMIC_ACQUIRE)) {
		BUG_ON(getrandom(&z, sizeof(z), 0) != sizeof(z));
		host_seed(z);
	}
	z = __atomic_add_fetch(&random_state, 0x9e3779b97f4a7c15ULL,
			       __ATOMIC_RELAXED);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void get_random_bytes(void *buf, size_t len)
{
	while (len) {
		u64 r = get_random_u64();
		size_t n = min(len, sizeof(r));

		memcpy(buf, &r, n);
		buf += n;
		len -= n;
	}
}

/* --- time --------------------------------------------------------------- */

s64 host_time_offset;

void host_set_time_offset(int64_t ns)
{
	host_time_offset = ns;
}

static u64 frozen_ns;

#ifdef HOST_DEBUG
static void look(u64 ns)
{
}
#else
unsigned long host_jiffies;

static void look(u64 ns)
{
	unsigned long now = ns / TICK_NSEC;

	/* Not a store each time: processors would pass the line around. */
	if (READ_ONCE(host_jiffies) != now)
		WRITE_ONCE(host_jiffies, now);
}
#endif

void host_set_time(uint64_t ns)
{
	WRITE_ONCE(frozen_ns, ns);
	look(ns);
}

static u64 clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

u64 ktime_get_ns(void)
{
	u64 ns = READ_ONCE(frozen_ns) ?: clock_ns(CLOCK_MONOTONIC);

	look(ns);
	return ns;
}

u64 ktime_get_real_ns(void)
{
	return READ_ONCE(frozen_ns) ?: clock_ns(CLOCK_REALTIME);
}

/* --- strings ------------------------------------------------------------ */

int scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!size)
		return 0;
	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return min_t(int, n, size - 1);
}

ssize_t strscpy(char *dst, const char *src, size_t count)
{
	size_t len;

	if (!count)
		return -E2BIG;
	len = strnlen(src, count);
	if (len == count) {
		memcpy(dst, src, count - 1);
		dst[count - 1] = 0;
		return -E2BIG;
	}
	memcpy(dst, src, len + 1);
	return len;
}

void *memchr_inv(const void *start, int c, size_t bytes)
{
	const u8 *p = start;

	for (; bytes--; p++)
		if (*p != (u8)c)
			return (void *)p;
	return NULL;
}

/* --- privileges --------------------------------------------------------- */

bool capable(int cap)
{
	return true;
}

static __thread unsigned int as_uid = -1, as_gid = -1;

void host_set_user(unsigned int uid, unsigned int gid)
{
	as_uid = uid;
	as_gid = gid;
}

kuid_t current_fsuid(void)
{
	return KUIDT_INIT(as_uid == -1U ? geteuid() : as_uid);
}

kgid_t current_fsgid(void)
{
	return KGIDT_INIT(as_gid == -1U ? getegid() : as_gid);
}

bool in_group_p(kgid_t gid)
{
	return gid_eq(gid, current_fsgid());
}

/* --- the current thread ------------------------------------------------- */

static __thread struct task_struct *self;
static pthread_key_t self_key;
static __thread unsigned long fatal_in;

struct task_struct *get_task_struct(struct task_struct *t)
{
	__atomic_fetch_add(&t->usage, 1, __ATOMIC_RELAXED);
	return t;
}

void put_task_struct(struct task_struct *t)
{
	if (!__atomic_sub_fetch(&t->usage, 1, __ATOMIC_ACQ_REL))
		free(t);
}

static void self_end(void *t)
{
	put_task_struct(t);
}

static void __attribute__((constructor)) self_setup(void)
{
	BUG_ON(pthread_key_create(&self_key, self_end));
}

struct task_struct *host_current(void)
{
	if (!self) {
		self = calloc(1, sizeof(*self));
		BUG_ON(!self);
		self->usage = 1;
		self->pid = gettid();
		self->tgid = getpid();
		pthread_getname_np(pthread_self(), self->comm,
				   sizeof(self->comm));
		self->group_leader = self;
		BUG_ON(pthread_setspecific(self_key, self));
	}
	return self;
}

static bool alone;

void host_set_alone(bool yes)
{
	WRITE_ONCE(alone, yes);
}

bool host_alone(void)
{
	return READ_ONCE(alone);
}

void host_set_signal(bool pending, bool fatal)
{
	struct task_struct *me = host_current();

	WRITE_ONCE(me->sig_pending, pending || fatal);
	WRITE_ONCE(me->sig_fatal, fatal);
	fatal_in = 0;
}

void host_send_signal(struct task_struct *t, bool fatal)
{
	if (fatal)
		WRITE_ONCE(t->sig_fatal, true);
	WRITE_ONCE(t->sig_pending, true);
	wake_up_state(t, TASK_INTERRUPTIBLE | (fatal ? TASK_WAKEKILL : 0));
}

void host_fatal_after(unsigned long nth)
{
	fatal_in = nth;
}

bool host_fatal_soon(void)
{
	return fatal_in;
}

bool host_fatal_signal(void)
{
	struct task_struct *me = host_current();

	if (fatal_in && !--fatal_in) {
		WRITE_ONCE(me->sig_pending, true);
		WRITE_ONCE(me->sig_fatal, true);
	}
	return READ_ONCE(me->sig_fatal);
}

bool host_signal(void)
{
	return host_fatal_signal() || READ_ONCE(host_current()->sig_pending);
}

void host_spin_wait(unsigned int *spins)
{
	/* A preempted holder needs this CPU more than we do. */
	if (++*spins % 256)
		cpu_relax();
	else
		sched_yield();
}

/* CPU numbers, one to a live thread, given back by a thread's destructor. */
__thread int host_cpu_plus_one;
static u64 cpus_taken;
static pthread_key_t cpu_key;

static void cpu_give(void *cpu_plus_one)
{
	int cpu = (int)(long)cpu_plus_one - 1;

	__atomic_fetch_and(&cpus_taken, ~(1ULL << cpu), __ATOMIC_RELEASE);
}

static void __attribute__((constructor)) cpu_setup(void)
{
	BUG_ON(pthread_key_create(&cpu_key, cpu_give));
}

int host_cpu_take(void)
{
	u64 old = __atomic_load_n(&cpus_taken, __ATOMIC_RELAXED);
	int cpu;

	BUILD_BUG_ON(HOST_NR_CPUS > 64);
	do {
		BUG_ON(old == ~0ULL);	/* more threads than HOST_NR_CPUS */
		cpu = __builtin_ctzll(~old);
	} while (!__atomic_compare_exchange_n(&cpus_taken, &old,
					      old | 1ULL << cpu, false,
					      __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	host_cpu_plus_one = cpu + 1;
	pthread_setspecific(cpu_key, (void *)(long)host_cpu_plus_one);
	return cpu;
}

/* --- checks ------------------------------------------------------------- */

#ifdef HOST_DEBUG
__thread void (*host_point_fn)(enum host_point at, const void *p);
__thread int host_atomic_depth;

unsigned int host_thread_id(void)
{
	static __thread unsigned int id;
	static unsigned int last;

	if (unlikely(!id))
		id = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	return id;
}

void host_might_sleep(const char *file, int line)
{
	if (host_atomic_depth)
		host_bug(file, line, "sleeping in atomic context");
	if (rcu_read_lock_held())
		host_bug(file, line, "sleeping in an RCU reader");
	/* A call that may sleep changes the state: a wake-up would be lost. */
	if (READ_ONCE(host_current()->state))
		host_bug(file, line, "may sleep, about to sleep already");
}
#endif

/* Of the sanitizers, where a program has no wishes of its own. */
#ifdef HOST_TSAN
const char *__tsan_default_options(void);
__weak const char *__tsan_default_options(void)
{
	return "atexit_sleep_ms=100:second_deadlock_stack=1:history_size=5";
}
#endif
