//! Convolutions on the processor, from 32 pixels across on twice as fast as ONNX Runtime's: those that most networks for pictures consist of (three by three,
//! a step of one, a pixel of zeros around) are given to an operator of ours, with the rectifier behind.
//!
//! ONNX Runtime's kernels do all 144 multiplications of a pair of channels for 16 pixels, as fast as a core can; ours need 36
//! (`tiles`). The rest of the network stays the runtime's, as do memory and threads.

mod operator;
mod placed;
mod tiles;

pub(super) use operator::domain;
pub(super) use placed::{placed, takes_any};

/// The operator's name, in the domain of ours.
const OPERATOR: &str = "Convolution";
/// Its attribute: what negative sums are multiplied by, where that is the same for every channel.
const SLOPE: &str = "slope";
/// Attributes that are there where the inputs of these names must be, so that none is passed over that cannot be read.
const HAS_BIAS: &str = "has_bias";
const HAS_SLOPES: &str = "has_slopes";

/// Below that, the runtime's are left.
const LEAST_LANES: usize = 8;

/// How many floats of a convolution ours computes at a time on this processor: those of its widest vectors that have fused
/// multiplications. `None` without AVX2: every convolution is the runtime's then.
pub fn lanes() -> Option<usize> {
    Some(tiles::lanes()).filter(|&lanes| lanes >= LEAST_LANES)
}
