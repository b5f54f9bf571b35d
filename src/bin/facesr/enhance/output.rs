//! OUT, which exists under its own name only when it is whole.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// Bytes of OUT's name that the hidden file's has as well. Names have room for 255 on most file systems,
/// and it is longer by 12.
const MOST_OF_NAME: usize = 128;

/// A hidden file beside OUT that becomes OUT at the end. Dropped before, it is
/// removed.
pub struct Output {
    path: PathBuf,
    part: NamedTempFile,
    overwrite: bool,
}

impl Output {
    /// Refuses what must not be written before any work is done, and opens the
    /// hidden file.
    pub fn create(path: &Path, overwrite: bool) -> Result<Output, Failure> {
        let shown = path.display();
        if path.is_dir() {
            return Err(Failure::Usage(format!("{shown}: is a directory; name the file to write")));
        }
        match std::fs::metadata(path) {
            // Its name would go to a file, and whoever reads from it would wait for ever.
            Ok(about) if !about.is_file() => {
                return Err(Failure::Usage(format!("{shown}: is a pipe or device; name the file to write")));
            }
            Err(err) if err.kind() == std::io::ErrorKind::InvalidFilename => {
                return Err(Failure::Usage(format!("{shown}: the name is too long; shorten it")));
            }
            _ => {}
        }
        // A link that leads nowhere is there, too.
        if path.symlink_metadata().is_ok() && !overwrite {
            return Err(Failure::Usage(format!("{shown}: exists already; pass --overwrite to replace it")));
        }
        let name = path
            .file_name()
            .ok_or_else(|| Failure::Usage(format!("{shown}: is not the name of a file")))?
            .to_string_lossy();
        let part = tempfile::Builder::new()
            .prefix(&format!(".{}.", beginning(&name, MOST_OF_NAME)))
            .suffix(".part")
            // Less the umask, like any file that a program creates.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder(path))
            .map_err(|err| {
                Failure::Failed(format!(
                    "{shown}: cannot write in {}: {}",
                    folder(path).display(),
                    plain(&err)
                ))
            })?;
        Ok(Output { path: path.to_owned(), part, overwrite })
    }

    /// Where to write meanwhile.
    pub fn part(&self) -> &Path {
        self.part.path()
    }

    /// The file itself, to write into.
    pub fn writer(&self) -> Result<File, Failure> {
        let shown = self.path.display();
        let cannot =
            |err: std::io::Error| Failure::Failed(format!("{shown}: cannot be written: {}", plain(&err)));
        self.part.as_file().try_clone().map_err(cannot)
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.part.as_file().metadata().map_or(0, |about| about.size())
    }

    /// Puts the whole file on the disk and gives it its name.
    pub fn finish(self) -> Result<(), Failure> {
        let shown = self.path.display().to_string();
        let cannot =
            |err: &std::io::Error| Failure::Failed(format!("{shown}: cannot be finished: {}", plain(err)));
        self.part.as_file().sync_all().map_err(|err| cannot(&err))?;
        let renamed = if self.overwrite {
            self.part.persist(&self.path)
        } else {
            // Somebody may have made OUT meanwhile: theirs stays.
            self.part.persist_noclobber(&self.path)
        };
        renamed.map_err(|err| cannot(&err.error))?;
        // The new name itself also has to survive a power cut. Some file
        // systems cannot sync a directory; the file is complete regardless.
        let _ = File::open(folder(&self.path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.part.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.part.flush()
    }
}

/// Whether both names lead to one file, through whatever links.
pub fn same_file(one: &Path, other: &Path) -> bool {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => one.dev() == other.dev() && one.ino() == other.ino(),
        _ => false,
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// As many whole letters of `name` as fit into `most` bytes.
fn beginning(name: &str, most: usize) -> &str {
    &name[..name.floor_char_boundary(most)]
}

/// An error without the path of the hidden file, which means nothing to a user.
pub fn plain(err: &std::io::Error) -> String {
    match err.kind() {
        std::io::ErrorKind::NotFound => "there is no such directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::StorageFull => "no space left on the disk".into(),
        std::io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".into(),
        std::io::ErrorKind::AlreadyExists => {
            "a file of that name appeared meanwhile; pass --overwrite to replace it".into()
        }
        _ => err.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_name_is_whole_letters() {
        for name in ["", "film.mp4", "Žluťoučký kůň.mkv", "映画.webm"] {
            for most in 0..40 {
                let begin = beginning(name, most);
                assert!(name.starts_with(begin) && begin.len() <= most, "{name}: {begin}");
                assert!(begin.len() == name.len() || begin.len() + 4 > most, "{name}: {begin}");
            }
        }
    }
}
