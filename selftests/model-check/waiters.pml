/* SPDX-License-Identifier: MIT */
/*
 * waiters.pml - the queue of allocations that wait: module/core/waiters.c,
 * module/user/wait.c
 *
 * Three callers that wait, for 1 or 2 of 2 blocks, each give back what they got;
 * one caller that does not wait. A sleeper may time out, be killed, or be
 * interrupted and come back with its ticket, at any moment. Nobody sleeps for ever;
 * the first in the queue never waits while there is room for it; nobody in the queue
 * is overtaken, not even by who came later while it was away; a grant that came
 * first beats a timeout; nothing stays reserved.
 *
 * Planted mistakes, each to be found: OVERTAKE, NO_GRANT, NO_GRANT_ON_LEAVE,
 * NO_GRANT_ON_FATAL, IGNORE_GRANT, TEST_THEN_SLEEP, LIFO, NEW_PLACE,
 * NO_GRANT_ON_RETURN.
 */
#define WAITERS	3
#define BLOCKS	2
#define NONE	255

byte is_free = BLOCKS, reserved;
byte queue[WAITERS] = NONE;	/* in the order in which they will be served */
byte waiting;
byte wants[WAITERS], ticket[WAITERS], next_ticket;
byte came[WAITERS];		/* order in which they really came */
bit granted[WAITERS], sleeping[WAITERS];
bit st_locked;
byte finished;

#define ROOM	(is_free - reserved)
#define lock()	atomic { st_locked == 0 -> st_locked = 1 }
#define unlock()	st_locked = 0

inline dequeue(at)
{
	for (i : at .. WAITERS - 2) {
		queue[i] = queue[i + 1]
	}
	queue[WAITERS - 1] = NONE;
	waiting--
}

/* kvbm_room_made(), the store's lock held. */
inline room_made()
{
#ifndef NO_GRANT
	d_step {
		do
		:: waiting > 0 && wants[queue[0]] <= ROOM ->
			j = queue[0];
			reserved = reserved + wants[j];
			for (i : 0 .. WAITERS - 1) {
				assert(queue[i] == NONE ||
				       came[j] <= came[queue[i]])
			}
			dequeue(0);
			granted[j] = 1;
			sleeping[j] = 0
		:: else -> break
		od;
		i = 0;
		j = 0
	}
#else
	skip
#endif
}

/* kvbm_alloc_chunk(), commit, and a release some time later. */
inline take_and_release()
{
	lock();
	d_step {
		assert(is_free >= n && reserved >= n);
		is_free = is_free - n;
		reserved = reserved - n
	}
	unlock();
	lock();
	is_free = is_free + n;
	room_made();
	unlock()
}

proctype waiter(byte me)
{
	byte n, i, j;
	bit fatal, err, away, again;

	if
	:: n = 1
	:: n = 2
	fi;
	/* kvbm_alloc_begin() */
	lock();
	if
	:: waiting == 0 && ROOM >= n ->
		reserved = reserved + n;
		unlock();
		take_and_release();
		goto out
	:: else ->
		d_step {
			wants[me] = n;
			ticket[me] = next_ticket;
			came[me] = next_ticket;
			next_ticket++
		}
		goto queue_up
	fi;
begin:
	lock();
#ifdef NEW_PLACE
	d_step {
		ticket[me] = next_ticket;
		next_ticket++
	}
#endif
queue_up:
	skip;
	/* kvbm_wait_begin(), the place is drawn under the same lock */
	d_step {
		err = 0;
		away = 0;
		i = waiting;
		do
#ifdef LIFO
		:: i > 0 && ticket[queue[i - 1]] < ticket[me] ->
#else
		:: i > 0 && ticket[queue[i - 1]] > ticket[me] ->
#endif
			queue[i] = queue[i - 1];
			i--
		:: else -> break
		od;
		queue[i] = me;
		waiting++;
		i = 0
	}
#ifdef NO_GRANT_ON_RETURN
	if
	:: again
	:: else -> room_made()
	fi;
#else
	room_made();
#endif
	unlock();
	/* sleep_until() */
	do
#ifdef TEST_THEN_SLEEP
	:: granted[me] -> break
	:: else ->
		sleeping[me] = 1;
#else
	:: 1 ->
		sleeping[me] = 1;
		if
		:: granted[me] -> break
		:: else
		fi;
#endif
		if
		:: sleeping[me] == 0
		:: me == 0 && sleeping[me] -> err = 1; break	/* timeout */
		:: me == 1 && sleeping[me] -> err = 1; fatal = 1; break
		:: me == 2 && sleeping[me] && !again ->
			err = 1;
			away = 1;
			again = 1;
			break
		fi
	od;
	sleeping[me] = 0;
	/* kvbm_wait_end() */
	lock();
#ifdef IGNORE_GRANT
	if
	:: !err -> unlock(); take_and_release()
#else
	if
	:: granted[me] && !(err && fatal) ->
		unlock();
		take_and_release()
#endif
	:: else ->
		if
		:: granted[me] ->
#ifndef IGNORE_GRANT
			reserved = reserved - n
#endif
		:: else ->
			d_step {
				j = 0;
				do
				:: queue[j] != me -> j++
				:: else -> break
				od;
				dequeue(j);
				i = 0;
				j = 0
			}
		fi;
#ifdef NO_GRANT_ON_FATAL
		if
		:: granted[me]
		:: else -> room_made()
		fi;
#else
#ifndef NO_GRANT_ON_LEAVE
		room_made();
#endif
#endif
		unlock();
		if
		:: away -> goto begin
		:: else
		fi
	fi;
out:
	finished++
}

/* Does not wait. */
proctype passer()
{
	byte n = 1, i, j;

	lock();
	if
#ifdef OVERTAKE
	:: ROOM >= n ->
#else
	:: waiting == 0 && ROOM >= n ->
#endif
		assert(waiting == 0);
		reserved = reserved + n;
		unlock();
		take_and_release()
	:: else -> unlock()
	fi;
	finished++
}

active proctype monitor()
{
	do
	:: atomic { !st_locked && waiting > 0 && wants[queue[0]] <= ROOM ->
		assert(0) }
	:: atomic { finished == WAITERS + 1 ->
		assert(is_free == BLOCKS && reserved == 0 && waiting == 0);
		break }
	od
}

init {
	byte i;

	atomic {
		for (i : 0 .. WAITERS - 1) {
			run waiter(i)
		}
		run passer()
	}
}
