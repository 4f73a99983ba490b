/* SPDX-License-Identifier: MIT */
/*
 * offer.pml - holds pass from one session to another: module/core/offer.c
 *
 * G offers a hold on each of two blocks and may withdraw; A and B both accept.
 * A has a hold on the first block already, and may release it meanwhile; G keeps
 * one on the second.  With ENDS only A accepts, and both sessions end, at any
 * moment; with ENDS=1 one of the two.  Whoever ends one moves what is left before
 * it takes anything back.  A chunk is one hold.
 *
 * Each hold is one session's at every moment, and none is lost; a block is
 * referenced once for each session that has holds on it, and never by nobody while
 * holds move; who lives has got all of an offer or nothing; no step looks at a
 * session from which everything has been taken; nobody waits for ever.
 *
 * Planted mistakes, each to be found: COMMIT_BLIND, COMMIT_DEAD, PUBLISH_DEAD,
 * WITHDRAW_BLIND, END_LATE, NO_FINISH_GIVER, NO_FINISH_TO, NO_CLOSE, SPLIT,
 * DROP_FIRST, PASS_ALWAYS, STALE_MARKS.
 */
#define G		0
#define A		1
#define B		2
#define SESSIONS	3
#define NOBODY		3
#define HOLDS		2

#define NEW		0	/* nobody knows it */
#define OPEN		1
#define MOVING		2
#define UNDOING		3
#define DONE		4

bit offers_lock;
bit locked[SESSIONS];
bit dead[SESSIONS];
bit gone[SESSIONS];		/* all has been taken from it */
byte cnt[SESSIONS * HOLDS];	/* holds: session * HOLDS + block */
bit mark[HOLDS];		/* of G's */
byte refs[HOLDS];
byte ended[HOLDS];		/* holds that were given back, or taken back */
byte state = NEW;
byte at;
byte to = NOBODY;
bit got[SESSIONS];		/* it was told that the holds are its own */
bit own_gone;			/* A's own hold */
bit withdrawn;
byte working;

#define c(s, i)		cnt[(s) * HOLDS + (i)]
#define initially(i)	2
#define lock_session(s)	atomic { !locked[s] -> locked[s] = 1 }
#define unlock_session(s) locked[s] = 0
#define lock_offers()	atomic { !offers_lock -> offers_lock = 1 }
#define unlock_offers()	offers_lock = 0

/* A session gives a hold back; it is locked. */
inline give_back(s, i)
{
	d_step {
		c(s, i)--;
		ended[i]++;
		if
		:: !c(s, i) -> refs[i]--
		:: else
		fi
	}
}

/* go_on(): offers_lock is held, the offer is MOVING or UNDOING. */
inline go_on()
{
	assert(!gone[G]);
	lock_session(G);
	if
	:: state == MOVING ->
		assert(!gone[to]);
#ifdef SPLIT
		d_step {
			c(G, at)--;
			mark[at] = 0;
			if
			:: !c(G, at) && c(to, at) -> refs[at]--
			:: c(G, at) && !c(to, at) -> refs[at]++
			:: else
			fi
		};
		unlock_session(G);
		lock_session(to);
		c(to, at)++;
#else
		lock_session(to);
#ifdef DROP_FIRST
		if
		:: c(G, at) == 1 -> refs[at]--; assert(refs[at])
		:: else
		fi;
		if
		:: !c(to, at) -> refs[at]++
		:: else
		fi;
#elif !defined(PASS_ALWAYS)
		if
		:: !c(to, at) && c(G, at) > 1 -> refs[at]++
		:: c(to, at) && c(G, at) == 1 -> refs[at]--; assert(refs[at])
		:: else
		fi;
#endif
		c(G, at)--;
		mark[at] = 0;
		c(to, at)++;
		unlock_session(G);
#endif
		unlock_session(to)
	:: else ->
#ifndef STALE_MARKS
		if
		:: !dead[G] -> mark[at] = 0
		:: else
		fi;
#endif
		unlock_session(G)
	fi;
	at++;
	if
	:: at == HOLDS -> state = DONE
	:: else
	fi
}

/* Until the offer is DONE, whoever does it: one step to a hold of the lock. */
inline finish()
{
	do
	:: lock_offers();
	   if
	   :: state == DONE -> unlock_offers(); break
	   :: else -> go_on(); unlock_offers()
	   fi
	od
}

/* kvbm_offers_end() */
inline end_offers(s)
{
	do
	:: lock_offers();
	   if
#ifndef NO_FINISH_TO
	   :: to == s && state == MOVING -> go_on(); unlock_offers()
#endif
#ifndef NO_CLOSE
	   :: s == G && state == OPEN ->
		state = DONE; unlock_offers()
#endif
#ifndef NO_FINISH_GIVER
	   :: s == G && (state == MOVING || state == UNDOING) ->
		go_on(); unlock_offers()
#endif
	   :: else -> unlock_offers(); break
	   fi
	od
}

inline take_back(s)
{
	i = 0;
	do
	:: i < HOLDS ->
		lock_session(s);
		do
		:: c(s, i) -> give_back(s, i)
		:: else -> break
		od;
		unlock_session(s);
		i++
	:: else -> break
	od;
	gone[s] = 1
}

inline end_session(s)
{
	lock_session(s);
	dead[s] = 1;
	unlock_session(s);
#ifdef END_LATE
	take_back(s);
	end_offers(s)
#else
	end_offers(s);
	take_back(s)
#endif
}

proctype giver()
{
	byte i;
	bit err;

	do
	:: i < HOLDS ->
		lock_session(G);
		if
		:: dead[G] -> err = 1
		:: else -> mark[i] = 1; i++
		fi;
		unlock_session(G);
		if
		:: err -> break
		:: else
		fi
	:: else -> break
	od;
	if
	:: !err ->
		lock_offers();
		if
#ifndef PUBLISH_DEAD
		:: dead[G] -> err = 1
#endif
#ifdef PUBLISH_DEAD
		:: 1 -> state = OPEN
#else
		:: else -> state = OPEN
#endif
		fi;
		unlock_offers()
	:: else
	fi;
	if
	:: err ->
		/* Who ends a session looks at no marks. */
		lock_session(G);
		do
		:: i ->
			i--;
			if
			:: !dead[G] -> mark[i] = 0
			:: else
			fi
		:: else -> break
		od;
		unlock_session(G)
	:: else ->
		if
		:: lock_offers();
		   if
#ifdef WITHDRAW_BLIND
		   :: state == OPEN || state == MOVING ->
#else
		   :: state == OPEN ->
#endif
			withdrawn = 1;
			state = UNDOING
		   :: else
		   fi;
		   unlock_offers();
		   finish()
		:: skip
		fi
	fi;
	working--
}

proctype taker(byte me)
{
	bit found;

	lock_offers();
	found = state == OPEN;
	unlock_offers();
	/* Memory is made ready here, limits are looked at. */
	if
	:: found ->
		lock_offers();
		if
#ifdef COMMIT_BLIND
		:: state != DONE ->
#else
		:: state == OPEN ->
#endif
			lock_session(me);
			if
#ifndef COMMIT_DEAD
			:: dead[me] -> found = 0
#endif
#ifdef COMMIT_DEAD
			:: 1 ->
#else
			:: else ->
#endif
				to = me;
				state = MOVING
			fi;
			unlock_session(me)
		:: else -> found = 0
		fi;
		unlock_offers()
	:: else
	fi;
	if
	:: found -> finish(); got[me] = 1
	:: else
	fi;
	working--
}

/* Another thread of A. */
proctype own_hold()
{
	lock_session(A);
	if
	:: !dead[A] -> own_gone = 1; give_back(A, 0)
	:: else
	fi;
	unlock_session(A);
	working--
}

#ifdef ENDS
proctype ender(byte s)
{
	byte i;

	end_session(s);
	working--
}
#endif

/* Whoever has no lock of a session in the way: at any moment. */
proctype watcher()
{
	byte i = 0;

	atomic {
		!locked[G] && !locked[A] && !locked[B];
		do
		:: i < HOLDS ->
			assert(c(G, i) + c(A, i) + c(B, i) + ended[i] ==
			       initially(i));
			assert(refs[i] == (c(G, i) > 0) + (c(A, i) > 0) +
					  (c(B, i) > 0));
			i++
		:: else -> break
		od
	}
}

init
{
	byte i;

	atomic {
		c(G, 0) = 1; c(A, 0) = 1; refs[0] = 2;
		c(G, 1) = 2; refs[1] = 1;
		run giver();
		run taker(A);
		run watcher();
#if !defined(ENDS)
		working = 4;
		run taker(B);
		run own_hold()
#elif ENDS == 1
		working = 3;
		if
		:: run ender(G)
		:: run ender(A)
		fi
#else
		working = 4;
		run ender(G);
		run ender(A)
#endif
	}
	!working;
	d_step {
		assert(state == NEW || state == OPEN || state == DONE);
		/* Who is dead has nothing, and offers nothing. */
		i = 0;
		do
		:: i < SESSIONS ->
			if
			:: dead[i] -> assert(!c(i, 0) && !c(i, 1))
			:: else
			fi;
			i++
		:: else -> break
		od;
		assert(!dead[G] || state != OPEN);
		/* All or nothing, for who lives. */
		if
		:: !dead[A] ->
			assert(c(A, 1) == got[A]);
			assert(c(A, 0) == got[A] + !own_gone)
		:: else
		fi;
		if
		:: !dead[B] ->
			assert(c(B, 0) == got[B] && c(B, 1) == got[B])
		:: else
		fi;
		assert(!(got[A] && got[B]));
		assert(!withdrawn || !got[A] && !got[B]);
		if
		:: !dead[G] ->
			assert(c(G, 0) == 1 && c(G, 1) == 2 ||
			       c(G, 0) == 0 && c(G, 1) == 1);
			assert(mark[0] == (state == OPEN));
			assert(mark[1] == (state == OPEN));
			assert(!got[A] && !got[B] || !c(G, 0))
		:: else
		fi
	}
}
