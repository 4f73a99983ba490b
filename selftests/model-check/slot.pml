/* SPDX-License-Identifier: MIT */
/*
 * slot.pml - the slot protocol of module/core/slot.h: holds without the store's lock
 * against release, eviction, registration and recycling
 *
 * A word is {generation, state, reset, refs}, changed by compare-and-swap. Each
 * statement outside of d_step is one step, between any two of which others may
 * run; memory is sequentially consistent here (order.pml is about the rest).
 *
 * Each client does OPS operations (the first one: FIRST), chosen freely, and
 * holds one block at most.
 * The hash table is a bit for each slot: a look-up meets any slot that is in the
 * table and carries the key at that moment, or none if none does.
 *
 * Planted mistakes, each to be found: NO_RECHECK, RECHECK_FIRST, NO_TAG,
 * LOCKED_BLIND, NO_GENERATION, RESURRECT, PUT_FIRST, PUT_STALE, SPLIT_REGISTER.
 */
#ifndef CLIENTS
#define CLIENTS	2
#endif
#ifndef OPS
#define OPS	3
#endif
#ifndef FIRST
#define FIRST	OPS
#endif
#define SLOTS	2
#define KEYS	2
#define NONE	255

#define RESET	0
#define MUTABLE	1
#define PRIMARY	2

#define MAKE(gen, state, reset, refs) \
	((gen) << 6 | (state) << 4 | (reset) << 3 | (refs))
#define GEN(w)		((w) >> 6)
#define STATE(w)	((w) >> 4 & 3)
#define FLAG(w)		((w) >> 3 & 1)
#define REFS(w)		((w) & 7)
#define ACTIVE(w)	(STATE(w) == PRIMARY && REFS(w) > 0)
#define TAG(w)		((w) >> 4)
#ifdef NO_TAG
#define SAME_LIFE(w)	1
#else
#define SAME_LIFE(w)	(TAG(w) == tag)
#endif

#ifdef NO_GENERATION
#define NEXT_GEN(w)	GEN(w)
#else
#define NEXT_GEN(w)	(GEN(w) + 1)
#endif

short word[SLOTS];
byte key[SLOTS] = NONE;
bit in_table[SLOTS];
bit idle[SLOTS];		/* in the eviction index */
bit is_free[SLOTS] = 1;
bit locked;
byte holders[SLOTS];		/* clients that think they hold it */
byte finished;

#define lock()		atomic { locked == 0 -> locked = 1 }
#define unlock()	locked = 0

/* ok says whether it happened; old is what was there if not. */
inline cmpxchg(s, old, new)
{
	d_step {
		if
		:: word[s] == (old) -> word[s] = (new); ok = 1
		:: else -> old = word[s]; ok = 0
		fi
	}
}

/* Under RCU: any slot that has the key now, or NONE. */
inline lookup(k)
{
	d_step {
		if
		:: in_table[0] && key[0] == k -> s = 0
		:: in_table[1] && key[1] == k -> s = 1
		:: else -> s = NONE
		fi
	}
}

/* What a successful hold must mean, at once. */
inline got(k)
{
	d_step {
		holders[s]++;
		have = s;
		have_key = k;
		have_gen = GEN(word[s]);
		assert(STATE(word[s]) == PRIMARY);
		assert(REFS(word[s]) > 0);
		assert(key[s] == k)
	}
}

inline evicted(s)
{
	d_step {
		assert(idle[s] && REFS(word[s]) == 0 && holders[s] == 0);
		idle[s] = 0
	}
}

/* kvbm_get_locked(): the caller has the lock, s is in the table. */
inline get_locked(k)
{
	w = word[s];
	assert(STATE(w) == PRIMARY);
	if
	:: REFS(w) > 0 ->
		/* Others move refs meanwhile, but not to 0. */
		d_step { assert(REFS(word[s]) > 0); word[s]++ }
	:: else ->
		evicted(s);
		word[s] = w + 1
	fi;
	got(k)
}

/* hold_locked(): what was found may have been recycled before the lock came. */
inline hold_locked(k)
{
	lock();
	w = word[s];
	if
#ifdef LOCKED_BLIND
	:: STATE(w) == PRIMARY -> skip
#else
	:: STATE(w) == PRIMARY && TAG(w) == tag -> skip
#endif
	:: else -> lookup(k)
	fi;
	if
	:: s == NONE -> skip
	:: else -> get_locked(k)
	fi;
	unlock()
}

/* hold_chunk(): find_chunk(), later get_unlocked(). */
inline hold(k)
{
	lookup(k);
	if
	:: s == NONE -> skip
	:: else ->
#ifdef RECHECK_FIRST
		same = (key[s] == k);
		tag = TAG(word[s]);
#else
		tag = TAG(word[s]);
		same = (key[s] == k);
#endif
#ifdef NO_RECHECK
		same = 1;
#endif
		if
		:: same ->
			w = word[s];
			ok = 0;
			do
#ifdef RESURRECT
			:: !ok && STATE(w) == PRIMARY && SAME_LIFE(w) ->
#else
			:: !ok && ACTIVE(w) && SAME_LIFE(w) ->
#endif
				cmpxchg(s, w, w + 1)
			:: else -> break
			od;
			if
			:: ok -> got(k)
			:: else -> hold_locked(k)
			fi
		:: else
		fi
	fi
}

inline reset_slot(s)
{
	d_step { assert(!idle[s] && !in_table[s]); is_free[s] = 1 }
}

/* put_unlocked(), then put_primary() under the lock. */
inline put(s)
{
	d_step {
		assert(STATE(word[s]) == PRIMARY && REFS(word[s]) > 0);
		assert(key[s] == have_key && GEN(word[s]) == have_gen);
		holders[s]--;
		have = NONE
	}
	w = word[s];
	ok = 0;
	do
#ifdef PUT_FIRST
	:: !ok -> cmpxchg(s, w, w - 1)
#else
	:: !ok && REFS(w) > 1 -> cmpxchg(s, w, w - 1)
#endif
	:: else -> break
	od;
#ifdef PUT_FIRST
	if
	:: REFS(w) == 1 -> lock(); idle[s] = 1; unlock()
	:: else
	fi
#else
	if
	:: ok -> skip
	:: else ->
		lock();
#ifdef PUT_STALE
		word[s] = w - 1;
		idle[s] = 1;
#else
		w = word[s];
		do
		:: REFS(w) > 1 || !FLAG(w) ->
			cmpxchg(s, w, w - 1);
			if
			:: ok && REFS(w) > 1 -> break
			:: ok && REFS(w) == 1 -> idle[s] = 1; break
			:: else
			fi
		:: else ->
			cmpxchg(s, w, MAKE(NEXT_GEN(w), RESET, 0, 0));
			if
			:: ok -> in_table[s] = 0; reset_slot(s); break
			:: else
			fi
		od;
#endif
		unlock()
	fi
#endif
}

/* take_one(), then register_one() with policy reject. */
inline write_block(k)
{
	lock();
	if
	:: is_free[0] -> s = 0; is_free[0] = 0
	:: !is_free[0] && is_free[1] -> s = 1; is_free[1] = 0
	:: !is_free[0] && !is_free[1] && idle[0] -> s = 0
	:: !is_free[0] && !is_free[1] && idle[1] -> s = 1
	:: else -> s = NONE
	fi;
	if
	:: s == NONE -> unlock()
	:: else ->
		w = word[s];
		if
		:: STATE(w) == PRIMARY ->
			evicted(s);
			in_table[s] = 0;
			w = MAKE(NEXT_GEN(w), MUTABLE, 0, 0)
		:: else ->
			assert(STATE(w) == RESET);
			w = MAKE(GEN(w), MUTABLE, 0, 0)
		fi;
		word[s] = w;
		unlock();
		mine = s;
		lock();
		key[mine] = k;
		lookup(k);
#ifdef SPLIT_REGISTER
		unlock();
		lock();
#endif
		if
		:: s == NONE ->
			/* In the table first, then published. */
			in_table[mine] = 1;
			w = word[mine];
			word[mine] = MAKE(GEN(w), PRIMARY, 0, 1);
			s = mine;
			got(k)
		:: else ->
			get_locked(k);
			w = word[mine];
			word[mine] = MAKE(GEN(w), RESET, 0, 0);
			reset_slot(mine)
		fi;
		unlock();
		mine = NONE
	fi
}

/* atomic64_or(): a full word, so that refs are not lost. */
inline set_flag(s)
{
	d_step { word[s] = word[s] | 8 }
}

/* Locals that mean nothing any more are the same in every state. */
inline clear()
{
	d_step { s = NONE; w = 0; tag = 0; ok = 0; same = 0; have_gen = have_gen * (have != NONE);
		 have_key = have_key * (have != NONE) }
}

/* @ops: operations left */
proctype client(byte ops)
{
	byte s, have = NONE, have_key, mine = NONE;
	short w, tag, have_gen;
	bit ok, same;

	do
	:: ops && have == NONE -> ops--; hold(0); clear()
	:: ops && have == NONE -> ops--; hold(1); clear()
	:: ops && have == NONE -> ops--; write_block(0); clear()
	:: ops && have == NONE -> ops--; write_block(1); clear()
	:: ops && have != NONE -> ops--; set_flag(have)
	:: have != NONE -> s = have; put(s); clear()
	:: !ops && have == NONE -> break
	od;
	finished++
}

/* Whenever nobody has the lock. */
#define SANE(s) \
	(idle[s] == (STATE(word[s]) == PRIMARY && REFS(word[s]) == 0)) && \
	(in_table[s] == (STATE(word[s]) == PRIMARY)) && \
	!(is_free[s] && STATE(word[s]) != RESET)
#define UNIQUE	!(in_table[0] && in_table[1] && key[0] == key[1])

active proctype monitor()
{
	do
	:: atomic { !locked && !(SANE(0) && SANE(1) && UNIQUE) -> assert(0) }
	:: atomic { finished == CLIENTS ->
		assert(REFS(word[0]) == 0 && REFS(word[1]) == 0);
		assert(is_free[0] + idle[0] == 1 && is_free[1] + idle[1] == 1);
		break }
	od
}

init {
	byte i;

	/* One block is there already, idle, so that all paths are short. */
	atomic {
		word[0] = MAKE(0, PRIMARY, 0, 0);
		key[0] = 0;
		in_table[0] = 1;
		idle[0] = 1;
		is_free[0] = 0;
		for (i : 1 .. CLIENTS) {
			run client((i == 1 -> FIRST : OPS))
		}
	}
}
