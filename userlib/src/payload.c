// SPDX-License-Identifier: MIT
/* Memory for the blocks' bytes: creating and mapping it. */
#define _GNU_SOURCE	/* seals */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC		1U
#endif
#ifndef MFD_ALLOW_SEALING
#define MFD_ALLOW_SEALING	2U
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB		4U
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL		8U
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

#define SMALL_PAGE	4096ULL
#define MAX_THREADS	64
/* How much one thread populates between two progress reports. */
#define STEP		(64ULL << 20)

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* The number at the beginning of a file, or 0. */
static uint64_t number_in(const char *path)
{
	unsigned long long n = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

static uint64_t memory_available(void)
{
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	fclose(f);
	return (uint64_t)kib << 10;
}

static uint64_t huge_pages(uint64_t page, const char *which)
{
	char path[128];

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%llukB/%s_hugepages",
		 (unsigned long long)page >> 10, which);
	return number_in(path);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/*
 * Huge pages of a size that are free and not reserved, in bytes, with those
 * that the system may still allocate (vm.nr_overcommit_hugepages).
 */
static uint64_t huge_available(uint64_t page)
{
	uint64_t unused = less(huge_pages(page, "free"),
			       huge_pages(page, "resv"));
	uint64_t surplus = less(huge_pages(page, "nr_overcommit"),
				huge_pages(page, "surplus"));
	uint64_t fit = memory_available() / page;

	return (unused + (surplus < fit ? surplus : fit)) * page;
}

static int make_file(const struct kvbm_payload_options *o)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (o->page_bytes > SMALL_PAGE)
		/* The size's logarithm, in the bits of MFD_HUGE_2MB. */
		flags |= MFD_HUGETLB |
			 (unsigned int)__builtin_ctzll(o->page_bytes) << 26;
	/* From 6.3 on; systems may insist on it. */
	fd = (int)syscall(SYS_memfd_create, "kvbm-payload",
			  flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_memfd_create, "kvbm-payload",
				  flags);
	return fd < 0 ? -errno : fd;
}

static int set_nodes(void *base, uint64_t bytes,
		     const struct kvbm_payload_options *o)
{
	unsigned long nodes = o->nodes ?: ~0UL;
	int mode = o->flags & KVBM_MEMORY_BIND ? MPOL_BIND : MPOL_INTERLEAVE;

	if (!(o->flags & (KVBM_MEMORY_BIND | KVBM_MEMORY_INTERLEAVE)))
		return 0;
	/* The kernel ignores nodes that do not exist. */
	if (!syscall(SYS_mbind, base, bytes, mode, &nodes,
		     8 * sizeof(nodes) + 1, 0))
		return 0;
	/* A kernel without NUMA has node 0, and nothing to choose. */
	return errno == ENOSYS && nodes & 1 ? 0 : -errno;
}

struct populating {
	char *base;
	uint64_t bytes;
	uint64_t step;
	uint64_t next;		/* these three are shared by the threads */
	uint64_t done;
	int err;
};

static void *populate_some(void *arg)
{
	struct populating *p = arg;

	while (!__atomic_load_n(&p->err, __ATOMIC_RELAXED)) {
		uint64_t at = __atomic_fetch_add(&p->next, p->step,
						 __ATOMIC_RELAXED);
		uint64_t n;

		if (at >= p->bytes)
			break;
		n = p->bytes - at < p->step ? p->bytes - at : p->step;
		if (madvise(p->base + at, n, MADV_POPULATE_WRITE)) {
			/* In place of SIGBUS: no page is available. */
			int err = errno == EFAULT ? ENOMEM : errno;

			__atomic_store_n(&p->err, -err, __ATOMIC_RELAXED);
			break;
		}
		__atomic_fetch_add(&p->done, n, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int populate(void *base, uint64_t bytes,
		    const struct kvbm_payload_options *o)
{
	struct populating p = {
		.base = base, .bytes = bytes,
		.step = round_up(STEP, o->page_bytes),
	};
	struct timespec tick = { .tv_nsec = 50 * 1000 * 1000 };
	unsigned int i, want = o->threads, threads = 0;
	pthread_t thread[MAX_THREADS];

	if (!want)
		want = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	if (want > MAX_THREADS)
		want = MAX_THREADS;
	while (threads < want && threads * p.step < bytes &&
	       !pthread_create(&thread[threads], NULL, populate_some, &p))
		threads++;
	if (!threads)
		populate_some(&p);
	while (o->progress && threads) {
		uint64_t done = __atomic_load_n(&p.done, __ATOMIC_RELAXED);

		if (done == bytes || __atomic_load_n(&p.err, __ATOMIC_RELAXED))
			break;
		o->progress(o->arg, done, bytes);
		nanosleep(&tick, NULL);
	}
	for (i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	if (!p.err && o->progress)
		o->progress(o->arg, bytes, bytes);
	return p.err;
}

int kvbm_payload_create(struct kvbm_payload_options *o)
{
	const unsigned int known = KVBM_MEMORY_THP | KVBM_MEMORY_INTERLEAVE |
				   KVBM_MEMORY_BIND | KVBM_MEMORY_LAZY;
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	uint64_t bytes;
	void *base;
	int fd, err;
	bool lazy;

	if (!o->page_bytes)
		o->page_bytes = SMALL_PAGE;
	if (o->flags & ~known || !o->bytes ||
	    o->page_bytes & (o->page_bytes - 1) || o->page_bytes < SMALL_PAGE ||
	    o->bytes > INT64_MAX - o->page_bytes)
		return -EINVAL;
	if (o->flags & KVBM_MEMORY_THP && o->page_bytes != SMALL_PAGE)
		return -EINVAL;
	if (o->flags & KVBM_MEMORY_BIND &&
	    (o->flags & KVBM_MEMORY_INTERLEAVE || !o->nodes))
		return -EINVAL;
	bytes = round_up(o->bytes, o->page_bytes);
	o->need = bytes;
	o->available = o->page_bytes == SMALL_PAGE ?
		       memory_available() : huge_available(o->page_bytes);
	/* Before anything is touched, unless it is lazy. */
	if (o->available < bytes && !(o->flags & KVBM_MEMORY_LAZY))
		return -ENOMEM;

	fd = make_file(o);
	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)bytes) || fchmod(fd, 0600)) {
		err = -errno;
		goto close;
	}
	/*
	 * Huge pages are reserved here, so that too few of them fail before any is
	 * touched, and nobody takes them in the meantime.
	 */
	lazy = o->page_bytes == SMALL_PAGE || o->flags & KVBM_MEMORY_LAZY;
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | (lazy ? MAP_NORESERVE : 0), fd, 0);
	if (base == MAP_FAILED) {
		err = -errno;
		goto close;
	}
	err = set_nodes(base, bytes, o);
	/* Only a request: the system may not have them for memory files. */
	if (!err && o->flags & KVBM_MEMORY_THP)
		madvise(base, bytes, MADV_HUGEPAGE);
	if (!err && !(o->flags & KVBM_MEMORY_LAZY))
		err = populate(base, bytes, o);
	munmap(base, bytes);
	if (!err && fcntl(fd, F_ADD_SEALS, seals))
		err = -errno;
	if (!err)
		return fd;
close:
	close(fd);
	return err;
}

int kvbm_store_create_payload(struct kvbm_store_create *create, int fd,
			      uint64_t block_bytes)
{
	const int need = F_SEAL_SHRINK | F_SEAL_SEAL;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return -errno;
	create->flags |= KVBM_CREATE_PAYLOAD;
	create->flags &= ~KVBM_CREATE_UNSEALED;
	if ((seals & need) != need)
		create->flags |= KVBM_CREATE_UNSEALED;
	create->payload_fd = fd;
	create->block_bytes = block_bytes;
	return 0;
}

int kvbm_payload(int session, uint32_t flags, struct kvbm_payload *payload)
{
	memset(payload, 0, sizeof(*payload));
	payload->size = sizeof(*payload);
	payload->flags = flags;
	return kvbm_ioctl(session, KVBM_IOC_PAYLOAD, payload);
}

int kvbm_payload_map(int session, int prot, struct kvbm_payload_map *map)
{
	struct kvbm_payload p;
	uint64_t bytes;
	void *base;
	int err;

	memset(map, 0, sizeof(*map));
	if (prot & ~(PROT_READ | PROT_WRITE) || !(prot & PROT_READ))
		return -EINVAL;
	err = kvbm_payload(session, KVBM_PAYLOAD_FD |
			   (prot & PROT_WRITE ? 0 : KVBM_PAYLOAD_RDONLY), &p);
	if (err < 0)
		return err;
	bytes = round_up(p.bytes, p.page_bytes);
	base = mmap(NULL, bytes, prot, MAP_SHARED | MAP_NORESERVE, p.fd, 0);
	err = base == MAP_FAILED ? -errno : 0;
	close(p.fd);
	if (err)
		return err;
	/* An unlinked file's pages are dumped by default: all of the pool. */
	madvise(base, bytes, MADV_DONTDUMP);
	map->base = base;
	map->bytes = p.bytes;
	map->mapped = bytes;
	map->block_bytes = p.block_bytes;
	map->page_bytes = p.page_bytes;
	return 0;
}

void kvbm_payload_unmap(struct kvbm_payload_map *map)
{
	if (map->base)
		munmap(map->base, map->mapped);
	memset(map, 0, sizeof(*map));
}

bool kvbm_payload_segment(const struct kvbm_payload_map *map, uint64_t most,
			  uint64_t i, void **base, uint64_t *bytes)
{
	uint64_t unit = map->block_bytes, rest = map->page_bytes, at;

	/* Nothing is mapped. */
	if (!unit || !rest)
		return false;
	/* Whole blocks and whole pages. */
	while (rest) {
		uint64_t r = unit % rest;

		unit = rest;
		rest = r;
	}
	unit = map->block_bytes / unit * map->page_bytes;
	most = most / unit * unit;
	if (!most)
		most = unit;
	if (i > map->mapped / most)
		return false;
	at = i * most;
	if (at >= map->mapped)
		return false;
	*base = (char *)map->base + at;
	*bytes = map->mapped - at < most ? map->mapped - at : most;
	return true;
}
