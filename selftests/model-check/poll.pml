/* SPDX-License-Identifier: MIT */
/*
 * poll.pml - telling those who poll: module/core/waiters.c, module/user/poll.c
 *
 * A session is in an epoll that tells edges. Its thread allocates until it is
 * refused, then sleeps until it is told; two others make room, a block each. The
 * session has two watches, and waking passes them in steps, one watch to a hold
 * of the wait queue's lock; a wake-up that comes meanwhile must pass both once
 * more. The thread gets both blocks, or sleeps for ever.
 *
 * Planted mistakes, each to be found: NO_ARM, ARM_BLIND, POLL_NO_ARM, DISARM_LATE,
 * NO_AGAIN, AGAIN_LOST.
 */
#define WATCHES	2

bit st_locked, q_locked;
byte room;
bit armed;			/* in the store's tree of pollers */
bit ready[WATCHES];		/* in the epoll's list */
bit walking, again;
byte at;			/* watches before the mark */
byte works;			/* times that the work item is to run */

#define lock()	atomic { !st_locked -> st_locked = 1 }
#define unlock()	st_locked = 0
#define lock_q()	atomic { !q_locked -> q_locked = 1 }
#define unlock_q()	q_locked = 0

/* walk(): one watch */
inline step_on()
{
	d_step {
		if
		:: at == WATCHES && again ->
			at = 0;
#ifdef AGAIN_LOST
			walking = 0;
#endif
			again = 0
		:: else
		fi;
		if
		:: at == WATCHES -> walking = 0
		:: else -> ready[at] = 1; at++
		fi
	}
}

/* kvbm_poll_wake() */
inline wake()
{
	lock_q();
	if
	:: walking ->
#ifndef NO_AGAIN
		again = 1
#else
		skip
#endif
	:: else ->
		walking = 1;
		at = 0;
		step_on();
		works++
	fi;
	unlock_q()
}

/* kvbm_unlock_notify(): the store's lock is held */
inline room_made()
{
	due = 0;
	if
	:: armed && room > 0 ->
		due = 1;
#ifndef DISARM_LATE
		armed = 0
#endif
	:: else
	fi;
	unlock();
	if
	:: due -> wake()
	:: else
	fi;
#ifdef DISARM_LATE
	if
	:: due -> armed = 0
	:: else
	fi
#endif
}

proctype user()
{
	byte got;
	bit due, found;

	do
	:: got < 2 ->
		/* kvbm_alloc_begin() */
		lock();
		found = room > 0;
		room = room - found;
		unlock();
		if
		:: found -> got++
		:: else ->
#ifndef NO_ARM
			/* kvbm_poll_short() */
			lock();
			armed = 1;
#ifdef ARM_BLIND
			unlock();
#else
			room_made();
#endif
#endif
			/* epoll_wait(): what was woken is looked at again. */
			do
			:: ready[1] ->
				ready[1] = 0;
				/* kvbm_poll_available() */
				lock();
				found = room > 0;
#ifndef POLL_NO_ARM
				if
				:: !found -> armed = 1
				:: else
				fi;
#endif
				unlock();
				if
				:: found -> break
				:: else
				fi
			od
		fi
	:: else -> break
	od
}

/* A release; then somebody else may be faster than the user, and give it back. */
proctype giver(bit thief)
{
	bit due, found;

	lock();
	room++;
	room_made();
	if
	:: thief ->
		lock();
		found = room > 0;
		room = room - found;
		unlock();
		if
		:: found ->
			lock();
			room++;
			room_made()
		:: else
		fi
	:: else
	fi
}

/* walk_work() */
active proctype worker()
{
end:
	do
	:: works > 0 ->
		works--;
		do
		:: walking ->
			lock_q();
			step_on();
			unlock_q()
		:: else -> break
		od
	od
}

init {
	atomic {
		run user();
		run giver(0);
		run giver(1)
	}
}
