// SPDX-License-Identifier: MIT
/* User memory that faults where the test says so. */
#include <linux/kernel.h>
#include <linux/uaccess.h>
#include <linux/preempt.h>
#include "host.h"

#define MAX_RANGES 16

struct range {
	uintptr_t start, end;
	int what;
};

/* Written while no user copy runs, or seen by it a little later. */
static struct range faulty[MAX_RANGES], allowed[MAX_RANGES];
static unsigned int nfaulty, nallowed;
static void (*hook)(const void *p, size_t len, int what);
static __thread unsigned long fail_nth;

static void add_range(struct range *set, unsigned int *n, const void *p,
		      size_t len, int what)
{
	BUG_ON(*n == MAX_RANGES);
	set[*n] = (struct range){ (uintptr_t)p, (uintptr_t)p + len, what };
	smp_store_release(n, *n + 1);
}

void host_fault_range(const void *p, size_t len, int what)
{
	add_range(faulty, &nfaulty, p, len, what);
}

void host_user_only(const void *p, size_t len, int what)
{
	add_range(allowed, &nallowed, p, len, what);
}

void host_fault_clear(void)
{
	smp_store_release(&nfaulty, 0);
	smp_store_release(&nallowed, 0);
}

void host_fail_usercopy_nth(unsigned long nth)
{
	fail_nth = nth;
}

void host_user_hook(void (*h)(const void *p, size_t len, int what))
{
	smp_store_release(&hook, h);
}

/* How many bytes from @p on can be accessed before the first fault. */
static size_t reachable(const void *p, size_t len, int what)
{
	uintptr_t at = (uintptr_t)p, end = at + len;
	unsigned int i, n = smp_load_acquire(&nfaulty);
	void (*h)(const void *p, size_t len, int what) =
		smp_load_acquire(&hook);

	might_sleep();
	if (h)
		h(p, len, what);
	if (fail_nth && !--fail_nth)
		return 0;
	/* Never valid in a real process either. */
	if (end < at || end > (uintptr_t)1 << 47)
		return 0;
	if (at < PAGE_SIZE)
		return 0;
	for (i = 0; i < n; i++) {
		const struct range *r = &faulty[i];

		if ((r->what & what) && r->start < end && r->end > at)
			end = max(at, r->start);
	}
	n = smp_load_acquire(&nallowed);
	if (n) {
		uintptr_t good = at;
		bool grew;

		do {
			grew = false;
			for (i = 0; i < n; i++) {
				const struct range *r = &allowed[i];

				if ((r->what & what) && r->start <= good &&
				    r->end > good) {
					good = r->end;
					grew = true;
				}
			}
		} while (grew && good < end);
		end = min(end, good);
	}
	return end - at;
}

unsigned long copy_from_user(void *to, const void __user *from,
			     unsigned long n)
{
	size_t ok = n ? reachable(from, n, HOST_FAULT_READ) : 0;

	if (ok)
		memcpy(to, from, ok);
	if (ok < n)
		memset(to + ok, 0, n - ok);
	return n - ok;
}

unsigned long copy_to_user(void __user *to, const void *from, unsigned long n)
{
	size_t ok = n ? reachable(to, n, HOST_FAULT_WRITE) : 0;

	if (ok)
		memcpy(to, from, ok);
	return n - ok;
}

unsigned long clear_user(void __user *to, unsigned long n)
{
	size_t ok = n ? reachable(to, n, HOST_FAULT_WRITE) : 0;

	if (ok)
		memset(to, 0, ok);
	return n - ok;
}

int check_zeroed_user(const void __user *from, size_t size)
{
	if (!size)
		return 1;
	if (reachable(from, size, HOST_FAULT_READ) < size)
		return -EFAULT;
	return !memchr_inv(from, 0, size);
}

int copy_struct_from_user(void *dst, size_t ksize, const void __user *src,
			  size_t usize)
{
	size_t size = min(ksize, usize);
	size_t rest = max(ksize, usize) - size;
	int ret;

	if (usize < ksize) {
		memset(dst + size, 0, rest);
	} else if (usize > ksize) {
		ret = check_zeroed_user(src + size, rest);
		if (ret <= 0)
			return ret ?: -E2BIG;
	}
	if (copy_from_user(dst, src, size))
		return -EFAULT;
	return 0;
}

long strncpy_from_user(char *dst, const char __user *src, long count)
{
	long i;

	for (i = 0; i < count; i++) {
		if (reachable(src + i, 1, HOST_FAULT_READ) < 1)
			return -EFAULT;
		dst[i] = src[i];
		if (!dst[i])
			return i;
	}
	return count;
}

void *memdup_user(const void __user *src, size_t len)
{
	void *p = kvmalloc(len, GFP_USER);

	if (!p)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(p, src, len)) {
		kvfree(p);
		return ERR_PTR(-EFAULT);
	}
	return p;
}
