//! The log file of a client. It is off unless the configuration names one.
//!
//! A line tells what was asked and how it ended. It never carries a header, a
//! body or a query of ours. What the broker gave as the reason of a refusal is
//! in it, after the same masking as in the error itself.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::base::clock;

/// The longest line, in characters, before escapes.
const LONGEST_LINE: usize = 8192;

/// How much is written; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Off,
    /// Calls that failed.
    Error,
    /// What was odd but did not fail a call.
    Warn,
    /// Every call.
    Info,
    /// Every request.
    Debug,
    /// Every step of a request.
    Trace,
}

/// What is written, and where.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) level: Level,
    pub(crate) file: PathBuf,
}

/// Appends lines to the log file.
#[derive(Default)]
pub(crate) struct Log {
    to: Option<(Level, Mutex<File>)>,
}

impl Log {
    /// Opens the file; a problem is told as the rest of a sentence about it.
    pub(crate) fn open(settings: Option<&Settings>) -> Result<Self, String> {
        let Some(settings) = settings.filter(|given| given.level > Level::Off) else {
            return Ok(Self::default());
        };
        // A pipe that nobody reads would block the host.
        if std::fs::metadata(&settings.file).is_ok_and(|found| !found.is_file()) {
            return Err("is no regular file".to_owned());
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&settings.file)
            .map_err(|error| format!("cannot be opened: {error}"))?;
        Ok(Self {
            to: Some((settings.level, Mutex::new(file))),
        })
    }

    /// Whether lines of this level are written.
    pub(crate) fn wants(&self, level: Level) -> bool {
        self.to.as_ref().is_some_and(|(most, _)| level <= *most)
    }

    /// Writes one line. A full disk must not fail a trade, so a line that
    /// cannot be written is given up.
    pub(crate) fn line(&self, level: Level, text: fmt::Arguments<'_>) {
        let Some((most, file)) = &self.to else { return };
        if level > *most {
            return;
        }
        let now = clock::unix();
        // What the broker said may have line breaks or worse: a line stays one.
        let mut plain = String::new();
        for c in text.to_string().chars().take(LONGEST_LINE) {
            match c.is_control() {
                true => plain.extend(c.escape_default()),
                false => plain.push(c),
            }
        }
        // One write, so that lines of several processes do not mix.
        let line = format!(
            "{}.{:03} {level:?} {plain}\n",
            now.as_secs(),
            now.subsec_millis()
        );
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let _given_up = file.write_all(line.as_bytes());
    }
}
