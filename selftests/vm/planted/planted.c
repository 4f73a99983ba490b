// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A module with one mistake of every kind that a run in the VM must report.
 *
 * Writing a mistake's name to /proc/planted makes it happen. It is no part
 * of the product: it shows that the harness can fail.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

/* Hides a value from the compiler, which warns of the plainer mistakes. */
static int hide(int value)
{
	OPTIMIZER_HIDE_VAR(value);
	return value;
}

static int sink;	/* of values that have to be computed */

static void nothing(void)
{
}

static void use_after_free(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return;
	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(p[8], 1);
}

static void out_of_bounds(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return;
	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(p[64], 1);
	kfree(p);
}

static void vmalloc_out_of_bounds(void)
{
	char *p = vmalloc(PAGE_SIZE - 8);

	if (!p)
		return;
	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(p[PAGE_SIZE - 8], 1);
	vfree(p);
}

static void double_free(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	kfree(p);
}

static DEFINE_SPINLOCK(lock_a);
static DEFINE_SPINLOCK(lock_b);

static void lock_inversion(void)
{
	spin_lock(&lock_a);
	spin_lock(&lock_b);
	spin_unlock(&lock_b);
	spin_unlock(&lock_a);

	spin_lock(&lock_b);
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	spin_unlock(&lock_b);
}

static void lock_leaked(void)
{
	spin_lock(&lock_a);
}

static void rcu_unprotected(void)
{
	static int value;
	static int __rcu *pointer = (int __rcu *)&value;

	WRITE_ONCE(sink, *rcu_dereference(pointer));
}

static void sleep_in_atomic(void)
{
	spin_lock(&lock_a);
	msleep(1);
	spin_unlock(&lock_a);
}

static DEFINE_RAW_SPINLOCK(raw_lock);

static void sleep_in_raw(void)
{
	raw_spin_lock(&raw_lock);
	msleep(1);
	raw_spin_unlock(&raw_lock);
}

/* A spinlock sleeps on PREEMPT_RT; elsewhere this is right. */
static void sleeping_lock_in_raw(void)
{
	raw_spin_lock(&raw_lock);
	spin_lock(&lock_a);
	spin_unlock(&lock_a);
	raw_spin_unlock(&raw_lock);
}

/* Only says that it may sleep, and does not: the plain kernel is silent. */
static void might_sleep_in_rcu(void)
{
	rcu_read_lock();
	might_sleep();
	rcu_read_unlock();
}

static void bad_shift(void)
{
	WRITE_ONCE(sink, 1 << hide(40));
}

static void bad_index(void)
{
	static int array[4];

	WRITE_ONCE(sink, array[hide(5)]);
}

static void list_corruption(void)
{
	LIST_HEAD(head);
	struct list_head a, b;

	list_add(&a, &head);
	list_add(&b, &head);
	b.next = &b;
	list_del(&a);
}

static void refcount_underflow(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	if (refcount_dec_and_test(&count))
		refcount_dec(&count);
}

static void timer_fn(struct timer_list *timer)
{
}

static void free_active_timer(void)
{
	struct timer_list *timer = kzalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return;
	timer_setup(timer, timer_fn, 0);
	mod_timer(timer, jiffies + 1000 * HZ);
	kfree(timer);
}

/* Several: what is left of a pointer in some stack hides one of them. */
static void leak(void)
{
	int i;

	for (i = 0; i < 16; i++) {
		char *p = kmalloc(1000, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(p);
	}
}

/* Half of what a structure has gets to the user as the allocator left it. */
static void uninitialised_copy(void)
{
	unsigned long to = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_ANONYMOUS | MAP_PRIVATE, 0);
	char *p;

	if (IS_ERR_VALUE(to))
		return;
	p = kmalloc(64, GFP_KERNEL);
	if (p) {
		memset(p, 0, 32);
		if (copy_to_user((void __user *)to, p, 64))
			pr_info("planted: no copy\n");
		kfree(p);
	}
	vm_munmap(to, PAGE_SIZE);
}

static void uninitialised_branch(void)
{
	int *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return;
	if (READ_ONCE(p[3]) == 5)
		WRITE_ONCE(sink, 1);
	kfree(p);
}

static void warn(void)
{
	WARN(1, "planted\n");
}

static void null_pointer(void)
{
	int *p = NULL;

	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(*p, 1);
}

static void do_panic(void)
{
	panic("planted");
}

static void huge_allocation(void)
{
	vfree(vmalloc(1ul << 46));
}

static void stuck_for_ever(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule();
}

static void spin_for_ever(void)
{
	preempt_disable();
	for (;;)
		cpu_relax();
}

static int racy;

static int racer(void *unused)
{
	while (!kthread_should_stop()) {
		racy++;
		barrier();	/* to memory, every time */
		cond_resched();
	}
	return 0;
}

static void racing_counter(void)
{
	struct task_struct *task = kthread_create(racer, NULL, "planted");
	unsigned long end = jiffies + 3 * HZ;

	if (IS_ERR(task))
		return;
	/* Two processors, or there is nothing to see. */
	set_cpus_allowed_ptr(current, cpumask_of(0));
	kthread_bind(task, 1);
	wake_up_process(task);
	while (time_before(jiffies, end)) {
		racy++;
		barrier();	/* to memory, every time */
		cond_resched();
	}
	kthread_stop(task);
	WRITE_ONCE(sink, racy);
}

#define MISTAKE(f) { #f, f }
static const struct {
	const char *name;
	void (*make)(void);
} mistakes[] = {
	MISTAKE(nothing),
	MISTAKE(use_after_free),
	MISTAKE(out_of_bounds),
	MISTAKE(vmalloc_out_of_bounds),
	MISTAKE(double_free),
	MISTAKE(lock_inversion),
	MISTAKE(lock_leaked),
	MISTAKE(rcu_unprotected),
	MISTAKE(sleep_in_atomic),
	MISTAKE(sleep_in_raw),
	MISTAKE(sleeping_lock_in_raw),
	MISTAKE(might_sleep_in_rcu),
	MISTAKE(bad_shift),
	MISTAKE(bad_index),
	MISTAKE(list_corruption),
	MISTAKE(refcount_underflow),
	MISTAKE(free_active_timer),
	MISTAKE(leak),
	MISTAKE(uninitialised_copy),
	MISTAKE(uninitialised_branch),
	MISTAKE(warn),
	MISTAKE(null_pointer),
	MISTAKE(do_panic),
	MISTAKE(huge_allocation),
	MISTAKE(stuck_for_ever),
	MISTAKE(spin_for_ever),
	MISTAKE(racing_counter),
};

static ssize_t planted_write(struct file *file, const char __user *buf,
			     size_t count, loff_t *pos)
{
	char name[32];
	size_t i;

	if (count >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, buf, count))
		return -EFAULT;
	name[count] = '\0';
	for (i = 0; i < ARRAY_SIZE(mistakes); i++) {
		if (sysfs_streq(name, mistakes[i].name)) {
			mistakes[i].make();
			return count;
		}
	}
	return -ENOENT;
}

static const struct proc_ops planted_ops = {
	.proc_write = planted_write,
};

static int __init planted_init(void)
{
	return proc_create("planted", 0200, NULL, &planted_ops) ? 0 : -ENOMEM;
}

static void __exit planted_exit(void)
{
	remove_proc_entry("planted", NULL);
}

module_init(planted_init);
module_exit(planted_exit);
MODULE_DESCRIPTION("Mistakes that the test harness must find");
MODULE_LICENSE("Dual MIT/GPL");
