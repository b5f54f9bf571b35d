//! Where engines that TensorRT built are kept, so that one is never taken for a network, a device or a runtime that it
//! was not built for. TensorRT itself names them by the shape of the graph alone.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::model::onnx_file::OnnxFile;

/// What an engine depends on.
#[derive(Clone, Copy, Debug)]
pub struct Engine<'a> {
    /// The network as it runs: the bytes of its file, weights and all.
    pub model: &'a [u8],
    /// Shapes of its inputs. Where they leave a length open, TensorRT keeps the range of those that it has seen beside
    /// the engine, and builds anew for one outside.
    pub shapes: &'a str,
    /// Number of the device.
    pub device: i32,
    /// The GPUs of the machine, in the driver's words.
    pub gpus: &'a str,
    /// Version and build of the runtime.
    pub runtime: &'a str,
    /// Name of the precision.
    pub precision: &'a str,
}

impl Engine<'_> {
    /// A name of 32 letters and digits for the folder of such engines: the same in every run, another one as soon as
    /// anything differs.
    pub fn key(&self) -> String {
        let mut digest = Digest::default();
        for part in [
            self.model,
            self.shapes.as_bytes(),
            &self.device.to_le_bytes(),
            self.gpus.as_bytes(),
            self.runtime.as_bytes(),
            self.precision.as_bytes(),
        ] {
            // Its length first, so that no two lists of parts read alike.
            digest.add(&part.len().to_le_bytes());
            digest.add(part);
        }
        let mut name = String::new();
        // Cannot fail into a string.
        let _ = write!(name, "{:032x}", digest.0);
        name
    }

    /// The folder for it below `cache`, made if it is not there.
    ///
    /// # Errors
    /// A text, when it cannot be made.
    pub fn folder(&self, cache: &Path) -> Result<PathBuf, String> {
        let folder = cache.join("tensorrt").join(self.key());
        match std::fs::create_dir_all(&folder) {
            Ok(()) => Ok(folder),
            Err(err) => {
                Err(format!("cannot make {} for its engines ({err}): set model-cache-dir", folder.display()))
            }
        }
    }
}

/// The shapes of a network's inputs in words.
pub fn shapes(model: &[u8]) -> String {
    let inputs = OnnxFile::parse(model.to_vec()).map_or_else(|_| Vec::new(), |file| file.inputs);
    inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The GPUs of this machine, in the driver's words; empty where it does not tell.
pub fn gpus() -> String {
    let folders = std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = folders.map(|folder| folder.path()).collect();
    folders.sort();
    let models = folders.iter().filter_map(|folder| {
        let text = std::fs::read_to_string(folder.join("information")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
        Some(line.trim().to_string())
    });
    models.collect::<Vec<_>>().join(", ")
}

/// FNV-1a of 128 bits: unlike the standard library's hashes the same in every version, and nobody is to be kept out.
pub(super) struct Digest(u128);

impl Default for Digest {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Digest {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        const PRIME: u128 = (1 << 88) + 0x13b;
        self.0 = bytes.iter().fold(self.0, |state, &byte| (state ^ u128::from(byte)).wrapping_mul(PRIME));
    }

    pub(super) fn value(&self) -> u128 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: Engine<'static> = Engine {
        model: b"network",
        shapes: "1,?,?,3",
        device: 0,
        gpus: "one",
        runtime: "1.31.1",
        precision: "fp32",
    };

    #[test]
    fn the_digest_is_the_published_one() {
        let mut digest = Digest::default();
        digest.add(b"");
        assert_eq!(digest.0, 0x6c62272e07bb014262b821756295c58d);
        digest.add(b"a");
        assert_eq!(digest.0, 0xd228cb696f1a8caf78912b704e4a8964);
    }

    #[test]
    fn an_engine_has_one_name_and_whatever_differs_gives_it_another() {
        let name = ENGINE.key();
        assert_eq!(name, ENGINE.key());
        assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        let mut names = vec![name];
        for other in [
            Engine { model: b"networl", ..ENGINE },
            Engine { model: b"networkone", gpus: "", ..ENGINE },
            Engine { shapes: "1,48,64,3", ..ENGINE },
            Engine { shapes: "1,64,48,3", ..ENGINE },
            Engine { device: 1, ..ENGINE },
            Engine { gpus: "another", ..ENGINE },
            Engine { gpus: "one1", runtime: ".31.1", ..ENGINE },
            Engine { runtime: "1.31.2", ..ENGINE },
            Engine { precision: "fp16", ..ENGINE },
        ] {
            let name = other.key();
            assert!(!names.contains(&name), "{other:?} is taken for another");
            names.push(name);
        }
    }

    #[test]
    fn networks_of_different_shapes_are_told_apart() {
        let shapes = |name: &str| shapes(&std::fs::read(format!("models/tiny/{name}.onnx")).unwrap());
        let (free, fixed) = (shapes("nearest-x2"), shapes("fixed-x2"));
        assert!(free.contains("?,?") && fixed.contains("32,48"), "{free} and {fixed}");
    }

    #[test]
    fn the_folder_is_made_and_one_that_cannot_be_is_told() {
        let cache = tempfile::tempdir().unwrap();
        let folder = ENGINE.folder(&cache.path().join("not/yet")).unwrap();
        assert!(folder.is_dir() && folder.ends_with(ENGINE.key()));
        assert_eq!(
            ENGINE.folder(&cache.path().join("not/yet")).unwrap(),
            folder,
            "it is there the second time"
        );
        let file = cache.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = ENGINE.folder(&file).unwrap_err();
        assert!(error.contains("model-cache-dir") && error.lines().count() == 1, "{error}");
    }
}
