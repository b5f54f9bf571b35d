//! Networks that several streams run: loaded once in a process, whoever asks for the same file on the same provider,
//! and run in turns, first come first served. What is remembered from frame to frame is not here, so that streams
//! cannot see each other.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LockResult, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ort::session::Session;

use super::onnx::Options;
use super::provider::{Choice, Provider};
use super::runtime;

/// How long one that waits for its turn may be deaf to being stopped.
const DEAF: Duration = Duration::from_millis(20);

/// Nodes of a network by the provider that runs them.
pub(super) type Nodes = Vec<(String, usize)>;

/// Starts a session.
pub(super) type Start = Box<dyn Fn() -> Result<Session, String> + Send + Sync>;

/// A network's sessions and those who wait for them.
pub(super) struct Shared {
    sessions: Mutex<ByShape<Session>>,
    /// Starts another one for inputs of another shape, where they are not all run on one.
    again: Option<Again>,
    nodes: Nodes,
    turns: Turns,
    /// Sessions of the same network on one thread each that nobody runs just now.
    lanes: Mutex<Vec<Session>>,
}

impl Shared {
    /// The nodes by provider.
    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Waits for a turn and runs on inputs of a shape; where nothing is run, or it does not matter, that is empty. `None` if it was
    /// stopped meanwhile.
    pub(super) fn run<T>(
        self: &Arc<Self>,
        shape: &[usize],
        is_stopped: impl Fn() -> bool,
        run: impl FnOnce(&mut Session) -> T,
    ) -> Option<T> {
        let _turn = self.turns.wait(is_stopped)?;
        let mut sessions = whole(self.sessions.lock());
        let session = match &self.again {
            // Streams of as many sizes there can be.
            Some(Again { start, most }) if !shape.is_empty() => {
                let tell = |reason| {
                    runtime::warn(&format!(
                        "sizes that change will take long, as no further session can be had: {reason}"
                    ));
                };
                sessions.of(shape, most.unwrap_or_else(|| Arc::strong_count(self)), start, tell)
            }
            _ => sessions.last(),
        };
        Some(run(session))
    }

    /// Runs on a session that nobody else runs, and that `start` makes where there is none: there are as many as were ever run at the
    /// same time.
    ///
    /// # Errors
    /// What `start` says.
    pub(super) fn run_beside<T>(
        &self,
        start: impl FnOnce() -> Result<Session, String>,
        run: impl FnOnce(&mut Session) -> T,
    ) -> Result<T, String> {
        let idle = whole(self.lanes.lock()).pop();
        let mut session = idle.map_or_else(start, Ok)?;
        let result = run(&mut session);
        whole(self.lanes.lock()).push(session);
        Ok(result)
    }
}

/// How further sessions come about.
pub(super) struct Again {
    pub(super) start: Start,
    /// How many shapes there may be a session for; `None` for as many as there are streams.
    pub(super) most: Option<usize>,
}

/// Sessions, each for inputs of one shape: a runtime that plans a run for the shape of its inputs keeps one plan, and makes it anew
/// for each that follows another. There is always one.
struct ByShape<T> {
    /// With the shape that each was run on last; the one that was run last is the last.
    sessions: Vec<(Vec<usize>, T)>,
    /// Another one could not be had, and is not asked for at every frame.
    is_full: bool,
}

impl<T> ByShape<T> {
    fn new(first: T) -> Self {
        Self { sessions: vec![(Vec::new(), first)], is_full: false }
    }

    /// The one that was run last.
    fn last(&mut self) -> &mut T {
        let (_, last) = self.sessions.last_mut().expect("there is always one");
        last
    }

    /// The one for a shape. Where there are as many as there may be, or another cannot be had, which is told, it is the one that was run
    /// longest ago, which takes as long as all did if there were but one.
    fn of(
        &mut self,
        shape: &[usize],
        most: usize,
        start: impl Fn() -> Result<T, String>,
        tell: impl Fn(String),
    ) -> &mut T {
        let known = |of: &[usize]| self.sessions.iter().position(|(known, _)| known == of);
        let found = known(shape).or_else(|| known(&[]));
        let room = found.is_none() && self.sessions.len() < most && !self.is_full;
        let session = match room.then(start) {
            Some(Ok(started)) => started,
            refused => {
                if let Some(Err(reason)) = refused {
                    self.is_full = true;
                    tell(reason);
                }
                self.sessions.remove(found.unwrap_or(0)).1
            }
        };
        self.sessions.push((shape.to_vec(), session));
        self.last()
    }
}

/// How many streams run a network, without keeping it.
#[derive(Clone)]
pub struct Users(Weak<Shared>);

impl Users {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// The streams that have it loaded now.
    pub fn count(&self) -> usize {
        self.0.strong_count()
    }
}

/// What makes two networks the same.
#[derive(Clone, PartialEq)]
struct Key {
    path: PathBuf,
    length: usize,
    digest: u64,
    options: Options,
}

/// A place for a session: locked while it is loaded, so that those who come meanwhile find it.
type Place = Arc<Mutex<Weak<Shared>>>;

static PLACES: Mutex<Vec<(Key, Place)>> = Mutex::new(Vec::new());

/// The sessions of a network that is loaded already, or that `start` loads. `model` is the file as it is run,
/// `path` where it was read from; more sessions come about as `again` says.
///
/// # Errors
/// What `start` says.
pub(super) fn session(
    path: &Path,
    model: &[u8],
    provider: Provider,
    options: &Options,
    again: Option<Again>,
    start: impl FnOnce() -> Result<(Session, Nodes), String>,
) -> Result<Arc<Shared>, String> {
    let mut hasher = DefaultHasher::new();
    hasher.write(model);
    // Who was chosen counts, not who could have been.
    let options = Options { choice: Choice::Only(provider), ..options.clone() };
    let key = Key { path: path.into(), length: model.len(), digest: hasher.finish(), options };
    let place = place(key);
    let mut place = whole(place.lock());
    if let Some(shared) = place.upgrade() {
        return Ok(shared);
    }
    let (session, nodes) = start()?;
    let (sessions, turns, lanes) = (Mutex::new(ByShape::new(session)), Turns::default(), Mutex::default());
    let shared = Arc::new(Shared { sessions, again, nodes, turns, lanes });
    *place = Arc::downgrade(&shared);
    Ok(shared)
}

fn place(key: Key) -> Place {
    let mut places = whole(PLACES.lock());
    // One that nobody waits for is locked by nobody.
    places.retain(|(_, place)| Arc::strong_count(place) > 1 || whole(place.lock()).strong_count() > 0);
    if let Some((_, place)) = places.iter().find(|(known, _)| *known == key) {
        return place.clone();
    }
    let place = Place::default();
    places.push((key, place.clone()));
    place
}

/// A panic elsewhere leaves none of this half done.
fn whole<T>(locked: LockResult<MutexGuard<'_, T>>) -> MutexGuard<'_, T> {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// Turns in the order of asking. A mutex alone would let the stream that has just had it have it again.
#[derive(Default)]
struct Turns {
    waiting: Mutex<Waiting>,
    next: Condvar,
}

#[derive(Default)]
struct Waiting {
    tickets: VecDeque<u64>,
    last: u64,
}

/// A place in the row, the turn itself when it is at its head.
struct Turn<'a> {
    turns: &'a Turns,
    ticket: u64,
}

impl Turns {
    fn wait(&self, is_stopped: impl Fn() -> bool) -> Option<Turn<'_>> {
        let mut waiting = whole(self.waiting.lock());
        waiting.last += 1;
        let turn = Turn { turns: self, ticket: waiting.last };
        waiting.tickets.push_back(turn.ticket);
        while waiting.tickets.front() != Some(&turn.ticket) {
            if is_stopped() {
                // Its end needs the lock.
                drop(waiting);
                return None;
            }
            let woken = self.next.wait_timeout(waiting, DEAF);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(waiting);
        Some(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        whole(self.turns.waiting.lock()).tickets.retain(|&ticket| ticket != self.ticket);
        self.turns.next.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn wait_until(is_true: impl Fn() -> bool) {
        while !is_true() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn each_shape_has_a_session_of_its_own_as_long_as_there_is_room() {
        let started = std::cell::Cell::new(0);
        let start = || {
            started.set(started.get() + 1);
            Ok::<_, String>(started.get())
        };
        let mut sessions = ByShape::new(0);
        // Number of the session for each shape in turn, and how many there may be.
        for (shape, most, expected) in [
            (1, 3, 0),
            (1, 3, 0),
            (2, 3, 1),
            (3, 3, 2),
            (2, 3, 1),
            (1, 3, 0),
            // The one of 3 was run longest ago.
            (4, 3, 2),
            (2, 3, 1),
            // A stream more, and one less again: nothing is given back before it is needed.
            (3, 4, 3),
            (5, 2, 0),
            (4, 2, 2),
            (2, 2, 1),
            (3, 2, 3),
        ] {
            assert_eq!(*sessions.of(&[shape], most, start, |_| ()), expected, "{shape} of {most}");
            assert_eq!(*sessions.last(), expected);
        }
        let mut only = ByShape::new(0);
        for shape in [1, 2, 1] {
            assert_eq!(*only.of(&[shape], 1, start, |_| ()), 0);
        }
        let (asked, told) = (std::cell::Cell::new(0), std::cell::RefCell::new(Vec::new()));
        let refuse = || {
            asked.set(asked.get() + 1);
            Err("no memory".to_string())
        };
        for shape in [1, 2, 1, 3] {
            let one = only.of(&[shape], 9, refuse, |reason| told.borrow_mut().push(reason));
            assert_eq!(*one, 0, "one that cannot be had");
        }
        assert_eq!((asked.get(), told.into_inner()), (1, vec!["no memory".to_string()]), "told once");
    }

    #[test]
    fn turns_come_in_the_order_of_asking() {
        let turns = Turns::default();
        let order = Mutex::new(Vec::new());
        let row = || turns.waiting.lock().unwrap().tickets.len();
        std::thread::scope(|scope| {
            let first = turns.wait(|| false).unwrap();
            for number in 1..=8 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let _turn = turns.wait(|| false).unwrap();
                    order.lock().unwrap().push(number);
                });
                wait_until(|| row() == 1 + number);
            }
            drop(first);
        });
        assert_eq!(order.into_inner().unwrap(), (1..=8).collect::<Vec<_>>());
        assert_eq!(row(), 0);
    }

    #[test]
    fn one_that_is_stopped_leaves_the_row_and_holds_nobody_up() {
        let turns = Turns::default();
        let stopped = AtomicBool::new(false);
        let row = || turns.waiting.lock().unwrap().tickets.len();
        std::thread::scope(|scope| {
            let first = turns.wait(|| false).unwrap();
            let gives_up = scope.spawn(|| turns.wait(|| stopped.load(Ordering::SeqCst)).is_none());
            wait_until(|| row() == 2);
            let waits = scope.spawn(|| turns.wait(|| false).is_some());
            wait_until(|| row() == 3);
            stopped.store(true, Ordering::SeqCst);
            assert!(gives_up.join().unwrap());
            drop(first);
            assert!(waits.join().unwrap());
        });
        assert_eq!(row(), 0);
    }

    #[test]
    fn a_turn_ends_when_its_run_panics() {
        let turns = Turns::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _turn = turns.wait(|| false);
            panic!("a run");
        }));
        assert!(panicked.is_err());
        assert!(turns.wait(|| true).is_some());
    }
}
