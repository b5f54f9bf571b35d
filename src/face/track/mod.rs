//! Faces over time: which is which, and where each is between detections.

mod life;
mod motion;
mod ride;

use super::detect::{Detection, Landmarks, turned};
use super::geometry::{Point, Rect, Similarity};
use super::mask::smoothstep;
use life::{Life, Look};
pub use motion::OwnMotion;
pub use ride::{Motion, ride};

/// Boxes that overlap by more (intersection over union) may be of one face.
const SAME: f32 = 0.2;
/// Two tracks that overlap by more are of one face, and the younger goes.
const DOUBLE: f32 = 0.5;
/// Distances from the detection, as shares of the distance between the eyes and means of the landmarks: what a detector
/// itself may miss by, from frame to frame 0.03 in strong noise; from the second on the face is lost and jumps to it.
const MISSED: (f32, f32) = (0.08, 0.3);
/// What is left of a landmark's error after each frame: see [`correction`].
const KEEP: f32 = 0.8;
/// The most that a detection moves landmarks, as a share of the way.
const MOST_CORRECTED: f32 = 0.5;
/// How many coasting times a face that is no longer shown is remembered: who turns away and
/// back is the same person.
const REMEMBERED: u32 = 6;
/// A face that is restored stays among the largest until another is larger by this factor.
const LARGER: f32 = 1.25;

/// What tracks are held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The least height of a face to be restored, in pixels of the picture.
    pub smallest: f32,
    /// The most faces to be restored in a picture, the largest ones.
    pub most: usize,
    /// Frames that a face stays after it was missed: half a second.
    pub coast: u32,
}

/// A face, followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Its number; no other face gets it.
    pub id: u64,
    /// In pixels of the small picture.
    pub landmarks: Landmarks,
    /// From brow to chin and ear to ear, in pixels of the small picture.
    pub area: Rect,
    /// Of the last detection that found it, 0 to 1.
    pub score: f32,
    life: Life,
    moved: Option<Similarity>,
    /// It was off by more than a detector is.
    strayed: bool,
}

impl Track {
    /// How far it is faded in, 0 to 1.
    pub fn blend(&self) -> f32 {
        self.life.blend()
    }

    /// It was found often or surely enough to be no chance.
    pub fn confirmed(&self) -> bool {
        self.life.confirmed()
    }

    /// It was there at the last detection.
    pub fn found(&self) -> bool {
        self.life.missed().is_none()
    }

    /// How it moved from the frame before to this one, points of the picture; `None` where that is not known.
    pub fn moved(&self) -> Option<&Similarity> {
        self.moved.as_ref()
    }

    /// Pixels between the eyes.
    pub fn eyes(&self) -> f32 {
        self.landmarks[0].distance(self.landmarks[1])
    }
}

/// Follows faces.
#[derive(Debug)]
pub struct Tracker {
    limits: Limits,
    tracks: Vec<Track>,
    next: u64,
    /// Frames since the last detection.
    since: u32,
    has_past: bool,
}

impl Tracker {
    /// No faces yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, tracks: Vec::new(), next: 1, since: 0, has_past: false }
    }

    /// Waits this many frames for a face that is not seen.
    pub fn set_coast(&mut self, frames: u32) {
        self.limits.coast = frames;
    }

    /// Every face, shown or not.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// How many there have been that were confirmed or still may be.
    pub fn count(&self) -> u64 {
        self.next - 1
    }

    /// Forgets every face; the next frame has no past.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.since = 0;
        self.has_past = false;
    }

    /// Whether a detection is due, when one is taken every `interval` frames: earlier while a face
    /// has not been confirmed, has just been missed or moves in a way that the motion does not tell.
    pub fn is_due(&self, interval: u32, has_motion: bool) -> bool {
        let open = self.tracks.iter().any(|track| {
            !track.confirmed()
                || track.strayed
                || track.life.missed().is_some_and(|frames| frames < self.limits.coast)
        });
        // Without motion, only a detection says where a face is.
        let blind = !has_motion && !self.tracks.is_empty();
        !self.has_past || open || blind || self.since + 1 >= interval
    }

    /// Goes on by a frame: faces ride on the motion, are corrected by detections where there are
    /// any, and fade.
    pub fn step(&mut self, motion: Option<Motion<'_>>, detections: Option<&[Detection]>) {
        self.since += 1;
        for track in &mut self.tracks {
            let moved = motion.as_ref().and_then(|motion| ride(motion, &track.landmarks));
            track.moved = moved;
            if let Some(moved) = moved {
                track.landmarks = track.landmarks.map(|point| moved.apply(point));
                track.area = track.area.moved(&moved);
            }
        }
        if let Some(detections) = detections {
            self.correct(detections);
            self.since = 0;
        }
        self.fade();
        self.has_past = true;
    }

    /// Gives each detection to a track, or begins one.
    fn correct(&mut self, detections: &[Detection]) {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (t, track) in self.tracks.iter().enumerate() {
            for (d, detection) in detections.iter().enumerate() {
                let overlap = track.area.overlap(&detection.area);
                if overlap > SAME {
                    pairs.push((overlap, t, d));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut hit = vec![false; self.tracks.len()];
        let mut taken = vec![false; detections.len()];
        let share = correction(self.since);
        for (_, t, d) in pairs {
            if !hit[t] && !taken[d] {
                (hit[t], taken[d]) = (true, true);
                self.tracks[t].correct(&detections[d], share);
            }
        }
        for (track, hit) in self.tracks.iter_mut().zip(hit) {
            if !hit {
                track.life.miss();
            }
        }
        for (detection, taken) in detections.iter().zip(taken) {
            if !taken && detection.score >= BEGINS {
                self.begin(detection);
            }
        }
        self.forget();
    }

    fn begin(&mut self, detection: &Detection) {
        let Detection { score, area, landmarks } = *detection;
        let life = Life::begin(score, self.has_past);
        self.tracks.push(Track { id: self.next, landmarks, area, score, life, moved: None, strayed: false });
        self.next += 1;
    }

    /// Drops chance finds that were not found again, faces that have been away too long, and doubles.
    fn forget(&mut self) {
        let long = self.limits.coast.saturating_mul(REMEMBERED);
        self.tracks.retain(|track| match track.life.missed() {
            Some(frames) => track.confirmed() && frames <= long,
            None => true,
        });
        let areas: Vec<Rect> = self.tracks.iter().map(|track| track.area).collect();
        // Older tracks come first.
        let mut at = 0;
        self.tracks.retain(|track| {
            let double = areas[..at].iter().any(|older| older.overlap(&track.area) > DOUBLE);
            at += 1;
            !double
        });
    }

    fn fade(&mut self) {
        let Limits { smallest, most, coast } = self.limits;
        let rank = |track: &Track| track.area.height * if track.blend() > 0.0 { LARGER } else { 1.0 };
        let mut order: Vec<usize> = (0..self.tracks.len()).collect();
        order.sort_by(|&a, &b| rank(&self.tracks[b]).total_cmp(&rank(&self.tracks[a])));
        let mut largest = vec![false; order.len()];
        order.into_iter().take(most).for_each(|at| largest[at] = true);
        for (track, chosen) in self.tracks.iter_mut().zip(largest) {
            let look = Look { size: track.area.height / smallest, turned: turned(&track.landmarks), chosen };
            track.life.step(look, coast, !self.has_past);
        }
    }
}

/// The least score of a detection that begins a track; a lower one keeps a track alive.
pub const BEGINS: f32 = 0.7;
/// The least score of a detection that keeps a track alive.
pub const CONTINUES: f32 = 0.45;

/// The share of the way to a detection that landmarks go after so many frames: the error of riding grows
/// with them.
fn correction(frames: u32) -> f32 {
    (1.0 - KEEP.powi(frames.min(1000) as i32)).min(MOST_CORRECTED)
}

impl Track {
    fn correct(&mut self, detection: &Detection, share: f32) {
        let off = |(is, found): (&Point, &Point)| is.distance(*found);
        let eyes = detection.landmarks[0].distance(detection.landmarks[1]).max(1.0);
        let missed = self.landmarks.iter().zip(&detection.landmarks).map(off).sum::<f32>() / (5.0 * eyes);
        self.strayed = missed > MISSED.0;
        let share = share + (1.0 - share) * smoothstep(MISSED.0, MISSED.1, missed);
        for (is, found) in self.landmarks.iter_mut().zip(&detection.landmarks) {
            *is = is.towards(*found, share);
        }
        let (centre, found) = (self.area.centre(), detection.area.centre());
        let middle = centre.towards(found, share);
        let side = |is: f32, found: f32| is + share * (found - is);
        let (width, height) =
            (side(self.area.width, detection.area.width), side(self.area.height, detection.area.height));
        self.area = Rect::new(middle.x - width / 2.0, middle.y - height / 2.0, width, height);
        self.score = detection.score;
        self.life.hit(detection.score);
    }
}

#[cfg(test)]
mod tests;
