//! Pictures in memory of the host, as tensors want them.

use ndarray::Axis;
use ndarray::parallel::prelude::*;
use ort::value::DynTensor;
use rayon::prelude::*;

use crate::image::bands::rows_in_bands;
use crate::image::planar::{COLOURS, Planar};
use crate::image::{Sample, Size, View, ViewMut, copy, rows};
use crate::infer::onnx::TensorSample;
use crate::infer::session::one_line;

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

/// Maps into a tensor of their size, plane after plane, by at most so many threads; 0: as many as there are.
pub(super) fn write_maps(maps: &Planar<4>, to: &mut DynTensor, threads: usize) -> Result<(), String> {
    let (_, to) = to.try_extract_tensor_mut::<f32>().map_err(|err| one_line(&err))?;
    let Size { width, height } = maps.size;
    if to.len() != 4 * width * height {
        return Err("the maps have another size than the input".into());
    }
    let write = |(row, to): (usize, &mut [f32])| to.copy_from_slice(maps.plane(row / height, row % height));
    match rows_of_a_thread(maps.size, threads) {
        None => to.chunks_exact_mut(width).enumerate().for_each(write),
        Some(count) => {
            let rows = to.par_chunks_exact_mut(width).enumerate();
            rows.with_min_len(4 * count).for_each(write);
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

/// A history of planes, one after the other, with a border.
pub(super) fn planar(planes: &[f32], size: Size) -> Planar<COLOURS> {
    let mut history = Planar::new(size);
    let pixels = size.width * size.height;
    history.fill_with(|x, y| [0, 1, 2].map(|colour| planes[colour * pixels + y * size.width + x]));
    history
}

/// The other way round.
pub(super) fn tensor(history: &Planar<COLOURS>) -> Vec<f32> {
    let mut planes = Vec::with_capacity(COLOURS * history.size.width * history.size.height);
    for colour in 0..COLOURS {
        (0..history.size.height).for_each(|y| planes.extend_from_slice(history.plane(colour, y)));
    }
    planes
}
