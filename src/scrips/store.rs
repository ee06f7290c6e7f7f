//! Scrip files on the disk, so that a day's file is fetched once.
//!
//! A file is named by environment and host, segment and day. It is written
//! beside its place and renamed, so that it is whole or not there. Its length and
//! checksum are verified when it is read: a damaged one counts as missing. It is
//! read and not mapped: a mapped file that another program cuts short would
//! kill the host.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What a file begins with, its version included.
const MAGIC: &[u8; 16] = b"kotak_neo scrip1";
const HEAD: usize = 16 + 8 + 4;

/// Where the files of one broker are kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    /// Environment and host: two brokers must not mix.
    place: String,
}

/// A file that was found.
pub(crate) struct Kept {
    pub(crate) day: u64,
    pub(crate) csv: Vec<u8>,
}

impl Store {
    pub(crate) fn new(folder: &Path, environment: &str, host: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        Self {
            folder: folder.to_owned(),
            place: format!(
                "{environment}-{}",
                host.chars().map(plain).collect::<String>()
            ),
        }
    }

    fn prefix(&self, segment: &str) -> String {
        format!("{}-{segment}-", self.place)
    }

    fn path(&self, segment: &str, day: u64) -> PathBuf {
        let name = format!("{}{day}.scrips", self.prefix(segment));
        self.folder.join(name)
    }

    /// The file of a day.
    pub(crate) fn of_day(&self, segment: &str, day: u64) -> Option<Kept> {
        let csv = read(&self.path(segment, day))?;
        Some(Kept { day, csv })
    }

    /// The newest whole file before a day.
    pub(crate) fn newest_before(&self, segment: &str, day: u64) -> Option<Kept> {
        let mut days = self.days(segment);
        days.retain(|kept| *kept < day);
        days.sort_unstable();
        days.into_iter()
            .rev()
            .find_map(|day| self.of_day(segment, day))
    }

    fn days(&self, segment: &str) -> Vec<u64> {
        let prefix = self.prefix(segment);
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                let rest = name.to_str()?.strip_prefix(&prefix)?;
                rest.strip_suffix(".scrips")?.parse().ok()
            })
            .collect()
    }

    /// Keeps the file of a day, and removes those of days before.
    pub(crate) fn keep(&self, segment: &str, day: u64, csv: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(segment, day);
        // Other processes may write the same file now.
        let name = format!("{}{day}.{}.new", self.prefix(segment), std::process::id());
        let new = self.folder.join(name);
        let written = write(&new, csv).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = written {
            // The first error tells more than one about its leftovers.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        for old in self.days(segment) {
            if old < day {
                match fs::remove_file(self.path(segment, old)) {
                    // Another process was faster.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn write(path: &Path, csv: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&(csv.len() as u64).to_le_bytes())?;
    file.write_all(&crc32fast::hash(csv).to_le_bytes())?;
    file.write_all(csv)?;
    file.sync_all()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    // Opening a pipe would wait for its other end.
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() > super::LARGEST_FILE + HEAD as u64 {
        return None;
    }
    let mut file = fs::File::open(path).ok()?;
    let mut head = [0; HEAD];
    file.read_exact(&mut head).ok()?;
    let (magic, numbers) = head.split_at(16);
    let (length, sum) = numbers.split_at(8);
    let length = u64::from_le_bytes(length.try_into().ok()?);
    if magic != MAGIC || found.len() != HEAD as u64 + length {
        return None;
    }
    let mut csv = Vec::with_capacity(usize::try_from(length).ok()?);
    file.take(length).read_to_end(&mut csv).ok()?;
    let whole = csv.len() as u64 == length && crc32fast::hash(&csv).to_le_bytes() == *sum;
    whole.then_some(csv)
}
