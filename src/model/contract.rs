//! What an upscaler's file must look like, and what it then promises.
//!
//! One input of four dimensions `[count, channels, height, width]`, the count open or 1, colour (RGB) or luma alone,
//! 32- or 16-bit float, any size or a fixed one; one output, larger by a whole factor.

use std::path::{Path, PathBuf};

use super::ModelError;
use super::manifest::{Manifest, Range};
use super::onnx_file::{Element, OnnxFile, TensorInfo};
use crate::image::Size;

/// Context, in input pixels, that a tile of an unknown network gets on every side. Above the
/// reach of networks of up to thirty 3x3 convolutions.
const DEFAULT_OVERLAP: usize = 32;

/// Feature maps that a network is taken to hold at once when its sidecar does not say what it
/// needs: measured between 3 and 9 for the networks of the registry.
const LIVE_FEATURE_MAPS: usize = 10;

/// Which sizes a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputSize {
    /// Any size whose sides are multiples of this many pixels.
    Multiple(usize),
    /// One size only.
    Fixed(Size),
}

impl InputSize {
    /// A size to try a network with: a square of about this side where it takes any.
    pub fn for_trial(self, side: usize) -> Size {
        match self {
            Self::Fixed(size) => size,
            Self::Multiple(multiple) => {
                let side = side.next_multiple_of(multiple);
                Size::new(side, side)
            }
        }
    }
}

/// An upscaler's file, found to fit.
#[derive(Clone, Debug)]
pub struct Upscaler {
    /// Where it was read from.
    pub path: PathBuf,
    /// The file.
    pub file: OnnxFile,
    /// Name to show: the file's without its extension.
    pub name: String,
    /// 3 for RGB, 1 for luma.
    pub channels: usize,
    /// Element type inside.
    pub element: Element,
    /// Sizes that go in.
    pub input_size: InputSize,
    /// Enlargement where the file or its sidecar says it; otherwise a trial run tells.
    pub scale: Option<usize>,
    /// Range of the input's values.
    pub input_range: Range,
    /// Range of the output's values.
    pub output_range: Range,
    /// Pixels of context that a tile needs on every side.
    pub overlap: usize,
    /// How far away, in pixels of the input, a pixel's result depends on, where the sidecar tells.
    pub receptive_radius: Option<usize>,
    /// Peak working memory, bytes per input pixel.
    pub memory_per_pixel: usize,
    /// Licence of the weights, where the sidecar tells.
    pub licence: Option<String>,
}

impl Upscaler {
    /// Reads a model file and its sidecar.
    ///
    /// # Errors
    /// [`ModelError`], in words that say what did not fit.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let file = OnnxFile::read(path)?;
        let manifest = Manifest::beside(path)?;
        Self::new(path, file, &manifest)
    }

    /// Takes the bytes of a model that has no file and no sidecar.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        let path = PathBuf::from(name);
        let file =
            OnnxFile::parse(bytes.to_vec()).map_err(|reason| ModelError::NotOnnx(path.clone(), reason))?;
        Self::new(&path, file, &Manifest::default())
    }

    fn new(path: &Path, file: OnnxFile, manifest: &Manifest) -> Result<Self, ModelError> {
        let no = |reason: String| ModelError::NotAnUpscaler(path.into(), reason);
        manifest
            .check(file.inputs.iter().chain(&file.outputs))
            .map_err(|reason| ModelError::Sidecar(Manifest::path(path), reason))?;
        if let Some(role) = manifest.role.as_deref().filter(|&role| role != "upscaler") {
            return Err(no(format!("its sidecar says role={role}")));
        }
        let input = only(&file.inputs, "input").map_err(no)?;
        let output = only(&file.outputs, "output").map_err(no)?;
        let (channels, element, fixed) = picture(input).map_err(no)?;
        let (made, _, made_size) = picture(output).map_err(no)?;
        if made != channels {
            return Err(no(format!("it takes {channels} channels and gives {made}")));
        }

        let input_size = match fixed {
            Some(size) => InputSize::Fixed(size),
            None => InputSize::Multiple(manifest.multiple.unwrap_or(1)),
        };
        let scale = match (fixed, made_size) {
            (Some(from), Some(to)) => Some(whole_scale(from, to).map_err(no)?),
            _ => manifest.scale,
        };
        if let (Some(said), Some(is)) = (manifest.scale, scale).to_owned()
            && said != is
        {
            let reason = format!("scale={said}, but the model enlarges by {is}");
            return Err(ModelError::Sidecar(Manifest::path(path), reason));
        }
        let features = file.widest.max(channels) * LIVE_FEATURE_MAPS;
        Ok(Self {
            path: path.into(),
            name: path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into()),
            channels,
            element,
            input_size,
            scale,
            input_range: manifest.range(&input.name),
            output_range: manifest.range(&output.name),
            overlap: manifest.overlap.unwrap_or(DEFAULT_OVERLAP),
            receptive_radius: manifest.receptive_radius,
            memory_per_pixel: manifest.memory_per_pixel.unwrap_or(features * size_of::<f32>()),
            licence: manifest.licence.clone(),
            file,
        })
    }
}

/// The factor between two sizes.
///
/// # Errors
/// A text when it is not whole, not the same both ways, or outside 1 to 8.
pub fn whole_scale(from: Size, to: Size) -> Result<usize, String> {
    let scale = to.width / from.width.max(1);
    if (1..=8).contains(&scale) && from.times(scale) == to {
        return Ok(scale);
    }
    Err(format!("it makes {to} of {from}, which is no whole factor from 1 to 8"))
}

fn only<'a>(tensors: &'a [TensorInfo], what: &str) -> Result<&'a TensorInfo, String> {
    match tensors {
        [tensor] => Ok(tensor),
        _ => Err(format!("it has {} {what}s, an upscaler has one", tensors.len())),
    }
}

/// Channels, element type and, if fixed, the size of a picture's tensor.
fn picture(tensor: &TensorInfo) -> Result<(usize, Element, Option<Size>), String> {
    let &[batch, channels, height, width] = tensor.dims.as_slice() else {
        return Err(format!("{tensor} has {} dimensions, a picture has four", tensor.dims.len()));
    };
    if batch.is_some_and(|batch| batch != 1) {
        return Err(format!("{tensor} is for several pictures at once, export it for one"));
    }
    let last_is_colour = matches!(width, Some(1 | 3)) && !matches!(tensor.dims[1], Some(1 | 3));
    if last_is_colour {
        return Err(format!("{tensor} has its channels last, export it with channels first (NCHW)"));
    }
    // Exports often leave even the channels open; they are three until a run says otherwise.
    let channels = channels.unwrap_or(3);
    if channels != 1 && channels != 3 {
        return Err(format!("{tensor} has {channels} channels, a picture has 1 or 3"));
    }
    let element = tensor.element.filter(|e| matches!(e, Element::F32 | Element::F16));
    let element = element.ok_or(format!("{tensor}: only float32 and float16 are understood"))?;
    if width.is_some() != height.is_some() {
        return Err(format!("{tensor} fixes one side only, export it with both sides fixed or open"));
    }
    let fixed = width.zip(height).map(|(width, height)| Size::new(width, height));
    Ok((channels, element, fixed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(name: &str) -> Result<Upscaler, ModelError> {
        Upscaler::read(&Path::new("models/tiny").join(name).with_extension("onnx"))
    }

    #[test]
    fn what_fits_is_read_off_the_file() {
        use InputSize::{Fixed, Multiple};
        for (name, channels, element, size) in [
            ("nearest-x2", 3, Element::F32, Multiple(1)),
            ("half-x2", 3, Element::F16, Multiple(1)),
            ("luma-x2", 1, Element::F32, Multiple(1)),
            ("fixed-x2", 3, Element::F32, Fixed(Size::new(48, 32))),
            ("multiple4-x2", 3, Element::F32, Multiple(4)),
        ] {
            let model = tiny(name).unwrap();
            assert_eq!(
                (model.channels, model.element, model.input_size),
                (channels, element, size),
                "{name}"
            );
            assert_eq!(model.name, name);
        }
        assert_eq!(tiny("range255-x2").unwrap().input_range.white, 255.0);
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        for (name, expected) in [
            ("two-inputs", "2 inputs"),
            ("three-d", "3 dimensions"),
            ("u8-input", "only float32"),
            ("five-channels", "5 channels"),
            ("nhwc", "channels last"),
        ] {
            let error = tiny(name).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(name), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
    }

    #[test]
    fn a_network_of_any_number_of_pictures_fits_and_one_of_a_fixed_number_of_several_does_not() {
        let path = Path::new("models/tiny/nearest-x2.onnx");
        for (count, fits) in
            [(None, true), (Some(1), true), (Some(0), false), (Some(2), false), (Some(8), false)]
        {
            for of_inputs in [true, false] {
                let mut file = OnnxFile::read(path).unwrap();
                let tensors = if of_inputs { &mut file.inputs } else { &mut file.outputs };
                tensors[0].dims[0] = count;
                let model = Upscaler::new(path, file, &Manifest::default());
                assert_eq!(model.is_ok(), fits, "{count:?}");
                if let Err(error) = model {
                    assert!(error.to_string().contains("several pictures at once"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_scale_is_whole_and_the_same_both_ways() {
        for scale in 1..=8 {
            assert_eq!(whole_scale(Size::new(5, 7), Size::new(5, 7).times(scale)), Ok(scale));
        }
        for to in [Size::new(7, 10), Size::new(10, 15), Size::new(45, 63), Size::new(2, 3), Size::new(0, 0)] {
            assert!(whole_scale(Size::new(5, 7), to).is_err(), "{to}");
        }
    }
}
