// SPDX-License-Identifier: MIT
/*
 * Memory accounting: a store's arrays are charged to the memory cgroup of the
 * task that creates it, a session's hold table to that of the task that holds.
 * Past a group's limit, creating a store returns -ENOMEM, without an OOM kill
 * and without a message in the log.
 *
 * A kernel cannot charge these, and no test here asks for them:
 *
 *   - the hash table's buckets, 8 to 16 bytes a block: rhashtable allocates
 *     them itself, often from a work item.  The module's limits on stores and
 *     blocks bound them.
 *   - vmalloc's own overhead: 8 bytes a page for the list of pages, and page
 *     tables.
 */
#include <sys/mount.h>
#include <sys/stat.h>
#include "kvbm_test.h"

#define MIB		(1024 * 1024L)
#define BLOCKS		(256 * 1024U)
#define SLOTS		(BLOCKS * 64L)
#define COUNTS		(BLOCKS * 4L)

/* A processor keeps up to 64 pages that are charged but not used yet. */
#define SLACK		(sysconf(_SC_NPROCESSORS_ONLN) * 64 * 4096L)

/* Tests leave without flushing. */
#define say(...) do {							\
	ksft_print_msg(__VA_ARGS__);					\
	fflush(stdout);							\
} while (0)

static int put(const char *dir, const char *file, const char *text)
{
	char path[256];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* A file of a group as text; static memory, "" when there is none. */
static const char *get(const char *dir, const char *file)
{
	static char text[16384];
	char path[256];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDONLY);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n < 0 ? 0 : n] = 0;
	return text;
}

/* "name value" in a file of many such lines, or -1. */
static long field(const char *dir, const char *file, const char *name)
{
	const char *line = get(dir, file);
	size_t len = strlen(name);

	while (*line) {
		if (!strncmp(line, name, len) && line[len] == ' ')
			return atol(line + len);
		line = strchrnul(line, '\n');
		line += *line == '\n';
	}
	return -1;
}

static long current_of(const char *dir)
{
	return atol(get(dir, "memory.current"));
}

/* Kernel messages since the last look; static memory. */
static const char *said(int kmsg)
{
	static char text[65536];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(text) - 1) {
		n = read(kmsg, text + len, sizeof(text) - 1 - len);
		if (n > 0)
			len += n;
		else if (errno != EPIPE)	/* overtaken */
			break;
	}
	text[len] = 0;
	return text;
}

FIXTURE(memcg) {
	char root[64];
	bool mounted;
	char a[80];			/* two groups */
	char b[80];
	struct kt_pipe to;		/* to a child, and from it */
	struct kt_pipe from;
};

/* Where cgroup2 is mounted, or a mount of our own. */
static bool find_root(char *root, size_t size, bool *mounted)
{
	char dev[64], dir[64], type[32];
	FILE *f = fopen("/proc/mounts", "r");

	*mounted = false;
	while (f && fscanf(f, "%63s %63s %31s %*[^\n]", dev, dir, type) == 3) {
		if (!strcmp(type, "cgroup2")) {
			snprintf(root, size, "%s", dir);
			fclose(f);
			return true;
		}
	}
	if (f)
		fclose(f);
	snprintf(root, size, "/tmp/kvbm-cgroup-XXXXXX");
	if (!mkdtemp(root))
		return false;
	*mounted = !mount("none", root, "cgroup2", 0, NULL);
	if (!*mounted)
		rmdir(root);
	return *mounted;
}

FIXTURE_SETUP(memcg)
{
	if (!find_root(self->root, sizeof(self->root), &self->mounted))
		SKIP(exit(255), "this kernel has no cgroup2");
	put(self->root, "cgroup.subtree_control", "+memory");
	if (!strstr(get(self->root, "cgroup.subtree_control"), "memory"))
		SKIP(exit(255), "no memory controller in cgroup2");
	snprintf(self->a, sizeof(self->a), "%s/kvbm-a-%d", self->root,
		 getpid());
	snprintf(self->b, sizeof(self->b), "%s/kvbm-b-%d", self->root,
		 getpid());
	ASSERT_EQ(0, mkdir(self->a, 0755));
	ASSERT_EQ(0, mkdir(self->b, 0755));
	kt_pipe_open(&self->to);
	kt_pipe_open(&self->from);
}

FIXTURE_TEARDOWN(memcg)
{
	/* A group may be removed once its last process is gone for good. */
	EXPECT_TRUE(kt_until(!rmdir(self->a) || errno == ENOENT));
	EXPECT_TRUE(kt_until(!rmdir(self->b) || errno == ENOENT));
	if (self->mounted) {
		umount(self->root);
		rmdir(self->root);
	}
}

/* A child in a group; there it returns 0. */
static pid_t fork_into(const char *group)
{
	pid_t pid = kt_fork();

	if (!pid)
		KT_MUST(!put(group, "cgroup.procs", "0"));
	return pid;
}

/* Creates and destroys on command, in its group. */
static void creator(struct kt_pipe *to, struct kt_pipe *from)
{
	struct kvbm_store_info info;
	int fd;

	kt_tell(from, 1);
	kt_hear(to);
	fd = kt_store(BLOCKS, .policy = "lru");
	KT_MUST(fd >= 0);
	KT_MUST(!kvbm_store_info(fd, &info));
	kt_tell(from, info.memory / 1024);
	kt_hear(to);
	close(fd);
	kt_tell(from, 1);
	kt_hear(to);
	_exit(0);
}

/* A store is its creator's, and is given back with it. */
TEST_F(memcg, store)
{
	long before, vmalloc, now, kernel, memory;
	pid_t pid;

	pid = fork_into(self->a);
	if (!pid)
		creator(&self->to, &self->from);
	ASSERT_EQ(1, kt_hear(&self->from));
	before = current_of(self->a);
	vmalloc = field(self->a, "memory.stat", "vmalloc");
	kernel = field(self->a, "memory.stat", "kernel");
	ASSERT_GE(vmalloc, 0);

	kt_tell(&self->to, 1);
	memory = kt_hear(&self->from) * 1024L;
	EXPECT_GT(memory, SLOTS);
	now = current_of(self->a);
	EXPECT_GE(now - before, SLOTS);
	EXPECT_LE(now - before, memory + SLACK);
	/* The sums in memory.stat may lag by two seconds. */
	EXPECT_TRUE(kt_until(field(self->a, "memory.stat", "vmalloc") -
			     vmalloc >= SLOTS));
	say("  %u blocks, %ld bytes: current + %ld, vmalloc + %ld, kernel + %ld\n",
		       BLOCKS, memory, now - before,
		       field(self->a, "memory.stat", "vmalloc") - vmalloc,
		       field(self->a, "memory.stat", "kernel") - kernel);
	if (kernel >= 0)
		EXPECT_GE(field(self->a, "memory.stat", "kernel") - kernel,
			  SLOTS);

	kt_tell(&self->to, 1);
	ASSERT_EQ(1, kt_hear(&self->from));
	EXPECT_TRUE(kt_until(current_of(self->a) <= before + SLACK));
	EXPECT_TRUE(kt_until(field(self->a, "memory.stat", "vmalloc") <=
			     vmalloc + MIB / 4));
	say("  destroyed: current %+ld, vmalloc %+ld\n",
		       current_of(self->a) - before,
		       field(self->a, "memory.stat", "vmalloc") - vmalloc);
	kt_tell(&self->to, 1);
	EXPECT_EQ(0, kt_reap(pid));
}

/*
 * The kernel's own figure for a store's memory, page by page: at most 96 bytes
 * a block with buckets and one session that holds everything.
 */
TEST_F_TIMEOUT(memcg, bytes_a_block, 600)
{
	static const char * const policies[] = {
		"lru", "multi_lru", "lineage_tick",
	};
	const char *vm = getenv("KVBM_VM");
	const uint32_t total = 1U << 20;
	long before, sketch;
	double charged;
	unsigned int p;
	int fd;

	if (vm && (!strcmp(vm, "debug") || !strcmp(vm, "kcsan") ||
		   !strcmp(vm, "kmsan")))
		SKIP(return, "takes too long where every access is checked");
	ASSERT_EQ(0, put(self->a, "cgroup.procs", "0"));
	for (p = 0; p < ARRAY_SIZE(policies); p++) {
		struct kvbm_store_create c;

		kvbm_store_create_init(&c, NULL, total);
		kvbm_store_create_policy(&c, policies[p]);
		/* A sketch is extra, and small. */
		sketch = c.freq_capacity * 2L;
		before = field(self->a, "memory.stat", "vmalloc");
		fd = kt_store_make(&c);
		ASSERT_GE(fd, 0);
		/* The sums lag by less than a MiB when so much changes. */
		charged = field(self->a, "memory.stat", "vmalloc") - before -
			  sketch;
		charged /= total;
		/* Nobody is charged for rhashtable's buckets: one for 16. */
		say("  %s: %.1f charged + 1 for buckets + 4 for holds\n",
		    policies[p], charged);
		EXPECT_GE(charged, 64);
		EXPECT_LE(charged + 1 + 4, 96);
		close(fd);
	}
	ASSERT_EQ(0, put(self->root, "cgroup.procs", "0"));
}

/* Holds all blocks of another's store, then lets go, in its group. */
static void holder(int fd, struct kt_pipe *to, struct kt_pipe *from)
{
	uint32_t *ids = mmap(NULL, COUNTS, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			     0);
	int ses = kvbm_session_open(fd);

	KT_MUST(ses >= 0 && ids != MAP_FAILED);
	kt_tell(from, 1);
	kt_hear(to);
	KT_MUST(kvbm_alloc(ses, BLOCKS, ids, NULL, NULL) == BLOCKS);
	kt_tell(from, 1);
	kt_hear(to);
	close(ses);
	kt_tell(from, 1);
	kt_hear(to);
	_exit(0);
}

/* A hold table is the holder's, not the creator's. */
TEST_F(memcg, hold_table)
{
	struct kvbm_store_info info;
	long creator, kernel, slab;
	pid_t pid;
	int fd;

	/* This process creates: in group a while it does. */
	ASSERT_EQ(0, put(self->a, "cgroup.procs", "0"));
	fd = kt_store(BLOCKS, .policy = "lru");
	ASSERT_EQ(0, put(self->root, "cgroup.procs", "0"));
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_GE(current_of(self->a), SLOTS);

	pid = fork_into(self->b);
	if (!pid)
		holder(fd, &self->to, &self->from);
	ASSERT_EQ(1, kt_hear(&self->from));
	creator = current_of(self->a);
	EXPECT_LT(current_of(self->b), SLOTS);
	EXPECT_TRUE(kt_until(field(self->b, "memory.stat", "kernel") > 0));
	/* The sums may lag: let what came before arrive. */
	kt_sleep_ms(2500);
	kernel = field(self->b, "memory.stat", "kernel");
	slab = field(self->b, "memory.stat", "slab_unreclaimable");

	kt_tell(&self->to, 1);
	ASSERT_EQ(1, kt_hear(&self->from));
	EXPECT_TRUE(kt_until(field(self->b, "memory.stat",
				   "slab_unreclaimable") - slab >=
			     COUNTS - 16384));
	EXPECT_GE(field(self->b, "memory.stat", "kernel") - kernel,
		  COUNTS - SLACK);
	say("  %u blocks held: slab + %ld, kernel + %ld; the creator's group %+ld\n",
		       BLOCKS,
		       field(self->b, "memory.stat", "slab_unreclaimable") -
		       slab,
		       field(self->b, "memory.stat", "kernel") - kernel,
		       current_of(self->a) - creator);
	EXPECT_LE(current_of(self->a), creator + SLACK / 2);

	kt_tell(&self->to, 1);
	ASSERT_EQ(1, kt_hear(&self->from));
	EXPECT_TRUE(kt_until(field(self->b, "memory.stat",
				   "slab_unreclaimable") <= slab + 16384));
	kt_tell(&self->to, 1);
	EXPECT_EQ(0, kt_reap(pid));
	close(fd);
	EXPECT_TRUE(kt_until(current_of(self->a) <= creator - SLOTS));
}

/* Tries to create; the errno, or 0, is its exit status. */
static int try_create(const char *group, uint32_t blocks, const char *policy,
		      uint32_t freq)
{
	pid_t pid = fork_into(group);

	if (!pid) {
		struct kvbm_store_create c;
		int fd;

		kvbm_store_create_init(&c, NULL, blocks);
		kvbm_store_create_policy(&c, policy);
		c.freq_capacity = freq;
		fd = kt_store_make(&c);
		_exit(fd < 0 ? -fd : 0);
	}
	return -kt_reap(pid);
}

/* Nothing in the kernel's log that a failed allocation might print. */
#define EXPECT_QUIET(kmsg) do {						\
	static const char * const bad[] = {				\
		"Call Trace", "page allocation failure", "vmalloc error", \
		"Out of memory", "oom", "Killed process",		\
	};								\
	const char *text = said(kmsg);					\
	unsigned int k;							\
									\
	for (k = 0; k < ARRAY_SIZE(bad); k++)				\
		EXPECT_EQ(NULL, strstr(text, bad[k])) {			\
			TH_LOG("the kernel said: %s", text);		\
		}							\
} while (0)

/* Past the limit: -ENOMEM, nobody killed, nothing printed, all given back. */
TEST_F(memcg, limit)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	unsigned int refused = 0, mib;
	int err;

	ASSERT_GE(kmsg, 0);
	lseek(kmsg, 0, SEEK_END);
	ASSERT_EQ(0, put(self->a, "memory.max", "8M"));

	/* Far below: 64 MiB of slots. */
	EXPECT_EQ(-ENOMEM, try_create(self->a, 1 << 20, "lru", 0));
	/* That it was the group's limit, and not the machine's. */
	EXPECT_GT(field(self->a, "memory.events", "max"), 0);
	EXPECT_EQ(0, field(self->a, "memory.events", "oom_kill"));
	/* A store that fits still does. */
	EXPECT_EQ(0, try_create(self->a, 32 * 1024, "lru", 0));

	/*
	 * Just below and just above: the slots (4 MiB), the policy's arrays
	 * or the sketch (4 MiB) are refused.
	 */
	for (mib = 2; mib <= 14; mib++) {
		char text[16];

		snprintf(text, sizeof(text), "%uM", mib);
		ASSERT_EQ(0, put(self->a, "memory.max", text));
		err = try_create(self->a, 64 * 1024, "lineage_tick", 1 << 21);
		if (err)
			refused++;
		EXPECT_TRUE(!err || err == -ENOMEM) {
			TH_LOG("at %u MiB: %d", mib, err);
		}
		if (mib <= 8)
			EXPECT_EQ(-ENOMEM, err);
		if (mib >= 13)
			EXPECT_EQ(0, err);
		EXPECT_TRUE(kt_until(current_of(self->a) <= SLACK));
	}
	say("  refused at %u of 13 limits; memory.events: max %ld, oom %ld, oom_kill %ld\n",
		       refused, field(self->a, "memory.events", "max"),
		       field(self->a, "memory.events", "oom"),
		       field(self->a, "memory.events", "oom_kill"));
	EXPECT_EQ(0, field(self->a, "memory.events", "oom_kill"));
	EXPECT_QUIET(kmsg);
	close(kmsg);
}

/* A store outlives its creator's group, whose charges go to the parent. */
TEST_F(memcg, group_removed)
{
	struct kvbm_hash h[8];
	uint32_t ids[8];
	pid_t pid;
	int fd;

	kt_singles(h, 8, 900);
	pid = fork_into(self->a);
	if (!pid) {
		struct kvbm_store_create c;

		kvbm_store_create_init(&c, "memcg-orphan", BLOCKS);
		_exit(-kvbm_store_create(kvbm_control_open(), &c));
	}
	ASSERT_EQ(0, kt_reap(pid));
	EXPECT_GE(current_of(self->a), SLOTS);
	EXPECT_TRUE(kt_until(!rmdir(self->a) || errno == ENOENT));
	fd = kvbm_open("memcg-orphan");
	ASSERT_GE(fd, 0);
	EXPECT_EQ(8, kt_idle(fd, 8, h, ids));
	EXPECT_EQ(8, kvbm_match(fd, 8, h, ids, NULL));
	close(fd);
	EXPECT_EQ(0, kt_destroy("memcg-orphan", 0));
}

TEST_HARNESS_MAIN
