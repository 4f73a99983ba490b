/* SPDX-License-Identifier: MIT */
/*
 * parked.pml - places beside the queue of allocations that wait, and back into
 * it: module/core/waiters.c.  waiters.pml has the queue itself.
 *
 * Two sessions, the first of which holds one of two blocks, until another thread
 * of it releases that. One of those who wait may be interrupted, leave its place
 * as a ticket, and come back with it, give it up or do neither; one may time out
 * or be killed. All give back what they get.
 *
 * -DPARKED	the first session waits for both blocks: only it can serve itself,
 *		until it releases. The second waits, and holds an idle block that
 *		it finds
 * -DTICKETS	one who leaves a ticket, one who waits, one who does not
 *
 * Nobody sleeps for ever; grants go in the order in which the waits began, but for
 * places that are beside the queue: tickets, and waits that only their own session
 * can serve; these are in the queue as soon as others can serve them, and only
 * then; nothing stays reserved.
 *
 * Planted mistakes, each to be found: OVERTAKE, NO_PARK, NO_UNPARK, NO_PARK_LATER,
 * UNPARK_LAST, TICKET_LAST, TICKET_HOLDS_UP.
 */
#define WAITERS	3
#define TOTAL	2

mtype = { none, idle, parked, queued, has_grant };

byte is_free = TOTAL - 1, reserved;
byte held[2] = 0, allocating[2] = 0;	/* of the sessions */
bit ses_locked[2], st_locked;

mtype state[WAITERS] = none;
byte wants[WAITERS], owner[WAITERS];
byte place[WAITERS], began[WAITERS], next_place = 1;
bit sleeping[WAITERS];
byte nr_queued;				/* in the queue */
byte finished;

#define ROOM	(is_free - reserved)
#define lock_ses(s)	atomic { ses_locked[s] == 0 -> ses_locked[s] = 1 }
#define unlock_ses(s)	ses_locked[s] = 0
#define lock()	atomic { st_locked == 0 -> st_locked = 1 }
#define unlock()	st_locked = 0
#define both(s)	lock_ses(s); lock()

/* Others' releases could serve it: could_be_served() */
#define SERVABLE(s, n)	(held[s] + allocating[s] + (n) <= TOTAL)

/* queue_in(), queue_out(), park() */
inline enqueue(w)
{
	allocating[owner[w]] = allocating[owner[w]] + wants[w];
	nr_queued++;
	state[w] = queued
}

inline dequeue(w)
{
	allocating[owner[w]] = allocating[owner[w]] - wants[w];
	nr_queued--
}

/* kvbm_session_look(): both locks held */
inline look(s)
{
	d_step {
#ifndef NO_PARK_LATER
		/* The last first. */
		do
		:: held[s] + allocating[s] > TOTAL ->
			j = WAITERS;
			for (i : 0 .. WAITERS - 1) {
				if
				:: owner[i] == s && state[i] == queued &&
				   (j == WAITERS || place[i] > place[j]) ->
					j = i
				:: else
				fi
			}
			if
			:: j == WAITERS -> break
			:: else ->
				dequeue(j);
				state[j] = parked
			fi
		:: else -> break
		od;
#endif
#ifndef NO_UNPARK
		/* In the order of places, of which a session's list is. */
		do
		:: 1 ->
			j = WAITERS;
			for (i : 0 .. WAITERS - 1) {
				if
				:: owner[i] == s && state[i] == parked &&
				   SERVABLE(s, wants[i]) &&
				   (j == WAITERS || place[i] < place[j]) ->
					j = i
				:: else
				fi
			}
			if
			:: j == WAITERS -> break
			:: else ->
#ifdef UNPARK_LAST
				place[j] = next_place;
				next_place++;
#endif
				enqueue(j)
			fi
		od;
#endif
		i = 0;
		j = 0
	}
}

/* kvbm_unlock_notify(): the store's lock is held */
inline room_made()
{
	d_step {
		do
		:: nr_queued > 0 ->
			j = WAITERS;
			for (i : 0 .. WAITERS - 1) {
				if
#ifdef TICKET_HOLDS_UP
				:: (state[i] == queued || state[i] == idle) &&
#else
				:: state[i] == queued &&
#endif
				   (j == WAITERS || place[i] < place[j]) ->
					j = i
				:: else
				fi
			}
			if
			:: wants[j] > ROOM -> break
#ifdef TICKET_HOLDS_UP
			:: state[j] == idle -> break
#endif
			:: else
			fi;
			for (i : 0 .. WAITERS - 1) {
				assert(state[i] != queued ||
				       began[j] <= began[i])
			}
			reserved = reserved + wants[j];
			nr_queued--;
			state[j] = has_grant;
			sleeping[j] = 0
		:: else -> break
		od;
		i = 0;
		j = 0
	}
}

/* kvbm_alloc_chunk(), commit, and a release some time later. */
inline take_and_release(s)
{
	lock();
	d_step {
		assert(is_free >= n && reserved >= n);
		is_free = is_free - n;
		reserved = reserved - n
	}
	unlock();
	lock_ses(s);
	d_step {
		held[s] = held[s] + n;
		allocating[s] = allocating[s] - n
	}
	unlock_ses(s);
	give_back(s)
}

/* kvbm_release_chunk() */
inline give_back(s)
{
	both(s);
	d_step {
		held[s] = held[s] - n;
		is_free = is_free + n
	}
	look(s);
	unlock_ses(s);
	room_made();
	unlock()
}

proctype waiter(byte me; byte s; byte n)
{
	byte i, j;
	bit fatal, err, keep, again;

	/* kvbm_alloc_begin() */
	both(s);
	if
	:: nr_queued == 0 && ROOM >= n ->
		d_step {
			reserved = reserved + n;
			allocating[s] = allocating[s] + n
		}
		unlock();
		unlock_ses(s);
		take_and_release(s);
		goto out
	:: else -> unlock(); unlock_ses(s)
	fi;
wait:
	/* kvbm_wait_begin() */
	both(s);
	d_step {
		if
		:: !again ->
			owner[me] = s;
			wants[me] = n;
			place[me] = next_place;
			began[me] = next_place;
			next_place++
		:: else ->
#ifdef TICKET_LAST
			place[me] = next_place;
			next_place++
#else
			skip
#endif
		fi;
		if
#ifndef NO_PARK
		:: !SERVABLE(s, n) -> state[me] = parked
#endif
		:: else -> enqueue(me)
		fi
	}
	unlock_ses(s);
	room_made();
	unlock();
	/* sleep_until() */
	do
	:: 1 ->
		sleeping[me] = 1;
		if
		:: state[me] == has_grant -> break
		:: else
		fi;
		if
		:: sleeping[me] == 0
		/* A timeout, a signal that kills, one that does not. */
		:: me == 1 && sleeping[me] -> err = 1; break
		:: me == 1 && sleeping[me] -> err = 1; fatal = 1; break
		:: me == 2 && !again && sleeping[me] -> err = 1; keep = 1; break
		fi
	od;
	sleeping[me] = 0;
	/* kvbm_wait_end() */
	both(s);
	if
	:: state[me] == has_grant && !(err && fatal) ->
		state[me] = none;
		unlock();
		unlock_ses(s);
		take_and_release(s);
		goto out
	:: else ->
		d_step {
			if
			:: state[me] == has_grant ->
				reserved = reserved - n;
				allocating[s] = allocating[s] - n
			:: state[me] == queued -> dequeue(me)
			:: else
			fi;
			if
			:: keep -> state[me] = idle
			:: else -> state[me] = none
			fi
		}
		look(s);
		unlock_ses(s);
		room_made();
		unlock()
	fi;
	if
	/* With the ticket again, much later perhaps. */
	:: keep && !again -> again = 1; keep = 0; err = 0; goto wait
	/* kvbm_ticket_give_up() */
	:: keep && !again -> state[me] = none
	/* Never again. */
	:: keep && !again
	:: else
	fi;
out:
	finished++
}

/* Does not wait. */
proctype passer()
{
	byte n = 1, i, j;

	both(1);
	if
#ifdef OVERTAKE
	:: ROOM >= n ->
#else
	:: nr_queued == 0 && ROOM >= n ->
#endif
		assert(nr_queued == 0);
		d_step {
			reserved = reserved + n;
			allocating[1] = allocating[1] + n
		}
		unlock();
		unlock_ses(1);
		take_and_release(1)
	:: else -> unlock(); unlock_ses(1)
	fi;
	finished++
}

/* The first session's other thread: has a block from the start. */
proctype holder()
{
	byte n = 1, i, j;

	give_back(0);
	finished++
}

/* A match takes an idle block, unless all are promised. */
proctype matcher()
{
	byte n = 1, i, j;

	both(1);
	if
	:: ROOM > 0 ->
		d_step { is_free--; held[1]++ };
		look(1);
		unlock_ses(1);
		room_made();
		unlock();
		give_back(1)
	:: else -> unlock(); unlock_ses(1)
	fi;
	finished++
}

#define NOBODY_IN	(!st_locked && !ses_locked[0] && !ses_locked[1])
#define LEFT_OUT(w)	(state[w] == parked && SERVABLE(owner[w], wants[w]))
#define IN_THE_WAY(w)	(state[w] == queued && \
			 held[owner[w]] + allocating[owner[w]] > TOTAL)

active proctype monitor()
{
	do
	:: atomic { NOBODY_IN && (LEFT_OUT(0) || LEFT_OUT(1) || LEFT_OUT(2)) ->
		assert(0) }
	:: atomic { NOBODY_IN &&
		(IN_THE_WAY(0) || IN_THE_WAY(1) || IN_THE_WAY(2)) ->
		assert(0) }
	:: atomic { finished == 4 ->
		assert(is_free == TOTAL && reserved == 0 && nr_queued == 0);
		assert(held[0] + held[1] + allocating[0] + allocating[1] == 0);
		break }
	od
}

init {
	atomic {
		held[0] = 1;
		run holder();
#ifdef PARKED
		run waiter(0, 0, 2);
		run waiter(1, 1, 2);
		run matcher()
#endif
#ifdef TICKETS
		run waiter(0, 0, 1);
		run waiter(2, 1, 2);
		run passer()
#endif
	}
}
