//! Eight floats that are computed together.
//!
//! Plain arrays, which the compiler turns into vector instructions: of 128 bits on every x86-64,
//! of 256 in the functions that [`dispatched!`] compiles a second time. Nothing is contracted or
//! reordered, so every processor gives the same bits.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// How many floats are computed together.
pub const LANES: usize = 8;

/// Eight floats.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(32))]
pub struct Lanes(pub [f32; LANES]);

/// Columns of eight pixels, counted from the first.
pub const SIDE_BY_SIDE: Lanes = Lanes([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);

/// Lanes that lie one after the other, as a plane keeps them.
pub type Row<'a> = &'a [[f32; LANES]];
/// As [`Row`], to write.
pub type RowMut<'a> = &'a mut [[f32; LANES]];

/// `fn fast / plain (arguments) { body }` compiles the body for what every processor has as
/// `plain`, and as `fast` also for AVX2, and picks when it is called. What the body calls must be
/// inlined to be compiled for AVX2, too; a closure that is used twice is not.
macro_rules! dispatched {
    ($(#[$doc:meta])* $vis:vis fn $fast:ident / $plain:ident ($($name:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        #[multiversion::multiversion(targets("x86_64+avx2"))]
        $vis fn $fast($($name: $type),*) {
            $plain($($name),*);
        }

        #[doc = concat!("[`", stringify!($fast), "`] for every processor.")]
        #[inline(always)]
        $vis fn $plain($($name: $type),*) $body
    };
}
pub(crate) use dispatched;

impl Lanes {
    /// Nothing.
    pub const ZERO: Self = Self::splat(0.0);

    /// All the same.
    #[inline(always)]
    pub const fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    /// The first eight of a slice.
    #[inline(always)]
    pub fn load(from: &[f32]) -> Self {
        Self(*from.first_chunk().expect("eight floats to load"))
    }

    /// Into the first eight of a slice.
    #[inline(always)]
    pub fn store(self, to: &mut [f32]) {
        *to.first_chunk_mut().expect("room for eight floats") = self.0;
    }

    /// The sum of the eight, in a fixed order.
    #[inline(always)]
    pub fn sum(self) -> f32 {
        // Through memory: the compiler would otherwise split the loop that made the sums into
        // vectors of two, as it adds them here, at less than half the speed.
        let Self([a, b, c, d, e, f, g, h]) = std::hint::black_box(self);
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    /// Their representations.
    #[inline(always)]
    pub fn bits(self) -> [u32; LANES] {
        let [a, b, c, d, e, f, g, h] = self.0.map(f32::to_bits);
        [a, b, c, d, e, f, g, h]
    }

    /// Whether they are all zeros that are not negative. All at once, where one by one through memory takes longer.
    #[inline(always)]
    pub fn are_zeros(self) -> bool {
        self.bits().into_iter().fold(0, |all, bits| all | bits) == 0
    }

    /// Whole numbers of 0 to 2^23 - 1 as such.
    #[inline(always)]
    pub fn whole(self) -> [u32; LANES] {
        let [a, b, c, d, e, f, g, h] = self.0;
        [whole(a), whole(b), whole(c), whole(d), whole(e), whole(f), whole(g), whole(h)]
    }

    /// Square roots.
    #[inline(always)]
    pub fn sqrt(self) -> Self {
        self.map(f32::sqrt)
    }

    /// The whole numbers below, of numbers between -2^22 and 2^22.
    #[inline(always)]
    pub fn floor(self) -> Self {
        // `f32::floor` is a call on the oldest processors.
        let shift = Self::splat((3 << 22) as f32);
        let nearest = (self + shift) - shift;
        nearest.with(self, |nearest, value| if nearest > value { nearest - 1.0 } else { nearest })
    }

    /// Without signs.
    #[inline(always)]
    pub fn abs(self) -> Self {
        self.map(f32::abs)
    }

    /// 1 where it is no less than one bound and no more than another, else 0; of NaN 0.
    #[inline(always)]
    pub fn is_within(self, from: f32, to: f32) -> Self {
        self.map(|value| if value >= from && value <= to { 1.0 } else { 0.0 })
    }

    /// The larger ones; of NaN, `other`.
    #[inline(always)]
    pub fn max(self, other: Self) -> Self {
        self.with(other, |a, b| if a > b { a } else { b })
    }

    /// The smaller ones; of NaN, `other`.
    #[inline(always)]
    pub fn min(self, other: Self) -> Self {
        self.with(other, |a, b| if a < b { a } else { b })
    }

    // Written out: `array::map` and `from_fn` were not always inlined.
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        let [a, b, c, d, e, g, h, i] = self.0;
        Self([f(a), f(b), f(c), f(d), f(e), f(g), f(h), f(i)])
    }

    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let (a, b) = (self.0, other.0);
        let [c0, c1, c2, c3] = [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])];
        let [c4, c5, c6, c7] = [f(a[4], b[4]), f(a[5], b[5]), f(a[6], b[6]), f(a[7], b[7])];
        Self([c0, c1, c2, c3, c4, c5, c6, c7])
    }
}

/// A whole number of 0 to 2^23 - 1 as such.
#[inline(always)]
pub fn whole(value: f32) -> u32 {
    // A cast would look for NaN and limit what is out of range.
    (value + (1 << 23) as f32).to_bits() & ((1 << 23) - 1)
}

/// Whether eight places, whole columns and rows, follow one another in a row.
#[inline(always)]
pub fn are_side_by_side(columns: Lanes, rows: Lanes) -> bool {
    // Columns less their own, of which all are the first one's then.
    let (first, row) = (Lanes::splat(columns.0[0]), Lanes::splat(rows.0[0]));
    ((columns - SIDE_BY_SIDE - first).abs() + (rows - row).abs()).are_zeros()
}

macro_rules! lanewise {
    ($($name:ident $function:ident $op:tt),*) => {$(
        impl $name for Lanes {
            type Output = Self;
            #[inline(always)]
            fn $function(self, other: Self) -> Self {
                self.with(other, |a, b| a $op b)
            }
        }
    )*};
}

lanewise!(Add add +, Sub sub -, Mul mul *, Div div /);

impl From<f32> for Lanes {
    #[inline(always)]
    fn from(value: f32) -> Self {
        Self::splat(value)
    }
}

impl Neg for Lanes {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(|a| -a)
    }
}

impl AddAssign for Lanes {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// 0 up to one edge, 1 from the other on, smooth between.
#[inline(always)]
pub fn smooth_steps((from, to): (f32, f32), value: Lanes) -> Lanes {
    let t = (value - Lanes::splat(from)) / Lanes::splat(to - from);
    let t = t.min(Lanes::splat(1.0)).max(Lanes::ZERO);
    t * t * (Lanes::splat(3.0) - Lanes::splat(2.0) * t)
}
