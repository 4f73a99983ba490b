// SPDX-License-Identifier: MIT
/*
 * The control device: creating, listing and destroying stores; their
 * attributes.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "kvbm_control.h"

/* The digest and the label: kept, and reported everywhere. */
TEST_F(control, digest_and_label)
{
	static const char bad[][4] = { "a\n", "\x7f", "\xc3\xa4", "a\0b" };
	struct kvbm_store_create c;
	struct kvbm_store_info info;
	struct kvbm_expect e = {
		.flags = KVBM_EXPECT_DIGEST | KVBM_EXPECT_BLOCK_BYTES,
	};
	char path[128], line[128] = "";
	int fd, i;
	FILE *f;

	kvbm_store_create_init(&c, "kt-digest", 4);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(c.label, 0, sizeof(c.label));
		memcpy(c.label, bad[i], sizeof(bad[i]));
		EXPECT_EQ(-EINVAL, kvbm_store_create(self->fd, &c)) {
			TH_LOG("label %d", i);
		}
	}
	memset(c.label, 'x', sizeof(c.label));
	EXPECT_EQ(-EINVAL, kvbm_store_create(self->fd, &c));
	c.label[KVBM_LABEL_LEN - 1] = 0;
	for (i = 0; i < KVBM_DIGEST_BYTES; i++)
		c.digest[i] = e.digest[i] = 3 * i + 1;
	ASSERT_EQ(0, kvbm_store_create(self->fd, &c));
	fd = kvbm_open_expect("kt-digest", &e);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(0, memcmp(info.digest, c.digest, sizeof(c.digest)));
	EXPECT_EQ(0, memcmp(info.label, c.label, sizeof(c.label)));
	close(fd);
	e.digest[31]++;
	EXPECT_EQ(-ESTALE, kvbm_open_expect("kt-digest", &e));
	EXPECT_EQ(KVBM_EXPECT_DIGEST, e.differs);

	snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-kt-digest/digest");
	f = fopen(path, "r");
	ASSERT_TRUE(f);
	EXPECT_TRUE(fgets(line, sizeof(line), f));
	fclose(f);
	EXPECT_EQ(0, strncmp(line, "0104070a", 8));
	EXPECT_EQ(2 * KVBM_DIGEST_BYTES + 1, strlen(line));
	snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-kt-digest/label");
	f = fopen(path, "r");
	ASSERT_TRUE(f);
	EXPECT_TRUE(fgets(line, sizeof(line), f));
	fclose(f);
	EXPECT_EQ(KVBM_LABEL_LEN, strlen(line));
	EXPECT_EQ(0, kt_destroy("kt-digest", 0));
}

TEST_F(control, create_and_destroy)
{
	struct kvbm_store_entry e;
	struct kvbm_store_info info;
	struct stat st;
	int fd, two;

	EXPECT_EQ(-1, named("pool", 100));
	ASSERT_EQ(0, stat("/dev/kvbm/pool", &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
	kt_poison(e);
	ASSERT_TRUE(listed(self->fd, "pool", &e));
	EXPECT_NE(0, e.store_id);
	EXPECT_EQ(100, e.total_blocks);
	EXPECT_EQ(0, e.sessions);
	EXPECT_EQ(0, e.uid);
	EXPECT_EQ(0600, e.mode);
	EXPECT_EQ(0, e.flags);

	fd = kvbm_open("pool");
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(e.store_id, info.store_id);
	EXPECT_STREQ("pool", info.name);
	EXPECT_EQ(1, info.sessions);
	two = kvbm_open("/dev/kvbm/pool");
	ASSERT_GE(two, 0);
	ASSERT_TRUE(listed(self->fd, "pool", &e));
	EXPECT_EQ(2, e.sessions);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));

	/* It lives without sessions, and is the same. */
	close(fd);
	close(two);
	fd = kvbm_open("pool");
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(e.store_id, info.store_id);
	EXPECT_EQ(-EBUSY, kt_destroy("pool", 0));
	close(fd);
	EXPECT_EQ(0, kt_destroy("pool", 0));
	EXPECT_EQ(-1, stat("/dev/kvbm/pool", &st));
	EXPECT_EQ(-ENOENT, kt_destroy("pool", 0));
	EXPECT_EQ(-ENOENT, kvbm_open("pool"));
	EXPECT_FALSE(listed(self->fd, "pool", NULL));

	/* A new one of the same name is another one. */
	EXPECT_EQ(-1, named("pool", 100));
	ASSERT_TRUE(listed(self->fd, "pool", &e));
	EXPECT_NE(info.store_id, e.store_id);
	EXPECT_EQ(0, kt_destroy("pool", 0));
}

TEST_F(control, names)
{
	static const char * const good[] = {
		"a", "0", "a.b", "a-b_c.d", "0123456789012345678901234567890",
		"z..", "control2", "controll",
	};
	static const char * const bad[] = {
		"control", "A", "aB", "a/b", "../a", ".a", "-a", "_a", "a b",
		"a\n", "\x80", "a\xff", "/", "a:b", "a%sb",
	};
	struct kvbm_store_destroy d = { .size = sizeof(d),
					.flags = KVBM_DESTROY_FORCE };
	struct kvbm_store_create c;
	struct stat st;
	char path[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(-1, named(good[i], 1)) {
			TH_LOG("name %s", good[i]);
		}
		snprintf(path, sizeof(path), "/dev/kvbm/%s", good[i]);
		EXPECT_EQ(0, stat(path, &st));
		EXPECT_EQ(-EEXIST, named(good[i], 2));
		EXPECT_TRUE(listed(self->fd, good[i], NULL));
	}
	for (i = 0; i < ARRAY_SIZE(good); i++)
		EXPECT_EQ(0, kt_destroy(good[i], 0));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, named(bad[i], 1)) {
			TH_LOG("name %u", i);
		}
	/* 32 bytes without an end; something after the end. */
	c = (struct kvbm_store_create){ .size = sizeof(c), .total_blocks = 1,
					.uid = -1, .gid = -1, .monitor_gid = -1 };
	memset(c.name, 'a', sizeof(c.name));
	EXPECT_EQ(-EINVAL, kt_store_make(&c));
	memset(c.name, 0, sizeof(c.name));
	strcpy(c.name, "a");
	c.name[2] = 'b';
	EXPECT_EQ(-EINVAL, kt_store_make(&c));
	memset(c.name, 0, sizeof(c.name));
	c.name[31] = 'b';
	EXPECT_EQ(-EINVAL, kt_store_make(&c));
	/* Control is no store. */
	strcpy(d.name, "control");
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
	memset(d.name, 0, sizeof(d.name));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
	memset(d.name, 'a', sizeof(d.name));
	EXPECT_EQ(-EINVAL, kt_ioctl(self->fd, KVBM_IOC_STORE_DESTROY, &d));
}

TEST_F(control, bad_configurations)
{
	EXPECT_EQ(-EINVAL, kt_store(0));
	EXPECT_EQ(-EINVAL, kt_store(KVBM_MAX_BLOCKS + 1));
	EXPECT_EQ(-EINVAL, kt_store(~0U));
	EXPECT_EQ(-EINVAL, kt_store(1, .block_size = (1U << 20) + 1));
	EXPECT_EQ(-EINVAL, kt_store(1, .block_size = 1U << 31));
	EXPECT_EQ(-EINVAL, kt_store(1, .freq_capacity = KVBM_FREQ_LARGE + 1));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0661));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0700));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 0666));
	EXPECT_EQ(-EINVAL, kt_store(1, .mode = 04600));
	EXPECT_EQ(-EOPNOTSUPP, kt_store(1, .rights = 4));
	EXPECT_EQ(-EINVAL, kt_store(1, .flags = KVBM_CREATE_OPAQUE,
				    .policy = "lineage_tick"));
	EXPECT_EQ(-EINVAL, kt_store(1, .flags = KVBM_CREATE_OPAQUE,
				    .policy = "lineage_fifo"));
}

/* Engines have blocks of any size, not only powers of two. */
TEST_F(control, block_sizes)
{
	static const uint32_t sizes[] = {
		1, 2, 3, 15, 17, 48, 100, 784, 1024, 1056, 2096, 65535,
		1U << 20,
	};
	uint32_t id, tokens, none;
	struct kvbm_store_info info;
	struct kvbm_hash h = kt_single(1);
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fd = kt_store(1, .block_size = sizes[i]);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, kvbm_store_info(fd, &info));
		EXPECT_EQ(sizes[i], info.block_size);
		ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
		tokens = sizes[i] - 1;
		EXPECT_EQ(-EINVAL, kvbm_stage(fd, 1, &id, &h, &tokens, &none));
		tokens = sizes[i];
		EXPECT_EQ(1, kvbm_stage(fd, 1, &id, &h, &tokens, NULL));
		close(fd);
	}
	fd = kt_store(1);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(16, info.block_size);
	close(fd);
}

/* An engine's own keys: any 126 bits, no lineage. */
TEST_F(control, opaque)
{
	struct kvbm_hash h = { .hi = ~0ULL >> 2, .lo = ~0ULL }, wide;
	struct kvbm_store_info info;
	struct kvbm_registered r;
	uint32_t id;
	int fd;

	fd = kt_store(4, .flags = KVBM_CREATE_OPAQUE);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(KVBM_CREATE_OPAQUE, info.flags);
	EXPECT_STREQ("lru", info.policy);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	/* A lineage hash at position 256: mode 1. */
	wide = kt_hash(7, 6, 256);
	EXPECT_EQ(-EINVAL, kvbm_stage(fd, 1, &id, &wide, NULL, NULL));
	EXPECT_EQ(-EINVAL, kvbm_stage_register(fd, 1, &id, &wide, &r, 0, NULL));
	EXPECT_EQ(1, kvbm_stage_register(fd, 1, &id, &h, &r, 0, NULL));
	EXPECT_EQ(KVBM_ACTIVE, kt_presence(fd, h));
	EXPECT_EQ(1, kvbm_match(fd, 1, &h, &id, NULL));
	close(fd);
	fd = kt_store(4, .flags = KVBM_CREATE_OPAQUE, .policy = "multi_lru",
		      .freq_capacity = 64);
	EXPECT_GE(fd, 0);
	close(fd);
}

/* A device number leads to one store, ever. */
TEST_F(control, numbers_once)
{
	static dev_t seen[300];
	struct stat st;
	int i, k;

	for (i = 0; i < 300; i++) {
		ASSERT_EQ(-1, named("again", 1));
		ASSERT_EQ(0, stat("/dev/kvbm/again", &st));
		seen[i] = st.st_rdev;
		for (k = 0; k < i; k++)
			ASSERT_NE(seen[k], seen[i]);
		ASSERT_EQ(0, kt_destroy("again", 0));
		unlink(NODE);
		ASSERT_EQ(0, mknod(NODE, S_IFCHR | 0600, st.st_rdev));
		EXPECT_EQ(-ENXIO, kvbm_open(NODE));
	}
	unlink(NODE);
}

/* Nobody can tell from one how many others there are. */
TEST_F(control, ids_at_random)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 1, .uid = -1, .gid = -1, .monitor_gid = -1,
	};
	uint64_t last = 0, bits = 0;
	int i;

	for (i = 0; i < 64; i++) {
		ASSERT_GE(kt_store_make(&c), 0);
		close(c.fd);
		EXPECT_NE(0, c.store_id);
		EXPECT_GT(c.store_id - last, 1000);
		EXPECT_GT(last - c.store_id, 1000);
		bits |= c.store_id ^ last;
		last = c.store_id;
	}
	EXPECT_EQ(~0ULL, bits);
}

/* Destroyed, but open: seen, counted, and reached by its id. */
TEST_F(control, dying_stores)
{
	struct kvbm_store_ref by_name = { .name = "ghost" }, by_id = {};
	struct kvbm_store_info info;
	struct kvbm_store_entry e[8];
	uint64_t cursor = 0;
	int fd, i, n;

	ASSERT_EQ(-1, named("ghost", 8));
	fd = kvbm_open("ghost");
	ASSERT_GE(fd, 0);
	by_id.id = kt_store_id(fd);
	ASSERT_EQ(0, kt_destroy("ghost", KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENOENT, kvbm_store_info_of(self->fd, &by_name, &info));
	ASSERT_EQ(0, kvbm_store_info_of(self->fd, &by_id, &info));
	EXPECT_EQ(KVBM_STORE_DYING, info.status);
	EXPECT_STREQ("ghost", info.name);
	EXPECT_EQ(0, info.sessions);
	EXPECT_EQ(1, info.revoked);
	n = kvbm_store_list_from(self->fd, &cursor, 8, e, NULL);
	for (i = 0; i < n && e[i].store_id != by_id.id; i++)
		;
	ASSERT_LT(i, n);
	EXPECT_EQ(KVBM_STORE_DYING, e[i].flags);
	EXPECT_EQ(8, e[i].total_blocks);
	EXPECT_EQ(0, e[i].charged_uid);
	EXPECT_NE(0, e[i].memory);
	EXPECT_NE(0, e[i].created_ns);
	/* Its name is free, and means another store now. */
	ASSERT_EQ(-1, named("ghost", 9));
	ASSERT_EQ(0, kvbm_store_info_of(self->fd, &by_name, &info));
	EXPECT_EQ(9, info.total_blocks);
	EXPECT_EQ(0, kt_destroy("ghost", 0));
	/* Again: it is gone already. */
	EXPECT_EQ(0, kvbm_store_destroy_of(self->fd, &by_id,
					   KVBM_DESTROY_FORCE));
	close(fd);
	EXPECT_EQ(-ENOENT, kvbm_store_info_of(self->fd, &by_id, &info));
}

/* Anonymous ones can be administrated, too, and ended. */
TEST_F(control, anonymous_stores)
{
	struct kvbm_store_ref ref = {};
	struct kvbm_session_entry e;
	struct kvbm_store_info info;
	struct kvbm_counts counts;
	uint64_t cursor = 0;
	struct kvbm_hash h;
	uint32_t id;
	int fd = kt_store(8);

	ASSERT_GE(fd, 0);
	ref.id = kt_store_id(fd);
	h = kt_single(9);
	ASSERT_EQ(1, kt_idle(fd, 1, &h, &id));
	ASSERT_EQ(0, kvbm_store_info_of(self->fd, &ref, &info));
	EXPECT_STREQ("", info.name);
	ASSERT_EQ(0, kvbm_counts_of(self->fd, &ref, &counts));
	EXPECT_EQ(1, counts.inactive);
	EXPECT_EQ(ref.id, counts.store_id);
	EXPECT_EQ(1, kvbm_reset_inactive_of(self->fd, &ref, NULL, NULL));
	EXPECT_EQ(1, kvbm_session_list_of(self->fd, &ref, &cursor, 1, &e,
					  NULL));
	EXPECT_EQ(-EBUSY, kvbm_store_destroy_of(self->fd, &ref, 0));
	EXPECT_EQ(0, kvbm_store_destroy_of(self->fd, &ref,
					   KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENODEV, kvbm_alloc(fd, 1, &id, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_session_open(fd));
	close(fd);
	EXPECT_EQ(-ENOENT, kvbm_store_info_of(self->fd, &ref, &info));
}

/* The name is looked at first: nothing is built to be thrown away. */
TEST_F(control, exists_before_work)
{
	uint64_t begin, made, refused;
	int i;

	begin = kt_now();
	ASSERT_EQ(-1, named("slow", 1U << 20));
	made = kt_now() - begin;
	begin = kt_now();
	for (i = 0; i < 10; i++)
		EXPECT_EQ(-EEXIST, named("slow", 1U << 20));
	refused = kt_now() - begin;
	EXPECT_LT(refused, made) {
		TH_LOG("made in %llu us, refused ten times in %llu us",
		       (unsigned long long)made / 1000,
		       (unsigned long long)refused / 1000);
	}
	EXPECT_EQ(0, kt_destroy("slow", 0));
}

/* Too large for memory is ENOMEM, and nobody dies of it. */
TEST_F(control, too_large_for_memory)
{
	int fds[64], n = 0, i, err = 0;
	pid_t pid;

	/* Somebody who would be killed first. */
	pid = kt_fork();
	if (!pid) {
		write_text("/proc/self/oom_score_adj", "1000");
		pause();
	}
	while (n < 64) {
		fds[n] = kt_store(KVBM_MAX_BLOCKS);
		if (fds[n] < 0) {
			err = fds[n];
			break;
		}
		n++;
	}
	/* The module's limit on blocks comes after four of them. */
	EXPECT_EQ(-ENOMEM, err) {
		TH_LOG("%d stores of 16 Mi blocks", n);
	}
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	for (i = 0; i < n; i++)
		close(fds[i]);
	/* It was given back. */
	fds[0] = kt_store(1U << 16);
	EXPECT_GE(fds[0], 0);
	close(fds[0]);
	EXPECT_EQ(256 + SIGKILL, kt_kill(pid));
}

TEST_F(control, no_descriptor_left)
{
	int fds[64], n = 0, spare;
	uint32_t before, after;

	kvbm_store_list(self->fd, 0, NULL, &before);
	while (n < 64 && (fds[n] = dup(0)) >= 0)
		n++;
	spare = fds[--n];
	struct rlimit_pair { uint64_t cur, max; } lim = { spare, 4096 };

	close(spare);
	ASSERT_EQ(0, syscall(SYS_prlimit64, 0, 7 /* RLIMIT_NOFILE */, &lim,
			     NULL));
	EXPECT_EQ(-EMFILE, kt_ioctl(self->fd, KVBM_IOC_STORE_CREATE,
				    &(struct kvbm_store_create){
					.size = sizeof(struct
						       kvbm_store_create),
					.total_blocks = 1,
					.uid = -1, .gid = -1, .monitor_gid = -1 }));
	kvbm_store_list(self->fd, 0, NULL, &after);
	EXPECT_EQ(before, after);
	lim.cur = 4096;
	syscall(SYS_prlimit64, 0, 7, &lim, NULL);
	while (n)
		close(fds[--n]);
}

/* Destroyed by force while others use it. */
TEST_F(control, destroy_forced)
{
	struct kvbm_hash h[4];
	uint32_t ids[4], got;
	struct kvbm_store_info info;
	int a, b;

	kt_singles(h, 4, 9);
	ASSERT_EQ(-1, named("doomed", 8));
	a = kvbm_open("doomed");
	b = kvbm_open("doomed");
	ASSERT_EQ(4, kt_fill(a, 4, h, ids));
	ASSERT_EQ(1, kvbm_alloc(b, 1, &got, NULL, NULL));
	EXPECT_EQ(-EBUSY, kt_destroy("doomed", 0));
	ASSERT_EQ(0, kt_destroy("doomed", KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENOENT, kvbm_open("doomed"));
	EXPECT_EQ(-1, access("/sys/class/kvbm/kvbm-doomed", F_OK));
	/* Every call of theirs says so. */
	EXPECT_EQ(-ENODEV, kvbm_alloc(a, 1, &got, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_alloc_wait(a, 1, &got, NULL, NULL,
					   KVBM_NO_DEADLINE));
	EXPECT_EQ(-ENODEV, kvbm_alloc_reset(a, 1, &got));
	EXPECT_EQ(-ENODEV, kvbm_match(a, 1, h, &got, NULL));
	EXPECT_EQ(-ENODEV, kvbm_scan(a, 1, h, &got, 0, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_release(a, 1, ids, 0, NULL));
	EXPECT_EQ(-ENODEV, kvbm_release(b, 1, &got, 0, NULL));
	EXPECT_EQ(-ENODEV, kvbm_session_open(a));
	EXPECT_EQ(-ENODEV, kvbm_presence(a, 1, h, (uint8_t *)&got, NULL));
	EXPECT_EQ(-ENODEV, kvbm_reset_inactive(a, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_store_info(a, &info));
	EXPECT_EQ(-ENODEV, kvbm_counts(a, &(struct kvbm_counts){}));
	EXPECT_EQ(-ENODEV, kvbm_stats(a, &(struct kvbm_stats){}));
	EXPECT_EQ(-ENODEV, kvbm_session_list(a, 0, NULL, NULL));
	EXPECT_EQ(-ENODEV, kvbm_session_config(a, 1));
	EXPECT_EQ(-ENODEV, kvbm_session_revoke(a, 1, NULL));
	/* The name is free at once. */
	EXPECT_EQ(-1, named("doomed", 8));
	EXPECT_EQ(-ENODEV, kvbm_match(a, 1, h, &got, NULL));
	EXPECT_EQ(0, kt_destroy("doomed", 0));
	EXPECT_EQ(0, close(a));
	EXPECT_EQ(0, close(b));
}

/* A new name while somebody still has the node of the old one open. */
TEST_F(control, names_and_nodes_again_and_again)
{
	struct kvbm_store_info info;
	uint64_t last = 0;
	char path[64];
	int i, fd;

	for (i = 0; i < 200; i++) {
		ASSERT_EQ(-1, named("again", 1 + i));
		fd = kvbm_open("again");
		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, kvbm_store_info(fd, &info));
		EXPECT_EQ(1 + i, info.total_blocks);
		EXPECT_NE(last, info.store_id);
		last = info.store_id;
		snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-again/store_id");
		EXPECT_EQ(0, access(path, R_OK));
		ASSERT_EQ(0, kt_destroy("again", KVBM_DESTROY_FORCE));
		close(fd);
	}
}

/* Attributes */

static uint64_t attr(const char *name)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-attrs/%s", name);
	if (read_text(path, text, sizeof(text)) < 0)
		return ~0ULL;
	return strtoull(text, NULL, 10);
}

TEST_F(control, attributes)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 32, .block_size = 64,
		.policy = "multi_lru", .thresholds = { 2, 4, 6 },
		.freq_capacity = 2048, .uid = -1, .gid = -1, .monitor_gid = -1, .mode = 0640,
		.max_sessions = 7, .max_held = 20, .name = "attrs",
		.flags = KVBM_CREATE_REJECT | KVBM_CREATE_RESET,
	};
	char path[320], text[256];
	struct kvbm_store_info info;
	struct kvbm_hash h[5];
	struct kvbm_stats s;
	uint32_t ids[8];
	struct dirent *d;
	int fd, seen = 0;
	DIR *dir;

	ASSERT_EQ(-1, kt_store_make(&c));
	fd = kvbm_open("attrs");
	ASSERT_GE(fd, 0);
	kt_singles(h, 5, 60);
	ASSERT_EQ(5, kt_fill(fd, 5, h, ids));
	ASSERT_EQ(2, kvbm_release(fd, 2, ids, 0, NULL));
	ASSERT_EQ(3, kvbm_alloc(fd, 3, ids, NULL, NULL));
	ASSERT_EQ(0, kvbm_store_info(fd, &info));
	s = kt_stats(fd);

	EXPECT_EQ(32, attr("total_blocks"));
	EXPECT_EQ(64, attr("block_size"));
	EXPECT_EQ(2048, attr("frequency_capacity"));
	EXPECT_EQ(7, attr("max_sessions"));
	EXPECT_EQ(20, attr("max_held"));
	EXPECT_EQ(1, attr("reset_on_release"));
	EXPECT_EQ(info.memory, attr("memory_bytes"));
	read_text("/sys/class/kvbm/kvbm-attrs/policy", text, sizeof(text));
	EXPECT_STREQ("multi_lru", text);
	read_text("/sys/class/kvbm/kvbm-attrs/thresholds", text, sizeof(text));
	EXPECT_STREQ("2 4 6", text);
	read_text("/sys/class/kvbm/kvbm-attrs/duplicates", text, sizeof(text));
	EXPECT_STREQ("reject", text);
	read_text("/sys/class/kvbm/kvbm-attrs/store_id", text, sizeof(text));
	EXPECT_EQ(info.store_id, strtoull(text, NULL, 16));

#define KVBM_STAT(name, help)	EXPECT_EQ(s.name, attr("stats/" #name));
#include "stats.def"
	EXPECT_EQ(3, attr("stats/inflight_mutable"));
	EXPECT_EQ(8, attr("stats/allocations"));

	/* All of them can be read, by owner and group, and none written. */
	dir = opendir("/sys/class/kvbm/kvbm-attrs/stats");
	ASSERT_NE(NULL, dir);
	while ((d = readdir(dir))) {
		struct stat st;

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/class/kvbm/kvbm-attrs/stats/%s",
			 d->d_name);
		EXPECT_GT(read_text(path, text, sizeof(text)), 0);
		ASSERT_EQ(0, stat(path, &st));
		EXPECT_EQ(0440, st.st_mode & 0777);
		/* No address of the kernel's. */
		EXPECT_EQ(NULL, strstr(text, "ffff"));
		seen++;
	}
	closedir(dir);
	/* One for each field, and one for all of each histogram. */
	EXPECT_EQ((offsetof(struct kvbm_stats, wait_histogram) -
		   offsetof(struct kvbm_stats, allocations)) / 8 + 2,
		  seen);
	close(fd);
	EXPECT_EQ(0, kt_destroy("attrs", 0));
}

TEST_HARNESS_MAIN
