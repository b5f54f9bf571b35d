//! The threads that our own stages run on, apart from those of the networks.

use super::EnhanceError;

/// Threads for the stages of one enhancer.
pub struct Threads {
    /// `None` for the pool of the process, which has one per core and is shared by all that name no number.
    own: Option<rayon::ThreadPool>,
    count: usize,
}

/// One per core, those of the process.
impl Default for Threads {
    fn default() -> Self {
        Self { own: None, count: std::thread::available_parallelism().map_or(1, usize::from) }
    }
}

impl Threads {
    /// So many; 0 for one per core.
    ///
    /// # Errors
    /// [`EnhanceError::Threads`] if the system gives no more.
    pub fn new(count: usize) -> Result<Self, EnhanceError> {
        let refuse =
            |err: rayon::ThreadPoolBuildError| EnhanceError::Threads { count, reason: err.to_string() };
        let build = || rayon::ThreadPoolBuilder::new().num_threads(count).build().map_err(refuse);
        match count {
            0 => Ok(Self::default()),
            _ => Ok(Self { own: Some(build()?), count }),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Only one may work at a time: nothing is to run beside anything else.
    pub fn is_one(&self) -> bool {
        self.count == 1
    }

    /// Runs a stage, whose parallel loops use these threads and no others.
    pub fn run<R: Send>(&self, stage: impl FnOnce() -> R + Send) -> R {
        match &self.own {
            Some(own) => own.install(stage),
            None => stage(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use rayon::prelude::*;

    use super::*;

    #[test]
    fn a_stage_runs_on_as_many_threads_as_were_asked_for_and_on_none_of_the_process() {
        let outside: HashSet<_> = rayon::broadcast(|_| std::thread::current().id()).into_iter().collect();
        for count in 1..=5 {
            let threads = Threads::new(count).unwrap();
            let used = Mutex::new(HashSet::new());
            threads.run(|| {
                (0..1000).into_par_iter().for_each(|_| {
                    used.lock().unwrap().insert(std::thread::current().id());
                });
                assert_eq!(rayon::current_num_threads(), count);
            });
            let used = used.into_inner().unwrap();
            assert!((1..=count).contains(&used.len()), "{} of {count}", used.len());
            assert!(used.is_disjoint(&outside), "{count}");
        }
    }

    #[test]
    fn only_one_thread_is_one() {
        for count in 1..=5 {
            assert_eq!(Threads::new(count).unwrap().is_one(), count == 1);
        }
        let cores = std::thread::available_parallelism().unwrap().get();
        assert_eq!(Threads::new(0).unwrap().is_one(), cores == 1);
    }
}
