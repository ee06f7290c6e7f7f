//! Who may write a ledger file: one client at a time, by whatever name it calls
//! the file.
//!
//! On Unix the file itself is locked, with a record lock of POSIX (`fcntl`): it
//! belongs to the file, not to a name, and a child made by `fork` does not get
//! it. Such a lock keeps only other processes away, and ends when its process
//! closes the file, however often it has it open. So this process remembers what
//! it holds, and neither opens nor closes such a file a second time. Somebody
//! else in the process may: therefore the lock is taken again before each record.
//!
//! On Windows the file is opened so that others can read it but not write it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use sys::{Hold, look};

/// Who has a ledger file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The number of the process, where the system tells it.
    pub(crate) pid: Option<u32>,
}

impl Holder {
    #[cfg(unix)]
    fn this_process() -> Self {
        Self {
            pid: Some(std::process::id()),
        }
    }
}

/// Why a file could not be taken hold of.
#[derive(Debug)]
pub(super) enum Refused {
    Held(Holder),
    /// By a version of this library that locked a file beside it. What that
    /// file says.
    HeldByOlder(String),
    NoFile,
    System(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A file that is no regular one is not opened: a pipe would wait for its other
/// end. `false` if there is none.
fn is_there(path: &Path) -> Result<bool, Refused> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(Refused::NoFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    options
}

/// The lock file of older versions, if there is one.
fn older_lock(path: &Path) -> io::Result<Option<File>> {
    let mut name = path.to_owned().into_os_string();
    name.push(".lock");
    let name = PathBuf::from(name);
    match fs::symlink_metadata(&name) {
        Ok(found) if found.is_file() => File::open(&name).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
mod sys {
    use std::collections::HashMap;
    use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
    use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

    use rustix::fs::{FlockOperation, fcntl_lock, flock};
    use rustix::io::Errno;
    use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

    use super::super::file::LARGEST;
    use super::*;
    use crate::base::process::PerProcess;

    /// So often a file may be replaced while it is opened.
    const TRIES: usize = 8;

    /// Which file it is, whatever its name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(in crate::ledger) struct Id(u64, u64);

    impl Id {
        fn of(file: &File) -> io::Result<Self> {
            file.metadata().map(|found| Self::from(&found))
        }
    }

    impl From<&fs::Metadata> for Id {
        fn from(found: &fs::Metadata) -> Self {
            Self(found.dev(), found.ino())
        }
    }

    /// What this process holds. A forked child holds nothing.
    static HELD: PerProcess<Mutex<HashMap<Id, Seated>>> = PerProcess::new();

    fn held() -> MutexGuard<'static, HashMap<Id, Seated>> {
        HELD.get().lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[derive(Default)]
    struct Seated {
        file: Weak<File>,
        /// Opened before it was seen that it is the same file. To close them
        /// would end the lock.
        parked: Vec<Arc<File>>,
    }

    /// The place of a file among those that this process holds.
    struct Seat {
        id: Id,
        pid: u32,
    }

    impl Seat {
        /// `None` if this process holds the file already.
        fn take(id: Id, file: &Arc<File>) -> Option<Self> {
            let mut held = held();
            if let Some(seated) = held.get_mut(&id) {
                seated.parked.push(Arc::clone(file));
                return None;
            }
            let seated = Seated {
                file: Arc::downgrade(file),
                parked: Vec::new(),
            };
            held.insert(id, seated);
            let pid = std::process::id();
            Some(Self { id, pid })
        }
    }

    impl Drop for Seat {
        fn drop(&mut self) {
            // What a forked child has of its parent holds nothing.
            if self.pid == std::process::id() {
                let mut held = held();
                // What is parked is closed before anybody can take the seat.
                drop(held.remove(&self.id));
            }
        }
    }

    /// A file that nobody else can take hold of.
    pub(in crate::ledger) struct Hold {
        /// Closed before the seat is free: closing it ends the lock.
        pub(in crate::ledger) file: Arc<File>,
        seat: Seat,
    }

    impl Hold {
        pub(in crate::ledger) fn open(path: &Path) -> Result<Self, Refused> {
            for _ in 0..TRIES {
                if is_there(path)? {
                    let found = Id::from(&fs::metadata(path)?);
                    if held().contains_key(&found) {
                        return Err(Refused::Held(Holder::this_process()));
                    }
                }
                // It tells what somebody trades.
                let file = Arc::new(options().mode(0o600).open(path)?);
                let id = Id::of(&file)?;
                let Some(seat) = Seat::take(id, &file) else {
                    return Err(Refused::Held(Holder::this_process()));
                };
                let hold = Self { file, seat };
                match hold.lock() {
                    Ok(()) => {}
                    Err(Errno::AGAIN | Errno::ACCESS) => {
                        let holder = holder(&hold.file)?;
                        return Err(Refused::Held(holder.unwrap_or(Holder { pid: None })));
                    }
                    Err(error) => return Err(Refused::System(error.into())),
                }
                // Otherwise it was replaced before it was locked.
                if fs::metadata(path).is_ok_and(|found| Id::from(&found) == id) {
                    return match older_version(path)? {
                        Some(text) => Err(Refused::HeldByOlder(text)),
                        None => Ok(hold),
                    };
                }
            }
            let problem = "it is replaced again and again";
            Err(Refused::System(io::Error::other(problem)))
        }

        fn lock(&self) -> Result<(), Errno> {
            fcntl_lock(&*self.file, FlockOperation::NonBlockingLockExclusive)
        }

        /// Whether nobody has taken it. If somebody in this process has ended
        /// the lock, it is taken again.
        pub(in crate::ledger) fn lasts(&self) -> bool {
            self.lock().is_ok()
        }

        pub(in crate::ledger) fn is(&self, found: &fs::Metadata) -> bool {
            self.seat.id == Id::from(found)
        }
    }

    /// Who has locked a file. Of this process nothing is told.
    fn holder(file: &File) -> io::Result<Option<Holder>> {
        let wanted = Flock {
            start: 0,
            length: 0,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        let found = fcntl_getlk(file, &wanted)?;
        let pid = |lock: Flock| u32::try_from(lock.pid?.as_raw_nonzero().get()).ok();
        Ok(found.map(|lock| Holder { pid: pid(lock) }))
    }

    /// What a ledger file holds now, and who has it. Takes no lock, and ends
    /// none.
    pub(in crate::ledger) fn look(path: &Path) -> Result<(Vec<u8>, Option<Holder>), Refused> {
        // Until it is closed again nobody in this process may lock it.
        let mut held = held();
        if !is_there(path)? {
            return Err(Refused::System(io::ErrorKind::NotFound.into()));
        }
        let of_this = |seated: &Seated| seated.file.upgrade();
        if let Some(file) = held.get(&Id::from(&fs::metadata(path)?)).and_then(of_this) {
            return Ok((read(&file)?, Some(Holder::this_process())));
        }
        let file = Arc::new(File::open(path)?);
        if let Some(seated) = held.get_mut(&Id::of(&file)?) {
            seated.parked.push(Arc::clone(&file));
            return Ok((read(&file)?, Some(Holder::this_process())));
        }
        Ok((read(&file)?, holder(&file)?))
    }

    /// All of a file, wherever its owner is in it.
    fn read(file: &File) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Not on the stack: callers may have a small one.
        let mut part = vec![0; 64 * 1024];
        loop {
            match file.read_at(&mut part, bytes.len() as u64) {
                Ok(0) => return Ok(bytes),
                // Some files have a length that says nothing.
                Ok(_) if bytes.len() as u64 > LARGEST => {
                    return Err(io::Error::other("it has no end"));
                }
                Ok(count) => bytes.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Who holds a ledger the old way: by `flock` of a file beside it.
    fn older_version(path: &Path) -> io::Result<Option<String>> {
        let Some(mut lock) = older_lock(path)? else {
            return Ok(None);
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(None),
            Err(Errno::AGAIN) => {
                let mut text = String::new();
                lock.read_to_string(&mut text)?;
                Ok(Some(text.trim().to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(windows)]
mod sys {
    use std::os::windows::fs::OpenOptionsExt;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const SHARE_READ: u32 = 1;
    const SHARE_DELETE: u32 = 4;
    const SHARING_VIOLATION: i32 = 32;
    const LOCK_VIOLATION: i32 = 33;

    /// So often, and so long apart, a file is tried that somebody looks at just
    /// now.
    const TRIES: usize = 10;
    const PAUSE: Duration = Duration::from_millis(20);

    /// A file that nobody else can take hold of: others may open it for reading
    /// only, by any of its names.
    pub(in crate::ledger) struct Hold {
        pub(in crate::ledger) file: Arc<File>,
    }

    impl Hold {
        pub(in crate::ledger) fn open(path: &Path) -> Result<Self, Refused> {
            is_there(path)?;
            let mut tries = 0;
            let file = loop {
                tries += 1;
                match options().share_mode(SHARE_READ).open(path) {
                    Ok(file) => break Arc::new(file),
                    Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => {
                        if tries >= TRIES {
                            return Err(Refused::Held(Holder { pid: None }));
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
                thread::sleep(PAUSE);
            };
            match older_version(path)? {
                Some(text) => Err(Refused::HeldByOlder(text)),
                None => Ok(Self { file }),
            }
        }

        /// Whether nobody has taken it: while it is open, nobody can.
        pub(in crate::ledger) fn lasts(&self) -> bool {
            true
        }

        /// While it is open, nobody can move or remove it.
        pub(in crate::ledger) fn is(&self, _: &fs::Metadata) -> bool {
            true
        }
    }

    /// What a ledger file holds now, and whether somebody has it. Keeps nobody
    /// away, but for the moment of one try.
    pub(in crate::ledger) fn look(path: &Path) -> Result<(Vec<u8>, Option<Holder>), Refused> {
        if !is_there(path)? {
            return Err(Refused::System(io::ErrorKind::NotFound.into()));
        }
        let bytes = fs::read(path)?;
        let mut alone = OpenOptions::new();
        alone.read(true).share_mode(SHARE_READ | SHARE_DELETE);
        match alone.open(path) {
            Ok(_) => Ok((bytes, None)),
            Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => {
                Ok((bytes, Some(Holder { pid: None })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Who holds a ledger the old way: by a lock of a file beside it, which can
    /// not even be read then.
    fn older_version(path: &Path) -> io::Result<Option<String>> {
        let Some(mut lock) = older_lock(path)? else {
            return Ok(None);
        };
        match lock.read(&mut [0; 1]) {
            Ok(_) => Ok(None),
            Err(error) if error.raw_os_error() == Some(LOCK_VIOLATION) => Ok(Some(String::new())),
            Err(error) => Err(error),
        }
    }
}
