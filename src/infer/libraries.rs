//! Shared libraries that a library of the runtime cannot do without: which they are, and loading them from where pip
//! puts NVIDIA's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How the names of NVIDIA's libraries begin. The others come with every Linux that runs this program.
const NVIDIAS: [&str; 2] = ["libcu", "libnv"];

/// The driver's library, which no package of pip brings.
pub(super) const DRIVER: &str = "libcuda.so.1";

/// The CUDA provider opens it by name when the first convolution comes, so that its file does not tell.
const CUDNN: &str = "libcudnn.so.9";

/// Folders in which pip's packages keep NVIDIA's libraries, where `runtime` is the library of its package
/// `onnxruntime-gpu`: `nvidia/*/lib` and `tensorrt_libs` beside `onnxruntime/capi`. In order of their names.
pub fn folders_of_pip(runtime: &Path) -> Vec<PathBuf> {
    let Some(packages) = runtime.ancestors().nth(3).filter(|dir| !dir.as_os_str().is_empty()) else {
        return Vec::new();
    };
    let parts = std::fs::read_dir(packages.join("nvidia")).into_iter().flatten().flatten();
    let libraries = parts.map(|part| part.path().join("lib"));
    let mut folders: Vec<PathBuf> = libraries.chain([packages.join("tensorrt_libs")]).collect();
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    folders
}

/// NVIDIA's libraries that `library` needs, the driver's left out. Empty for a file that is no library: whoever loads
/// it will say so.
pub fn needed_of_nvidia(library: &Path) -> Vec<String> {
    let mut names = needed(library).unwrap_or_default();
    names.retain(|name| NVIDIAS.iter().any(|start| name.starts_with(start)) && name != DRIVER);
    if !names.is_empty() && !names.iter().any(|name| name == CUDNN) {
        names.push(CUDNN.into());
    }
    names
}

/// Loads libraries for good, out of `folders` or as the loader finds them, and gives those that cannot be. `load`
/// takes a path, or a bare name to search for, and says whether it worked.
pub fn load_all(names: &[String], folders: &[PathBuf], load: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut missing: Vec<String> = names.to_vec();
    // One may need another of them: whoever failed is tried again once others are there.
    for _ in names {
        let before = missing.len();
        missing.retain(|name| {
            let files = folders.iter().map(|folder| folder.join(name)).filter(|file| file.is_file());
            !files.chain([PathBuf::from(name)]).any(|file| load(&file))
        });
        if missing.len() == before || missing.is_empty() {
            break;
        }
    }
    missing
}

/// Sections of an ELF file that are read: the dynamic one, and bytes of a header.
const DYNAMIC: u32 = 6;
const SECTION_HEADER: usize = 64;
/// Tag of an entry that names a library.
const NEEDED: u64 = 1;
/// The most that a section of names may have. The largest seen has a few hundred KiB.
const MOST_NAMES: u64 = 64 << 20;

/// The libraries that a 64-bit little-endian ELF library names, in its order. A few KiB are read, not the file.
fn needed(library: &Path) -> io::Result<Vec<String>> {
    let file = File::open(library)?;
    let strange = || io::Error::from(io::ErrorKind::InvalidData);
    let read = |from: u64, length: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    };
    let header = read(0, SECTION_HEADER)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err(strange());
    }
    let (at, count) = (number(&header, 40, 8), number(&header, 60, 2));
    let section = |index: u64| read(at.saturating_add(index * SECTION_HEADER as u64), SECTION_HEADER);
    for index in 0..count {
        let dynamic = section(index)?;
        if number(&dynamic, 4, 4) != u64::from(DYNAMIC) {
            continue;
        }
        let names = section(number(&dynamic, 40, 4))?;
        let lengths = [number(&dynamic, 32, 8), number(&names, 32, 8)];
        if lengths.iter().any(|&length| length > MOST_NAMES) {
            return Err(strange());
        }
        let entries = read(number(&dynamic, 24, 8), lengths[0] as usize)?;
        let names = read(number(&names, 24, 8), lengths[1] as usize)?;
        let wanted = entries.chunks_exact(16).filter(|entry| number(entry, 0, 8) == NEEDED);
        let name = |entry: &[u8]| {
            let rest = names.get(usize::try_from(number(entry, 8, 8)).ok()?..)?;
            Some(String::from_utf8_lossy(rest.split(|&byte| byte == 0).next()?).into_owned())
        };
        return Ok(wanted.filter_map(name).collect());
    }
    Ok(Vec::new())
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// A library that does nothing but need others, for tests.
#[cfg(test)]
pub(super) fn fabricated(needs: &[&str]) -> Vec<u8> {
    let (mut names, mut entries) = (vec![0], Vec::new());
    for name in needs {
        entries.extend(NEEDED.to_le_bytes());
        entries.extend((names.len() as u64).to_le_bytes());
        names.extend(name.as_bytes());
        names.push(0);
    }
    let section = |kind: u32, link: u32, at: usize, length: usize| {
        let mut header = [0; SECTION_HEADER];
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        header[40..44].copy_from_slice(&link.to_le_bytes());
        header
    };
    let start = 3 * SECTION_HEADER;
    let mut file = vec![0; SECTION_HEADER];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[40..48].copy_from_slice(&(SECTION_HEADER as u64).to_le_bytes());
    file[60..62].copy_from_slice(&2_u16.to_le_bytes());
    file.extend(section(3, 0, start, names.len()));
    file.extend(section(DYNAMIC, 0, start + names.len(), entries.len()));
    file.extend(names);
    file.extend(entries);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_runs_needs_the_library_of_c() {
        let needed = needed(&std::env::current_exe().unwrap()).unwrap();
        assert!(needed.iter().any(|name| name.starts_with("libc.so")), "{needed:?}");
    }

    #[test]
    fn what_a_library_names_is_read_and_no_damage_is_a_panic() {
        let names = ["libcublas.so.13", "libm.so.6", "libcuda.so.1", "libnvinfer.so.10"];
        let whole = fabricated(&names);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lib.so");
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(needed(&path).unwrap(), names);
        assert_eq!(needed_of_nvidia(&path), ["libcublas.so.13", "libnvinfer.so.10", "libcudnn.so.9"]);
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(needed(&path).is_err(), "{length} bytes of {}", whole.len());
            let mut damaged = whole.clone();
            damaged[length] ^= 0xff;
            std::fs::write(&path, damaged).unwrap();
            let _ = needed_of_nvidia(&path);
        }
    }

    #[test]
    fn libraries_are_taken_out_of_pips_folders_in_whatever_order_they_need_each_other() {
        let site = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..6).map(|number| format!("libcu{number}.so.13")).collect();
        for (number, name) in names.iter().enumerate() {
            let folder = site.path().join(format!("nvidia/part{}/lib", number % 2));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), "").unwrap();
        }
        let folders = folders_of_pip(&site.path().join("onnxruntime/capi/libonnxruntime.so.1"));
        assert_eq!(folders.len(), 2);
        // Each needs the next one.
        let loaded = std::cell::RefCell::new(Vec::<String>::new());
        let load = |file: &Path| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let at = names.iter().position(|known| *known == name).unwrap();
            let fits = file.is_file() && names.get(at + 1).is_none_or(|next| loaded.borrow().contains(next));
            if fits {
                loaded.borrow_mut().push(name);
            }
            fits
        };
        assert_eq!(load_all(&names, &folders, &load), [""; 0]);
        // Without the folders nothing is found, and every one is named.
        loaded.borrow_mut().clear();
        assert_eq!(load_all(&names, &[], &load), names);
    }
}
