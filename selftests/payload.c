// SPDX-License-Identifier: MIT
/*
 * The blocks' bytes: which files a store takes, which descriptors it returns,
 * and what users of pages do with them.
 */
#include <liburing.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/udmabuf.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "kvbm_modules.h"
#include "kvbm_uffd.h"
#include "vm/testdev/testdev.h"

#define BLOCKS	16
#define BYTES	8192
#define POOL	(BLOCKS * BYTES)
#define SEALED	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define MIB2	(2UL << 20)

static int memory(size_t bytes, unsigned int flags, int seals)
{
	int fd = memfd_create("pool", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, bytes) || (seals && fcntl(fd, F_ADD_SEALS, seals))) {
		close(fd);
		return -1;
	}
	return fd;
}

#define make(file, n, bytes, ...)					\
	kt_store(n, .block_bytes = (bytes), .payload_fd = (file),	\
		 .flags = KVBM_CREATE_PAYLOAD, ##__VA_ARGS__)

#define make_unsealed(file, n, bytes)					\
	kt_store(n, .block_bytes = (bytes), .payload_fd = (file),	\
		 .flags = KVBM_CREATE_PAYLOAD | KVBM_CREATE_UNSEALED)

/* The information, and a descriptor if one is asked for. */
static int ask(int fd, uint32_t flags, struct kvbm_payload *p)
{
	kt_poison(*p);
	p->size = sizeof(*p);
	p->flags = flags;
	p->reserved = 0;
	return kt_ioctl(fd, KVBM_IOC_PAYLOAD, p);
}

static int descriptor(int fd, uint32_t flags)
{
	struct kvbm_payload p;
	int ret = ask(fd, KVBM_PAYLOAD_FD | flags, &p);

	return ret ?: p.fd;
}

static int nr_fds(void)
{
	int n = 0, fd;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static uint32_t nr_stores(void)
{
	struct kvbm_store_list l = { .size = sizeof(l) };
	int control = kvbm_control_open();

	ioctl(control, KVBM_IOC_STORE_LIST, &l);
	close(control);
	return l.total;
}

static int write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static bool huge_number(unsigned int kib, const char *which, int n)
{
	char path[128], text[16];
	int fd, got = 0;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%ukB/%s", kib, which);
	snprintf(text, sizeof(text), "%d", n);
	if (write_to(path, text))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text)) > 0)
		got = atoi(text);
	close(fd);
	return got >= n;
}

/* Pages of a size for hugetlb; false: this kernel or machine has none. */
static bool huge_pages(unsigned int kib, int n)
{
	return huge_number(kib, "nr_hugepages", n);
}

/* Creation: each row of the table, and that nothing is left behind */

TEST(refused_for_its_arguments)
{
	int file = memory(POOL, 0, SEALED);
	uint32_t stores = nr_stores();

	ASSERT_GE(file, 0);
	/* Without the flag, none of it. */
	EXPECT_EQ(-EINVAL, kt_store(BLOCKS, .block_bytes = BYTES));
	EXPECT_EQ(-EINVAL, kt_store(BLOCKS, .payload_fd = file));
	EXPECT_EQ(-EINVAL, kt_store(BLOCKS, .flags = KVBM_CREATE_UNSEALED));
	/* Sizes, also before the descriptor is looked at. */
	EXPECT_EQ(-EINVAL, make(-1, BLOCKS, 0));
	EXPECT_EQ(-EINVAL, make(-1, BLOCKS, 4095));
	EXPECT_EQ(-EINVAL, make(-1, BLOCKS, 6144));
	EXPECT_EQ(-EINVAL, make(-1, BLOCKS, (1ULL << 30) + 4096));
	EXPECT_EQ(-EINVAL, make(-1, BLOCKS, 1ULL << 63));
	EXPECT_EQ(-EBADF, make(-1, BLOCKS, BYTES));
	EXPECT_EQ(-EBADF, make(1000, BLOCKS, BYTES));
	/* Too short, by one block and by far. */
	EXPECT_EQ(-EFBIG, make(file, BLOCKS + 1, BYTES));
	EXPECT_EQ(-EFBIG, make(file, 1U << 24, 1U << 30));
	/* Errors in the store's own parameters are reported as before. */
	EXPECT_EQ(-EINVAL, make(file, 0, BYTES));
	EXPECT_EQ(-EINVAL, make(file, BLOCKS, BYTES, .policy = "none"));
	EXPECT_EQ(stores, nr_stores());
	close(file);
}

TEST(refused_for_its_file)
{
	uint32_t stores = nr_stores();
	int file, other, pair[2];
	struct io_uring ring;
	char path[64];

	/* Another way in, to the same file. */
	file = memory(POOL, 0, SEALED);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	other = open(path, O_PATH | O_CLOEXEC);
	EXPECT_EQ(-EBADF, make(other, BLOCKS, BYTES));
	close(other);
	other = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(-EACCES, make(other, BLOCKS, BYTES));
	close(other);
	other = open(path, O_WRONLY | O_CLOEXEC);
	EXPECT_EQ(-EACCES, make(other, BLOCKS, BYTES));
	close(other);
	close(file);

	/* Everything that is not a memory file. */
	file = kvbm_control_open();
	EXPECT_EQ(-EINVAL, make(file, BLOCKS, BYTES));
	close(file);
	file = kt_store(4);
	EXPECT_EQ(-EINVAL, make(file, BLOCKS, BYTES));
	close(file);
	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	EXPECT_EQ(-EINVAL, make(ring.ring_fd, BLOCKS, BYTES));
	io_uring_queue_exit(&ring);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	EXPECT_EQ(-EINVAL, make(pair[0], BLOCKS, BYTES));
	close(pair[0]);
	close(pair[1]);
	file = open("/dev/zero", O_RDWR | O_CLOEXEC);
	EXPECT_EQ(-EINVAL, make(file, BLOCKS, BYTES));
	close(file);
	file = open("/proc/self/comm", O_RDWR | O_CLOEXEC);
	ASSERT_GE(file, 0);
	EXPECT_EQ(-EINVAL, make(file, BLOCKS, BYTES));
	close(file);
	file = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file >= 0)
		EXPECT_EQ(-EACCES, make(file, BLOCKS, BYTES));
	close(file);

	/* Seals: both, and none against writing. */
	file = memory(POOL, 0, 0);
	EXPECT_EQ(-EPERM, make(file, BLOCKS, BYTES));
	ASSERT_EQ(0, fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK));
	EXPECT_EQ(-EPERM, make(file, BLOCKS, BYTES));
	/* Refused, it is as free as before. */
	EXPECT_EQ(0, fcntl(file, F_ADD_SEALS, F_SEAL_GROW));
	close(file);
	file = memory(POOL, 0, F_SEAL_SEAL);
	EXPECT_EQ(-EPERM, make(file, BLOCKS, BYTES));
	other = make_unsealed(file, BLOCKS, BYTES);
	EXPECT_GE(other, 0);
	close(other);
	close(file);
	file = memory(POOL, 0, SEALED | F_SEAL_WRITE);
	EXPECT_EQ(-EACCES, make(file, BLOCKS, BYTES));
	EXPECT_EQ(-EACCES, make_unsealed(file, BLOCKS, BYTES));
	close(file);
	file = memory(POOL, 0, SEALED | F_SEAL_FUTURE_WRITE);
	EXPECT_EQ(-EACCES, make(file, BLOCKS, BYTES));
	close(file);
	EXPECT_EQ(stores, nr_stores());
}

/* Files with a path: tmpfs and hugetlbfs. */
static int file_of(const char *type, size_t bytes)
{
	const char *dir = "/tmp/payload-mount";
	char path[64];
	int fd, err;

	mkdir(dir, 0700);
	if (mount("none", dir, type, 0, ""))
		return -errno;
	snprintf(path, sizeof(path), "%s/pool", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	err = fd < 0 || ftruncate(fd, bytes) ? -errno : 0;
	umount2(dir, MNT_DETACH);
	return err ?: fd;
}

TEST(kinds_of_files)
{
	struct kvbm_payload p;
	int file, fd;

	file = memory(POOL, 0, SEALED);
	fd = make(file, BLOCKS, BYTES);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, ask(fd, 0, &p));
	EXPECT_EQ(BYTES, p.block_bytes);
	EXPECT_EQ(POOL, p.bytes);
	EXPECT_EQ(4096, p.page_bytes);
	EXPECT_EQ(-1, p.fd);
	close(fd);
	close(file);

	file = file_of("tmpfs", POOL);
	ASSERT_GE(file, 0);
	EXPECT_EQ(-EPERM, make(file, BLOCKS, BYTES));
	fd = make_unsealed(file, BLOCKS, BYTES);
	EXPECT_GE(fd, 0);
	EXPECT_EQ(0, ask(fd, 0, &p));
	EXPECT_EQ(4096, p.page_bytes);
	close(fd);
	close(file);

	if (!huge_pages(2048, 4))
		SKIP(return, "no pages of 2 MiB");
	file = memory(4 * MIB2, MFD_HUGETLB | MFD_HUGE_2MB, SEALED);
	ASSERT_GE(file, 0);
	fd = make(file, 1024, BYTES);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, ask(fd, 0, &p));
	EXPECT_EQ(MIB2, p.page_bytes);
	EXPECT_EQ(0, p.resident);
	EXPECT_EQ(0, fallocate(file, 0, 0, 4 * MIB2));
	EXPECT_EQ(0, ask(fd, 0, &p));
	EXPECT_EQ(4 * MIB2, p.resident);
	close(fd);
	close(file);

	file = file_of("hugetlbfs", 4 * MIB2);
	ASSERT_GE(file, 0);
	EXPECT_EQ(-EPERM, make(file, 1024, BYTES));
	fd = make_unsealed(file, 1024, BYTES);
	EXPECT_GE(fd, 0);
	close(fd);
	close(file);
	huge_pages(2048, 0);
	if (!huge_pages(1048576, 1))
		SKIP(return, "no page of 1 GiB");
	file = memory(1UL << 30, MFD_HUGETLB | MFD_HUGE_1GB, SEALED);
	ASSERT_GE(file, 0);
	fd = make(file, 1024, 1 << 20);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, ask(fd, 0, &p));
	EXPECT_EQ(1UL << 30, p.page_bytes);
	close(fd);
	close(file);
	huge_pages(1048576, 0);
}

/* Asking for it */

FIXTURE(payload) {
	int file;		/* the creator's */
	int fd;			/* a session */
	uint8_t *pool;		/* mapped through what the session gave */
};

FIXTURE_SETUP(payload)
{
	int fd;

	self->file = memory(POOL, 0, SEALED);
	ASSERT_GE(self->file, 0);
	ASSERT_EQ(0, fchmod(self->file, 0600));
	self->fd = make(self->file, BLOCKS, BYTES, .policy = "lru");
	ASSERT_GE(self->fd, 0);
	fd = descriptor(self->fd, 0);
	ASSERT_GE(fd, 0);
	self->pool = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, self->pool);
	close(fd);
}

FIXTURE_TEARDOWN(payload)
{
	munmap(self->pool, POOL);
	close(self->fd);
	close(self->file);
}

TEST_F(payload, sizes)
{
	struct kvbm_store_info info;
	struct kvbm_payload p;
	int other;

	EXPECT_EQ(0, ask(self->fd, 0, &p));
	EXPECT_EQ(0, p.resident);
	self->pool[5 * 4096] = 1;
	EXPECT_EQ(0, ask(self->fd, 0, &p));
	EXPECT_EQ(4096, p.resident);
	ASSERT_EQ(0, fallocate(self->file, 0, 0, POOL));
	EXPECT_EQ(0, ask(self->fd, 0, &p));
	EXPECT_EQ(POOL, p.resident);
	EXPECT_EQ(0, kvbm_store_info(self->fd, &info));
	EXPECT_EQ(BYTES, info.block_bytes);

	EXPECT_EQ(-EINVAL, ask(self->fd, KVBM_PAYLOAD_RDONLY, &p));
	EXPECT_EQ(-EOPNOTSUPP, ask(self->fd, 4, &p));
	p = (struct kvbm_payload) { .size = sizeof(p), .reserved = 1 };
	EXPECT_EQ(-EOPNOTSUPP, kt_ioctl(self->fd, KVBM_IOC_PAYLOAD, &p));
	other = kt_store(4);
	EXPECT_EQ(-ENODATA, ask(other, 0, &p));
	EXPECT_EQ(-ENODATA, descriptor(other, 0));
	EXPECT_EQ(0, kvbm_store_info(other, &info));
	EXPECT_EQ(0, info.block_bytes);
	close(other);
}

TEST_F(payload, descriptors)
{
	int a = descriptor(self->fd, 0), b = descriptor(self->fd, 0);
	struct stat sa, sb, sf;

	ASSERT_GE(a, 0);
	ASSERT_GE(b, 0);
	EXPECT_EQ(FD_CLOEXEC, fcntl(a, F_GETFD));
	EXPECT_EQ(0, fstat(a, &sa) | fstat(b, &sb) | fstat(self->file, &sf));
	EXPECT_EQ(sa.st_ino, sb.st_ino);
	EXPECT_EQ(sa.st_ino, sf.st_ino);
	EXPECT_EQ(2, pwrite(a, "hi", 2, BYTES));
	EXPECT_EQ('h', self->pool[BYTES]);
	/* Nobody makes it shorter. */
	EXPECT_EQ(-1, ftruncate(a, 4096));
	EXPECT_EQ(EPERM, errno);
	close(a);
	close(b);
}

/* Users share the bytes, but neither an offset nor what fcntl(2) sets. */
TEST_F(payload, files_of_their_own)
{
	int a = descriptor(self->fd, 0), b = descriptor(self->fd, 0);

	ASSERT_GE(a, 0);
	ASSERT_GE(b, 0);
	EXPECT_EQ(O_RDWR, fcntl(a, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(4096, lseek(a, 4096, SEEK_SET));
	EXPECT_EQ(0, lseek(b, 0, SEEK_CUR));
	EXPECT_EQ(0, lseek(self->file, 0, SEEK_CUR));
	/* Or each pwrite(2) of all others went to the end. */
	EXPECT_EQ(0, fcntl(a, F_SETFL, O_APPEND));
	EXPECT_FALSE(fcntl(b, F_GETFL) & O_APPEND);
	EXPECT_FALSE(fcntl(self->file, F_GETFL) & O_APPEND);
	close(a);
	close(b);
}

/* A caller stuck in a call on the payload does not block others. */
TEST(nobody_waits_for_a_reader)
{
	uint32_t *done = kt_shared(4096);
	pid_t stuck, other;
	int file, fd, a, b;

	if (!has_uffd())
		SKIP(return, "this kernel has no userfaultfd");
	/* Files that were opened by a path lock their offset; memfds do not. */
	file = file_of("tmpfs", POOL);
	ASSERT_GE(file, 0);
	fd = make_unsealed(file, BLOCKS, BYTES);
	ASSERT_GE(fd, 0);
	a = descriptor(fd, 0);
	b = descriptor(fd, 0);
	ASSERT_GE(a, 0);
	ASSERT_GE(b, 0);
	stuck = kt_fork();
	if (!stuck) {
		int uffd = uffd_open();
		void *bad = nowhere(uffd, 4096);

		KT_MUST(bad);
		_exit(read(a, bad, 4096) != 4096);
	}
	kt_sleep_ms(200);
	other = kt_fork();
	if (!other) {
		lseek(b, 0, SEEK_SET);
		lseek(file, 0, SEEK_SET);
		__atomic_store_n(done, 1, __ATOMIC_SEQ_CST);
		_exit(0);
	}
	EXPECT_TRUE(kt_until(__atomic_load_n(done, __ATOMIC_SEQ_CST)));
	EXPECT_EQ(256 + SIGKILL, kt_kill(stuck));
	EXPECT_EQ(0, kt_reap(other));
	close(a);
	close(b);
	close(fd);
	close(file);
}

TEST_F(payload, read_only)
{
	int ro = descriptor(self->fd, KVBM_PAYLOAD_RDONLY);
	int sock[2];
	char path[64];
	uint8_t *p;
	pid_t pid;

	ASSERT_GE(ro, 0);
	EXPECT_EQ(O_RDONLY, fcntl(ro, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ | PROT_WRITE,
				   MAP_SHARED, ro, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, pwrite(ro, "x", 1, 0));
	EXPECT_EQ(EBADF, errno);
	p = mmap(NULL, POOL, PROT_READ, MAP_SHARED, ro, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, POOL, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	self->pool[3] = 42;
	EXPECT_EQ(42, p[3]);
	munmap(p, POOL);
	/* Honest across users: after fchmod, another cannot open it again. */
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ro);
	pid = kt_fork();
	if (!pid) {
		KT_MUST(!setgid(1000) && !setuid(1000));
		KT_MUST(open(path, O_RDWR) < 0 && errno == EACCES);
		/* But he reads what he was given. */
		KT_MUST(pread(ro, path, 4, 0) == 4 && path[3] == 42);
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	close(ro);
}

TEST_F(payload, bad_pointer)
{
	struct kvbm_payload *p;
	size_t page = 4096;
	int n = nr_fds();
	uint8_t *at;

	/* Readable, not writable: the result cannot be written. */
	at = mmap(NULL, page, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = (void *)at;
	p->size = sizeof(*p);
	p->flags = KVBM_PAYLOAD_FD;
	mprotect(at, page, PROT_READ);
	EXPECT_EQ(-EFAULT, kt_ioctl(self->fd, KVBM_IOC_PAYLOAD, p));
	EXPECT_EQ(n, nr_fds());
	/* And no place in the table. */
	{
		struct rlimit old, none = { .rlim_cur = 0 };

		getrlimit(RLIMIT_NOFILE, &old);
		none.rlim_max = old.rlim_max;
		setrlimit(RLIMIT_NOFILE, &none);
		EXPECT_EQ(-EMFILE, descriptor(self->fd, 0));
		EXPECT_EQ(-EMFILE, descriptor(self->fd, KVBM_PAYLOAD_RDONLY));
		setrlimit(RLIMIT_NOFILE, &old);
	}
	EXPECT_EQ(n, nr_fds());
	munmap(at, page);
}

/* It outlives the session, its revocation, the store, the module. */
TEST_F(payload, outlives)
{
	int s = kvbm_session_open(self->fd), a, b;
	const char *ko = getenv("KVBM_MODULE");

	a = descriptor(s, 0);
	ASSERT_GE(a, 0);
	memset(self->pool, 7, POOL);
	ASSERT_EQ(0, kvbm_session_revoke(self->fd, kt_session_id(s), NULL));
	EXPECT_EQ(-ESHUTDOWN, descriptor(s, 0));
	close(s);
	ASSERT_EQ(-1, make(a, BLOCKS, BYTES, .name = "goes"));
	s = kvbm_open("goes");
	ASSERT_GE(s, 0);
	b = descriptor(s, KVBM_PAYLOAD_RDONLY);
	ASSERT_GE(b, 0);
	ASSERT_EQ(0, kt_destroy("goes", KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENODEV, descriptor(s, 0));
	close(s);
	EXPECT_EQ(7, self->pool[POOL - 1]);
	close(self->fd);
	if (ko) {
		int fd, tries = 2000;

		while (kt_rmmod("kvbm") == -EAGAIN && tries--)
			kt_sleep_ms(1);
		EXPECT_NE(0, access("/sys/module/kvbm", F_OK));
		self->pool[9] = 9;
		EXPECT_EQ(2, pwrite(a, "ok", 2, 100));
		EXPECT_EQ('o', self->pool[100]);
		fd = open(ko, O_RDONLY | O_CLOEXEC);
		ASSERT_EQ(0, syscall(SYS_finit_module, fd, "", 0));
		close(fd);
		/* The next module takes the same file, its bytes are there. */
		self->fd = make(a, BLOCKS, BYTES);
		ASSERT_GE(self->fd, 0);
		EXPECT_EQ(9, self->pool[9]);
	} else {
		self->fd = -1;
	}
	close(a);
	close(b);
}

/* The file goes with the store: nothing else keeps its memory. */
static long shmem_kib(void)
{
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");
	long kib = -1;

	while (f && kib < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "Shmem: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

TEST(memory_goes_with_the_store)
{
	long before = shmem_kib();
	int file, fd;

	file = memory(64 << 20, 0, 0);
	ASSERT_EQ(0, fallocate(file, 0, 0, 64 << 20));
	/* Refused: the reference is given back. */
	EXPECT_EQ(-EPERM, make(file, 16384, 4096));
	ASSERT_EQ(0, fcntl(file, F_ADD_SEALS, SEALED));
	fd = make(file, 16384, 4096);
	ASSERT_GE(fd, 0);
	close(file);
	EXPECT_GE(shmem_kib() - before, 60 << 10);
	close(fd);
	EXPECT_TRUE(kt_until(shmem_kib() - before < 8 << 10));
	file = memory(64 << 20, 0, 0);
	ASSERT_EQ(0, fallocate(file, 0, 0, 64 << 20));
	EXPECT_EQ(-EPERM, make(file, 16384, 4096));
	close(file);
	EXPECT_TRUE(kt_until(shmem_kib() - before < 8 << 10));
}

/* The library's view of it */

static void count_progress(void *arg, uint64_t done, uint64_t total)
{
	uint64_t *seen = arg;

	seen[0]++;
	if (done == total)
		seen[1]++;
}

TEST(library_makes_and_maps)
{
	uint64_t seen[2] = {}, bytes = 0, n, i;
	struct kvbm_payload_options o = {
		.bytes = (72 << 20) + 1, .threads = 2,
		.progress = count_progress, .arg = seen,
	};
	struct kvbm_store_create c;
	struct kvbm_payload_map map;
	int file, fd, control;
	struct stat st;
	void *base;

	file = kvbm_payload_create(&o);
	ASSERT_GE(file, 0);
	EXPECT_EQ(1, seen[1]);
	EXPECT_EQ((72 << 20) + 4096, o.need);
	EXPECT_GE(o.available, o.need);
	ASSERT_EQ(0, fstat(file, &st));
	EXPECT_EQ(S_IFREG | 0600, st.st_mode);
	EXPECT_EQ(o.need, st.st_size);
	EXPECT_EQ(o.need, (uint64_t)st.st_blocks * 512);
	EXPECT_EQ(SEALED, fcntl(file, F_GET_SEALS) & SEALED);
	EXPECT_EQ(FD_CLOEXEC, fcntl(file, F_GETFD));

	ASSERT_EQ(0, kvbm_store_create_init(&c, NULL, 1000));
	ASSERT_EQ(0, kvbm_store_create_payload(&c, file, 3 << 14));
	EXPECT_EQ(KVBM_CREATE_PAYLOAD, c.flags);
	control = kvbm_control_open();
	ASSERT_EQ(0, kvbm_store_create(control, &c));
	close(control);
	close(file);
	fd = c.fd;
	ASSERT_EQ(0, kvbm_payload_map(fd, PROT_READ | PROT_WRITE, &map));
	EXPECT_EQ(1000ULL * (3 << 14), map.bytes);
	EXPECT_EQ(0, map.mapped % 4096);
	EXPECT_EQ((uint8_t *)map.base + 999ULL * (3 << 14),
		  kvbm_block(&map, 999));
	memset(kvbm_block(&map, 999), 1, 3 << 14);
	/* In parts: all of it, in order, whole blocks each. */
	for (i = 0; kvbm_payload_segment(&map, 10 << 20, i, &base, &n); i++) {
		EXPECT_EQ((uint8_t *)map.base + bytes, base);
		EXPECT_LE(n, 10 << 20);
		EXPECT_EQ(0, (bytes + n) % (3 << 14));
		bytes += n;
	}
	EXPECT_EQ(map.mapped, bytes);
	EXPECT_TRUE(kvbm_payload_segment(&map, KVBM_PAYLOAD_SEGMENT, 0, &base,
					 &n));
	EXPECT_EQ(map.mapped, n);
	EXPECT_FALSE(kvbm_payload_segment(&map, KVBM_PAYLOAD_SEGMENT, 1, &base,
					  &n));
	kvbm_payload_unmap(&map);
	ASSERT_EQ(0, kvbm_payload_map(fd, PROT_READ, &map));
	EXPECT_EQ(1, *(uint8_t *)kvbm_block(&map, 999));
	EXPECT_EQ(-1, mprotect(map.base, 4096, PROT_READ | PROT_WRITE));
	kvbm_payload_unmap(&map);
	close(fd);
}

TEST(library_refuses)
{
	struct kvbm_payload_options o = { .bytes = 1ULL << 45 };
	struct kvbm_store_create c;
	long before = shmem_kib();
	struct kvbm_payload p;
	int fd;

	/* Before anything is touched. */
	EXPECT_EQ(-ENOMEM, kvbm_payload_create(&o));
	EXPECT_EQ(1ULL << 45, o.need);
	EXPECT_GT(o.available, 0);
	EXPECT_LT(o.available, o.need);
	EXPECT_LT(shmem_kib() - before, 1024);
	/* Without memory, for as long as nobody touches it. */
	o.flags = KVBM_MEMORY_LAZY;
	fd = kvbm_payload_create(&o);
	EXPECT_GE(fd, 0);
	close(fd);
	o = (struct kvbm_payload_options) { .bytes = 4096, .page_bytes = 6144 };
	EXPECT_EQ(-EINVAL, kvbm_payload_create(&o));
	o.page_bytes = 0;
	o.flags = 1 << 20;
	EXPECT_EQ(-EINVAL, kvbm_payload_create(&o));
	o.flags = KVBM_MEMORY_BIND;
	EXPECT_EQ(-EINVAL, kvbm_payload_create(&o));
	o.flags = 0;
	o.bytes = 0;
	EXPECT_EQ(-EINVAL, kvbm_payload_create(&o));
	/* More huge pages than there are. */
	o = (struct kvbm_payload_options) {
		.bytes = 1ULL << 45, .page_bytes = MIB2,
	};
	EXPECT_EQ(-ENOMEM, kvbm_payload_create(&o));
	EXPECT_LT(o.available, 1ULL << 40);
	kvbm_store_create_init(&c, NULL, 1);
	EXPECT_EQ(-EBADF, kvbm_store_create_payload(&c, 1000, 4096));
	fd = kt_store(4);
	EXPECT_EQ(-ENODATA, kvbm_payload(fd, 0, &p));
	EXPECT_EQ(-EINVAL, kvbm_store_create_payload(&c, fd, 4096));
	close(fd);
}

TEST(library_huge_pages)
{
	struct kvbm_payload_options o = {
		.bytes = 4 * MIB2, .page_bytes = MIB2,
		.flags = KVBM_MEMORY_INTERLEAVE,
	};
	struct stat st;
	int fd;

	if (!huge_pages(2048, 4))
		SKIP(return, "no pages of 2 MiB");
	fd = kvbm_payload_create(&o);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(o.need, (uint64_t)st.st_blocks * 512);
	/* They are taken: another one is refused. */
	EXPECT_EQ(-ENOMEM, kvbm_payload_create(&o));
	EXPECT_EQ(0, o.available);
	close(fd);
	huge_pages(2048, 0);

	/* None set apart, but the system may make some. */
	EXPECT_EQ(-ENOMEM, kvbm_payload_create(&o));
	ASSERT_TRUE(huge_number(2048, "nr_overcommit_hugepages", 4));
	fd = kvbm_payload_create(&o);
	EXPECT_GE(fd, 0);
	EXPECT_EQ(4 * MIB2, o.available);
	EXPECT_EQ(-ENOMEM, kvbm_payload_create(&o));
	EXPECT_EQ(0, o.available);
	close(fd);
	huge_number(2048, "nr_overcommit_hugepages", 0);
}

/* Bytes between processes */

static bool filled(const uint8_t *p, uint8_t byte)
{
	size_t i;

	for (i = 0; i < BYTES && p[i] == byte; i++)
		;
	return i == BYTES;
}

TEST_F(payload, one_writes_the_other_matches)
{
	struct kvbm_hash h[2] = { kt_single(1), kt_single(2) };
	uint32_t ids[2];
	pid_t pid;

	pid = kt_fork();
	if (!pid) {
		/* A mapping of its own; the inherited one is not used. */
		int s = kvbm_session_open(self->fd), f = descriptor(s, 0), i;
		uint8_t *p = mmap(NULL, POOL, PROT_READ | PROT_WRITE,
				  MAP_SHARED, f, 0);

		KT_MUST(p != MAP_FAILED);
		KT_MUST(kvbm_alloc(s, 2, ids, NULL, NULL) == 2);
		for (i = 0; i < 2; i++)
			memset(p + (size_t)ids[i] * BYTES, 0x40 + i, BYTES);
		KT_MUST(kvbm_stage_register(s, 2, ids, h,
					    (struct kvbm_registered[2]) {}, 0,
					    NULL) == 2);
		raise(SIGKILL);
	}
	EXPECT_EQ(256 + SIGKILL, kt_reap(pid));
	ASSERT_EQ(2, kvbm_match(self->fd, 2, h, ids, NULL));
	EXPECT_TRUE(filled(self->pool + (size_t)ids[0] * BYTES, 0x40));
	EXPECT_TRUE(filled(self->pool + (size_t)ids[1] * BYTES, 0x41));
}

TEST_F(payload, fork_and_exec)
{
	pid_t pid = kt_fork();
	int f;

	if (!pid) {
		/* Shared, no copy on write. */
		self->pool[0] = 77;
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(77, self->pool[0]);
	/* A descriptor without close-on-exec is the file in the new program. */
	f = descriptor(self->fd, 0);
	fcntl(f, F_SETFD, 0);
	pid = kt_fork();
	if (!pid) {
		char cmd[64];

		snprintf(cmd, sizeof(cmd), "printf here >&%d", f);
		execl("/bin/busybox", "sh", "-c", cmd, NULL);
		_exit(97);
	}
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(0, memcmp(self->pool, "here", 4));
	close(f);
}

/* Another user, who has a session, and is sent no more than that. */
TEST_F(payload, another_user)
{
	pid_t pid = kt_fork();

	if (!pid) {
		uint8_t *p;
		int f;

		KT_MUST(!setgid(1000) && !setuid(1000));
		f = descriptor(self->fd, 0);
		KT_MUST(f >= 0);
		p = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
		KT_MUST(p != MAP_FAILED);
		p[1] = 33;
		_exit(0);
	}
	EXPECT_EQ(0, kt_reap(pid));
	EXPECT_EQ(33, self->pool[1]);
}

/* Users of pages: drivers, rings, disks, importers */

TEST_F(payload, pinned_whole)
{
	struct testdev_start start = {
		.address = (uintptr_t)self->pool, .bytes = POOL,
		.flags = TESTDEV_PIN_ONLY,
	};
	int dev, err = kt_insmod("testdev", "");

	if (err == -ENOENT)
		SKIP(return, "no /vm/testdev.ko");
	ASSERT_EQ(0, err);
	dev = open("/dev/testdev", O_RDWR | O_CLOEXEC);
	ASSERT_GE(dev, 0);
	EXPECT_EQ(0, ioctl(dev, TESTDEV_START, &start));
	close(dev);
}

/* Never punch holes under a pin: the device goes on in pages nobody sees. */
TEST_F(payload, hole_under_a_pin)
{
	struct testdev_start start = {
		.address = (uintptr_t)self->pool, .bytes = 4096, .byte = 0xdd,
	};
	int dev, err = kt_insmod("testdev", "");

	if (err == -ENOENT)
		SKIP(return, "no /vm/testdev.ko");
	ASSERT_EQ(0, err);
	dev = open("/dev/testdev", O_RDWR | O_CLOEXEC);
	ASSERT_GE(dev, 0);
	ASSERT_EQ(0, ioctl(dev, TESTDEV_START, &start));
	EXPECT_TRUE(kt_until(*(volatile uint8_t *)self->pool == 0xdd));
	ASSERT_EQ(0, madvise(self->pool, 4096, MADV_REMOVE));
	kt_sleep_ms(20);
	EXPECT_EQ(0, *(volatile uint8_t *)self->pool);
	close(dev);
}

/* Through a registered buffer, and O_DIRECT without one. */
TEST_F(payload, ring_and_disk)
{
	struct iovec v = { self->pool, POOL };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int disk, i, err;

	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	ASSERT_EQ(0, io_uring_register_buffers(&ring, &v, 1));
	err = kt_insmod("brd", "rd_nr=1 rd_size=4096");
	if (err == -ENOENT) {
		io_uring_queue_exit(&ring);
		SKIP(return, "this kernel's brd is not at hand");
	}
	ASSERT_EQ(0, err);
	EXPECT_TRUE(kt_until(!access("/dev/ram0", F_OK)));
	disk = open("/dev/ram0", O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_GE(disk, 0);
	for (i = 0; i < BLOCKS; i++)
		memset(self->pool + i * BYTES, i + 1, BYTES);
	ASSERT_EQ(POOL, pwrite(disk, self->pool, POOL, 0));
	memset(self->pool, 0, POOL);
	ASSERT_EQ(POOL, pread(disk, self->pool, POOL, 0));
	for (i = 0; i < BLOCKS; i++)
		EXPECT_TRUE(filled(self->pool + i * BYTES, i + 1));
	memset(self->pool, 0, POOL);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read_fixed(sqe, disk, self->pool + 3 * BYTES, BYTES,
				 5 * BYTES, 0);
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_EQ(0, io_uring_wait_cqe(&ring, &cqe));
	EXPECT_EQ(BYTES, cqe->res);
	EXPECT_TRUE(filled(self->pool + 3 * BYTES, 6));
	io_uring_queue_exit(&ring);
	close(disk);
}

TEST_F(payload, dma_buf)
{
	struct udmabuf_create create = {
		.flags = UDMABUF_FLAGS_CLOEXEC, .size = POOL,
	};
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), buf;
	uint8_t *p;

	if (dev < 0)
		SKIP(return, "this kernel has no udmabuf");
	create.memfd = descriptor(self->fd, 0);
	buf = ioctl(dev, UDMABUF_CREATE, &create);
	ASSERT_GE(buf, 0);
	p = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	ASSERT_NE(MAP_FAILED, p);
	p[BYTES] = 0x5a;
	EXPECT_EQ(0x5a, self->pool[BYTES]);
	munmap(p, POOL);
	close(buf);
	close(create.memfd);
	close(dev);
}

TEST_F(payload, locked_in_memory)
{
	EXPECT_EQ(0, mlock(self->pool, POOL));
	EXPECT_EQ(0, munlock(self->pool, POOL));
}

TEST_HARNESS_MAIN
