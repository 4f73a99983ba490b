// SPDX-License-Identifier: MIT
/* An xarray for few entries; linux/xarray.h. */
#include <linux/slab.h>
#include <linux/xarray.h>

struct entry {
	struct list_head link;
	unsigned long index;
	void *value;
};

static struct entry *find(struct xarray *xa, unsigned long index)
{
	struct entry *e;

	list_for_each_entry(e, &xa->entries, link)
		if (e->index == index)
			return e;
	return NULL;
}

static int alloc_from(struct xarray *xa, u32 *id, void *value,
		      struct xa_limit limit, u32 first, gfp_t gfp)
{
	struct entry *e = kmalloc(sizeof(*e), gfp);
	u32 i = first;
	int err = -EBUSY;

	if (!e)
		return -ENOMEM;
	spin_lock(&xa->xa_lock);
	do {
		if (!find(xa, i)) {
			e->index = *id = i;
			e->value = value;
			list_add_tail(&e->link, &xa->entries);
			err = i < first;	/* 1: wrapped around */
			e = NULL;
			break;
		}
		i = i == limit.max ? limit.min : i + 1;
	} while (i != first);
	spin_unlock(&xa->xa_lock);
	kfree(e);
	return err;
}

int xa_alloc_cyclic(struct xarray *xa, u32 *id, void *entry,
		    struct xa_limit limit, u32 *next, gfp_t gfp)
{
	u32 first = *next < limit.min || *next > limit.max ? limit.min : *next;
	int err = alloc_from(xa, id, entry, limit, first, gfp);

	if (err >= 0)
		*next = *id + 1;
	return err;
}

int xa_alloc(struct xarray *xa, u32 *id, void *entry, struct xa_limit limit,
	     gfp_t gfp)
{
	int err = alloc_from(xa, id, entry, limit, limit.min, gfp);

	return err < 0 ? err : 0;
}

int xa_insert(struct xarray *xa, unsigned long index, void *value, gfp_t gfp)
{
	struct entry *e = kmalloc(sizeof(*e), gfp);
	int err = -EBUSY;

	if (!e)
		return -ENOMEM;
	spin_lock(&xa->xa_lock);
	if (!find(xa, index)) {
		e->index = index;
		e->value = value;
		list_add_tail(&e->link, &xa->entries);
		e = NULL;
		err = 0;
	}
	spin_unlock(&xa->xa_lock);
	kfree(e);
	return err;
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	struct entry *e;
	void *value;

	spin_lock(&xa->xa_lock);
	e = find(xa, index);
	value = e ? e->value : NULL;
	spin_unlock(&xa->xa_lock);
	return value;
}

void *xa_erase(struct xarray *xa, unsigned long index)
{
	void *value = NULL;
	struct entry *e;

	spin_lock(&xa->xa_lock);
	e = find(xa, index);
	if (e) {
		list_del(&e->link);
		value = e->value;
	}
	spin_unlock(&xa->xa_lock);
	kfree(e);
	return value;
}

void xa_destroy(struct xarray *xa)
{
	struct entry *e, *next;

	spin_lock(&xa->xa_lock);
	list_for_each_entry_safe(e, next, &xa->entries, link) {
		list_del(&e->link);
		kfree(e);
	}
	spin_unlock(&xa->xa_lock);
}
