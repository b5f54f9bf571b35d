//! Where the pixels of a large picture lie in a small one.

/// Where a pixel lies between two of the small picture.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The one before and the one behind.
    pub between: [usize; 2],
    /// Share of the one behind.
    pub share: f32,
}

/// The places of `large` pixels along an axis in `small` ones. Pixel centres coincide with those of a plain enlargement.
pub fn places(small: usize, large: usize) -> Vec<Place> {
    let ratio = small as f64 / large as f64;
    let place = |at: usize| {
        let position = ((at as f64 + 0.5) * ratio - 0.5).clamp(0.0, (small - 1) as f64);
        let before = position as usize;
        Place { between: [before, (before + 1).min(small - 1)], share: (position - before as f64) as f32 }
    };
    (0..large).map(place).collect()
}
