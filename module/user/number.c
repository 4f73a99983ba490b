// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * number.c - device numbers, none of which ever leads to two stores
 *
 * A node from mknod(2) is only a device number.  It outlives the store that it
 * was made for, and this module too: containers keep their nodes, and the rules
 * that allow them.  So a number of one store is not given to another until the
 * machine restarts, not even after the module is reloaded.
 *
 * The kernel's own register of character devices remembers that.  Numbers are
 * claimed there in windows.  A window that gave out a number stays claimed when
 * the module is removed, and the next load begins behind it.  What remains is
 * some 100 bytes for each window; there are 256 windows of 4096 numbers per
 * major, and 128 majors.
 *
 * Minor 0 of each major belongs to the control device, and is released with the
 * module.  If a major has minor 0 free and the first window taken, an earlier
 * load used it; if it is another driver's after all, the windows that this load
 * claims are still free ones.
 *
 * All under the caller's lock.
 */
#include <linux/cdev.h>
#include <linux/kdev_t.h>
#include <linux/list.h>
#include <linux/slab.h>
#include "file.h"

#define WINDOW		4096U
#define WINDOWS		((1U << MINORBITS) / WINDOW)

/**
 * struct major - a major with claimed windows
 * @link: in majors; numbers come from the last one
 * @cdev: carries all its minors
 * @nr: the major
 * @window: the latest claimed one
 * @next: next minor to give out, or beyond the window
 * @given: the window has given out a number
 */
struct major {
	struct list_head link;
	struct cdev *cdev;
	unsigned int nr;
	u32 window;
	u32 next;
	bool given;
};

static LIST_HEAD(majors);
static const struct file_operations *number_fops;

static dev_t window_first(unsigned int major, u32 window)
{
	return MKDEV(major, window ? window * WINDOW : 1);
}

static u32 window_count(u32 window)
{
	return window ? WINDOW : WINDOW - 1;
}

static int claim(unsigned int major, u32 window)
{
	return register_chrdev_region(window_first(major, window),
				      window_count(window), "kvbm-stores");
}

static void unclaim(unsigned int major, u32 window)
{
	unregister_chrdev_region(window_first(major, window),
				 window_count(window));
}

/* Claims the first free window: all before it are taken, none behind it. */
static int claim_first(unsigned int major, u32 *window)
{
	u32 low = 0, high = WINDOWS;
	int err;

	while (low < high) {
		u32 mid = low ? (low + high) / 2 : 0;

		err = claim(major, mid);
		if (err && err != -EBUSY)
			return err;
		if (err) {
			low = mid + 1;
			continue;
		}
		if (mid == low) {
			*window = mid;
			return 0;
		}
		unclaim(major, mid);
		high = mid;
	}
	if (low == WINDOWS)
		return -EBUSY;
	*window = low;
	return claim(major, low);
}

static int open_major(struct major *m, unsigned int nr)
{
	int err;

	err = register_chrdev_region(MKDEV(nr, 0), 1, "kvbm");
	if (err)
		return err;
	err = claim_first(nr, &m->window);
	if (err)
		goto unclaim_zero;
	m->nr = nr;
	m->next = MINOR(window_first(nr, m->window));
	err = -ENOMEM;
	m->cdev = cdev_alloc();
	if (!m->cdev)
		goto unclaim_window;
	m->cdev->ops = number_fops;
	m->cdev->owner = THIS_MODULE;
	err = cdev_add(m->cdev, MKDEV(nr, 0), 1U << MINORBITS);
	if (err)
		goto put_cdev;
	list_add_tail(&m->link, &majors);
	return 0;

put_cdev:
	kobject_put(&m->cdev->kobj);
unclaim_window:
	unclaim(nr, m->window);
unclaim_zero:
	unregister_chrdev_region(MKDEV(nr, 0), 1);
	return err;
}

/* The next dynamic major that has a window left. */
static int next_major(unsigned int after)
{
	unsigned int nr;
	struct major *m;
	int err = -EBUSY;

	m = kzalloc(sizeof(*m), GFP_KERNEL);
	if (!m)
		return -ENOMEM;
	for (nr = after + 1; nr <= CHRDEV_MAJOR_DYN_EXT_START; nr++) {
		err = open_major(m, nr);
		if (err != -EBUSY)
			break;
	}
	if (err)
		kfree(m);
	return err;
}

/**
 * kvbm_number_init() - get numbers for the control device and some stores
 * @fops: of all devices
 * @control: out: the control device's number
 *
 * Return: 0 or -errno.
 */
int kvbm_number_init(const struct file_operations *fops, dev_t *control)
{
	int err;

	number_fops = fops;
	err = next_major(CHRDEV_MAJOR_DYN_EXT_END - 1);
	if (err)
		return err;
	*control = MKDEV(list_first_entry(&majors, struct major, link)->nr, 0);
	return 0;
}

/**
 * kvbm_number_new() - a number that no store ever had
 * @devt: out
 *
 * Return: 0, -ENOMEM, or -EDQUOT after 2^27 stores.
 */
int kvbm_number_new(dev_t *devt)
{
	struct major *m = list_last_entry(&majors, struct major, link);
	int err;

	if (m->next == (m->window + 1) * WINDOW) {
		/* Windows in front of it stay claimed, see above. */
		err = m->window + 1 < WINDOWS ? claim(m->nr, m->window + 1) :
						-EBUSY;
		if (!err) {
			m->window++;
			m->given = false;
		} else if (err == -EBUSY) {
			err = next_major(m->nr);
			m = list_last_entry(&majors, struct major, link);
		}
		if (err)
			return err == -EBUSY ? -EDQUOT : err;
	}
	*devt = MKDEV(m->nr, m->next++);
	m->given = true;
	return 0;
}

/**
 * kvbm_number_exit() - release numbers that no node can have
 */
void kvbm_number_exit(void)
{
	struct major *m, *next;

	list_for_each_entry_safe(m, next, &majors, link) {
		cdev_del(m->cdev);
		if (!m->given)
			unclaim(m->nr, m->window);
		unregister_chrdev_region(MKDEV(m->nr, 0), 1);
		list_del(&m->link);
		kfree(m);
	}
}
