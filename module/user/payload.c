// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * payload.c - the file with the bytes of a store's blocks
 *
 * The creator of a store may give it a memory file; a block's bytes are at its
 * id times the size of a block.  The kernel keeps a reference and hands out
 * descriptors: it never maps, reads, writes or truncates the file.  The file
 * itself handles pages, their size and node, pinning and sharing, so all of
 * that works as with any file of its kind.
 *
 * No file of ours, no socket and no ring passes the checks, so references never
 * form a cycle.
 */
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/shmem_fs.h>
#include <linux/stat.h>
#include "compat.h"
#include "file.h"

/* Seals of the file, or -EINVAL: not a memory file. */
static int seals_of(struct inode *inode)
{
	if (!S_ISREG(inode->i_mode))
		return -EINVAL;
#ifdef CONFIG_SHMEM
	if (inode->i_sb->s_magic == TMPFS_MAGIC)
		return READ_ONCE(SHMEM_I(inode)->seals);
#endif
#ifdef CONFIG_HUGETLBFS
	if (inode->i_sb->s_magic == HUGETLBFS_MAGIC)
		return READ_ONCE(HUGETLBFS_I(inode)->seals);
#endif
	return -EINVAL;
}

static int check(const struct file *file, const struct kvbm_store_create *c)
{
	const int fixed = F_SEAL_SHRINK | F_SEAL_SEAL;
	struct inode *inode = file_inode(file);
	int seals;

	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) !=
	    (FMODE_READ | FMODE_WRITE))
		return -EACCES;
	seals = seals_of(inode);
	if (seals < 0)
		return seals;
	/* Without F_SEAL_SEAL it could be sealed against writing later. */
	if (!(c->flags & KVBM_CREATE_UNSEALED) && (seals & fixed) != fixed)
		return -EPERM;
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EACCES;
	if (i_size_read(inode) < c->total_blocks * c->block_bytes)
		return -EFBIG;
	return 0;
}

/**
 * kvbm_payload_get() - check and take the file for a new store
 * @c: the user's request; its total_blocks is in range
 *
 * Return: the file, with a reference; NULL: the store has none; or an ERR_PTR:
 * -EINVAL, -EBADF, -EACCES, -EPERM, -EFBIG, see struct kvbm_store_create.
 */
struct file *kvbm_payload_get(const struct kvbm_store_create *c)
{
	struct file *file;
	int err;

	if (!(c->flags & KVBM_CREATE_PAYLOAD)) {
		if (c->block_bytes || c->payload_fd ||
		    c->flags & KVBM_CREATE_UNSEALED)
			return ERR_PTR(-EINVAL);
		return NULL;
	}
	if (!c->block_bytes || c->block_bytes % KVBM_MIN_BLOCK_BYTES ||
	    c->block_bytes > KVBM_MAX_BLOCK_BYTES)
		return ERR_PTR(-EINVAL);
	file = fget(c->payload_fd);
	if (!file)
		return ERR_PTR(-EBADF);
	err = check(file, c);
	if (err) {
		fput(file);
		return ERR_PTR(err);
	}
	return file;
}

/**
 * kvbm_payload_info() - information on a store's payload
 * @kd: the store, which has one
 * @args: filled in, except the descriptor
 */
void kvbm_payload_info(const struct kvbm_dev *kd, struct kvbm_payload *args)
{
	struct inode *inode = file_inode(kd->payload);

	args->block_bytes = kd->block_bytes;
	args->bytes = kd->store.cfg.total * kd->block_bytes;
	args->page_bytes = PAGE_SIZE;
#ifdef CONFIG_HUGETLBFS
	if (inode->i_sb->s_magic == HUGETLBFS_MAGIC)
		args->page_bytes = huge_page_size(hstate_file(kd->payload));
#endif
	/* In units of 512 bytes, as in stat(2). */
	args->resident = (u64)READ_ONCE(inode->i_blocks) * 512;
}

/**
 * kvbm_payload_open() - open a descriptor of a store's payload
 * @kd: the store, which has one
 * @read_only: it cannot be written to
 * @file: out: install it once the number is written
 *
 * Return: a reserved descriptor, or -errno.
 */
int kvbm_payload_open(const struct kvbm_dev *kd, bool read_only,
		      struct file **file)
{
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	/*
	 * A separate file.  If all shared the store's, flags of fcntl(2) such
	 * as O_APPEND, and the offset, would be shared too; and a task stuck in
	 * read(2) with the offset's lock would block all others.
	 */
	*file = dentry_open(&kd->payload->f_path,
			    (read_only ? O_RDONLY : O_RDWR) | O_LARGEFILE,
			    current_cred());
	if (IS_ERR(*file)) {
		put_unused_fd(fd);
		return PTR_ERR(*file);
	}
	return fd;
}
