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
use std::sync::atomic::{AtomicU64, Ordering};

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
        let files = self.files(segment);
        let whole = files.filter_map(|(day, rest, _)| (rest == "scrips").then_some(day));
        whole.collect()
    }

    /// The files of a segment: day, the rest of the name, and path.
    fn files(&self, segment: &str) -> impl Iterator<Item = (u64, String, PathBuf)> {
        let prefix = self.prefix(segment);
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        entries.filter_map(move |entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_prefix(&prefix)?;
            let (day, rest) = name.split_once('.')?;
            Some((day.parse().ok()?, rest.to_owned(), path.clone()))
        })
    }

    /// Keeps the file of a day, and removes those of days before.
    pub(crate) fn keep(&self, segment: &str, day: u64, csv: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(segment, day);
        // Others may write the same file now, in this process too.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (me, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let name = format!("{}{day}.{me}.{number}.new", self.prefix(segment));
        let new = self.folder.join(name);
        // What an earlier process with this id left, or a link in the way.
        remove(&new)?;
        let written = write(&new, csv).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = written {
            // The first error tells more than one about its leftovers.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        // Also what a process left that was killed while it wrote.
        for (_, _, old) in self.files(segment).filter(|(of, _, _)| *of < day) {
            remove(&old)?;
        }
        Ok(())
    }
}

/// Removes a file, unless another process was faster.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write(path: &Path, csv: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
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
