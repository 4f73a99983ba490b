// SPDX-License-Identifier: MIT
/*
 * The kernel's rhashtable on the stand-ins, used as the index's overflow table
 * uses it: its own hash and compare functions, known at compile time, and
 * objects in one array that are removed and inserted again under other keys
 * without waiting for readers.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/rhashtable.h>
#include <linux/spinlock.h>
#include "host.h"

#include "host_harness.h"

struct key {
	u64 hi, lo;
};

struct object {
	struct rhash_head node;
	struct key key;
	atomic64_t uses;
} ____cacheline_aligned;

static u64 secret = 0x9e3779b97f4a7c15ULL;

static __always_inline u32 hash_key(const void *data, u32 len, u32 seed)
{
	const struct key *k = data;
	u64 h = (secret + seed + READ_ONCE(k->hi)) *
		(secret * 3 + READ_ONCE(k->lo));

	return (h ^ (h >> 32)) * 0xd6e8feb86659fd93ULL >> 32;
}

static __always_inline u32 hash_object(const void *data, u32 len, u32 seed)
{
	return hash_key(&((const struct object *)data)->key, len, seed);
}

static __always_inline int compare(struct rhashtable_compare_arg *arg,
				   const void *obj)
{
	const struct object *o = obj;
	const struct key *k = arg->key;

	return READ_ONCE(o->key.lo) != k->lo || READ_ONCE(o->key.hi) != k->hi;
}

static const struct rhashtable_params params = {
	.key_len = sizeof(struct key),
	.key_offset = offsetof(struct object, key),
	.head_offset = offsetof(struct object, node),
	.hashfn = hash_key,
	.obj_hashfn = hash_object,
	.obj_cmpfn = compare,
};

/* Not inlined, to be found in the object file: see test_inlining. */
noinline struct object *lookup_one(struct rhashtable *ht, const struct key *k);
noinline struct object *lookup_one(struct rhashtable *ht, const struct key *k)
{
	return rhashtable_lookup(ht, k, params);
}

static void set_key(struct object *o, u64 hi, u64 lo)
{
	WRITE_ONCE(o->key.hi, hi);
	WRITE_ONCE(o->key.lo, lo);
}

FIXTURE(table)
{
	struct rhashtable ht;
	struct object *objects;
	struct host_mem before;
};

#define OBJECTS 20000

FIXTURE_SETUP(table)
{
	host_seed(7);
	host_mem_stats(&self->before);
	ASSERT_EQ(0, rhashtable_init(&self->ht, &params));
	self->objects = vmalloc_huge(OBJECTS * sizeof(struct object),
				     GFP_KERNEL | __GFP_ZERO);
	ASSERT_NE(NULL, self->objects);
}

FIXTURE_TEARDOWN(table)
{
	struct host_mem after;

	rhashtable_destroy(&self->ht);
	vfree(self->objects);
	host_drain();
	host_mem_stats(&after);
	EXPECT_EQ(self->before.objects, after.objects);
	EXPECT_EQ(self->before.bytes, after.bytes);
}

static unsigned int buckets(struct rhashtable *ht)
{
	unsigned int size;

	rcu_read_lock();
	size = rht_dereference_rcu(ht->tbl, ht)->size;
	rcu_read_unlock();
	return size;
}

TEST_F(table, grows_by_hand)
{
	struct rhashtable *ht = &self->ht;
	struct object *o;
	struct key k;
	u64 i, found = 0;

	host_work_manual(true);
	for (i = 0; i < OBJECTS; i++) {
		o = &self->objects[i];
		set_key(o, i * 77, i);
		ASSERT_EQ(0, rhashtable_lookup_insert_key(ht, &o->key,
							  &o->node, params));
		ASSERT_EQ(-EEXIST, rhashtable_lookup_insert_key(
					   ht, &o->key, &o->node, params));
		if (i % 1000 == 0)
			host_run_work();
	}
	host_drain();
	EXPECT_GE(buckets(ht), OBJECTS);
	EXPECT_EQ(atomic_read(&ht->nelems), OBJECTS);
	for (i = 0; i < OBJECTS + 100; i++) {
		k = (struct key){ i * 77, i };
		rcu_read_lock();
		o = lookup_one(ht, &k);
		rcu_read_unlock();
		EXPECT_EQ(o, i < OBJECTS ? &self->objects[i] : NULL);
		found += o != NULL;
	}
	EXPECT_EQ(found, OBJECTS);
	for (i = 0; i < OBJECTS; i += 2) {
		o = &self->objects[i];
		ASSERT_EQ(0, rhashtable_remove_fast(ht, &o->node, params));
		ASSERT_EQ(-ENOENT, rhashtable_remove_fast(ht, &o->node,
							  params));
	}
	for (i = 0; i < OBJECTS; i++) {
		k = self->objects[i].key;
		EXPECT_EQ(!rhashtable_lookup_fast(ht, &k, params), i % 2 == 0);
	}
}

TEST_F(table, same_seed_same_table)
{
	u32 a = get_random_u32();

	host_seed(7);
	/* The table took the first number of the fixture's seed. */
	EXPECT_EQ(rht_dereference(self->ht.tbl, &self->ht)->hash_rnd,
		  get_random_u32());
	EXPECT_EQ(a, get_random_u32());
}

TEST_F(table, survives_lack_of_memory)
{
	struct rhashtable *ht = &self->ht;
	unsigned int refused = 0;
	struct host_mem m;
	struct object *o;
	u64 i;
	int err;

	host_fail_rate(700000);
	for (i = 0; i < OBJECTS; i++) {
		o = &self->objects[i];
		set_key(o, i, i);
		while ((err = rhashtable_lookup_insert_key(
				ht, &o->key, &o->node, params))) {
			ASSERT_TRUE(err == -ENOMEM || err == -EBUSY);
			refused++;
		}
	}
	host_fail_rate(0);
	host_mem_stats(&m);
	EXPECT_GT(m.failed, 0);
	TH_LOG("%zu allocations failed, %u inserts refused", m.failed, refused);
	for (i = 0; i < OBJECTS; i++) {
		o = &self->objects[i];
		EXPECT_EQ(o, rhashtable_lookup_fast(ht, &o->key, params));
	}
}

/* --- threads ------------------------------------------------------------ */

#define STAY 2000		/* objects that stay in the table throughout */
#define MOVE 2000		/* objects that each writer moves about */
#define WRITERS 2
#define READERS 2
#ifdef HOST_TSAN
#define ROUNDS 4
#else
#define ROUNDS 20
#endif

static pthread_barrier_t all_there;
static struct rhashtable *shared;
static struct object *objects;
static spinlock_t writers_lock;
static atomic_t stop;
static atomic64_t misses, lookups, strays, lost, races_won, races_lost;

/* Objects that stay are always found, whatever moves through their chains. */
static void *reader(void *arg)
{
	u64 i = (unsigned long)arg;

	while (!atomic_read(&stop)) {
		struct key k = { 42, i++ % STAY };
		struct object *o;

		rcu_read_lock();
		o = lookup_one(shared, &k);
		if (!o)
			atomic64_inc(&misses);
		else if (o != &objects[k.lo])
			atomic64_inc(&strays);
		else
			atomic64_inc(&o->uses);
		rcu_read_unlock();
		atomic64_inc(&lookups);
		/* And what moves may be recycled under our eyes. */
		k = (struct key){ 43, i % (4 * MOVE) };
		rcu_read_lock();
		o = lookup_one(shared, &k);
		if (o)
			atomic64_inc(&o->uses);
		rcu_read_unlock();
	}
	return NULL;
}

/* Takes objects out and puts them back under other keys at once. */
static void *writer(void *arg)
{
	unsigned long me = (unsigned long)arg;
	struct object *mine = objects + STAY + me * MOVE;
	int round, i, err;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < MOVE; i++) {
			struct object *o = &mine[i];

			spin_lock(&writers_lock);
			if (round && rhashtable_remove_fast(shared, &o->node,
							    params))
				atomic64_inc(&lost);
			set_key(o, 43, me * 2 * MOVE +
				       (i + round * 7) % (2 * MOVE));
			err = rhashtable_lookup_insert_key(shared, &o->key,
							   &o->node, params);
			if (err == -EEXIST) {
				/* Another one of ours has that key now. */
				set_key(o, 44 + me, (u64)round << 32 | i);
				err = rhashtable_lookup_insert_key(
					shared, &o->key, &o->node, params);
			}
			spin_unlock(&writers_lock);
			BUG_ON(err);
		}
	}
	return NULL;
}

TEST_F(table, readers_and_recycling)
{
	pthread_t r[READERS], w[WRITERS];
	u64 i;

	shared = &self->ht;
	objects = self->objects;
	spin_lock_init(&writers_lock);
	for (i = 0; i < STAY; i++) {
		set_key(&objects[i], 42, i);
		ASSERT_EQ(0, rhashtable_insert_fast(shared, &objects[i].node,
						    params));
	}
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(0, pthread_create(&r[i], NULL, reader, (void *)i));
	for (i = 0; i < WRITERS; i++)
		ASSERT_EQ(0, pthread_create(&w[i], NULL, writer, (void *)i));
	for (i = 0; i < WRITERS; i++)
		pthread_join(w[i], NULL);
	atomic_set(&stop, 1);
	for (i = 0; i < READERS; i++)
		pthread_join(r[i], NULL);
	EXPECT_EQ(atomic64_read(&misses), 0);
	EXPECT_EQ(atomic64_read(&strays), 0);
	EXPECT_EQ(atomic64_read(&lost), 0);
	EXPECT_GT(atomic64_read(&lookups), 1000);
	flush_work(&shared->run_work);
	EXPECT_EQ(atomic_read(&shared->nelems), STAY + WRITERS * MOVE);
	EXPECT_GT(buckets(shared), 4096);
}

/* Of those who insert one key at a time, one wins: no lock but the bucket's. */
static void *racer(void *arg)
{
	struct object *mine = objects + (unsigned long)arg * (OBJECTS / 4);
	int i, err;

	pthread_barrier_wait(&all_there);
	for (i = 0; i < OBJECTS / 4; i++) {
		set_key(&mine[i], 1, i);
		err = rhashtable_lookup_insert_key(shared, &mine[i].key,
						   &mine[i].node, params);
		if (!err)
			atomic64_inc(&races_won);
		else if (err == -EEXIST)
			atomic64_inc(&races_lost);
		else
			BUG_ON(err);
	}
	return NULL;
}

TEST_F(table, one_of_four_wins)
{
	pthread_t t[4];
	u64 i;

	shared = &self->ht;
	objects = self->objects;
	pthread_barrier_init(&all_there, NULL, 4);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, racer, (void *)i));
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	EXPECT_EQ(atomic64_read(&races_won), OBJECTS / 4);
	EXPECT_EQ(atomic64_read(&races_lost), OBJECTS / 4 * 3);
	flush_work(&shared->run_work);
	EXPECT_EQ(atomic_read(&shared->nelems), OBJECTS / 4);
}

/* The walker, against a table that grows meanwhile. */
TEST_F(table, walk)
{
	struct rhashtable_iter iter;
	struct object *o;
	u64 i, seen = 0;

	for (i = 0; i < OBJECTS; i++) {
		set_key(&self->objects[i], 3, i);
		ASSERT_EQ(0, rhashtable_insert_fast(
				     &self->ht, &self->objects[i].node,
				     params));
	}
	rhashtable_walk_enter(&self->ht, &iter);
	rhashtable_walk_start(&iter);
	while ((o = rhashtable_walk_next(&iter))) {
		if (IS_ERR(o))
			continue;
		if (!atomic64_fetch_inc(&o->uses))
			seen++;
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
	EXPECT_EQ(seen, OBJECTS);
}

TEST_HARNESS_MAIN
