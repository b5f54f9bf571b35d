use super::*;
use crate::flow::Flow;
use ndarray::Array2;

const LIMITS: Limits = Limits { smallest: 20.0, most: 8, coast: 5 };

fn face(x: f32, y: f32, height: f32, score: f32) -> Detection {
    let at = |dx: f32, dy: f32| Point::new(x + dx * height, y + dy * height);
    let landmarks = [at(-0.2, -0.15), at(0.2, -0.15), at(0.0, 0.05), at(-0.16, 0.25), at(0.16, 0.25)];
    let width = 0.8 * height;
    Detection { score, area: Rect::new(x - width / 2.0, y - height / 2.0, width, height), landmarks }
}

fn uniform(u: f32, v: f32) -> Flow {
    Flow { u: Array2::from_elem((200, 300), -u), v: Array2::from_elem((200, 300), -v) }
}

fn shown(tracker: &Tracker) -> Vec<u64> {
    tracker.tracks().iter().filter(|track| track.blend() > 0.0).map(|track| track.id).collect()
}

#[test]
fn a_face_keeps_its_number_wherever_it_goes() {
    for (u, v) in [(0.0, 0.0), (5.0, -2.0), (-9.0, 4.0)] {
        let mut tracker = Tracker::new(LIMITS);
        let flow = uniform(u, v);
        for frame in 0..12 {
            let (x, y) = (150.0 + u * frame as f32, 100.0 + v * frame as f32);
            let found = [face(x, y, 40.0, 0.8)];
            let detections = (frame % 5 == 0).then_some(&found[..]);
            tracker.step((frame > 0).then_some(Motion { flow: &flow, scale: 1.0 }), detections);
            assert_eq!(tracker.tracks().len(), 1);
            let track = &tracker.tracks()[0];
            assert_eq!(track.id, 1);
            assert!(track.landmarks[2].distance(found[0].landmarks[2]) < 0.05, "{u},{v}, frame {frame}");
            assert!(track.area.overlap(&found[0].area) > 0.99);
        }
    }
}

#[test]
fn a_detection_moves_landmarks_by_a_share_and_lost_ones_all_the_way() {
    // 20 pixels between the eyes.
    for since in 1..40_u32 {
        let share = (1.0 - 0.8_f32.powi(since as i32)).min(0.5);
        let mut before = share;
        for tenth in 1..120 {
            let off = tenth as f32 / 10.0;
            let mut tracker = Tracker::new(LIMITS);
            tracker.step(None, Some(&[face(150.0, 100.0, 50.0, 0.95)]));
            let flow = uniform(0.0, 0.0);
            let motion = Some(Motion { flow: &flow, scale: 1.0 });
            (1..since).for_each(|_| tracker.step(motion, None));
            tracker.step(motion, Some(&[face(150.0 + off, 100.0, 50.0, 0.95)]));
            let moved = (tracker.tracks()[0].landmarks[2].x - 150.0) / off;
            let expected = if off < 1.6 {
                share..=share
            } else if off < 6.0 {
                before..=1.0
            } else {
                1.0..=1.0
            };
            assert!(
                moved > expected.start() - 0.003 && moved < expected.end() + 0.003,
                "after {since}, {off} off: {moved}"
            );
            before = moved;
            // One that strayed is looked at again in the next frame; 1.6 itself is either.
            if tenth != 16 {
                assert_eq!(tracker.is_due(100, true), off > 1.6, "{off} off");
            }
        }
    }
}

#[test]
fn two_faces_that_pass_each_other_keep_their_numbers() {
    let mut tracker = Tracker::new(LIMITS);
    for frame in 0..30 {
        let step = 4.0 * frame as f32;
        let (one, other) = (face(60.0 + step, 60.0, 40.0, 0.95), face(180.0 - step, 105.0, 40.0, 0.95));
        tracker.step(None, Some(&[other, one]));
        let of = |id: u64| tracker.tracks().iter().find(|track| track.id == id).unwrap().area.centre();
        assert!(of(1).distance(other.area.centre()) < 30.0, "frame {frame}");
        assert!(of(2).distance(one.area.centre()) < 30.0, "frame {frame}");
        assert_eq!(tracker.tracks().len(), 2);
    }
}

#[test]
fn a_chance_find_is_dropped_before_it_is_seen() {
    let mut tracker = Tracker::new(LIMITS);
    tracker.step(None, Some(&[]));
    tracker.step(None, Some(&[face(100.0, 100.0, 40.0, 0.8)]));
    assert!(tracker.is_due(5, true));
    assert!(shown(&tracker).is_empty());
    tracker.step(None, Some(&[]));
    assert!(tracker.tracks().is_empty());
    // Below the score to begin with, there is none at all.
    tracker.step(None, Some(&[face(100.0, 100.0, 40.0, BEGINS - 0.01)]));
    assert!(tracker.tracks().is_empty());
}

#[test]
fn who_turns_away_and_back_is_the_same_person() {
    for away in 1..=(LIMITS.coast * REMEMBERED) {
        let mut tracker = Tracker::new(LIMITS);
        tracker.step(None, Some(&[face(100.0, 100.0, 40.0, 0.95)]));
        (0..away).for_each(|_| tracker.step(None, Some(&[])));
        tracker.step(None, Some(&[face(103.0, 98.0, 40.0, 0.95)]));
        assert_eq!(tracker.tracks().len(), 1, "away for {away}");
        assert_eq!(tracker.tracks()[0].id, 1);
    }
    let mut tracker = Tracker::new(LIMITS);
    tracker.step(None, Some(&[face(100.0, 100.0, 40.0, 0.95)]));
    (0..LIMITS.coast * REMEMBERED + 2).for_each(|_| tracker.step(None, Some(&[])));
    assert!(tracker.tracks().is_empty());
}

#[test]
fn of_a_crowd_the_largest_are_shown_and_near_ties_do_not_take_turns() {
    let crowd = |swap: f32| -> Vec<Detection> {
        (0..100)
            .map(|i| {
                let height = if i == 7 { 27.0 + swap } else { 20.0 + (i % 8) as f32 };
                face(15.0 + 30.0 * (i % 10) as f32, 15.0 + 30.0 * (i / 10) as f32, height, 0.95)
            })
            .collect()
    };
    for most in [0, 1, 5, 100, 1000] {
        let mut tracker = Tracker::new(Limits { most, ..LIMITS });
        tracker.step(None, Some(&crowd(0.5)));
        let first = shown(&tracker);
        assert_eq!(tracker.tracks().len(), 100);
        assert_eq!(first.len(), most.min(100));
        if most == 1 {
            assert_eq!(first, [8]);
        }
        for frame in 0..10 {
            tracker.step(None, Some(&crowd(if frame % 2 == 0 { -0.5 } else { 0.5 })));
            assert_eq!(shown(&tracker), first, "{most}, frame {frame}");
        }
    }
}

#[test]
fn a_detection_is_due_when_its_time_has_come_or_something_is_open() {
    for interval in 1..10 {
        let mut tracker = Tracker::new(LIMITS);
        assert!(tracker.is_due(interval, true), "the first frame");
        tracker.step(None, Some(&[face(100.0, 100.0, 40.0, 0.95)]));
        for frame in 1..interval {
            assert!(!tracker.is_due(interval, true), "frame {frame} of {interval}");
            assert!(tracker.is_due(interval, false), "without motion, frame {frame}");
            tracker.step(None, None);
        }
        assert!(tracker.is_due(interval, true), "frame {interval}");
        tracker.reset();
        assert!(tracker.tracks().is_empty() && tracker.is_due(interval, true));
    }
}
