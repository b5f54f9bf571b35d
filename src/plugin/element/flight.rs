//! Work that is done on another thread, in order, while the streaming thread prepares what comes next.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

/// A piece of work.
pub type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// A thread that does one job after the other. Dropping it waits for those that are under way, of which nobody will see what
/// they made.
pub struct Flight<T> {
    /// `None` once the thread is to end.
    jobs: Option<Sender<Job<T>>>,
    done: Receiver<T>,
    under_way: usize,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Flight<T> {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, todo) = channel::<Job<T>>();
        let (made, done) = channel();
        let run = move || {
            for job in todo {
                if made.send(job()).is_err() {
                    break;
                }
            }
        };
        let thread = Builder::new().name("facesr".into()).spawn(run)?;
        Ok(Self { jobs: Some(jobs), done, under_way: 0, thread: Some(thread) })
    }

    /// Jobs that were sent and whose results were not received.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Lets a job be done after all that were sent before.
    pub fn send(&mut self, job: Job<T>) {
        // Only a panic ends the thread, which `receive` tells.
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()) {
            self.under_way += 1;
        }
    }

    /// Waits for the result of the oldest job, `None` where none is under way.
    ///
    /// # Panics
    /// As the job did.
    pub fn receive(&mut self) -> Option<T> {
        if self.under_way == 0 {
            return None;
        }
        if let Ok(made) = self.done.recv() {
            self.under_way -= 1;
            return Some(made);
        }
        self.under_way = 0;
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => None,
        }
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.jobs = None;
        // A panic that nobody received has been printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn results_come_in_the_order_of_the_jobs_however_long_each_takes() {
        let mut flight = Flight::start().unwrap();
        assert_eq!(flight.receive(), None);
        for number in 0..20_u64 {
            let pause = Duration::from_millis((number * 7) % 5);
            flight.send(Box::new(move || {
                std::thread::sleep(pause);
                number
            }));
            assert_eq!(flight.under_way(), number as usize + 1);
        }
        for number in 0..20 {
            assert_eq!(flight.receive(), Some(number));
        }
        assert_eq!((flight.receive(), flight.under_way()), (None, 0));
    }

    #[test]
    fn jobs_never_run_beside_each_other() {
        let mut flight = Flight::start().unwrap();
        let running = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let running = running.clone();
            flight.send(Box::new(move || {
                let before = running.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
                running.fetch_sub(1, Ordering::SeqCst);
                before
            }));
        }
        while let Some(beside) = flight.receive() {
            assert_eq!(beside, 0);
        }
    }

    #[test]
    fn a_flight_that_is_dropped_waits_for_what_is_under_way() {
        let done = Arc::new(AtomicUsize::new(0));
        let mut flight = Flight::start().unwrap();
        for _ in 0..5 {
            let done = done.clone();
            flight.send(Box::new(move || {
                std::thread::sleep(Duration::from_millis(2));
                done.fetch_add(1, Ordering::SeqCst)
            }));
        }
        drop(flight);
        assert_eq!(done.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn a_panic_of_a_job_is_one_of_whoever_receives_it() {
        let mut flight = Flight::<()>::start().unwrap();
        flight.send(Box::new(|| std::panic::panic_any("on purpose")));
        let received = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| flight.receive()));
        assert_eq!(received.unwrap_err().downcast_ref::<&str>(), Some(&"on purpose"));
        flight.send(Box::new(|| ()));
        assert_eq!(flight.receive(), None);
    }
}
