//! How much is done for a frame of video that does not wait: a ladder of efforts, down at once when frames come late,
//! up again when there is time.
//!
//! Every rung has a cost, measured where it was used. A rung that costs less than a frame lasts is climbed after
//! [`HOLD`]; one that cost more is tried for a single frame now and then, so rarely that trying takes a
//! [`TRIALS`]th of the time at most. What a rung cost falls with what the present rung costs, so that it is tried sooner
//! when a load goes. Lateness that does not shrink on the lowest rung, though that has time to spare, is somebody else's, and
//! from then on as it should be. All times are in seconds.

use crate::enhance::Effort;

/// Share of a frame's time that a rung may cost to stay on it, and to climb to it.
const STAY: f64 = 0.95;
const CLIMB: f64 = 0.75;
/// Time on a rung before a higher one.
const HOLD: f64 = 0.3;
/// A rung that costs too much is tried again after so many times its cost, and this time at least: a frame that looks
/// different every now and then is seen.
const TRIALS: f64 = 12.0;
const REST: f64 = 1.8;
/// Weight of the newest frame in the cost of a rung: one odd frame shall not count for much.
const NEWEST: f64 = 0.15;
/// Time on the lowest rung after which lateness must have shrunk by a tenth of it to be ours.
const PROOF: f64 = 1.0;
/// How long what downstream said of late frames counts.
const TOLD: f64 = 0.25;
/// How fast the time that frames always come late by is forgotten, in frames a frame.
const FORGET: f64 = 0.02;

struct Rung {
    effort: Effort,
    cost: Option<f64>,
    measured: f64,
}

/// How late frames are.
#[derive(Default)]
struct Lateness {
    /// What they always are.
    usual: Option<f64>,
    /// When the lowest rung was stepped on, and how late they were.
    lowest: Option<(f64, f64)>,
}

impl Lateness {
    /// By how much a frame is later than usual. `idle` says that the lowest rung is in use and has time to spare.
    fn beyond(&mut self, now: f64, late: f64, forget: f64, idle: bool) -> f64 {
        let usual = self.usual.map_or(late, |usual| late.min(usual + forget));
        self.usual = Some(usual);
        if !idle {
            self.lowest = None;
            return late - usual;
        }
        let (since, then) = *self.lowest.get_or_insert((now, late));
        if now - since >= PROOF {
            self.lowest = Some((now, late));
            if late > then - 0.1 * (now - since) {
                self.usual = Some(late);
                return 0.0;
            }
        }
        late - usual
    }
}

/// The ladder of a stream.
pub struct Ladder {
    rungs: Vec<Rung>,
    at: usize,
    since: f64,
    /// Frames on this rung, and the most that one cost there, in the mean.
    frames: u32,
    peak: f64,
    /// Time that faces take, where they are restored.
    faces: f64,
    /// Before anything is done for frames.
    before: Lateness,
    /// As downstream says.
    told: Lateness,
    told_at: Option<(f64, f64)>,
    warm: bool,
    frame: f64,
    patience: f64,
}

impl Ladder {
    /// For frames that last so long, of which none is to be late by more than `patience`. `efforts` are those that there
    /// are, most first.
    pub fn new(efforts: &[Effort], frame: f64, patience: f64) -> Self {
        let rung = |&effort| Rung { effort, cost: None, measured: 0.0 };
        Self {
            rungs: efforts.iter().map(rung).collect(),
            at: 0,
            since: 0.0,
            frames: 0,
            peak: 0.0,
            faces: 0.0,
            before: Lateness::default(),
            told: Lateness { usual: Some(0.0), lowest: None },
            told_at: None,
            warm: false,
            frame,
            patience,
        }
    }

    /// Says what a rung is thought to cost before it was ever used, and begins on the highest one that there is time for.
    pub fn expect(&mut self, costs: &[(Effort, f64)]) {
        for rung in &mut self.rungs {
            let expected = costs.iter().find(|(effort, _)| *effort == rung.effort);
            rung.cost = expected.map(|&(_, cost)| cost);
        }
        let fits = |rung: &Rung| rung.cost.is_none_or(|cost| cost <= STAY * self.frame);
        self.at = self.rungs.iter().position(fits).unwrap_or(self.rungs.len().saturating_sub(1));
    }

    /// The effort of the present rung.
    pub fn effort(&self) -> Effort {
        self.rungs.get(self.at).map_or(Effort::Full, |rung| rung.effort)
    }

    /// How much is done, from 0 on the lowest rung to 1 on the highest.
    pub fn quality(&self) -> f64 {
        match self.rungs.len() {
            0 | 1 => 1.0,
            count => (count - 1 - self.at) as f64 / (count - 1) as f64,
        }
    }

    /// Cost of the present rung, in frames.
    pub fn proportion(&self) -> f64 {
        self.rungs.get(self.at).and_then(|rung| rung.cost).map_or(1.0, |cost| cost / self.frame)
    }

    /// Says that frames are late, or early where negative, downstream.
    pub fn tell(&mut self, now: f64, late: f64) {
        self.told_at = Some((now, late));
    }

    /// Times begin anew: a seek, a new clock.
    pub fn forget_times(&mut self) {
        (self.before, self.told_at, self.since) = (Lateness::default(), None, 0.0);
        self.rungs.iter_mut().for_each(|rung| rung.measured = 0.0);
    }

    /// Chooses the effort for a frame that is late by so much before anything was done for it.
    pub fn choose(&mut self, now: f64, late: f64, patience: f64) -> Effort {
        self.patience = patience;
        let last = self.rungs.len().saturating_sub(1);
        let idle = self.at == last && self.frames > 0 && self.proportion() < 0.5;
        let forget = FORGET * self.frame;
        let mut behind = self.before.beyond(now, late, forget, idle);
        if let Some((_, late)) = self.told_at.filter(|(when, _)| now - when < TOLD) {
            let late = self.told.beyond(now, late, forget, idle);
            // Less than that is for the sink to make up for.
            behind = if late > self.patience { behind.max(late) } else { behind };
        }
        if behind > self.patience {
            self.step_to(last, now);
        } else if self.is_too_dear(behind) {
            let fits = |rung: &Rung| rung.cost.is_none_or(|cost| cost <= STAY * self.frame);
            let below = (self.at + 1..=last).find(|&at| fits(&self.rungs[at]));
            self.step_to(below.unwrap_or(last), now);
        } else if behind <= 0.5 * self.frame && now - self.since >= HOLD {
            self.climb(now);
        }
        self.effort()
    }

    /// The present rung costs more than there is time for: frames are late and stay so, or the next one would be late by more
    /// than is allowed.
    fn is_too_dear(&self, behind: f64) -> bool {
        let cost = self.proportion() * self.frame;
        let stays = self.frames > 1 && behind > 0.5 * self.frame && cost > STAY * self.frame;
        stays || self.frames > 0 && cost > self.frame && behind + cost - self.frame > self.patience
    }

    fn climb(&mut self, now: f64) {
        let fits = |rung: &Rung| rung.cost.is_some_and(|cost| self.eased() * cost <= CLIMB * self.frame);
        if let Some(above) = (0..self.at).find(|&at| fits(&self.rungs[at])) {
            return self.step_to(above, now);
        }
        let Some(next) = self.at.checked_sub(1) else { return };
        let rung = &self.rungs[next];
        let rested = now - rung.measured;
        if rung.cost.is_none_or(|cost| rested >= (TRIALS * self.eased() * cost).max(REST)) {
            self.step_to(next, now);
        }
    }

    /// What the present rung costs, over the most that it did since it was stepped on.
    fn eased(&self) -> f64 {
        match self.rungs[self.at].cost {
            Some(cost) if self.frames > 0 && self.peak > 0.0 => (cost / self.peak).clamp(0.1, 1.0),
            _ => 1.0,
        }
    }

    fn step_to(&mut self, at: usize, now: f64) {
        if at != self.at {
            (self.at, self.since, self.frames, self.peak) = (at, now, 0, 0.0);
        }
    }

    /// Says what a frame cost, and how much of it for faces.
    pub fn done(&mut self, now: f64, cost: f64, faces: f64) {
        // The first one fills caches and reserves memory.
        if !std::mem::replace(&mut self.warm, true) || self.rungs.is_empty() {
            return;
        }
        // The first one on a rung may have no past, and has other memory: it says little.
        let first = self.frames < 2;
        self.frames += 1;
        let mean = |old: Option<f64>, new: f64| match old {
            Some(old) if !first => old + NEWEST * (new - old),
            _ => new,
        };
        let rung = &mut self.rungs[self.at];
        let cost = mean(rung.cost, cost);
        (rung.cost, rung.measured) = (Some(cost), now);
        self.peak = self.peak.max(cost);
        let effort = rung.effort;
        if effort == Effort::Full {
            self.faces = mean(Some(self.faces).filter(|_| !first), faces);
        }
        // Either tells of the other, if not for sure what faces would cost now.
        let (other, cost, measured) = match effort {
            Effort::Full => (Effort::NoFaces, cost - self.faces, Some(now)),
            Effort::NoFaces => (Effort::Full, cost + self.faces, None),
            Effort::Light | Effort::Resampled => return,
        };
        if let Some(other) = self.rungs.iter_mut().find(|rung| rung.effort == other) {
            other.cost = Some(cost.max(0.0));
            other.measured = measured.unwrap_or(other.measured);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: f64 = 0.04;
    const PATIENCE: f64 = 0.1;
    const ALL: [Effort; 4] = [Effort::Full, Effort::NoFaces, Effort::Light, Effort::Resampled];

    /// A live stream through an element that handles a frame after the other, in simulated time.
    struct Stream {
        ladder: Ladder,
        now: f64,
        number: u64,
        /// Lateness of each frame when it is done, and the effort for it.
        frames: Vec<(f64, Effort)>,
    }

    impl Stream {
        fn new(efforts: &[Effort]) -> Self {
            let ladder = Ladder::new(efforts, FRAME, PATIENCE);
            Self { ladder, now: 0.0, number: 0, frames: Vec::new() }
        }

        /// So many seconds of frames, each at a cost of whole and of faces.
        fn play(&mut self, seconds: f64, cost: impl Fn(Effort) -> (f64, f64)) -> &[(f64, Effort)] {
            let from = self.frames.len();
            for _ in 0..(seconds / FRAME).round() as u64 {
                let due = self.number as f64 * FRAME;
                self.number += 1;
                self.now = self.now.max(due);
                let effort = self.ladder.choose(self.now, self.now - due, PATIENCE);
                let (whole, faces) = cost(effort);
                self.now += whole;
                self.ladder.done(self.now, whole, faces);
                self.frames.push((self.now - due, effort));
            }
            &self.frames[from..]
        }
    }

    /// Costs of the efforts, most first, as shares of a frame.
    fn costs(shares: [f64; 4], faces: f64) -> impl Fn(Effort) -> (f64, f64) {
        move |effort| {
            let at = ALL.iter().position(|&known| known == effort).unwrap();
            (shares[at] * FRAME, if effort == Effort::Full { faces * FRAME } else { 0.0 })
        }
    }

    fn share(frames: &[(f64, Effort)], is: impl Fn(Effort) -> bool) -> f64 {
        frames.iter().filter(|(_, effort)| is(*effort)).count() as f64 / frames.len() as f64
    }

    fn latest(frames: &[(f64, Effort)]) -> f64 {
        frames.iter().map(|&(late, _)| late).fold(0.0, f64::max)
    }

    #[test]
    fn a_stream_that_keeps_up_is_never_touched() {
        for full in [0.05, 0.3, 0.6, 0.9, 0.94] {
            let mut stream = Stream::new(&ALL);
            let frames = stream.play(60.0, costs([full, full / 2.0, 0.1, 0.02], full / 2.0));
            assert_eq!(share(frames, |effort| effort == Effort::Full), 1.0, "a frame costs {full}");
        }
    }

    #[test]
    fn one_that_always_comes_late_by_the_same_is_never_touched() {
        let mut ladder = Ladder::new(&ALL, FRAME, PATIENCE);
        for number in 0..1000 {
            let now = f64::from(number) * FRAME + 0.7;
            assert_eq!(ladder.choose(now, 0.7, PATIENCE), Effort::Full);
            ladder.done(now + 0.02, 0.02, 0.0);
        }
    }

    #[test]
    fn times_that_jump_are_got_over_in_seconds() {
        for jump in [0.3, 3.0, 3600.0] {
            let mut ladder = Ladder::new(&ALL, FRAME, PATIENCE);
            let mut efforts = Vec::new();
            for number in 0..200 {
                let now = f64::from(number) * FRAME;
                efforts.push(ladder.choose(now, if number < 50 { 0.0 } else { jump }, PATIENCE));
                ladder.done(now + 0.01, 0.01, 0.0);
            }
            assert!(efforts[..50].iter().all(|&effort| effort == Effort::Full));
            assert!(efforts[100..].iter().all(|&effort| effort == Effort::Full), "a jump of {jump} s");
        }
    }

    #[test]
    fn a_sink_that_always_says_late_is_not_believed_for_ever() {
        let mut ladder = Ladder::new(&ALL, FRAME, PATIENCE);
        let mut whole = 0;
        for number in 0..1000 {
            let now = f64::from(number) * FRAME;
            ladder.tell(now, 0.5);
            whole += u32::from(ladder.choose(now, 0.0, PATIENCE) == Effort::Full);
            ladder.done(now + 0.01, 0.01, 0.0);
        }
        assert!(whole > 900, "{whole} of 1000");
    }

    #[test]
    fn too_slow_a_network_never_makes_frames_late_by_more_than_a_fifth_of_a_second() {
        // In hundredths of a frame: up to 150 ms for the highest rung.
        for full in (100..=375).step_by(25) {
            for light in [5, 40, 90, 150] {
                let costs =
                    costs([full as f64 / 100.0, full as f64 / 100.0, light as f64 / 100.0, 0.05], 0.0);
                let mut stream = Stream::new(&ALL);
                stream.play(60.0, costs);
                let late = latest(&stream.frames[2..]);
                assert!(late < 0.2 + 0.15 * FRAME, "full {full}, light {light}: {late:.3} s");
            }
        }
    }

    #[test]
    fn the_most_that_there_is_time_for_is_done() {
        for (shares, faces, best) in [
            ([1.5, 0.5, 0.1, 0.02], 1.0, Effort::NoFaces),
            ([2.5, 1.5, 0.1, 0.02], 1.0, Effort::Light),
            ([2.5, 2.5, 0.6, 0.02], 0.0, Effort::Light),
            ([2.5, 2.5, 1.5, 0.02], 0.0, Effort::Resampled),
        ] {
            let mut stream = Stream::new(&ALL);
            stream.play(5.0, costs(shares, faces));
            let frames = stream.play(60.0, costs(shares, faces));
            let most = share(frames, |effort| effort == best);
            assert!(most > 0.9, "{shares:?}: {most} {best:?}");
        }
    }

    #[test]
    fn everything_is_done_again_within_three_seconds_after_a_load_goes() {
        for full in (100..=375).step_by(25) {
            for quiet in [0.1, 0.4, 0.7] {
                let loaded = full as f64 / 100.0;
                let mut stream = Stream::new(&ALL);
                stream.play(3.0, costs([quiet, quiet / 2.0, 0.1, 0.02], quiet / 2.0));
                let frames =
                    stream.play(20.0, costs([loaded, loaded / 2.0 + 0.5, 0.3, 0.06], loaded / 2.0 - 0.5));
                assert!(share(frames, |effort| effort > Effort::Full) > 0.5 || loaded < 1.05, "{loaded}");
                stream.play(3.0, costs([quiet, quiet / 2.0, 0.1, 0.02], quiet / 2.0));
                let frames = stream.play(10.0, costs([quiet, quiet / 2.0, 0.1, 0.02], quiet / 2.0));
                let whole = share(frames, |effort| effort == Effort::Full);
                assert_eq!(whole, 1.0, "from {loaded} to {quiet}");
            }
        }
    }

    #[test]
    fn a_rung_that_is_far_too_slow_is_tried_so_rarely_that_it_hardly_shows() {
        for full in [10.0, 25.0, 100.0] {
            let mut stream = Stream::new(&ALL);
            let frames = stream.play(300.0, costs([full, full, 0.3, 0.02], 0.0));
            let trying = frames.iter().filter(|(_, effort)| *effort < Effort::Light).count();
            assert!(trying as f64 * full * FRAME < 300.0 / 8.0, "{full}: tried {trying} times");
        }
    }

    #[test]
    fn what_is_known_to_be_too_slow_is_not_begun_with() {
        for full in [2.0, 10.0, 80.0] {
            let mut stream = Stream::new(&ALL);
            let costs = costs([full, full, 0.5, 0.02], 0.0);
            stream.ladder.expect(&[(Effort::Full, full * FRAME), (Effort::NoFaces, full * FRAME)]);
            let frames = stream.play(FRAME * 20.0, costs);
            assert!(frames.iter().all(|(late, effort)| *effort == Effort::Light && *late < FRAME), "{full}");
        }
    }

    #[test]
    fn a_rung_that_is_a_little_too_slow_is_not_tried_all_the_time() {
        let mut stream = Stream::new(&ALL);
        let frames = stream.play(90.0, costs([1.3, 1.3, 0.1, 0.02], 0.0));
        let tried = frames.windows(2).filter(|pair| pair[0].1 == Effort::Light && pair[1].1 < Effort::Light);
        let tried = tried.count() as f64;
        assert!((10.0..=50.0).contains(&tried), "{tried} times");
    }

    #[test]
    fn a_load_that_goes_is_seen_by_what_the_present_rung_costs() {
        // One that costs ten frames would be tried every five seconds. Only where it was just tried, there is nothing to see.
        let mut back = 0;
        for phase in 0..20 {
            let mut stream = Stream::new(&ALL);
            stream.play(20.0 + 0.25 * f64::from(phase), costs([10.0, 10.0, 0.6, 0.2], 0.0));
            stream.play(3.0, costs([0.5, 0.5, 0.03, 0.01], 0.0));
            let frames = stream.play(1.0, costs([0.5, 0.5, 0.03, 0.01], 0.0));
            back += u32::from(share(frames, |effort| effort == Effort::Full) == 1.0);
        }
        assert!(back >= 17, "{back} of 20");
    }

    #[test]
    fn one_slow_frame_alone_changes_nothing() {
        let mut stream = Stream::new(&ALL);
        stream.play(2.0, costs([0.5, 0.3, 0.1, 0.02], 0.2));
        stream.play(FRAME, costs([2.5, 0.3, 0.1, 0.02], 0.2));
        let frames = stream.play(5.0, costs([0.5, 0.3, 0.1, 0.02], 0.2));
        assert_eq!(share(frames, |effort| effort == Effort::Full), 1.0);
    }

    #[test]
    fn what_downstream_says_counts_while_it_is_news() {
        let mut ladder = Ladder::new(&ALL, FRAME, PATIENCE);
        for number in 0..20 {
            let now = f64::from(number) * FRAME;
            ladder.choose(now, 0.0, PATIENCE);
            ladder.done(now, 0.01, 0.0);
        }
        ladder.tell(0.8, 0.05);
        assert_eq!(ladder.choose(0.8, 0.0, PATIENCE), Effort::Full);
        ladder.tell(0.84, 0.3);
        assert_eq!(ladder.choose(0.84, 0.0, PATIENCE), Effort::Resampled);
        assert_eq!(ladder.choose(0.84 + TOLD + HOLD, 0.0, PATIENCE), Effort::Full);
    }

    #[test]
    fn quality_falls_from_one_to_nothing_with_the_rungs_that_there_are() {
        for count in 1..=ALL.len() {
            let mut ladder = Ladder::new(&ALL[..count], FRAME, PATIENCE);
            assert_eq!(ladder.quality(), 1.0);
            ladder.choose(0.0, 0.0, PATIENCE);
            ladder.choose(1.0, 1.0, PATIENCE);
            assert_eq!(ladder.effort(), ALL[count - 1]);
            assert_eq!(ladder.quality(), if count == 1 { 1.0 } else { 0.0 });
        }
    }
}
