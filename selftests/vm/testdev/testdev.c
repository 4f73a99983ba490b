// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A stand-in for a GPU or a network card: /dev/testdev writes into memory that
 * it has pinned, until its file is released, and the release takes its time.
 *
 * It is no part of the product: it shows who gets a block while a device of a
 * dead process still writes into it.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "testdev.h"

/**
 * struct engine - one open file
 * @task: writes
 * @pages: what it writes to
 * @nr: how many
 * @teardown_ms: what the release takes
 * @byte: what it writes
 */
struct engine {
	struct task_struct *task;
	struct page **pages;
	int nr;
	u32 teardown_ms;
	u8 byte;
};

static int engine_run(void *arg)
{
	struct engine *e = arg;
	int i;

	while (!kthread_should_stop()) {
		for (i = 0; i < e->nr; i++)
			memset(page_address(e->pages[i]), e->byte, PAGE_SIZE);
		usleep_range(200, 400);
	}
	return 0;
}

static void engine_unpin(struct engine *e)
{
	if (e->nr > 0)
		unpin_user_pages_dirty_lock(e->pages, e->nr, true);
	kvfree(e->pages);
	e->pages = NULL;
	e->nr = 0;
}

static long testdev_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct engine *e = file->private_data;
	struct testdev_start start;
	unsigned long nr;
	int err;

	if (cmd != TESTDEV_START)
		return -ENOTTY;
	if (copy_from_user(&start, (void __user *)arg, sizeof(start)))
		return -EFAULT;
	nr = start.bytes >> PAGE_SHIFT;
	if (e->task || !nr || nr > 1U << 20 || start.bytes & ~PAGE_MASK)
		return -EINVAL;
	e->pages = kvcalloc(nr, sizeof(*e->pages), GFP_KERNEL);
	if (!e->pages)
		return -ENOMEM;
	e->nr = pin_user_pages_fast(start.address, nr,
				    FOLL_WRITE | FOLL_LONGTERM, e->pages);
	if (e->nr != nr) {
		err = e->nr < 0 ? e->nr : -EFAULT;
		engine_unpin(e);
		return err;
	}
	e->byte = start.byte;
	e->teardown_ms = start.teardown_ms;
	if (start.flags & TESTDEV_PIN_ONLY)
		return 0;
	e->task = kthread_run(engine_run, e, "testdev");
	if (IS_ERR(e->task)) {
		err = PTR_ERR(e->task);
		e->task = NULL;
		engine_unpin(e);
		return err;
	}
	return 0;
}

static int testdev_open(struct inode *inode, struct file *file)
{
	struct engine *e = kzalloc(sizeof(*e), GFP_KERNEL);

	file->private_data = e;
	return e ? 0 : -ENOMEM;
}

static int testdev_release(struct inode *inode, struct file *file)
{
	struct engine *e = file->private_data;

	/*
	 * The device writes until it has been shut down.  Not msleep(): jiffies
	 * that catch up end it early.
	 */
	if (e->teardown_ms)
		usleep_range(e->teardown_ms * 1000, e->teardown_ms * 1100);
	if (e->task)
		kthread_stop(e->task);
	engine_unpin(e);
	kfree(e);
	return 0;
}

static const struct file_operations testdev_fops = {
	.owner = THIS_MODULE,
	.open = testdev_open,
	.release = testdev_release,
	.unlocked_ioctl = testdev_ioctl,
};

static struct miscdevice testdev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "testdev",
	.fops = &testdev_fops,
	.mode = 0666,
};
module_misc_device(testdev);

MODULE_DESCRIPTION("A device that writes into pinned memory until its release");
MODULE_LICENSE("Dual MIT/GPL");
