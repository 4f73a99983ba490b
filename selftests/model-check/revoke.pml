/* SPDX-License-Identifier: MIT */
/*
 * revoke.pml - a session's end against its calls: module/core/alloc.c, match.c,
 * release.c, session.c
 *
 * One session, used by a thread that allocates and a thread that holds and
 * releases; one thread that revokes it, and one that closes it (another file
 * would end it as well: both kill the session at once). A block that was taken is
 * in the hold table at once, or, where that has no page yet, on the allocation's
 * chain. When a revocation has returned, which waits for nobody, the session has
 * nothing, nothing is promised to it, and it gets nothing any more; in the end all
 * blocks are back.
 *
 * Planted mistakes, each to be found: CHUNK_BLIND, HOLD_BLIND, DEAD_LATE,
 * NO_CHAIN, NO_RESERVED, UNDO_TWICE, FREE_EARLY, NO_ABORT.
 */
#define BLOCKS	2

bit ses_locked, st_locked;
bit dead, revoked, table_freed;
byte owned, holds, allocating;		/* the session's, under its lock */
byte chain, promised;			/* its allocation's, too */
byte is_free = BLOCKS, reserved;	/* the store's, under its lock */
byte held_blocks;			/* registered blocks that are held */
byte idle = 1;				/* registered blocks that are idle */
byte kills, finished;

#define lock_ses()	atomic { ses_locked == 0 -> ses_locked = 1 }
#define unlock_ses()	ses_locked = 0
#define lock_st()	atomic { st_locked == 0 -> st_locked = 1 }
#define unlock_st()	st_locked = 0

/* Every look into the hold table: it must still be there. */
#define touch()		assert(!table_freed)

proctype allocator()
{
	byte n = 0;
	bit over;

	/* kvbm_alloc_begin() */
	lock_ses();
	touch();
	lock_st();
	if
	:: !dead && is_free - reserved >= 2 ->
		d_step {
			n = 2;
			reserved = reserved + 2;
			promised = 2;
			allocating = allocating + 2
		}
	:: else
	fi;
	unlock_st();
	unlock_ses();
	/* kvbm_alloc_chunk(): a block at a time */
	do
	:: n > 0 ->
		lock_ses();
		touch();
#ifdef CHUNK_BLIND
		over = 0;
#else
		over = dead;
#endif
		if
		:: over -> unlock_ses(); break
		:: else
		fi;
		lock_st();
		d_step { is_free--; reserved--; promised--; n-- };
		unlock_st();
		if
		:: d_step { owned++; allocating-- };
			unlock_ses()
		:: chain++;
			unlock_ses();
			/* take_rest(), with a page or without memory */
			lock_ses();
			touch();
			if
			:: dead || chain == 0 ->
				lock_st();
				is_free = is_free + chain;
				chain = 0;
				unlock_st();
				unlock_ses();
				break
			:: else ->
				if
				:: d_step { chain--; owned++; allocating-- };
					unlock_ses()
				:: lock_st();
					d_step { chain--; is_free++; allocating-- };
					unlock_st();
					unlock_ses();
					break
				fi
			fi
		fi
	:: n > 0 ->
		/* A fatal signal. */
		break
	:: else -> break
	od;
	/* kvbm_alloc_abort() */
#ifndef NO_ABORT
	lock_ses();
	touch();
	if
#ifdef UNDO_TWICE
	:: n > 0 ->
#else
	:: n > 0 && !dead ->
#endif
		lock_st();
		d_step {
			reserved = reserved - n;
			promised = promised - n;
			allocating = allocating - n;
			n = 0
		};
		unlock_st()
	:: else
	fi;
	unlock_ses();
#endif
	/* Nothing stays promised that nobody will take. */
	assert(dead || promised == 0);
	finished++
}

/* hold_chunk() and kvbm_release_chunk(), twice. */
proctype holder()
{
	byte rounds = 0;

	do
	:: rounds < 2 ->
		rounds++;
		lock_ses();
		touch();
#ifndef HOLD_BLIND
		if
		:: dead -> unlock_ses(); break
		:: else
		fi;
#endif
		lock_st();
		if
		:: idle > 0 -> d_step { idle--; held_blocks++; holds++ }
		:: else
		fi;
		unlock_st();
		unlock_ses()
	:: rounds < 2 ->
		rounds++;
		lock_ses();
		touch();
		if
		:: dead -> unlock_ses(); break
		:: else
		fi;
		if
		:: holds > 0 ->
			lock_st();
			d_step { idle++; held_blocks--; holds-- };
			unlock_st()
		:: else
		fi;
		unlock_ses()
	:: rounds == 2 -> break
	od;
	finished++
}

/* reclaim_chunk(), one element at a time, until nothing is left. */
inline reclaim()
{
	do
	:: 1 ->
		lock_ses();
		touch();
		if
		:: owned > 0 ->
			lock_st();
			d_step { owned--; is_free++ };
			unlock_st();
			unlock_ses()
		:: owned == 0 && holds > 0 ->
			lock_st();
			d_step { holds--; held_blocks--; idle++ };
			unlock_st();
			unlock_ses()
		:: else -> unlock_ses(); break
		fi
	od
}

/* kvbm_waiters_end(), kvbm_allocs_end() */
inline end_promises()
{
	lock_ses();
	lock_st();
#ifndef NO_RESERVED
	d_step {
		reserved = reserved - promised;
		promised = 0;
		allocating = 0
	};
#endif
	unlock_st();
	unlock_ses();
	lock_ses();
	touch();
	lock_st();
#ifndef NO_CHAIN
	is_free = is_free + chain;
	chain = 0;
#endif
	unlock_st();
	unlock_ses()
}

inline kill_session()
{
#ifndef DEAD_LATE
	lock_ses();
	dead = 1;
	unlock_ses();
#endif
	end_promises();
	reclaim();
#ifdef DEAD_LATE
	lock_ses();
	dead = 1;
	unlock_ses();
#endif
}

proctype revoker()
{
	kill_session();
	revoked = 1;
	/* file_put() */
	kills++;
	finished++
}

/* ->release(): no call of the session is under way. */
proctype closer()
{
	finished >= 2 + revoked;
	kill_session();
	assert(owned == 0 && holds == 0 && allocating == 0 && chain == 0);
#ifdef FREE_EARLY
	table_freed = 1;
#endif
	kills++
}

active proctype monitor()
{
	do
	:: atomic { revoked && (owned > 0 || holds > 0 || allocating > 0 ||
				promised > 0 || chain > 0) ->
		assert(0) }
	:: atomic { kills == 2 ->
		table_freed = 1;
		assert(is_free == BLOCKS && reserved == 0);
		assert(idle == 1 && held_blocks == 0 && owned == 0);
		break }
	od
}

init {
	atomic {
		run allocator();
		run holder();
		run revoker();
		run closer()
	}
}
