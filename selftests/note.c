// SPDX-License-Identifier: MIT
/*
 * Notes: what a note says of a block, who can read it, how long it lasts, and
 * that nobody ever gets the note of another registration.
 */
#include <pthread.h>
#include "kvbm_test.h"

#define TOTAL	256U
#define N	8
#define MAX	KVBM_MAX_NOTE_BYTES

/* A note's bytes, all different from those of others. */
static void make_note(uint8_t *note, uint32_t bytes, uint32_t nth)
{
	uint32_t i;

	for (i = 0; i < bytes; i++)
		note[i] = 1 + (nth * 31 + i * 7 + nth / 8) % 255;
}

static void make_notes(uint8_t *notes, uint32_t bytes, uint32_t n,
		       uint32_t from)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		make_note(notes + i * bytes, bytes, from + i);
}

/* Is it the nth note, or (-1) zeroes? */
static bool is_note(const uint8_t *note, uint32_t bytes, int nth)
{
	uint8_t want[MAX] = {};

	if (nth >= 0)
		make_note(want, bytes, nth);
	return !memcmp(note, want, bytes);
}

FIXTURE(notes) {
	int fd, other;			/* sessions of one store */
	uint32_t bytes;
	struct kvbm_hash h[TOTAL];
	uint32_t ids[TOTAL];
	struct kvbm_registered out[TOTAL];
	uint8_t in[TOTAL * MAX];
	uint8_t got[TOTAL * MAX + 8];
	uint8_t *bad;			/* what follows is not mapped */
};

FIXTURE_VARIANT(notes) {
	uint32_t bytes;
};

FIXTURE_VARIANT_ADD(notes, one) { .bytes = 1 };
FIXTURE_VARIANT_ADD(notes, odd) { .bytes = 61 };
FIXTURE_VARIANT_ADD(notes, words) { .bytes = 64 };
FIXTURE_VARIANT_ADD(notes, most) { .bytes = MAX };

FIXTURE_SETUP(notes)
{
	self->bytes = variant->bytes;
	self->fd = kt_store(TOTAL, .policy = "lru",
			    .note_bytes = self->bytes, .event_records = 1024);
	ASSERT_GE(self->fd, 0);
	self->other = kvbm_session_open(self->fd);
	ASSERT_GE(self->other, 0);
	kt_singles(self->h, TOTAL, 1000);
	make_notes(self->in, self->bytes, TOTAL, 0);
	memset(self->got, 0xa5, sizeof(self->got));
	self->bad = mmap(NULL, 2 << 17, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->bad);
	ASSERT_EQ(0, munmap(self->bad + (1 << 17), 1 << 17));
	self->bad += 1 << 17;
}

FIXTURE_TEARDOWN(notes)
{
	close(self->other);
	kt_check(self->fd);
	close(self->fd);
}

#define note_at(i)	(self->got + (i) * self->bytes)
#define poison()	memset(self->got, 0xa5, sizeof(self->got))
#define untouched(i) ({							\
	uint32_t __k, __n = 0;						\
	for (__k = 0; __k < self->bytes; __k++)				\
		__n += note_at(i)[__k] == 0xa5;				\
	__n == self->bytes; })

/* The note and the hash that block info returns. */
static int info_note(int fd, uint32_t id, struct kvbm_block_info *info,
		     uint8_t *note)
{
	kt_poison(*info);
	memset(note, 0xa5, MAX);
	return kvbm_block_note(fd, id, info, note);
}

#define EXPECT_INFO(fd, id, nth) do {					\
	struct kvbm_block_info __i;					\
	uint8_t __note[MAX];						\
	EXPECT_EQ(0, info_note(fd, id, &__i, __note));			\
	EXPECT_TRUE(is_note(__note, self->bytes, nth));			\
	if (self->bytes < MAX) {					\
		EXPECT_EQ(0xa5, __note[self->bytes]);			\
	}								\
} while (0)

/* n Mutable blocks, as self->ids. */
#define alloc(n) \
	ASSERT_EQ(n, kvbm_alloc(self->fd, n, self->ids, NULL, NULL))

/* The first n hashes registered, with notes 0, 1, ... */
#define fill(n) do {							\
	alloc(n);							\
	ASSERT_EQ(n, kvbm_register_notes(self->fd, n, self->ids, self->h, \
					 self->in, self->out, 0, NULL)); \
} while (0)

/* Sizes, what the store takes for them, and stores that have none. */
TEST(creation)
{
	struct kvbm_store_create c = {
		.size = sizeof(c), .total_blocks = 4096, .uid = -1, .gid = -1,
		.monitor_gid = -1,
	}, d = c;
	struct kvbm_store_info info;
	int fd, without;

	without = kt_store_make(&c);
	ASSERT_GE(without, 0);
	d.note_bytes = 61;
	fd = kt_store_make(&d);
	ASSERT_GE(fd, 0);
	/* Rounded up to words, and one word more. */
	EXPECT_GE(d.need, c.need + 4096 * (64 + 8));
	EXPECT_LE(d.need, c.need + 4096 * (64 + 8) + (4 << 20));
	EXPECT_EQ(0, kvbm_store_info(fd, &info));
	EXPECT_EQ(61, info.note_bytes);
	EXPECT_GE(info.memory, 4096 * (64 + 8));
	EXPECT_LE(info.memory, info.need);
	EXPECT_EQ(0, kvbm_store_info(without, &info));
	EXPECT_EQ(0, info.note_bytes);
	EXPECT_LE(info.memory, info.need);
	EXPECT_EQ(-EINVAL, kt_store(8, .note_bytes = MAX + 1));
	EXPECT_EQ(-EINVAL, kt_store(8, .note_bytes = -1));
	close(fd);
	close(without);
}

/* Where there are none, giving or asking is EINVAL, and does nothing. */
TEST(without)
{
	int fd = kt_store(8, .event_records = 64);
	struct kvbm_events ev = { .flags = KVBM_EVENTS_NOTES };
	struct kvbm_export_entry e;
	struct kvbm_registered out;
	struct kvbm_block_info info;
	struct kvbm_hash h = kt_single(1);
	uint8_t note[MAX] = {}, state;
	uint64_t cursor = 0;
	uint32_t id, got;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	EXPECT_EQ(-EINVAL, kvbm_stage_notes(fd, 1, &id, &h, note, NULL));
	EXPECT_EQ(-EINVAL, kvbm_claim_notes(fd, 1, &id, &h, note, &state,
					    NULL));
	EXPECT_EQ(-EINVAL, kvbm_register_notes(fd, 1, &id, &h, note, &out, 0,
					       NULL));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(fd, id));
	EXPECT_EQ(-EINVAL, kvbm_block_note(fd, id, &info, note));
	ASSERT_EQ(1, kvbm_register_notes(fd, 1, &id, &h, NULL, &out, 0, NULL));
	EXPECT_EQ(-EINVAL, kvbm_match_notes(fd, 1, &h, &got, note, NULL));
	EXPECT_EQ(-EINVAL, kvbm_scan_notes(fd, 1, &h, &got, note, 0, NULL,
					   NULL));
	EXPECT_EQ(1, kt_info(fd, id).own_holds);
	EXPECT_EQ(-EINVAL, kvbm_export_notes(fd, NULL, &cursor, 1, &e, note,
					     NULL));
	EXPECT_EQ(-EINVAL, kvbm_events_open(fd, &ev));
	/* Nor does one that would come to nothing get through. */
	EXPECT_EQ(-EINVAL, kvbm_match_notes(fd, 0, NULL, NULL, note, NULL));
	close(fd);
}

/* All calls that return notes return what was given; more than a chunk. */
TEST_F(notes, given)
{
	const uint32_t n = 150;
	struct kvbm_export_entry e[TOTAL];
	uint64_t cursor = 0;
	uint32_t i, hits, total, ids[TOTAL];

	fill(n);
	ASSERT_EQ(n, kvbm_match_notes(self->other, TOTAL, self->h, ids,
				      self->got, NULL));
	for (i = 0; i < n; i++) {
		EXPECT_EQ(self->ids[i], ids[i]);
		EXPECT_TRUE(is_note(note_at(i), self->bytes, i));
	}
	EXPECT_TRUE(untouched(n));
	poison();
	/* A miss in the middle, and behind. */
	self->h[5] = kt_single(7);
	ASSERT_EQ(n + 1, kvbm_scan_notes(self->other, n + 1, self->h, ids,
					 self->got, 0, &hits, NULL));
	EXPECT_EQ(n - 1, hits);
	for (i = 0; i < n; i++)
		EXPECT_TRUE(is_note(note_at(i), self->bytes,
				    i == 5 ? -1 : (int)i));
	EXPECT_TRUE(is_note(note_at(n), self->bytes, -1));
	EXPECT_TRUE(untouched(n + 1));
	for (i = 0; i < n; i += 37)
		EXPECT_INFO(self->fd, self->ids[i], i);
	poison();
	ASSERT_EQ(n, kvbm_export_notes(self->fd, NULL, &cursor, TOTAL, e,
				       self->got, &total));
	EXPECT_EQ(n, total);
	for (i = 0; i < n; i++) {
		EXPECT_EQ(self->ids[i], e[i].block);
		EXPECT_TRUE(is_note(note_at(i), self->bytes, i));
	}
	EXPECT_TRUE(untouched(n));
	/* Parts of it are as good. */
	cursor = 0;
	poison();
	ASSERT_EQ(3, kvbm_export_notes(self->fd, NULL, &cursor, 3, e,
				       self->got, NULL));
	ASSERT_EQ(20, kvbm_export_notes(self->fd, NULL, &cursor, 20, e,
					self->got, NULL));
	for (i = 0; i < 20; i++)
		EXPECT_EQ(self->ids[3 + i], e[i].block);
	EXPECT_TRUE(is_note(note_at(0), self->bytes, 3));
	EXPECT_TRUE(is_note(note_at(19), self->bytes, 22));
	EXPECT_TRUE(untouched(20));
	/* Idle ones have theirs, too. */
	ASSERT_EQ(n, kvbm_release(self->fd, n, self->ids, 0, NULL));
	close(self->other);
	self->other = kvbm_session_open(self->fd);
	EXPECT_EQ(KVBM_STATE_INACTIVE, kt_state(self->fd, self->ids[9]));
	EXPECT_INFO(self->fd, self->ids[9], 9);
	ASSERT_EQ(1, kvbm_match_notes(self->fd, 1, &self->h[9], ids, self->got,
				      NULL));
	EXPECT_TRUE(is_note(note_at(0), self->bytes, 9));
}

/* Notes that are not given are zeroed. */
TEST_F(notes, not_given)
{
	uint32_t id;

	alloc(3);
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, self->ids, self->h,
					 self->out, 0, NULL));
	ASSERT_EQ(1, kvbm_stage(self->fd, 1, self->ids + 1, self->h + 1, NULL,
				NULL));
	EXPECT_INFO(self->fd, self->ids[1], -1);
	ASSERT_EQ(1, kvbm_register(self->fd, 1, self->ids + 1, self->out, 0,
				   NULL));
	ASSERT_EQ(2, kvbm_match_notes(self->fd, 2, self->h, self->ids,
				      self->got, NULL));
	EXPECT_TRUE(is_note(note_at(0), self->bytes, -1));
	EXPECT_TRUE(is_note(note_at(1), self->bytes, -1));
	/* A Mutable block has none, nor has one of nobody. */
	EXPECT_INFO(self->fd, self->ids[2], -1);
	id = self->ids[2];
	ASSERT_EQ(1, kvbm_release(self->fd, 1, &id, 0, NULL));
	EXPECT_INFO(self->fd, id, -1);
}

/* A register without notes leaves what was staged; with notes it does not. */
TEST_F(notes, staged)
{
	alloc(2);
	ASSERT_EQ(2, kvbm_stage_notes(self->fd, 2, self->ids, self->h,
				      self->in, NULL));
	EXPECT_INFO(self->fd, self->ids[1], 1);
	/* Nobody else gets it, as with its hash. */
	EXPECT_INFO(self->other, self->ids[1], -1);
	ASSERT_EQ(1, kvbm_register(self->fd, 1, self->ids, self->out, 0, NULL));
	ASSERT_EQ(1, kvbm_register_notes(self->fd, 1, self->ids + 1, NULL,
					 self->in + 9 * self->bytes, self->out,
					 0, NULL));
	EXPECT_INFO(self->other, self->ids[0], 0);
	EXPECT_INFO(self->other, self->ids[1], 9);
}

/* A claimant stages a note; a block that is not claimed has none. */
TEST_F(notes, claimed)
{
	uint8_t states[3];
	uint32_t id;

	fill(1);
	ASSERT_EQ(3, kvbm_alloc(self->fd, 3, self->ids + 1, NULL, NULL));
	/* Present, claimed, pending. */
	ASSERT_EQ(3, kvbm_claim_notes(self->fd, 3, self->ids + 1,
				      (struct kvbm_hash []){ self->h[0],
				      self->h[1], self->h[1] },
				      self->in + 4 * self->bytes, states,
				      NULL));
	EXPECT_EQ(KVBM_CLAIM_PRESENT, states[0]);
	EXPECT_EQ(KVBM_CLAIMED, states[1]);
	EXPECT_EQ(KVBM_CLAIM_PENDING, states[2]);
	EXPECT_INFO(self->fd, self->ids[0], 0);
	EXPECT_INFO(self->fd, self->ids[1], -1);
	EXPECT_INFO(self->fd, self->ids[2], 5);
	EXPECT_INFO(self->fd, self->ids[3], -1);
	/* Mutable still, and registered without a note. */
	ASSERT_EQ(1, kvbm_stage_register(self->fd, 1, self->ids + 1,
					 self->h + 8, self->out, 0, NULL));
	EXPECT_INFO(self->fd, self->ids[1], -1);
	ASSERT_EQ(1, kvbm_register(self->fd, 1, self->ids + 2, self->out, 0,
				   NULL));
	ASSERT_EQ(1, kvbm_match_notes(self->other, 1, &self->h[1], &id,
				      self->got, NULL));
	EXPECT_TRUE(is_note(note_at(0), self->bytes, 5));
}

/* A block staged but not registered leaves nothing behind. */
TEST_F(notes, given_up)
{
	uint32_t all[TOTAL], i, way;

	for (way = 0; way < 3; way++) {
		int fd = kvbm_session_open(self->fd);

		ASSERT_EQ(TOTAL, kvbm_alloc(fd, TOTAL, all, NULL, NULL));
		ASSERT_EQ(TOTAL, kvbm_stage_notes(fd, TOTAL, all, self->h,
						  self->in, NULL));
		if (way == 0) {
			ASSERT_EQ(TOTAL, kvbm_unstage(fd, TOTAL, all, NULL));
		} else if (way == 1) {
			ASSERT_EQ(TOTAL, kvbm_release(fd, TOTAL, all, 0, NULL));
		} else {
			close(fd);
			fd = kvbm_session_open(self->fd);
		}
		if (way) {
			ASSERT_EQ(TOTAL, kvbm_alloc(fd, TOTAL, all, NULL,
						    NULL));
		}
		ASSERT_EQ(TOTAL, kvbm_stage_register(fd, TOTAL, all, self->h,
						     self->out, 0, NULL));
		poison();
		ASSERT_EQ(TOTAL, kvbm_match_notes(fd, TOTAL, self->h, all,
						  self->got, NULL));
		for (i = 0; i < TOTAL; i++)
			EXPECT_TRUE(is_note(note_at(i), self->bytes, -1));
		close(fd);
		ASSERT_EQ(TOTAL, kvbm_reset_inactive(self->fd, NULL, NULL));
	}
}

/* A block that was evicted and is used again shows nothing from before. */
TEST_F(notes, evicted)
{
	uint32_t again[TOTAL], i;

	fill(TOTAL);
	ASSERT_EQ(TOTAL, kvbm_release(self->fd, TOTAL, self->ids, 0, NULL));
	ASSERT_EQ(TOTAL, kvbm_alloc(self->fd, TOTAL, again, NULL, NULL));
	for (i = 0; i < TOTAL; i += 17)
		EXPECT_INFO(self->fd, again[i], -1);
	ASSERT_EQ(TOTAL / 2, kvbm_stage_register(self->fd, TOTAL / 2, again,
						 self->h, self->out, 0, NULL));
	ASSERT_EQ(TOTAL / 2, kvbm_register_notes(self->fd, TOTAL / 2,
						 again + TOTAL / 2,
						 self->h + TOTAL / 2, self->in,
						 self->out, 0, NULL));
	ASSERT_EQ(TOTAL, kvbm_match_notes(self->fd, TOTAL, self->h, again,
					  self->got, NULL));
	for (i = 0; i < TOTAL; i++)
		EXPECT_TRUE(is_note(note_at(i), self->bytes,
				    (int)i - (int)TOTAL / 2 < 0 ? -1 :
				    (int)(i - TOTAL / 2)));
}

/* The first registration's note stays, whatever others bring. */
TEST_F(notes, duplicates)
{
	uint32_t id;

	fill(1);
	ASSERT_EQ(2, kvbm_alloc(self->other, 2, self->ids + 1, NULL, NULL));
	ASSERT_EQ(1, kvbm_register_notes(self->other, 1, self->ids + 1,
					 self->h, self->in + 3 * self->bytes,
					 self->out, KVBM_REGISTER_ALLOW,
					 NULL));
	EXPECT_EQ(KVBM_KIND_DUPLICATE, self->out[0].kind);
	ASSERT_EQ(1, kvbm_register_notes(self->other, 1, self->ids + 2,
					 self->h, self->in + 4 * self->bytes,
					 self->out, KVBM_REGISTER_REJECT,
					 NULL));
	EXPECT_EQ(KVBM_KIND_DEDUP, self->out[0].kind);
	EXPECT_INFO(self->fd, self->ids[0], 0);
	EXPECT_INFO(self->fd, self->ids[1], 0);
	EXPECT_INFO(self->fd, self->ids[2], -1);
	ASSERT_EQ(1, kvbm_match_notes(self->other, 1, self->h, &id, self->got,
				      NULL));
	EXPECT_EQ(self->ids[0], id);
	EXPECT_TRUE(is_note(note_at(0), self->bytes, 0));
}

/* Holders of an invalidated block can still ask; the hash has a new one. */
TEST_F(notes, invalidated)
{
	uint32_t id;

	fill(1);
	ASSERT_EQ(0, kvbm_invalidate(self->fd, 1, self->h, 0, NULL, NULL));
	EXPECT_INFO(self->fd, self->ids[0], 0);
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, &id, NULL, NULL));
	ASSERT_EQ(1, kvbm_register_notes(self->fd, 1, &id, self->h,
					 self->in + 5 * self->bytes, self->out,
					 0, NULL));
	EXPECT_INFO(self->fd, self->ids[0], 0);
	EXPECT_INFO(self->fd, id, 5);
}

/* Fails half-way: those before are done, the one that fails has its old note. */
TEST_F(notes, half_way)
{
	uint32_t error;

	alloc(4);
	ASSERT_EQ(2, kvbm_stage_notes(self->fd, 2, self->ids, self->h, self->in,
				      NULL));
	/* The third is Mutable. */
	EXPECT_EQ(2, kvbm_register_notes(self->fd, 3, self->ids, NULL,
					 self->in + 10 * self->bytes, self->out,
					 0, &error));
	EXPECT_EQ(EPERM, error);
	EXPECT_INFO(self->fd, self->ids[0], 10);
	EXPECT_INFO(self->fd, self->ids[1], 11);
	EXPECT_INFO(self->fd, self->ids[2], -1);
	/* One that is not registered keeps what it was staged with. */
	ASSERT_EQ(1, kvbm_stage_notes(self->fd, 1, self->ids + 2, self->h + 2,
				      self->in + 2 * self->bytes, NULL));
	ASSERT_EQ(0, kvbm_invalidate(self->fd, 0, NULL, KVBM_INVALIDATE_ALL,
				     NULL, NULL));
	EXPECT_EQ(-ESTALE, kvbm_register_notes(self->fd, 1, self->ids + 2, NULL,
					       self->in + 9 * self->bytes,
					       self->out, 0, NULL));
	EXPECT_INFO(self->fd, self->ids[2], 2);
}

/* Notes that cannot be read change nothing of their chunk. */
TEST_F(notes, bad_input)
{
	uint32_t n = 100, i, error, done;

	alloc(n);
	EXPECT_EQ(-EFAULT, kvbm_stage_notes(self->fd, n, self->ids, self->h,
					    self->bad, NULL));
	EXPECT_EQ(-EFAULT, kvbm_register_notes(self->fd, n, self->ids, self->h,
					       self->bad, self->out, 0, NULL));
	EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, self->ids[0]));
	/* Readable for some chunks, and one byte less than all. */
	memcpy(self->bad - n * self->bytes + 1, self->in, n * self->bytes - 1);
	done = kvbm_stage_notes(self->fd, n, self->ids, self->h,
				self->bad - n * self->bytes + 1, &error);
	EXPECT_GE(done, 64);
	EXPECT_LT(done, n);
	EXPECT_EQ(EFAULT, error);
	EXPECT_EQ(KVBM_STATE_STAGED, kt_state(self->fd, self->ids[done - 1]));
	EXPECT_INFO(self->fd, self->ids[done - 1], done - 1);
	for (i = done; i < n; i++)
		EXPECT_EQ(KVBM_STATE_MUTABLE, kt_state(self->fd, self->ids[i]));
	ASSERT_EQ(done, kvbm_register(self->fd, done, self->ids, self->out, 0,
				      NULL));
	EXPECT_INFO(self->fd, self->ids[0], 0);
}

/* Notes that cannot be written give the chunk's holds back. */
TEST_F(notes, bad_output)
{
	uint32_t n = 100, ids[TOTAL], hits, error;
	struct kvbm_export_entry e[TOTAL];
	struct kvbm_block_info info;
	uint64_t cursor = 0;
	int done;

	fill(n);
	EXPECT_EQ(-EFAULT, kvbm_match_notes(self->other, n, self->h, ids,
					    self->bad, NULL));
	EXPECT_EQ(-EFAULT, kvbm_scan_notes(self->other, n, self->h, ids,
					   self->bad, 0, &hits, NULL));
	EXPECT_EQ(0, kt_self(self->other).holds);
	done = kvbm_match_notes(self->other, n, self->h, ids,
				self->bad - n * self->bytes + 1, &error);
	EXPECT_EQ(64, done);
	EXPECT_EQ(EFAULT, error);
	EXPECT_EQ(done, kt_self(self->other).holds);
	EXPECT_TRUE(is_note(self->bad - n * self->bytes + 1, self->bytes, 0));
	EXPECT_EQ(-EFAULT, kvbm_block_note(self->fd, self->ids[0], &info,
					   self->bad));
	EXPECT_EQ(-EFAULT, kvbm_block_note(self->fd, self->ids[0], &info,
					   self->bad - self->bytes + 1));
	EXPECT_EQ(-EFAULT, kvbm_export_notes(self->fd, NULL, &cursor, n, e,
					     self->bad, NULL));
}

/* Read-only descriptors get notes of what they hold: of nothing. */
TEST(readonly)
{
	int fd, made = kt_store(8, .name = "noted", .note_bytes = 24,
				.mode = 0600);
	struct kvbm_export_entry e;
	struct kvbm_registered out;
	struct kvbm_block_info info;
	struct kvbm_hash h = kt_single(3);
	uint8_t note[24], got[24];
	uint64_t cursor = 0;
	char text[32] = "";
	uint32_t id;
	int rdonly, attr;

	ASSERT_EQ(-1, made);
	fd = kvbm_open("noted");
	rdonly = open("/dev/kvbm/noted", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_GE(rdonly, 0);
	make_note(note, 24, 1);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	ASSERT_EQ(1, kvbm_register_notes(fd, 1, &id, &h, note, &out, 0, NULL));
	memset(got, 0xa5, sizeof(got));
	EXPECT_EQ(-EPERM, kvbm_block_note(rdonly, id, &info, got));
	EXPECT_EQ(0xa5, got[0]);
	EXPECT_EQ(1, kvbm_export_notes(rdonly, NULL, &cursor, 1, &e, got,
				       NULL));
	EXPECT_TRUE(is_note(got, 24, 1));
	attr = open("/sys/class/kvbm/kvbm-noted/note_bytes", O_RDONLY);
	ASSERT_GE(attr, 0);
	EXPECT_EQ(3, read(attr, text, sizeof(text)));
	EXPECT_STREQ("24\n", text);
	close(attr);
	close(rdonly);
	close(fd);
	EXPECT_EQ(0, kt_destroy("noted", 0));
}

/* One record: its event, and whether the note behind it is the nth one. */
#define EXPECT_RECORD(fd, size, _type, _noted, nth) do {		\
	uint8_t __r[sizeof(struct kvbm_event) + MAX];			\
	struct kvbm_event __e;						\
	ASSERT_EQ(1, kvbm_events_read_notes(fd, __r, size, 1));		\
	memcpy(&__e, __r, sizeof(__e));					\
	EXPECT_EQ(_type, __e.type);					\
	EXPECT_EQ(_noted, __e.noted);					\
	EXPECT_TRUE(is_note(__r + sizeof(__e), self->bytes, nth));	\
} while (0)

/* Events: who asks reads the notes of what is still there. */
TEST_F(notes, events)
{
	struct kvbm_events ev = {
		.flags = KVBM_EVENTS_NOTES | KVBM_EVENTS_NONBLOCK,
		.types = 0x7e,
	}, plain = { .flags = KVBM_EVENTS_NONBLOCK };
	uint8_t records[4 * (sizeof(struct kvbm_event) + MAX)];
	struct kvbm_event e;
	int noted, fd;
	uint32_t size;

	noted = kvbm_events_open(self->fd, &ev);
	fd = kvbm_events_open(self->fd, &plain);
	ASSERT_GE(noted, 0);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(sizeof(e), plain.record_size);
	EXPECT_EQ(sizeof(e) + (self->bytes + 7) / 8 * 8, ev.record_size);
	size = ev.record_size;
	fill(3);
	/* Room for less than one. */
	EXPECT_EQ(-1, read(noted, records, size - 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_RECORD(noted, size, KVBM_EVENT_STORED, 1, 0);
	/* Gone before it is read. */
	ASSERT_EQ(1, kvbm_set_reset(self->fd, 1, self->ids + 1, true, NULL));
	ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids + 1, 0, NULL));
	EXPECT_RECORD(noted, size, KVBM_EVENT_STORED, 0, -1);
	EXPECT_RECORD(noted, size, KVBM_EVENT_STORED, 1, 2);
	EXPECT_RECORD(noted, size, KVBM_EVENT_REMOVED, 0, -1);
	/* Invalidated, but held. */
	ASSERT_EQ(0, kvbm_invalidate(self->fd, 1, self->h, 0, NULL, NULL));
	EXPECT_RECORD(noted, size, KVBM_EVENT_REMOVED, 1, 0);
	/* Used again: not the new one's. */
	ASSERT_EQ(1, kvbm_release(self->fd, 1, self->ids, 0, NULL));
	EXPECT_EQ(-EAGAIN, kvbm_events_read_notes(noted, records, size, 1));
	/* A reader that does not ask sees no change. */
	ASSERT_EQ(1, kvbm_events_read(fd, &e, 1));
	EXPECT_EQ(0, e.noted);
	EXPECT_TRUE(kt_same(self->h[0], e.hash));
	/* Several at once. */
	ASSERT_EQ(2, kvbm_alloc(self->fd, 2, self->ids, NULL, NULL));
	ASSERT_EQ(2, kvbm_register_notes(self->fd, 2, self->ids, self->h + 20,
					 self->in + 20 * self->bytes,
					 self->out, 0, NULL));
	ASSERT_EQ(2, kvbm_events_read_notes(noted, records, size, 4));
	EXPECT_TRUE(is_note(records + sizeof(e), self->bytes, 20));
	EXPECT_TRUE(is_note(records + size + sizeof(e), self->bytes, 21));
	/* A Duplicate's event is of no registration of the hash. */
	ASSERT_EQ(1, kvbm_alloc(self->fd, 1, self->ids + 3, NULL, NULL));
	ASSERT_EQ(1, kvbm_register_notes(self->fd, 1, self->ids + 3,
					 self->h + 20, self->in, self->out,
					 KVBM_REGISTER_ALLOW, NULL));
	EXPECT_RECORD(noted, size, KVBM_EVENT_DUPLICATE, 0, -1);
	close(fd);
	close(noted);
}

/* A reader outlives its store: what is left has no notes. */
TEST(events_after)
{
	struct kvbm_events ev = { .flags = KVBM_EVENTS_NOTES };
	int noted, fd = kt_store(8, .note_bytes = 16, .event_records = 64);
	struct kvbm_registered out;
	struct kvbm_hash h = kt_single(3);
	uint8_t note[16], r[80 * 4];
	struct kvbm_event *e = (void *)r;
	uint32_t id;

	ASSERT_GE(fd, 0);
	noted = kvbm_events_open(fd, &ev);
	ASSERT_GE(noted, 0);
	ASSERT_EQ(80, ev.record_size);
	make_note(note, 16, 1);
	ASSERT_EQ(1, kvbm_alloc(fd, 1, &id, NULL, NULL));
	ASSERT_EQ(1, kvbm_register_notes(fd, 1, &id, &h, note, &out, 0, NULL));
	close(fd);
	EXPECT_EQ(2, kvbm_events_read_notes(noted, r, 80, 4));
	EXPECT_EQ(KVBM_EVENT_STORED, e->type);
	EXPECT_EQ(0, e->noted);
	EXPECT_TRUE(is_note(r + 64, 16, -1));
	EXPECT_EQ(0, kvbm_events_read_notes(noted, r, 80, 4));
	close(noted);
}

/* --- at the same time ---------------------------------------------------- */

#define WORKERS	3
#define KEYS	24
#define BLOCKS	16
#define BYTES	120U

struct worker {
	int store;
	unsigned int nr;
	volatile bool *stop;
	pthread_t thread;
	uint64_t seen, given, wrong;
};

/* A note of key @k: a number, then what follows from that and the key. */
static void note_of(uint64_t *note, uint32_t k, uint64_t nonce)
{
	uint32_t i;

	note[0] = nonce;
	for (i = 1; i < BYTES / 8; i++)
		note[i] = (nonce ^ k * 0x9e3779b97f4a7c15ULL) * (2 * i + 1);
}

static bool is_of(const uint64_t *note, uint32_t k)
{
	uint64_t want[BYTES / 8] = {};

	if (note[0])
		note_of(want, k, note[0]);
	return !memcmp(note, want, sizeof(want));
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int fd = kvbm_session_open(w->store);
	uint64_t seed = w->nr + 1, note[BYTES / 8], again[BYTES / 8];
	struct kvbm_registered out;

	while (!*w->stop) {
		struct kvbm_hash h;
		uint32_t k, id;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		k = (seed >> 33) % KEYS;
		h = kt_single(1000 + k);
		if (kvbm_match_notes(fd, 1, &h, &id, note, NULL) == 1) {
			w->wrong += !is_of(note, k);
			w->seen += !!note[0];
			/* Under the hold it stays what it is. */
			if (kvbm_match_notes(fd, 1, &h, &id, again, NULL) == 1) {
				w->wrong += !!memcmp(note, again, sizeof(note));
				kvbm_release(fd, 1, &id, 0, NULL);
			}
			kvbm_release(fd, 1, &id, 0, NULL);
			continue;
		}
		if (kvbm_alloc(fd, 1, &id, NULL, NULL) != 1)
			continue;
		note_of(note, k, seed | 1);
		if (kvbm_register_notes(fd, 1, &id, &h,
					seed >> 60 & 1 ? note : NULL, &out, 0,
					NULL) == 1) {
			w->given++;
			id = out.block;
		}
		kvbm_release(fd, 1, &id, 0, NULL);
	}
	close(fd);
	return NULL;
}

/* Registered, evicted and asked by all: each note is whole, and of its hash. */
TEST(never_anothers)
{
	int fd = kt_store(BLOCKS, .policy = "lru", .note_bytes = BYTES);
	struct worker w[WORKERS];
	volatile bool stop = false;
	uint64_t seen = 0, given = 0, end = kt_now() + 3000000000ULL;
	unsigned int i;

	ASSERT_GE(fd, 0);
	for (i = 0; i < WORKERS; i++) {
		w[i] = (struct worker) { .store = fd, .nr = i, .stop = &stop };
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, work, &w[i]));
	}
	while (kt_now() < end) {
		struct kvbm_export_entry e[BLOCKS];
		uint64_t notes[BLOCKS * BYTES / 8], cursor = 0;
		int k, n = kvbm_export_notes(fd, NULL, &cursor, BLOCKS, e,
					     notes, NULL);

		ASSERT_GE(n, 0);
		for (k = 0; k < n; k++) {
			uint32_t key;

			for (key = 0; key < KEYS; key++)
				if (kt_same(e[k].hash, kt_single(1000 + key)))
					break;
			ASSERT_LT(key, KEYS);
			EXPECT_TRUE(is_of(notes + k * BYTES / 8, key));
		}
	}
	stop = true;
	for (i = 0; i < WORKERS; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(0, w[i].wrong);
		seen += w[i].seen;
		given += w[i].given;
	}
	EXPECT_GT(seen, 0);
	EXPECT_GT(given, BLOCKS);
	kt_check(fd);
	close(fd);
}

TEST_HARNESS_MAIN
