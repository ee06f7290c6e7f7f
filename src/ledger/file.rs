//! The file of a ledger.
//!
//! One process holds it. Each record is appended in one write; what could not be
//! written whole is cut off again. Nothing else is ever written to it, but that it
//! is begun anew when all that it holds is over: it stays the same file, whatever
//! names it has.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::LedgerSync;
use super::lock::{self, Hold, Holder, Refused};
use super::record;
use crate::base::error::Error;
use crate::base::status::Status;

/// Far more than a day of orders makes; a larger file is none of ours.
pub(super) const LARGEST: u64 = 1 << 30;

/// A ledger file that this process holds.
pub(super) struct LedgerFile {
    path: PathBuf,
    sync: LedgerSync,
    /// After a fork the child has the file too, and must not write.
    pub(super) pid: u32,
    pub(super) hold: Hold,
    /// How many bytes are whole records.
    length: u64,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

impl LedgerFile {
    /// Opens or makes a file and takes hold of it. Gives also what it holds.
    ///
    /// # Errors
    ///
    /// If another client holds it (the message names the process), or if it
    /// cannot be read or written.
    pub(super) fn open(path: &Path, sync: LedgerSync) -> Result<(Self, Vec<u8>), String> {
        let path = real(path)?;
        let hold = Hold::open(&path).map_err(|refused| told(refused, &path))?;
        let mut file = &*hold.file;
        let length = file.metadata().map_err(unusable)?.len();
        if length > LARGEST {
            return Err(TOO_LARGE.to_owned());
        }
        let mut bytes = Vec::new();
        // Some files have a length that says nothing.
        let read = (&mut file).take(LARGEST + 1).read_to_end(&mut bytes);
        if read.map_err(unusable)? as u64 > LARGEST {
            return Err(TOO_LARGE.to_owned());
        }
        let held = Self {
            path,
            sync,
            pid: std::process::id(),
            hold,
            length: bytes.len() as u64,
            broken: None,
        };
        Ok((held, bytes))
    }

    /// Appends a line, or leaves the file as it was. To be called when it has
    /// been seen that the file [must be ours](Self::must_be_ours).
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), Error> {
        let mut file = &*self.hold.file;
        let written = match file.write(line) {
            Ok(count) if count == line.len() => match self.sync {
                LedgerSync::Process => Ok(()),
                LedgerSync::Disk => file.sync_data(),
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
        let mut file = &*self.hold.file;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0)).map(drop)
    }

    /// Begins the file anew. Killed in between it leaves an empty one, or one
    /// whose first line is torn: nothing that counted is lost. To be called like
    /// [`Self::append`].
    pub(super) fn begin_anew(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.cut_to(0).and_then(|()| {
            let mut file = &*self.hold.file;
            file.write_all(bytes)?;
            file.sync_all()?;
            sync_folder(&self.path)
        });
        match written {
            Ok(()) => {
                self.length = bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                let error = self.unwritten(error);
                self.broken = Some("an earlier write failed".to_owned());
                Err(error)
            }
        }
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
            let reason = "somebody has changed, moved or removed it; nobody but this process may \
                          touch it while it is in use";
            self.broken = Some(reason.to_owned());
        }
        match &self.broken {
            Some(reason) => Err(self.unwritten(reason)),
            None => Ok(()),
        }
    }

    /// Whether the file is the one that was opened, nobody else has written and
    /// nobody else can. Otherwise another process may hold a ledger of the same
    /// name, or the next one not find what is written here.
    fn is_ours(&self) -> bool {
        self.hold.lasts()
            && fs::metadata(&self.path)
                .is_ok_and(|found| self.hold.is(&found) && found.len() == self.length)
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

const TOO_LARGE: &str = "is too large for a ledger";

/// The path without links.
fn real(path: &Path) -> Result<PathBuf, String> {
    match fs::canonicalize(path) {
        Ok(real) => return Ok(real),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        Err(_) => {}
    }
    if fs::symlink_metadata(path).is_ok() {
        return Err("is a link that leads to nothing".to_owned());
    }
    let Some(name) = path.file_name() else {
        return Err("names no file".to_owned());
    };
    let folder = fs::canonicalize(folder_of(path)).map_err(unusable)?;
    Ok(folder.join(name))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes a new name last.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder_of(path))?.sync_all()
}

/// What a ledger file holds now, and who holds it. Neither takes hold of it nor
/// keeps anybody from it.
pub(super) fn look(path: &Path) -> Result<(Vec<u8>, Option<Holder>), String> {
    let length = fs::metadata(path).map_err(unusable)?.len();
    if length > LARGEST {
        return Err(TOO_LARGE.to_owned());
    }
    lock::look(path).map_err(|refused| told(refused, path))
}

/// Why a file cannot be a ledger.
fn told(refused: Refused, path: &Path) -> String {
    match refused {
        Refused::Held(holder) => {
            let since = look(path).ok().and_then(|(bytes, _)| {
                let opened = super::Book::of(record::read(&bytes).ok()?.lines).opened;
                opened.filter(|(pid, _)| holder.pid.is_none_or(|holder| holder == *pid))
            });
            match (since, holder.pid) {
                (Some((pid, at)), _) => format!("is held by process {pid} since unix second {at}"),
                (None, Some(pid)) => format!("is held by process {pid}"),
                (None, None) => "is held by another client".to_owned(),
            }
        }
        Refused::HeldByOlder(text) if text.is_empty() => {
            "is held by a client of an older version of this library".to_owned()
        }
        Refused::HeldByOlder(text) => {
            format!("is held by {text}, with an older version of this library")
        }
        Refused::NoFile => "is not a regular file".to_owned(),
        Refused::System(error) => unusable(error),
    }
}

/// A file that the system does not give.
pub(super) fn unusable(error: io::Error) -> String {
    format!("cannot be used: {error}")
}
