//! Pictures that a network runs at the same time, a thread each: how parts of a picture are cut up so that all threads have as much
//! to do. One thread makes a small picture with less work than several make it together, which wait for each other at every node.

use crate::image::{Size, Window};

/// Cutting up must save this share of the time to be worth its context.
const WORTH: f32 = 0.1;
/// Rows of a band, at least, in radii of what its pixels depend on: the context of two sides is two of them.
const LEAST_BAND: usize = 3;

/// Into how many pieces each of several parts is cut, along its longer side, where so many lanes share them.
pub fn pieces(parts: &[Size], context: usize, lanes: usize) -> Vec<usize> {
    let cost = |part: &Size, pieces: usize| {
        let (long, short) = (part.width.max(part.height), part.width.min(part.height));
        (long.div_ceil(pieces) + 2 * context) * (short + 2 * context) + Window::RUN
    };
    let largest = parts.iter().map(|part| cost(part, 1)).max().unwrap_or(0);
    let mut best = vec![1; parts.len()];
    let mut least = usize::MAX;
    for most in (1..=lanes).map(|share| largest.div_ceil(share)) {
        let cut: Vec<_> = parts.iter().map(|part| cost(part, 1).div_ceil(most.max(1))).collect();
        let costs = parts.iter().zip(&cut).flat_map(|(part, &n)| std::iter::repeat_n(cost(part, n), n));
        let time = time(costs.collect(), lanes);
        if (time as f32) < (1.0 - WORTH) * least as f32 {
            (best, least) = (cut, time);
        }
    }
    best
}

/// When the last of several is done, if each lane takes the largest that is left.
fn time(mut costs: Vec<usize>, lanes: usize) -> usize {
    costs.sort_unstable_by(|a, b| b.cmp(a));
    let mut busy = vec![0; lanes.max(1)];
    for cost in costs {
        if let Some(free) = busy.iter_mut().min() {
            *free += cost;
        }
    }
    busy.into_iter().max().unwrap_or(0)
}

/// The bands that a whole picture is made in, of so many rows, where what a pixel depends on ends at a radius.
pub fn bands(rows: usize, radius: usize, lanes: usize) -> usize {
    lanes.min(rows / (LEAST_BAND * radius).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(of: &[(usize, usize)]) -> Vec<Size> {
        of.iter().map(|&(width, height)| Size::new(width, height)).collect()
    }

    #[test]
    fn one_lane_cuts_nothing_up() {
        for parts in [sizes(&[]), sizes(&[(500, 300)]), sizes(&[(32, 32), (64, 200), (1, 1)])] {
            assert_eq!(pieces(&parts, 4, 1), vec![1; parts.len()]);
        }
    }

    #[test]
    fn a_large_part_is_shared_out_and_small_ones_beside_it_stay_whole() {
        assert_eq!(pieces(&sizes(&[(128, 64)]), 4, 2), [2]);
        assert_eq!(pieces(&sizes(&[(400, 400)]), 4, 4), [4]);
        assert_eq!(pieces(&sizes(&[(96, 96), (32, 32)]), 4, 2), [2, 1]);
        assert_eq!(pieces(&sizes(&[(64, 64), (64, 64)]), 4, 2), [1, 1]);
        assert_eq!(pieces(&sizes(&[(128, 128), (128, 128)]), 4, 4), [2, 2]);
    }

    #[test]
    fn what_is_cut_up_is_never_done_later() {
        for lanes in 1..9 {
            for seed in 1..60_usize {
                let parts: Vec<_> = (0..seed % 7 + 1)
                    .map(|k| Size::new(1 + (k * 77 + seed * 31) % 300, 1 + (k * 41 + seed * 19) % 200))
                    .collect();
                let cost = |part: &Size, n: usize| {
                    let (long, short) = (part.width.max(part.height), part.width.min(part.height));
                    (long.div_ceil(n) + 8) * (short + 8) + Window::RUN
                };
                let whole: Vec<_> = parts.iter().map(|part| cost(part, 1)).collect();
                let cut = pieces(&parts, 4, lanes);
                let costs = parts.iter().zip(&cut).flat_map(|(part, &n)| vec![cost(part, n); n]).collect();
                assert!(time(costs, lanes) <= time(whole, lanes), "{parts:?} by {lanes}: {cut:?}");
                assert!(cut.iter().all(|n| (1..=lanes).contains(n)), "{parts:?} by {lanes}: {cut:?}");
            }
        }
    }

    #[test]
    fn bands_keep_to_the_lanes_and_are_not_context_for_the_most_part() {
        for lanes in 1..20 {
            for rows in (1..2000).step_by(13) {
                for radius in 0..40 {
                    let bands = bands(rows, radius, lanes);
                    assert!((1..=lanes).contains(&bands));
                    assert!(bands == 1 || rows / bands >= 3 * radius, "{rows} rows, {radius}, {lanes}");
                }
            }
        }
    }
}
