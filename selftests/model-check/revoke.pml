/* SPDX-License-Identifier: MIT */
/*
 * revoke.pml - a session's end against its calls: module/core/alloc.c, match.c,
 * release.c, session.c
 *
 * One session, used by a thread that allocates and a thread that holds and
 * releases; one thread that revokes it, and one that closes it (another file
 * would end it as well: both kill the session at once). When a revocation has
 * returned, the session has nothing and gets nothing any more; in the end all
 * blocks are back.
 *
 * Planted mistakes, each to be found: COMMIT_BLIND, HOLD_BLIND, DEAD_LATE,
 * NO_DRAIN, FREE_EARLY, NO_ABORT.
 */
#define BLOCKS	2

bit ses_locked, st_locked;
bit dead, revoked, table_freed;
byte owned, holds, taking;		/* the session's, under its lock */
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
	byte n = 2, mine, chunk;
	bit over;

	/* kvbm_alloc_begin() */
	lock_ses();
	touch();
	over = dead;
	if
	:: !over -> taking = taking + n
	:: else
	fi;
	unlock_ses();
	if
	:: over -> goto out
	:: else
	fi;
	lock_st();
	if
	:: is_free - reserved >= n -> reserved = reserved + n
	:: else -> over = 1
	fi;
	unlock_st();
	if
	:: over ->
		lock_ses();
		taking = taking - n;
		unlock_ses();
		goto out
	:: else
	fi;
	/* kvbm_alloc_chunk(): a block at a time */
	do
	:: n > 0 ->
		lock_st();
		d_step { is_free--; reserved--; mine++; n-- };
		unlock_st()
	:: n > 0 ->
		/* A fault, or a fatal signal. */
#ifdef NO_ABORT
		goto out;
#else
		goto give_back;
#endif
	:: else -> break
	od;
	/* kvbm_alloc_commit(): a block at a time, with the lock given up */
	do
	:: mine > 0 ->
		lock_ses();
		touch();
#ifdef COMMIT_BLIND
		over = 0;
#else
		over = dead;
#endif
		if
		:: over -> unlock_ses(); break
		:: else ->
			d_step { mine--; owned++; taking-- };
			unlock_ses()
		fi
	:: else -> break
	od;
give_back:
	if
	:: mine + n > 0 ->
		chunk = mine + n;
		lock_st();
		d_step {
			reserved = reserved - n;
			is_free = is_free + mine;
			n = 0;
			mine = 0
		};
		unlock_st();
		lock_ses();
		taking = taking - chunk;
		unlock_ses()
	:: else
	fi;
out:
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

inline kill_session()
{
#ifndef DEAD_LATE
	lock_ses();
	dead = 1;
	unlock_ses();
#endif
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
#ifndef NO_DRAIN
	/* wait_var_event(): allocations under way are over. */
	taking == 0;
#endif
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
	assert(owned == 0 && holds == 0 && taking == 0);
#ifdef FREE_EARLY
	table_freed = 1;
#endif
	kills++
}

active proctype monitor()
{
	do
	:: atomic { revoked && (owned > 0 || holds > 0 || taking > 0) ->
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
