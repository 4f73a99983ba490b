// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * number.c - device numbers, none of which ever leads to two stores
 *
 * A node that mknod(2) made says nothing but a device number.  It outlives the
 * store that it was made for, and this module too: containers keep theirs, and
 * so do the rules that let them.  So a number that was given to a store is never
 * given to another one until the machine restarts, not even by the module's
 * next incarnation.
 *
 * The kernel's own register of character devices remembers that.  Numbers are
 * claimed there in windows.  One of which a number was given stays claimed when
 * the module goes, and the next incarnation begins behind it.  What remains is
 * some 100 bytes for each window; there are 256 windows of 4096 numbers to a
 * major, and 128 majors.
 *
 * Of each major, minor 0 is the control device's and is let go with the module.
 * A major with minor 0 free and the first window taken is one that an earlier
 * incarnation used; should it be another driver's after all, the windows that
 * this one claims are nobody's.
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
 * struct major - a major of which windows are claimed
 * @link: in majors; numbers come from the last one
 * @cdev: carries all its minors
 * @nr: the major
 * @window: claimed last
 * @next: next minor to give, or beyond the window
 * @given: one of the window was given
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

/* The next major of the dynamic ones that has a window left. */
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
 * Return: 0, -ENOMEM, or -EDQUOT when 2^27 stores have had theirs.
 */
int kvbm_number_new(dev_t *devt)
{
	struct major *m = list_last_entry(&majors, struct major, link);
	int err;

	if (m->next == (m->window + 1) * WINDOW) {
		/* Those in front of it keep their claims, see above. */
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
 * kvbm_number_exit() - let go of what no node can name
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
