//! The half of the stage that steadies outputs, by what the other half saw of their inputs.

use super::blend::Blend;
use super::{Look, Mode, Seen};
use crate::image::planar::{COLOURS, Planar};
use crate::image::{Sample, Size, ViewMut};

/// Steadies outputs, one after the other, and remembers them.
pub struct Steadying {
    mode: Mode,
    /// Of inputs and outputs.
    sizes: Option<(Size, Size)>,
    blend: Option<Blend>,
}

impl Steadying {
    /// With nothing remembered.
    pub fn new(mode: Mode) -> Self {
        Self { mode, sizes: None, blend: None }
    }

    /// Forgets the past.
    pub fn forget(&mut self) {
        if let Some(blend) = &mut self.blend {
            blend.forget();
        }
    }

    /// Hands out the history of the output, red, green and blue in units of samples, for who goes on elsewhere.
    pub fn take_past(&mut self) -> Option<Planar<COLOURS>> {
        self.blend.take()?.into_past()
    }

    /// Goes on with a history that was made elsewhere, of outputs of inputs of size `small`.
    pub fn give_past(&mut self, small: Size, past: Planar<COLOURS>) {
        self.sizes = Some((small, past.size));
        self.blend = Some(Blend::with_past(small, self.mode, past));
    }

    /// Steadies the output of an input of which this was seen.
    pub fn steady<S: Sample>(&mut self, seen: &Seen, output: &mut ViewMut<'_, S>) {
        let sizes = (seen.maps().size, Size::of(&output.view()));
        match seen.look {
            Look::Alone => return self.forget(),
            Look::Repeated => {}
            Look::First { .. } | Look::Compared { .. }
                if self.blend.is_some() && self.sizes == Some(sizes) => {}
            Look::First { .. } | Look::Compared { .. } => {
                self.sizes = Some(sizes);
                self.blend = Some(Blend::new(sizes.0, sizes.1, self.mode));
            }
        }
        let Some(blend) = &mut self.blend else { return };
        match seen.look {
            Look::Alone => {}
            Look::First { .. } => blend.begin(output),
            Look::Repeated => blend.repeat(output),
            Look::Compared { .. } => match seen.transfer() {
                Some(transfer) if blend.has_past() => blend.blend_parts(seen.maps(), transfer, output),
                _ => blend.blend(seen.maps(), output),
            },
        }
    }
}
