/* SPDX-License-Identifier: MIT */
#ifndef HOST_LINUX_WORKQUEUE_H
#define HOST_LINUX_WORKQUEUE_H

/*
 * Work runs on one worker thread, or when the test says so; see host.h.
 * Every workqueue is the same one.
 */
#include <linux/types.h>
#include <linux/kernel.h>
#include <linux/jiffies.h>
#include <linux/string.h>
#include <linux/atomic.h>

struct work_struct;
typedef void (*work_func_t)(struct work_struct *work);

struct work_struct {
	struct list_head entry;
	work_func_t func;
	bool pending;
	u64 due;		/* ktime_get_ns(); 0 = at once */
	unsigned long queued;	/* ascends */
};

struct delayed_work {
	struct work_struct work;
};

struct workqueue_struct;
#define system_wq ((struct workqueue_struct *)0)
#define system_unbound_wq system_wq
#define system_long_wq system_wq
#define system_highpri_wq system_wq
#define WQ_UNBOUND 0x2
#define WQ_FREEZABLE 0x4
#define WQ_MEM_RECLAIM 0x8
#define WQ_HIGHPRI 0x10
#define WQ_SYSFS 0x40

#define __WORK_INITIALIZER(n, f) { .func = (f) }
#define DECLARE_WORK(n, f) struct work_struct n = __WORK_INITIALIZER(n, f)
#define INIT_WORK(w, f) (*(w) = (struct work_struct){ .func = (f) })
#define INIT_DELAYED_WORK(w, f) INIT_WORK(&(w)->work, f)
#define INIT_WORK_ONSTACK(w, f) INIT_WORK(w, f)
#define destroy_work_on_stack(w) ((void)(w))

static inline struct delayed_work *to_delayed_work(struct work_struct *work)
{
	return (struct delayed_work *)work;
}

bool host_queue_work(struct work_struct *work, u64 delay_ns, bool again);
bool flush_work(struct work_struct *work);
bool cancel_work_sync(struct work_struct *work);
bool cancel_work(struct work_struct *work);
void host_flush_all(void);
bool work_pending(struct work_struct *work);
bool work_busy(struct work_struct *work);

#define schedule_work(w) host_queue_work(w, 0, false)
#define queue_work(wq, w) ((void)(wq), host_queue_work(w, 0, false))
#define schedule_delayed_work(w, j) \
	host_queue_work(&(w)->work, (u64)(j) * (NSEC_PER_SEC / HZ), false)
#define queue_delayed_work(wq, w, j) \
	((void)(wq), schedule_delayed_work(w, j))
#define mod_delayed_work(wq, w, j)                                          \
	((void)(wq), host_queue_work(&(w)->work,                            \
				     (u64)(j) * (NSEC_PER_SEC / HZ), true))
#define cancel_delayed_work(w) cancel_work(&(w)->work)
#define cancel_delayed_work_sync(w) cancel_work_sync(&(w)->work)
#define flush_delayed_work(w) flush_work(&(w)->work)
#define delayed_work_pending(w) work_pending(&(w)->work)
#define alloc_workqueue(fmt, flags, max, args...) \
	((struct workqueue_struct *)16)
#define alloc_ordered_workqueue(fmt, flags, args...) \
	((struct workqueue_struct *)16)
#define destroy_workqueue(wq) ((void)(wq), host_flush_all())
#define flush_workqueue(wq) ((void)(wq), host_flush_all())
#define drain_workqueue(wq) ((void)(wq), host_flush_all())
#define flush_scheduled_work() host_flush_all()

#endif
