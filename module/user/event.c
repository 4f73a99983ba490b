// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * event.c - descriptors for reading a store's events
 *
 * Each reader has its own wait queue, and a user may put as many watches into
 * it as he can have descriptors.  Appending events queues a work item, which
 * wakes up to KVBM_CHUNK watches of each reader in turn, and requeues itself
 * while there are more.  So no reader waits for another's watches.
 *
 * A reader keeps the ring and this module alive, but neither the store nor a
 * session.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include "event.h"
#include "file.h"
#include "note.h"

/**
 * struct kvbm_readers - the readers of a store's events
 * @ring: the events
 * @work: wakes readers
 * @wanted: wake all of them
 * @lock: one walk over the readers, and the list
 * @list: of readers; at most KVBM_MAX_READERS
 * @nr: how many
 * @store_id: identity of the store
 * @note_bytes: of the store's blocks
 * @payer: user charged for the ring, until it is freed
 * @bytes: charge
 */
struct kvbm_readers {
	struct kvbm_ring ring;
	struct work_struct work;
	bool wanted;
	struct mutex lock;		/* the list, and walks over it */
	struct list_head list;
	u32 nr;
	u64 store_id;
	u32 note_bytes;
	struct kvbm_payer *payer;
	u64 bytes;
};

/**
 * struct reader - a descriptor
 * @readers: of the store
 * @link: in their list
 * @uid: user who opened it, from kvbm_payer_uid()
 * @poll: its sleepers and pollers
 * @lock: one read at a time: @cursor, @page, @noted and @lost
 * @cursor: its position
 * @lost: events that it was too slow for
 * @page: a page of events to copy to the user
 * @noted: if it selected notes: the same with notes
 * @size: bytes of each record that it reads
 */
struct reader {
	struct kvbm_readers *readers;
	struct list_head link;
	kuid_t uid;
	struct kvbm_poll poll;
	struct mutex lock;		/* one read at a time */
	struct kvbm_cursor cursor;
	u64 lost;
	struct kvbm_event *page;
	void *noted;
	size_t size;
};

static struct kvbm_readers *readers_of(struct kvbm_ring *ring)
{
	return container_of(ring, struct kvbm_readers, ring);
}

static void wake_work(struct work_struct *work)
{
	struct kvbm_readers *rs = container_of(work, struct kvbm_readers, work);
	bool all, more = false;
	struct reader *r;

	mutex_lock(&rs->lock);
	/* A later request queues the work again. */
	all = xchg(&rs->wanted, false);
	list_for_each_entry(r, &rs->list, link) {
		more |= kvbm_watch_turn(&r->poll, all);
		cond_resched();
	}
	mutex_unlock(&rs->lock);
	if (more)
		queue_work(system_unbound_wq, work);
}

static void ring_wake(struct kvbm_ring *ring)
{
	struct kvbm_readers *rs = readers_of(ring);

	/* Queueing is a full barrier, even if it is queued already. */
	WRITE_ONCE(rs->wanted, true);
	queue_work(system_unbound_wq, &rs->work);
}

static void ring_free(struct kref *ref)
{
	struct kvbm_readers *rs = container_of(ref, struct kvbm_readers,
					       ring.ref);

	cancel_work_sync(&rs->work);
	kvbm_ring_exit(&rs->ring);
	kvbm_unpay_ring(rs->payer, rs->bytes);
	kvfree(rs);
}

/**
 * kvbm_events_init() - begin a store's events
 * @kd: the store, not published yet
 *
 * Return: 0 or -ENOMEM.
 */
int kvbm_events_init(struct kvbm_dev *kd)
{
	struct kvbm_store *st = &kd->store;
	struct kvbm_readers *rs;
	int err;

	if (!st->cfg.event_records)
		return 0;
	rs = kvzalloc(sizeof(*rs), GFP_KERNEL_ACCOUNT);
	if (!rs)
		return -ENOMEM;
	mutex_init(&rs->lock);
	INIT_LIST_HEAD(&rs->list);
	INIT_WORK(&rs->work, wake_work);
	rs->store_id = st->id;
	rs->note_bytes = st->cfg.note_bytes;
	rs->payer = kd->payer;
	rs->bytes = kvbm_ring_need(st->cfg.event_records);
	rs->ring.wake = ring_wake;
	err = kvbm_ring_init(st, &rs->ring, st->cfg.event_records);
	if (err)
		kvfree(rs);
	return err;
}

/**
 * kvbm_events_exit() - the store goes; readers keep what is there
 * @kd: the store
 */
void kvbm_events_exit(struct kvbm_dev *kd)
{
	struct kvbm_ring *ring = kd->store.ring;

	if (!ring)
		return;
	kvbm_ring_end(&kd->store);
	kd->store.ring = NULL;
	kref_put(&ring->ref, ring_free);
}

/*
 * Read and copy out as many as fit.  0: none of the selected types; -EFAULT
 * or -ERESTARTSYS: none was copied.
 */
static ssize_t tell(struct reader *r, struct iov_iter *to)
{
	ssize_t done = 0;
	u32 n;

	while (iov_iter_count(to) >= r->size) {
		struct kvbm_cursor c = r->cursor;
		size_t room = min(iov_iter_count(to), PAGE_SIZE) / r->size;
		struct kvbm_ring *ring = &r->readers->ring;

		n = kvbm_ring_read(ring, &c, r->page, room);
		if (r->noted)
			kvbm_ring_notes(ring, r->readers->note_bytes, r->page,
					n, r->noted);
		if (n && copy_to_iter(r->noted ?: r->page, n * r->size, to) !=
			 n * r->size)
			return done ?: -EFAULT;
		if (n && r->page[0].type == KVBM_EVENT_LOST)
			r->lost += r->page[0].count;
		if (c.next == r->cursor.next)
			break;
		WRITE_ONCE(r->cursor.next, c.next);
		done += n * r->size;
		if (signal_pending(current))
			return done ?: -ERESTARTSYS;
		cond_resched();
	}
	return done;
}

static ssize_t reader_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	bool wait = !(file->f_flags & O_NONBLOCK) &&
		    !(iocb->ki_flags & IOCB_NOWAIT);
	struct reader *r = file->private_data;
	struct kvbm_ring *ring = &r->readers->ring;
	ssize_t done;
	bool ended;

	if (iov_iter_count(to) < r->size)
		return -EINVAL;
	for (;;) {
		if (!wait && !mutex_trylock(&r->lock))
			return -EAGAIN;
		if (wait && mutex_lock_interruptible(&r->lock))
			return -ERESTARTSYS;
		/* Before looking for the last events. */
		ended = smp_load_acquire(&ring->ended);
		done = tell(r, to);
		mutex_unlock(&r->lock);
		if (done || ended)
			return done;
		/* Arms the ring: edge-triggered pollers get an edge. */
		if (!wait && !kvbm_ring_ready(ring, &r->cursor))
			return -EAGAIN;
		if (wait_event_interruptible(r->poll.wait, !wait ||
					     kvbm_ring_ready(ring, &r->cursor)))
			return -ERESTARTSYS;
	}
}

static __poll_t reader_poll(struct file *file, poll_table *wait)
{
	struct reader *r = file->private_data;
	struct kvbm_ring *ring = &r->readers->ring;
	__poll_t mask = 0;

	poll_wait(file, &r->poll.wait, wait);
	if (kvbm_ring_ready(ring, &r->cursor))
		mask = EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(ring->ended))
		mask |= EPOLLHUP;
	return mask;
}

static void reader_free(struct reader *r)
{
	struct kvbm_readers *rs = r->readers;

	mutex_lock(&rs->lock);
	list_del(&r->link);
	rs->nr--;
	mutex_unlock(&rs->lock);
	/* Nobody watches it any more, and no walk reaches it. */
	kref_put(&rs->ring.ref, ring_free);
	kfree(r->noted);
	kfree(r->page);
	kfree(r);
}

static int reader_release(struct inode *inode, struct file *file)
{
	reader_free(file->private_data);
	return 0;
}

static void reader_fdinfo(struct seq_file *m, struct file *file)
{
	struct reader *r = file->private_data;
	u64 head = READ_ONCE(r->readers->ring.head);
	u64 next = READ_ONCE(r->cursor.next);

	seq_printf(m, "kvbm-store:\t%016llx\n", r->readers->store_id);
	seq_printf(m, "kvbm-next-event:\t%llu\n", next);
	seq_printf(m, "kvbm-behind:\t%llu\n", head - min(next, head));
	seq_printf(m, "kvbm-lost:\t%llu\n", READ_ONCE(r->lost));
}

static const struct file_operations reader_fops = {
	.owner = THIS_MODULE,
	.read_iter = reader_read,
	.poll = reader_poll,
	.release = reader_release,
	.show_fdinfo = reader_fdinfo,
	.llseek = noop_llseek,
};

/*
 * At most KVBM_MAX_READERS, a quarter for one user; an eighth is reserved for
 * owner and administrators.
 */
static int join(struct kvbm_readers *rs, struct reader *r, bool privileged)
{
	struct reader *other;
	u32 same = 0;
	int err = 0;

	mutex_lock(&rs->lock);
	list_for_each_entry(other, &rs->list, link)
		same += uid_eq(other->uid, r->uid);
	if (rs->nr >= (privileged ? KVBM_MAX_READERS :
				    KVBM_MAX_READERS / 8 * 7) ||
	    (!privileged && same >= KVBM_MAX_READERS / 4)) {
		err = -EUSERS;
	} else {
		list_add_tail(&r->link, &rs->list);
		rs->nr++;
	}
	mutex_unlock(&rs->lock);
	return err;
}

static struct reader *reader_new(struct kvbm_dev *kd, bool privileged,
				 struct kvbm_events *args)
{
	struct kvbm_readers *rs = readers_of(kd->store.ring);
	struct reader *r;
	int err = -ENOMEM;
	u64 head;

	r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return ERR_PTR(-ENOMEM);
	kvbm_watch_init(&r->poll);
	mutex_init(&r->lock);
	r->readers = rs;
	r->uid = kvbm_payer_uid();
	r->cursor.types = args->types ?: BIT(KVBM_EVENT_STORED) |
					 BIT(KVBM_EVENT_REMOVED);
	r->cursor.types |= BIT(KVBM_EVENT_CLEARED) | BIT(KVBM_EVENT_LOST);
	head = READ_ONCE(rs->ring.head);
	r->cursor.next = args->next ?: head;
	r->size = sizeof(r->page[0]);
	r->page = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	if (!r->page)
		goto free;
	if (args->flags & KVBM_EVENTS_NOTES) {
		r->size += kvbm_note_words(rs->note_bytes) * sizeof(u64);
		r->noted = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
		if (!r->noted)
			goto free;
	}
	err = -EINVAL;
	if (r->cursor.next > head)
		goto free;
	err = join(rs, r, privileged);
	if (err)
		goto free;
	kref_get(&rs->ring.ref);
	return r;

free:
	kfree(r->noted);
	kfree(r->page);
	kfree(r);
	return ERR_PTR(err);
}

/**
 * kvbm_events_open() - a descriptor for a store's events
 * @kd: the store
 * @privileged: for its owner or an administrator
 * @args: from the user; filled in
 * @file: out: install it once the number is written
 *
 * Return: a reserved descriptor, or -errno.
 */
int kvbm_events_open(struct kvbm_dev *kd, bool privileged,
		     struct kvbm_events *args, struct file **file)
{
	int flags = O_RDONLY | O_CLOEXEC;
	struct reader *r;
	int fd;

	if (!kd->store.ring)
		return -ENODATA;
	if (args->types >> (KVBM_EVENT_LOST + 1) || args->types & BIT(0) ||
	    (args->flags & KVBM_EVENTS_NOTES && !kd->store.notes))
		return -EINVAL;
	if (args->flags & KVBM_EVENTS_NONBLOCK)
		flags |= O_NONBLOCK;
	fd = get_unused_fd_flags(flags);
	if (fd < 0)
		return fd;
	r = reader_new(kd, privileged, args);
	if (IS_ERR(r)) {
		put_unused_fd(fd);
		return PTR_ERR(r);
	}
	*file = anon_inode_getfile("[kvbm-events]", &reader_fops, r, flags);
	if (IS_ERR(*file)) {
		reader_free(r);
		put_unused_fd(fd);
		return PTR_ERR(*file);
	}
	stream_open(file_inode(*file), *file);
	(*file)->f_mode |= FMODE_NOWAIT;
	args->store_id = kd->store.id;
	args->next = r->cursor.next;
	args->records = kd->store.cfg.event_records;
	args->record_size = r->size;
	return fd;
}
