//! The file of a ledger, and the lock that keeps all others away from it.
//!
//! One process holds both. Each record is appended in one write; what could not
//! be written whole is cut off again. A new file is written beside the old one
//! and renamed, so that it is whole or not there.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use super::LedgerSync;
use crate::base::clock;
use crate::base::error::Error;
use crate::base::status::Status;

/// Far more than a day of orders makes; a larger file is none of ours.
const LARGEST: u64 = 1 << 30;

/// A ledger file that this process holds.
pub(super) struct LedgerFile {
    path: PathBuf,
    sync: LedgerSync,
    /// After a fork the child has the file too, and must not write.
    pub(super) pid: u32,
    pub(super) file: File,
    id: Id,
    /// How many bytes are whole records.
    length: u64,
    /// Why nothing can be written any more.
    broken: Option<String>,
    pub(super) lock: Lock,
}

/// The lock file. It is held for as long as it is open.
pub(super) struct Lock {
    path: PathBuf,
    id: Id,
    pub(super) file: File,
}

impl LedgerFile {
    /// Opens or makes a file and takes hold of it. Gives also what it holds.
    ///
    /// # Errors
    ///
    /// If another client holds it (the message names the process), or if it
    /// cannot be read or written.
    pub(super) fn open(path: &Path, sync: LedgerSync) -> Result<(Self, Vec<u8>), Error> {
        let path = real(path)?;
        let lock = hold(&path)?;
        // Opening a pipe would wait for its other end.
        match fs::metadata(&path) {
            Ok(found) if !found.is_file() => return Err(wrong("is not a regular file")),
            Ok(found) if found.len() > LARGEST => return Err(wrong("is too large for a ledger")),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&error)),
            _ => {}
        }
        let mut file = options().open(&path).map_err(|error| unusable(&error))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| unusable(&error))?;
        let held = Self {
            path,
            sync,
            pid: std::process::id(),
            id: Id::of(&file).map_err(|error| unusable(&error))?,
            file,
            length: bytes.len() as u64,
            broken: None,
            lock,
        };
        Ok((held, bytes))
    }

    /// Appends a line, or leaves the file as it was. To be called when it has
    /// been seen that the file [must be ours](Self::must_be_ours).
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), Error> {
        let written = match self.file.write(line) {
            Ok(count) if count == line.len() => match self.sync {
                LedgerSync::Process => Ok(()),
                LedgerSync::Disk => self.file.sync_data(),
            },
            Ok(_) => Err(io::Error::other("the disk may be full")),
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                if let Err(worse) = self.cut_to(self.length) {
                    self.broken = Some(format!("an earlier write failed: {worse}"));
                }
                Err(self.unwritten(error))
            }
        }
    }

    /// Cuts off what is no whole record.
    pub(super) fn cut_to(&mut self, length: u64) -> io::Result<()> {
        self.length = length;
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    /// Puts a new file in the place of this one.
    pub(super) fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        // What a killed process left, or a link that somebody put in the way.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = options().create_new(true).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let id = Id::of(&file)?;
        fs::rename(&new, &self.path)?;
        (self.file, self.id) = (file, id);
        self.length = bytes.len() as u64;
        sync_folder(&self.path)
    }

    /// Refuses to write what this process does not hold alone.
    pub(super) fn must_be_ours(&mut self) -> Result<(), Error> {
        if self.pid != std::process::id() {
            let problem = "belongs to the process that was forked";
            return Err(Error::new(
                Status::InvalidHandle,
                format!("ledger_file: {problem}"),
            ));
        }
        if self.broken.is_none() && !self.is_ours() {
            let reason = "somebody has changed, moved or removed it or its lock file; nobody but \
                          this process may touch them while they are in use";
            self.broken = Some(reason.to_owned());
        }
        match &self.broken {
            Some(reason) => Err(self.unwritten(reason)),
            None => Ok(()),
        }
    }

    /// Whether file and lock are those that were opened, and nobody else has
    /// written. Otherwise another process may hold a ledger of the same name,
    /// or the next one not find what is written here.
    fn is_ours(&self) -> bool {
        let is = |path: &Path, id: &Id, length: Option<u64>| {
            let found = fs::metadata(path);
            found.is_ok_and(|found| {
                Id::from(&found) == *id && length.is_none_or(|length| found.len() == length)
            })
        };
        is(&self.path, &self.id, Some(self.length)) && is(&self.lock.path, &self.lock.id, None)
    }

    /// The error of a record that could not be written.
    pub(super) fn unwritten(&self, reason: impl Display) -> Error {
        let path = self.path.display();
        Error::new(
            Status::Internal,
            format!("the ledger {path} could not be written: {reason}"),
        )
    }
}

impl Drop for LedgerFile {
    fn drop(&mut self) {
        // A forked child that has not called exec yet has the lock file open
        // too; it must neither keep the lock nor end it.
        if self.pid == std::process::id() {
            // If it fails, closing the file does the same.
            let _ = FileExt::unlock(&self.lock.file);
        }
    }
}

/// Which file it is, whatever its name. Only its name counts where the system
/// does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Id(u64, u64);

impl Id {
    fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|found| Self::from(&found))
    }
}

#[cfg(unix)]
impl From<&fs::Metadata> for Id {
    fn from(found: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(found.dev(), found.ino())
    }
}

#[cfg(not(unix))]
impl From<&fs::Metadata> for Id {
    fn from(_: &fs::Metadata) -> Self {
        Self::default()
    }
}

/// The path without links: two names of one file must have one lock.
fn real(path: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(path) {
        Ok(real) => return Ok(real),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&error)),
        Err(_) => {}
    }
    if fs::symlink_metadata(path).is_ok() {
        return Err(wrong("is a link that leads to nothing"));
    }
    let Some(name) = path.file_name() else {
        return Err(wrong("names no file"));
    };
    let folder = fs::canonicalize(folder_of(path)).map_err(|error| unusable(&error))?;
    Ok(folder.join(name))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // It tells what somebody trades.
        options.mode(0o600);
    }
    options
}

/// Makes a rename last.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder_of(path))?.sync_all()
}

/// Takes the lock beside the file. The system frees it when the process ends,
/// however it ends.
fn hold(path: &Path) -> Result<Lock, Error> {
    let mut name = path.to_owned().into_os_string();
    name.push(".lock");
    let name = PathBuf::from(name);
    // Not through a link: what it leads to would be written over.
    if fs::symlink_metadata(&name).is_ok_and(|found| !found.is_file()) {
        return Err(wrong("has a lock file that is not a regular file"));
    }
    let mut lock = options().open(&name).map_err(|error| unusable(&error))?;
    // By name: newer versions of std have a method that is called the same.
    match FileExt::try_lock(&lock) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(wrong(format!("is held by {}", holder(lock)))),
        Err(TryLockError::Error(error)) => return Err(unusable(&error)),
    }
    let text = format!(
        "process {} since unix second {}\n",
        std::process::id(),
        clock::unix_seconds()
    );
    let mut write = || -> io::Result<()> {
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(text.as_bytes())
    };
    write().map_err(|error| unusable(&error))?;
    Ok(Lock {
        id: Id::of(&lock).map_err(|error| unusable(&error))?,
        path: name,
        file: lock,
    })
}

/// Who holds a lock, as its file says.
fn holder(mut lock: File) -> String {
    let mut text = String::new();
    // Windows keeps a locked file from being read.
    match lock.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another client".to_owned(),
    }
}

/// The error of a file that cannot be a ledger.
pub(super) fn wrong(problem: impl Display) -> Error {
    Error::argument("config.ledger_file", problem)
}

/// The error of a file that the system does not give.
pub(super) fn unusable(error: &io::Error) -> Error {
    wrong(format!("cannot be used: {error}"))
}
