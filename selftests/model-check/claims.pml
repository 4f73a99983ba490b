/* SPDX-License-Identifier: MIT */
/*
 * claims.pml - one computes, the others wait: module/core/claim.c
 *
 * Workers want hashes, from left to right.  Each finds a hash present, or claims
 * it, or waits for all that are pending.  Whoever claimed registers, or gives
 * up, or dies; one of them may be revoked at any moment, and one is impatient: it
 * gives up waiting now and then.  Whoever ends a claim tells one of those who
 * wait; the work item tells the rest, one to a hold of the lock.
 *
 * With ALIVE nobody is revoked; with BOTH one has claimed all before.
 *
 * Two never compute one hash; who waits is woken when what it waits for has
 * ended, not before, and nobody sleeps for ever.
 *
 * Planted mistakes, each to be found: NO_TELL, NO_WORK, NO_TELL_ON_DEATH,
 * LINK_LATE, CLAIM_BLIND, WAKE_EARLY, STAY_LINKED, NO_UNLINK_ON_REVOKE,
 * DEAD_BLIND, KEEP_CLAIM.
 */
#ifndef WORKERS
#define WORKERS		2
#define HASHES		2
#endif
#define NOBODY		WORKERS

#define VICTIM		0	/* may be revoked */
#define IMPATIENT	1	/* gives up waiting */

bit locked;
bit present[HASHES];
byte claimant[HASHES] = NOBODY;
byte computing[HASHES];		/* only to check */
bit linked[WORKERS * HASHES];		/* worker * HASHES + hash: to its claim */
bit ended[WORKERS * HASHES];		/* to one that has ended */
byte left[WORKERS];
bit waiting[WORKERS];		/* it has a wait, in its session's list */
bit over[WORKERS];
bit dead[WORKERS];		/* revoked */
byte works;

#define at(w, h)	((w) * HASHES + (h))
#define lock()		atomic { !locked -> locked = 1 }
#define unlock()	locked = 0

/* end(): the lock is held */
inline end_claim(h)
{
	d_step {
		claimant[h] = NOBODY;
		i = 0;
		do
		:: i < WORKERS ->
			if
			:: linked[at(i, h)] ->
				linked[at(i, h)] = 0;
				ended[at(i, h)] = 1
			:: else
			fi;
			i++
		:: else -> break
		od
	}
}

/* kvbm_claims_tell(), which looks at one */
inline tell()
{
	lock();
	d_step {
		i = 0;
		do
		:: i < WORKERS * HASHES && !ended[i] -> i++
		:: else -> break
		od;
		if
		:: i < WORKERS * HASHES ->
			ended[i] = 0;
			/* It touches the wait. */
			assert(waiting[i / HASHES]);
			left[i / HASHES]--;
			if
#ifdef WAKE_EARLY
			:: 1 -> over[i / HASHES] = 1
#else
			:: !left[i / HASHES] -> over[i / HASHES] = 1
			:: else
#endif
			fi
		:: else
		fi;
		i = 0;
		do
		:: i < WORKERS * HASHES && !ended[i] -> i++
		:: else -> break
		od;
#ifndef NO_WORK
		if
		:: i < WORKERS * HASHES && works == 0 -> works = 1
		:: else
		fi;
#endif
		i = 0
	}
	unlock()
}

/* Out of all claims' lists: the lock is held. */
inline unlink(w)
{
	d_step {
		i = 0;
		do
		:: i < HASHES ->
			linked[at(w, i)] = 0;
			ended[at(w, i)] = 0;
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline link_all(w)
{
	d_step {
		i = 0;
		left[w] = 0;
		over[w] = 0;
		waiting[w] = 1;
		do
		:: i < HASHES ->
			if
			:: claimant[i] != NOBODY ->
				linked[at(w, i)] = 1;
				left[w]++
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}

proctype worker(byte me)
{
	byte h, i;
	bit patience = 1, hope = 1, mine, pending;

	do
	:: h == HASHES || dead[me] -> break
	:: else ->
		/* Match, then claim: the lock once, for what counts. */
		lock();
		mine = 0;
		pending = 0;
		if
		:: dead[me] -> unlock(); break
		:: !dead[me] && present[h] -> unlock(); h++
#ifdef CLAIM_BLIND
		:: !dead[me] && !present[h] -> mine = 1
#else
		:: !dead[me] && !present[h] && claimant[h] == NOBODY -> mine = 1
#endif
		:: !dead[me] && !present[h] && claimant[h] != NOBODY ->
			unlock();
			pending = 1
		fi;
		if
		:: mine ->
			claimant[h] = me;
			computing[h]++;
			assert(computing[h] == 1);
			unlock();
			/* It computes; a revocation may take the block away. */
			lock();
			if
			:: dead[me] -> unlock(); break
			:: else -> computing[h]--
			fi;
			if
			:: 1 ->
				present[h] = 1;
#ifndef KEEP_CLAIM
				end_claim(h);
#endif
				unlock();
#ifndef NO_TELL
				tell()
#endif
			:: hope ->
				/* It gives up, and tries again. */
				hope = 0;
				end_claim(h);
				unlock();
				tell()
			:: 1 ->
				end_claim(h);
				unlock();
#ifndef NO_TELL_ON_DEATH
				tell();
#endif
				break
			fi
		:: pending ->
			/* kvbm_claim_wait_begin() */
			lock();
			if
#ifndef DEAD_BLIND
			:: dead[me] -> unlock(); break
			:: !dead[me] ->
#else
			:: 1 ->
#endif
#ifdef LINK_LATE
				pending = claimant[h] != NOBODY;
				unlock();
				lock();
#endif
				link_all(me);
#ifdef LINK_LATE
				left[me] = (pending && !left[me] -> 1 : left[me]);
#endif
				if
				:: left[me] == 0 -> waiting[me] = 0; unlock()
				:: else ->
					unlock();
					if
					:: over[me]
					:: me == IMPATIENT && patience ->
						patience = 0
					fi;
					/* kvbm_claim_wait_end() */
					lock();
					assert(!over[me] || !left[me] || dead[me]);
#ifndef STAY_LINKED
					unlink(me);
#endif
					waiting[me] = 0;
					unlock()
				fi
			fi
		:: else
		fi
	od;
	/* Its session is closed by its own exit, if it was not revoked. */
	skip
}

/* kvbm_session_retire() */
proctype revoker()
{
	byte h, i;

	/* Under the session's lock, which here is the same. */
	lock();
	dead[VICTIM] = 1;
	unlock();
	/* kvbm_claim_waits_end() */
	lock();
	if
	:: waiting[VICTIM] ->
#ifndef NO_UNLINK_ON_REVOKE
		over[VICTIM] = 1
#else
		skip
#endif
	:: else
	fi;
	unlock();
	/* reclaim_chunk() */
	do
	:: h < HASHES ->
		lock();
		if
		:: claimant[h] == VICTIM ->
			computing[h]--;
			end_claim(h);
			unlock();
			tell()
		:: else -> unlock()
		fi;
		h++
	:: else -> break
	od;
	/* Nobody sleeps in a session that has ended. */
	assert(!waiting[VICTIM] || over[VICTIM])
}

/* In place of the first worker: it has claimed both, and registers one by one. */
proctype owner()
{
	byte h, i;

	do
	:: h < HASHES ->
		lock();
		computing[h]--;
		present[h] = 1;
		end_claim(h);
		unlock();
		tell();
		h++
	:: else -> break
	od
}

/* tell_work() */
active proctype work_item()
{
	byte i;

end:
	do
	:: works > 0 ->
		works--;
		tell()
	od
}

init {
	byte w;

	atomic {
#ifdef BOTH
		do
		:: w < HASHES -> claimant[w] = 0; computing[w] = 1; w++
		:: else -> break
		od;
		run owner();
		w = 1;
#elif !defined(ALIVE)
		run revoker();
#endif
		do
		:: w < WORKERS -> run worker(w); w++
		:: else -> break
		od
	}
}
