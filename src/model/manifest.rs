//! Sidecars: `MODEL.onnx.modelinfo`, the key-file format that GStreamer's own inference
//! elements use. `[modelinfo]` holds what is true of the whole model, and one section per
//! tensor, titled with its exact name, says what the tensor means.

use std::path::{Path, PathBuf};

use ini::{Ini, ParseOption};

use super::ModelError;
use super::onnx_file::TensorInfo;

/// The value range of a tensor: what black and white are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Value of black.
    pub black: f32,
    /// Value of white.
    pub white: f32,
}

impl Range {
    /// What networks use unless they say otherwise.
    pub const UNIT: Self = Self { black: 0.0, white: 1.0 };
}

/// What a sidecar says. Every field is optional there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// What the network is for, such as `upscaler`.
    pub role: Option<String>,
    /// Enlargement factor.
    pub scale: Option<usize>,
    /// Input lengths must be a multiple of this many pixels.
    pub multiple: Option<usize>,
    /// Pixels of context that a tile needs around it.
    pub overlap: Option<usize>,
    /// How far away, in pixels of the input, a pixel's result depends on: no farther than this.
    pub receptive_radius: Option<usize>,
    /// Peak working memory of a run, bytes per input pixel.
    pub memory_per_pixel: Option<usize>,
    /// Heights of faces, brow to chin in pixels of the picture, from which on a restorer is trusted: not at all below
    /// the first, wholly from the second on.
    pub face_heights: Option<(f32, f32)>,
    /// A restorer shows what its input does not: true unless said otherwise.
    pub invents: Option<bool>,
    /// How the classes of a face parsing network are numbered, such as `bisenet`.
    pub classes: Option<String>,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// Where the weights come from.
    pub source: Option<String>,
    /// SHA-256 of the model file, in hexadecimal.
    pub sha256: Option<String>,
    tensors: Vec<TensorSection>,
}

#[derive(Clone, Debug, PartialEq)]
struct TensorSection {
    name: String,
    element: Option<String>,
    dims: Option<Vec<i64>>,
    range: Option<Range>,
}

impl Manifest {
    /// The path of a model's sidecar.
    pub fn path(model: &Path) -> PathBuf {
        let mut name = model.as_os_str().to_owned();
        name.push(".modelinfo");
        name.into()
    }

    /// The sidecar of a model; without one, everything is open.
    ///
    /// # Errors
    /// [`ModelError::Sidecar`] when there is one that cannot be read.
    pub fn beside(model: &Path) -> Result<Self, ModelError> {
        let path = Self::path(model);
        if std::fs::metadata(&path).is_ok_and(|about| !about.is_file()) {
            return Err(ModelError::Sidecar(path, "it is not a regular file".into()));
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|reason| ModelError::Sidecar(path, reason)),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(err) => Err(ModelError::Sidecar(path, err.to_string())),
        }
    }

    /// Reads the text of a sidecar.
    ///
    /// # Errors
    /// A text that names the section and key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options = ParseOption { enabled_quote: false, enabled_escape: false, ..Default::default() };
        let file = Ini::load_from_str_opt(text, options).map_err(|err| err.to_string())?;
        let about = file.section(Some("modelinfo")).ok_or("it has no section [modelinfo]")?;
        let text_of = |key: &str| about.get(key).map(|value| value.trim().to_string());
        let number_of = |key: &str| about.get(key).map(|value| whole(key, value)).transpose();
        let mut tensors = Vec::new();
        for (name, section) in file.iter() {
            let Some(name) = name.filter(|&name| name != "modelinfo") else { continue };
            let in_section = |err: String| format!("[{name}]: {err}");
            tensors.push(TensorSection {
                name: name.to_string(),
                element: section.get("type").map(|value| value.trim().to_string()),
                dims: section.get("dims").map(dims).transpose().map_err(in_section)?,
                range: section.get("ranges").map(range).transpose().map_err(in_section)?,
            });
        }
        Ok(Self {
            role: text_of("role"),
            scale: number_of("scale")?,
            multiple: number_of("multiple")?,
            overlap: number_of("overlap")?,
            receptive_radius: number_of("receptive-radius")?,
            memory_per_pixel: number_of("memory-per-pixel")?,
            face_heights: about.get("face-heights").map(heights).transpose()?,
            invents: about.get("invents").map(yes_or_no).transpose()?,
            classes: text_of("classes"),
            licence: text_of("licence"),
            source: text_of("source"),
            sha256: text_of("sha256"),
            tensors,
        })
    }

    /// The value range of a tensor, 0 to 1 where nothing is said.
    pub fn range(&self, tensor: &str) -> Range {
        self.range_said(tensor).unwrap_or(Range::UNIT)
    }

    /// The value range of a tensor where something is said.
    pub fn range_said(&self, tensor: &str) -> Option<Range> {
        self.tensors.iter().find(|section| section.name == tensor)?.range
    }

    /// Compares what the sidecar says with the tensors of the file.
    ///
    /// # Errors
    /// A text that names the section that does not fit.
    pub fn check<'a>(&self, tensors: impl Iterator<Item = &'a TensorInfo> + Clone) -> Result<(), String> {
        for section in &self.tensors {
            let name = &section.name;
            let tensor = tensors.clone().find(|tensor| &tensor.name == name);
            let tensor = tensor.ok_or(format!("[{name}]: the model has no tensor of that name"))?;
            let said = section.element.as_deref().unwrap_or_default();
            let is = tensor.element.map_or("another type", |element| element.name());
            if !said.is_empty() && said != is {
                return Err(format!("[{name}]: type={said}, but the model has {is}"));
            }
            let fits = section.dims.as_ref().is_none_or(|dims| dims_fit(dims, &tensor.dims));
            if !fits {
                return Err(format!("[{name}]: dims do not fit the model's {tensor}"));
            }
        }
        Ok(())
    }
}

/// -1 stands for any length, in the sidecar as in the file.
fn dims_fit(said: &[i64], is: &[Option<usize>]) -> bool {
    said.len() == is.len()
        && said.iter().zip(is).all(|(&said, is)| said < 0 || is.is_none_or(|is| is as i64 == said))
}

fn whole(key: &str, value: &str) -> Result<usize, String> {
    let number = value.trim().parse().ok().filter(|&number: &usize| number > 0 || key == "overlap");
    number.ok_or(format!("{key}={value}: not a whole number above zero"))
}

/// `from,to` in pixels.
fn heights(value: &str) -> Result<(f32, f32), String> {
    let parts = value.split_once(',').and_then(|(from, to)| {
        let heights: (f32, f32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (0.0 < heights.0 && heights.0 < heights.1 && heights.1.is_finite()).then_some(heights)
    });
    parts.ok_or(format!("face-heights={value}: not `from,to` with from above zero and below to"))
}

fn yes_or_no(value: &str) -> Result<bool, String> {
    match value.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("invents={value}: neither yes nor no")),
    }
}

fn dims(value: &str) -> Result<Vec<i64>, String> {
    let parts = value.split(',').map(|part| part.trim().parse());
    parts.collect::<Result<_, _>>().map_err(|_| format!("dims={value}: not whole numbers with commas"))
}

/// `min,max`, per channel separated by `;`. Channels that differ are refused: no picture
/// network has been seen that needs them.
fn range(value: &str) -> Result<Range, String> {
    let bad = || format!("ranges={value}: not `min,max` with min below max, the same for every channel");
    let mut ranges = value.split(';').filter(|part| !part.trim().is_empty()).map(|part| {
        let (black, white) = part.split_once(',')?;
        let range = Range { black: black.trim().parse().ok()?, white: white.trim().parse().ok()? };
        (range.black < range.white && range.white.is_finite() && range.black.is_finite()).then_some(range)
    });
    let first = ranges.next().flatten().ok_or_else(bad)?;
    if ranges.all(|range| range == Some(first)) { Ok(first) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx_file::Element;

    const FULL: &str = "\
[modelinfo]
version=1.0
group-id=facesr-upscaler
role=upscaler
scale=2
multiple=4
overlap=0
memory-per-pixel=1000
face-heights=12,28.5
invents=no
licence=Apache-2.0
[input:0]
type=float32
dims=-1,3,-1,-1
dir=input
ranges=0.0,255.0;0.0,255.0;0.0,255.0
";

    fn tensor(element: Element, dims: &[Option<usize>]) -> TensorInfo {
        TensorInfo { name: "input:0".into(), element: Some(element), dims: dims.to_vec() }
    }

    #[test]
    fn a_full_sidecar_is_read() {
        let manifest = Manifest::parse(FULL).unwrap();
        assert_eq!(manifest.role.as_deref(), Some("upscaler"));
        assert_eq!((manifest.scale, manifest.multiple), (Some(2), Some(4)));
        assert_eq!((manifest.overlap, manifest.memory_per_pixel), (Some(0), Some(1000)));
        assert_eq!((manifest.face_heights, manifest.invents), (Some((12.0, 28.5)), Some(false)));
        assert_eq!(manifest.range("input:0"), Range { black: 0.0, white: 255.0 });
        assert_eq!(manifest.range("output"), Range::UNIT);
    }

    #[test]
    fn a_sidecar_that_contradicts_its_model_is_refused_by_section() {
        let manifest = Manifest::parse(FULL).unwrap();
        let free = [None, Some(3), None, None];
        assert!(manifest.check([tensor(Element::F32, &free)].iter()).is_ok());
        for wrong in [
            vec![],
            vec![tensor(Element::F16, &free)],
            vec![tensor(Element::F32, &[None, Some(1), None, None])],
            vec![tensor(Element::F32, &[None, Some(3), None])],
        ] {
            let reason = manifest.check(wrong.iter()).unwrap_err();
            assert!(reason.starts_with("[input:0]"), "{reason}");
        }
    }

    #[test]
    fn bad_values_are_named() {
        for (line, expected) in [
            ("scale=two", "scale=two"),
            ("scale=0", "scale=0"),
            ("multiple=-4", "multiple=-4"),
            ("invents=never", "invents=never"),
            ("face-heights=20", "face-heights=20"),
            ("face-heights=20,20", "face-heights=20,20"),
            ("face-heights=0,20", "face-heights=0,20"),
            ("face-heights=1,inf", "face-heights=1,inf"),
            ("[t]\nranges=1,0", "[t]: ranges=1,0"),
            ("[t]\nranges=0,1;0,255", "[t]: ranges"),
            ("[t]\nranges=0,nan", "[t]: ranges"),
            ("[t]\ndims=1,x", "[t]: dims=1,x"),
        ] {
            let reason = Manifest::parse(&format!("[modelinfo]\n{line}\n")).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
        assert!(Manifest::parse("scale=2").unwrap_err().contains("[modelinfo]"));
    }
}
