// SPDX-License-Identifier: MIT
//! Clocks, windows, crowds: as bench/native/measure.c and crowd.c have them.

use std::arch::x86_64::{_mm_lfence, _rdtsc};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const WINDOW_NS: f64 = 400_000.0; // of work, about
const WINDOWS_MIN: usize = 15;
const WINDOWS_MAX: usize = 4000;
const ROUNDS: usize = 1000;
const OPS: usize = 60;

/// What is timed: op(), after prepare(), which is not.
pub trait Work {
    fn prepare(&mut self) {}
    fn op(&mut self);
}

fn ticks() -> u64 {
    // SAFETY: every x86-64 has these instructions.
    unsafe {
        _mm_lfence();
        let t = _rdtsc();
        _mm_lfence();
        t
    }
}

struct Clock {
    tick_ns: f64,
    cost: u64,
}

static CLOCK: LazyLock<Clock> = LazyLock::new(|| {
    let (begin, t0) = (Instant::now(), ticks());
    while begin.elapsed() < Duration::from_millis(20) {}
    let tick_ns = begin.elapsed().as_nanos() as f64 / (ticks() - t0) as f64;
    let cost = (0..1000)
        .map(|_| {
            let t = ticks();
            ticks() - t
        })
        .min();
    Clock {
        tick_ns,
        cost: cost.unwrap(),
    }
});

/// How often this thread lost its CPU.
fn preempted() -> i64 {
    // SAFETY: the kernel fills in all of a structure that may be zero.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nivcsw
    }
}

fn once<W: Work>(w: &mut W) -> u64 {
    w.prepare();
    let t = ticks();
    w.op();
    (ticks() - t).saturating_sub(CLOCK.cost)
}

/// Where the lowest tenth ends.
fn low(mut ns: Vec<f64>) -> f64 {
    ns.sort_by(f64::total_cmp);
    ns[ns.len() / 10]
}

/// ns for each of n blocks.
pub fn measure<W: Work>(w: &mut W, n: usize, seconds: f64) -> f64 {
    let limit = |x: f64| Duration::from_secs_f64(seconds * x);
    LazyLock::force(&CLOCK);
    for _ in 0..3 {
        once(w);
    }
    let begin = Instant::now();
    for _ in 0..5 {
        once(w);
    }
    let rounds = (WINDOW_NS * 5.0 / (begin.elapsed().as_nanos() + 1) as f64).max(1.0) as usize;
    let mut ns = Vec::with_capacity(WINDOWS_MAX);
    let mut before = preempted();
    while ns.len() < WINDOWS_MAX
        && (ns.len() < WINDOWS_MIN || begin.elapsed() < limit(1.0))
        && begin.elapsed() < limit(20.0)
    {
        let sum: u64 = (0..rounds).map(|_| once(w)).sum();
        let now = preempted();
        if now == before {
            ns.push(sum as f64 * CLOCK.tick_ns / rounds as f64 / n as f64);
        }
        before = now;
    }
    assert!(!ns.is_empty(), "no window without preemption");
    low(ns)
}

fn pin(cpu: usize) {
    // SAFETY: the set is on this stack.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

struct Turn {
    begin: Instant,
    end: Instant,
    preempted: bool,
}

fn worker(
    nr: usize,
    workers: usize,
    ready: &[AtomicUsize],
    work: &(dyn Fn(usize) + Sync),
) -> Vec<Turn> {
    pin(nr);
    for _ in 0..4 {
        work(nr);
    }
    (0..ROUNDS)
        .map(|r| {
            ready[r].fetch_add(1, Ordering::AcqRel);
            let mut since = Instant::now();
            while ready[r].load(Ordering::Acquire) < workers {
                std::hint::spin_loop();
                if since.elapsed() > Duration::from_millis(4) {
                    std::thread::yield_now();
                    since = Instant::now();
                }
            }
            let before = preempted();
            let begin = Instant::now();
            for _ in 0..OPS {
                work(nr);
            }
            Turn {
                begin,
                end: Instant::now(),
                preempted: preempted() != before,
            }
        })
        .collect()
}

/// ns for one operation of each worker, who begin each round together.
pub fn crowd(workers: usize, work: &(dyn Fn(usize) + Sync)) -> f64 {
    let ready: Vec<_> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let turns: Vec<Vec<Turn>> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..workers)
            .map(|nr| {
                s.spawn({
                    let ready = &ready;
                    move || worker(nr, workers, ready, work)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let ns = |all: bool| -> Vec<f64> {
        (0..ROUNDS)
            .filter(|r| all || !turns.iter().any(|t| t[*r].preempted))
            .map(|r| {
                let begin = turns.iter().map(|t| t[r].begin).min().unwrap();
                let end = turns.iter().map(|t| t[r].end).max().unwrap();
                (end - begin).as_nanos() as f64 / OPS as f64
            })
            .collect()
    };
    let quiet = ns(false);
    low(if quiet.len() < 5 { ns(true) } else { quiet })
}
