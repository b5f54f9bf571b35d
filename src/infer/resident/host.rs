//! Pictures in memory of the host, as tensors want them.

use ndarray::Axis;
use ndarray::parallel::prelude::*;
use ort::value::DynTensor;
use rayon::prelude::*;

use crate::image::bands::rows_in_bands;
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

/// Maps into a tensor of their size, by at most so many threads; 0: as many as there are.
pub(super) fn write_maps(maps: &Quads, to: &mut DynTensor, threads: usize) -> Result<(), String> {
    let (_, to) = to.try_extract_tensor_mut::<f32>().map_err(|err| one_line(&err))?;
    let row = maps.size.width * 4;
    if to.len() != row * maps.size.height {
        return Err("the maps have another size than the input".into());
    }
    let write = |(y, to): (usize, &mut [f32])| to.copy_from_slice(maps.row(y).as_flattened());
    match rows_of_a_thread(maps.size, threads) {
        None => to.chunks_exact_mut(row).enumerate().for_each(write),
        Some(count) => {
            let rows = to.par_chunks_exact_mut(row).enumerate();
            rows.with_min_len(count).for_each(write);
        }
    }
    Ok(())
}

/// As [`copy`], by at most so many threads, for of a large picture a copy takes milliseconds; 0: by as many as there are.
pub(super) fn copy_by<S: Sample>(threads: usize, from: View<'_, S>, mut to: ViewMut<'_, S>) {
    match rows_of_a_thread(Size::of(&from), threads) {
        None => copy(from, to),
        Some(count) => {
            let bands = from.axis_chunks_iter(Axis(0), count).into_par_iter();
            bands.zip(to.axis_chunks_iter_mut(Axis(0), count)).for_each(|(from, to)| copy(from, to));
        }
    }
}

/// How many rows at least are one thread's; `None` where all are.
fn rows_of_a_thread(size: Size, threads: usize) -> Option<usize> {
    let most = if threads == 0 { rayon::current_num_threads() } else { threads };
    Some(rows_in_bands(size, most)).filter(|&count| count < size.height)
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
