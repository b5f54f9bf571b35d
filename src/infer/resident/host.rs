//! Pictures in memory of the host, as tensors want them.

use ndarray::Axis;
use ndarray::parallel::prelude::*;
use ort::value::DynTensor;
use rayon::prelude::*;

use crate::image::plane::rows_in_band;
use crate::image::quads::Quads;
use crate::image::{Sample, Size, View, ViewMut, copy, rows};
use crate::infer::onnx::{TensorSample, one_line};

/// The colours of a picture into a tensor of its size.
pub(super) fn write_samples<S: TensorSample>(picture: View<'_, S>, to: &mut DynTensor) -> Result<(), String> {
    let channels = picture.dim().2;
    let width = picture.dim().1;
    let (_, to) = to.try_extract_tensor_mut::<S>().map_err(|err| one_line(&err))?;
    for (from, to) in rows(picture).zip(to.chunks_exact_mut(width * 3)) {
        match channels {
            3 => to.copy_from_slice(from),
            _ => {
                let pixels = from.chunks_exact(channels).zip(to.chunks_exact_mut(3));
                pixels.for_each(|(from, to)| to.copy_from_slice(&from[..3]));
            }
        }
    }
    Ok(())
}

/// Maps into a tensor of their size.
pub(super) fn write_maps(maps: &Quads, to: &mut DynTensor) -> Result<(), String> {
    let (_, to) = to.try_extract_tensor_mut::<f32>().map_err(|err| one_line(&err))?;
    if to.len() != maps.size.width * maps.size.height * 4 {
        return Err("the maps have another size than the input".into());
    }
    let (row, count) = (maps.size.width * 4, rows_in_band(maps.size));
    to.par_chunks_mut(row * count).enumerate().for_each(|(band, to)| {
        for (y, to) in (band * count..).zip(to.chunks_exact_mut(row)) {
            to.copy_from_slice(maps.row(y).as_flattened());
        }
    });
    Ok(())
}

/// As [`copy`], by all threads: of a large picture a copy takes milliseconds.
pub(super) fn copy_in_bands<S: Sample>(from: View<'_, S>, mut to: ViewMut<'_, S>) {
    let count = rows_in_band(Size::of(&from));
    let bands = from.axis_chunks_iter(Axis(0), count).into_par_iter();
    bands.zip(to.axis_chunks_iter_mut(Axis(0), count)).for_each(|(from, to)| copy(from, to));
}

/// A history of planes, one after the other, as pixels.
pub(super) fn pixels(planes: &[f32], size: Size) -> Quads {
    let mut pixels = Quads::new(size);
    for (channel, plane) in planes.chunks_exact(size.width * size.height).enumerate() {
        for (y, row) in plane.chunks_exact(size.width).enumerate() {
            pixels.row_mut(y).iter_mut().zip(row).for_each(|(pixel, level)| pixel[channel] = *level);
        }
    }
    pixels
}

/// The other way round: three planes.
pub(super) fn planes(pixels: &Quads) -> Vec<f32> {
    let mut planes = Vec::with_capacity(3 * pixels.size.width * pixels.size.height);
    for channel in 0..3 {
        let rows = (0..pixels.size.height).map(|y| pixels.row(y));
        rows.for_each(|row| planes.extend(row.iter().map(|pixel| pixel[channel])));
    }
    planes
}
