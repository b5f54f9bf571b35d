//! Work that is done on other threads, in order, while the streaming thread prepares what comes next.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

/// A piece of work: its first part, which gives the second. While that is done, the first of the next piece may be.
pub type Job<T> = Box<dyn FnOnce() -> Rest<T> + Send>;

/// The second part, which gives the result.
pub type Rest<T> = Box<dyn FnOnce() -> T + Send>;

/// Two threads that do one job after the other, a part each. Dropping it waits for those that are under way, of which nobody will see
/// what they made.
pub struct Flight<T> {
    /// `None` once the threads are to end.
    jobs: Option<Sender<Job<T>>>,
    done: Receiver<T>,
    under_way: usize,
    threads: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Flight<T> {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system has none to give.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, todo) = channel::<Job<T>>();
        let (begun, rest) = channel::<Rest<T>>();
        let (made, done) = channel();
        // Each ends with the channel before it, or the one behind.
        let first = move || {
            for job in todo {
                if begun.send(job()).is_err() {
                    break;
                }
            }
        };
        let second = move || {
            for rest in rest {
                if made.send(rest()).is_err() {
                    break;
                }
            }
        };
        let start = |name: &str| Builder::new().name(name.into());
        let threads = vec![start("facesr").spawn(first)?, start("facesr-end").spawn(second)?];
        Ok(Self { jobs: Some(jobs), done, under_way: 0, threads })
    }

    /// Jobs that were sent and whose results were not received.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Lets a job be done after all that were sent before.
    pub fn send(&mut self, job: Job<T>) {
        // Only a panic ends the threads, which `receive` tells.
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
        (self.under_way, self.jobs) = (0, None);
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        None
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic that nobody received has been printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};
    use std::time::Duration;

    /// A job whose parts take so many milliseconds, and that gives its number.
    fn job(number: u64, (first, second): (u64, u64)) -> Job<u64> {
        Box::new(move || {
            std::thread::sleep(Duration::from_millis(first));
            Box::new(move || {
                std::thread::sleep(Duration::from_millis(second));
                number
            })
        })
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs_however_long_each_takes() {
        let mut flight = Flight::start().unwrap();
        assert_eq!(flight.receive(), None);
        for number in 0..20_u64 {
            flight.send(job(number, ((number * 7) % 5, (number * 3) % 4)));
            assert_eq!(flight.under_way(), number as usize + 1);
        }
        for number in 0..20 {
            assert_eq!(flight.receive(), Some(number));
        }
        assert_eq!((flight.receive(), flight.under_way()), (None, 0));
    }

    #[test]
    fn parts_of_a_kind_never_run_beside_each_other() {
        let mut flight = Flight::start().unwrap();
        let running = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let alone = |running: &AtomicUsize| {
            let before = running.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
            running.fetch_sub(1, Ordering::SeqCst);
            before == 0
        };
        for _ in 0..10 {
            let [first, second] = running.clone();
            flight.send(Box::new(move || {
                let is_alone = alone(&first);
                Box::new(move || is_alone && alone(&second))
            }));
        }
        while let Some(is_alone) = flight.receive() {
            assert!(is_alone);
        }
    }

    #[test]
    fn the_first_part_of_a_job_runs_beside_the_second_of_the_one_before() {
        let mut flight = Flight::start().unwrap();
        // Neither goes on before the other is there.
        let both = Arc::new(Barrier::new(2));
        let (before, after) = (both.clone(), both);
        flight.send(Box::new(move || {
            Box::new(move || {
                before.wait();
            })
        }));
        flight.send(Box::new(move || {
            after.wait();
            Box::new(|| ())
        }));
        assert_eq!((flight.receive(), flight.receive()), (Some(()), Some(())));
    }

    #[test]
    fn a_flight_that_is_dropped_waits_for_what_is_under_way() {
        let done = Arc::new(AtomicUsize::new(0));
        let mut flight = Flight::start().unwrap();
        for _ in 0..5 {
            let done = done.clone();
            flight.send(Box::new(move || {
                std::thread::sleep(Duration::from_millis(1));
                Box::new(move || {
                    std::thread::sleep(Duration::from_millis(1));
                    done.fetch_add(1, Ordering::SeqCst)
                })
            }));
        }
        drop(flight);
        assert_eq!(done.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn a_panic_of_a_job_is_one_of_whoever_receives_it() {
        let panics: [Job<()>; 2] = [
            Box::new(|| std::panic::panic_any("on purpose")),
            Box::new(|| Box::new(|| std::panic::panic_any("on purpose"))),
        ];
        for job in panics {
            let mut flight = Flight::start().unwrap();
            flight.send(job);
            let received = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| flight.receive()));
            assert_eq!(received.unwrap_err().downcast_ref::<&str>(), Some(&"on purpose"));
            flight.send(Box::new(|| Box::new(|| ())));
            assert_eq!(flight.receive(), None);
        }
    }
}
