use super::*;
use ndarray::Array3;

/// Numbers between -1 and 1.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

struct Case {
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    from: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    slopes: Option<Vec<f32>>,
}

impl Case {
    fn new(inputs: usize, outputs: usize, height: usize, width: usize) -> Self {
        let seed = (inputs + 31 * outputs + 1009 * height + 40_009 * width) as u32;
        let from = noise(inputs * height * width, seed);
        let weights = noise(inputs * outputs * TAPS, seed + 1);
        let slopes = seed.is_multiple_of(2).then(|| noise(outputs, seed + 3));
        Self { inputs, outputs, height, width, from, weights, bias: noise(outputs, seed + 2), slopes }
    }

    /// As the definition says, in 64 bits.
    fn plain(&self, output: usize, y: usize, x: usize) -> f64 {
        let mut sum = f64::from(self.bias[output]);
        for input in 0..self.inputs {
            let plane = &self.from[input * self.height * self.width..];
            let filter = &self.weights[(output * self.inputs + input) * TAPS..];
            for (tap, weight) in filter[..TAPS].iter().enumerate() {
                let (y, x) = ((y + tap / 3).wrapping_sub(1), (x + tap % 3).wrapping_sub(1));
                if y < self.height && x < self.width {
                    sum += f64::from(plane[y * self.width + x]) * f64::from(*weight);
                }
            }
        }
        let slope = self.slopes.as_ref().filter(|_| sum < 0.0).map_or(1.0, |slopes| slopes[output]);
        sum * f64::from(slope)
    }

    /// By tiles, on vectors of a kind; what is not written stays NaN, and what was left in the scratch is NaN.
    fn made<S: Simd>(&self, simd: S, block: usize) -> Array3<f32> {
        self.made_by(simd, block, 1)
    }

    /// By so many threads, each of which has a task.
    fn made_by<S: Simd>(&self, simd: S, block: usize, threads: usize) -> Array3<f32> {
        let filters = Filters::in_blocks(block, self.outputs, self.inputs, &self.weights);
        let mut to = Array3::from_elem((self.outputs, self.height, self.width), f32::NAN);
        let outputs = filters.outputs_of_a_task(self.height.div_ceil(TILE), threads);
        for (part, mut to) in to.axis_chunks_iter_mut(Axis(0), outputs).enumerate() {
            for (number, mut to) in to.axis_chunks_iter_mut(Axis(1), TILE).enumerate() {
                let after = After { bias: &self.bias, slopes: self.slopes.as_deref() };
                let (filters, from, to) = (&filters, &self.from[..], &mut to);
                let (height, width, first) = (self.height, self.width, part * outputs);
                let scratch = &mut vec![f32::NAN; filters.scratch()][..];
                simd.vectorize(Row { filters, first, after, from, height, width, number, to, scratch });
            }
        }
        to
    }

    fn made_here(&self) -> Array3<f32> {
        struct Here<'a>(&'a Case);
        impl WithSimd for Here<'_> {
            type Output = Array3<f32>;
            fn with_simd<S: Simd>(self, simd: S) -> Array3<f32> {
                self.0.made(simd, if S::F32_LANES == MOST_LANES { WIDE_BLOCK } else { NARROW_BLOCK })
            }
        }
        pulp::Arch::new().dispatch(Here(self))
    }
}

const LENGTHS: [usize; 17] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 34, 63, 64, 65, 131];

/// That what tiles make is what the definition says, as far as the largest number around and the weights allow.
fn check(case: &Case) {
    let Case { inputs, outputs, height, width, .. } = *case;
    let largest = case.from.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    for ((output, y, x), made) in case.made_here().indexed_iter() {
        let weights = &case.weights[output * inputs * TAPS..][..inputs * TAPS];
        let bound = f64::from(largest) * weights.iter().map(|weight| f64::from(weight.abs())).sum::<f64>();
        let expected = case.plain(output, y, x);
        let error = (f64::from(*made) - expected).abs();
        let about = format!("{width}x{height}, {inputs} to {outputs}, {output} {y} {x}: {made}, {expected}");
        assert!(error <= 2e-6 * (bound + 1.0), "{about}");
    }
}

#[test]
fn tiles_are_the_plain_convolution_at_every_size() {
    for height in LENGTHS.into_iter().take(9) {
        for width in LENGTHS {
            check(&Case::new(3, 2, height, width));
        }
    }
}

#[test]
fn tiles_are_the_plain_convolution_with_every_number_of_channels() {
    for (inputs, outputs) in
        [(1, 1), (1, 48), (48, 1), (12, 48), (16, 16), (17, 31), (33, 13), (64, 64), (160, 32)]
    {
        check(&Case::new(inputs, outputs, 6, 37));
    }
}

#[test]
fn what_is_lost_beside_a_large_number_is_relative_to_it_and_reaches_no_further_than_its_tiles() {
    for large in [1e3, 1e6] {
        let mut case = Case::new(12, 5, 13, 67);
        let quiet = case.made_here();
        case.from[5 * 67 + 30] = large;
        check(&case);
        for ((output, y, x), made) in case.made_here().indexed_iter() {
            let is_beyond = y.abs_diff(5) > TILE || x.abs_diff(30) > TILE;
            assert!(!is_beyond || made.to_bits() == quiet[(output, y, x)].to_bits(), "{large}: {y} {x}");
        }
    }
}

#[test]
fn every_thread_has_a_task_where_there_are_outputs_enough_and_all_are_made_once() {
    for outputs in [1, 11, 16, 17, 48, 192] {
        for block in [NARROW_BLOCK, WIDE_BLOCK] {
            let filters = Filters::in_blocks(block, outputs, 1, &vec![0.0; outputs * TAPS]);
            for threads in 1..40 {
                for rows in 1..40 {
                    let each = filters.outputs_of_a_task(rows, threads);
                    let (tasks, most) = (rows * outputs.div_ceil(each), rows * outputs.div_ceil(block));
                    assert!(each > 0 && each.is_multiple_of(block));
                    assert!(rows < threads || outputs <= each, "{outputs}, {rows} rows on {threads}");
                    // Parts are whole blocks, as many in each: half of the threads may be left over, no more.
                    assert!(2 * tasks >= threads.min(most), "{outputs}, {rows} rows on {threads}: {tasks}");
                }
            }
        }
    }
}

#[test]
fn vectors_of_every_kind_and_blocks_of_every_size_give_the_same_bits() {
    for (height, width) in [(1, 1), (5, 7), (9, 32), (9, 33), (4, 65), (13, 131)] {
        let case = Case::new(5, 29, height, width);
        let plain = case.made(pulp::Scalar, NARROW_BLOCK);
        assert!(plain.iter().all(|value| value.is_finite()));
        let others = [case.made(pulp::Scalar, WIDE_BLOCK), case.made_here()];
        let in_tasks = [2, 3, 8].map(|threads| case.made_by(pulp::Scalar, NARROW_BLOCK, threads));
        let mut others: Vec<_> = others.into_iter().chain(in_tasks).collect();
        #[cfg(target_arch = "x86_64")]
        {
            let narrow = pulp::x86::V3::try_new();
            others.extend(narrow.map(|simd| case.made(simd, NARROW_BLOCK)));
            others.extend(narrow.map(|simd| case.made(simd, WIDE_BLOCK)));
            others.extend(pulp::x86::V4::try_new().map(|simd| case.made(simd, NARROW_BLOCK)));
        }
        let bits = |made: &Array3<f32>| made.mapv(f32::to_bits);
        for (number, other) in others.iter().enumerate() {
            assert_eq!(bits(other), bits(&plain), "{number}, {width}x{height}");
        }
    }
}

#[test]
fn what_is_no_number_reaches_every_pixel_that_depends_on_it_and_none_beyond_its_tiles() {
    for (y, x) in [(0, 0), (3, 4), (7, 64), (8, 30), (10, 66)] {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut case = Case::new(3, 2, 11, 67);
            case.slopes = Some(vec![0.0, 0.25]);
            case.from[case.height * case.width + y * case.width + x] = poison;
            for ((_, row, column), made) in case.made_here().indexed_iter() {
                let depends = row.abs_diff(y) <= 1 && column.abs_diff(x) <= 1;
                let is_beyond = row.abs_diff(y) > TILE || column.abs_diff(x) > TILE;
                assert!(!depends || !made.is_finite(), "{poison} at {y} {x}: {made} at {row} {column}");
                assert!(!is_beyond || made.is_finite(), "{poison} at {y} {x}: {made} at {row} {column}");
            }
        }
    }
}
