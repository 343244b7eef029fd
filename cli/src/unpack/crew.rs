//! The directories of a tree, shared out among workers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wharfie_core::error::{Error, Result};

/// A part of one directory.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Its number in the plan.
    pub(super) directory: usize,
    /// Which of its entries; `None` for the job that cuts the directory into parts.
    pub(super) entries: Option<std::ops::Range<usize>>,
}

/// The jobs that wait: each worker has its own, and goes down into what it has begun; whoever has none takes the oldest of
/// another's, which is the largest.
pub(super) struct Crew {
    waiting: Vec<Mutex<VecDeque<Job>>>,
    /// Jobs that wait or run.
    open: AtomicUsize,
    stop: AtomicBool,
    failure: Mutex<Option<Error>>,
    /// Whoever has nothing to do sleeps here.
    idle: (Mutex<()>, Condvar),
}

impl Crew {
    pub(super) fn new(workers: usize) -> Crew {
        Crew {
            waiting: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            failure: Mutex::default(),
            idle: Default::default(),
        }
    }

    /// Has these done; the first of them first, by `worker` itself if no other is idle.
    pub(super) fn push(&self, worker: usize, jobs: impl DoubleEndedIterator<Item = Job>) {
        let mut waiting = self.own(worker);
        let before = waiting.len();
        waiting.extend(jobs.rev());
        self.open.fetch_add(waiting.len() - before, Ordering::SeqCst);
        drop(waiting);
        self.idle.1.notify_all();
    }

    /// Does all jobs and those that come of them. Each worker is made by `hire` in its own thread and does one after another.
    ///
    /// # Errors
    /// That of the job that failed first.
    pub(super) fn run<W>(
        &self,
        hire: impl Fn(usize) -> W + Sync,
        work: impl Fn(&mut W, Job) -> Result<()> + Sync,
    ) -> Result<()> {
        let shift = |number: usize| {
            // A panic elsewhere must not leave this one waiting.
            let _watch = Watch(self);
            let mut worker = hire(number);
            while let Some(job) = self.next(number) {
                if let Err(error) = work(&mut worker, job) {
                    self.fail(error);
                }
                if self.open.fetch_sub(1, Ordering::SeqCst) == 1 {
                    self.idle.1.notify_all();
                }
            }
        };
        thread::scope(|scope| {
            for number in 1..self.waiting.len() {
                let shift = &shift;
                scope.spawn(move || shift(number));
            }
            shift(0);
        });
        match lock(&self.failure).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Whether all are to stop.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn fail(&self, error: Error) {
        // What stops because of another has nothing to say.
        lock(&self.failure).get_or_insert(error);
        self.stop.store(true, Ordering::SeqCst);
        self.idle.1.notify_all();
    }

    fn next(&self, worker: usize) -> Option<Job> {
        loop {
            if self.stopped() {
                return None;
            }
            if let Some(job) = self.own(worker).pop_back() {
                return Some(job);
            }
            for step in 1..self.waiting.len() {
                if let Some(job) = self.own((worker + step) % self.waiting.len()).pop_front() {
                    return Some(job);
                }
            }
            if self.open.load(Ordering::SeqCst) == 0 {
                return None;
            }
            // Woken when something comes; the time is for what came just before.
            let (idle, woken) = &self.idle;
            let _ = woken.wait_timeout(lock(idle), Duration::from_millis(1));
        }
    }

    fn own(&self, worker: usize) -> MutexGuard<'_, VecDeque<Job>> {
        lock(&self.waiting[worker])
    }
}

struct Watch<'c>(&'c Crew);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop.store(true, Ordering::SeqCst);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
