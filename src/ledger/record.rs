//! The lines of a ledger file.
//!
//! A line is eight hexadecimal digits of a CRC-32, a blank, one JSON object
//! without raw line breaks, and a line feed. A line that was cut short has no
//! line feed, so a torn end is never taken for a record. Each record names the
//! checksum of the line before it, so that none can be missing from the middle.
//!
//! The first line says what the file is. Records of version 1, which had neither
//! that chain nor a version, are read; they are never written again, and stand
//! before all others.

use serde::{Deserialize, Serialize};

use super::{End, Intent};

/// The version of the records that are written.
pub(super) const VERSION: u64 = 2;

/// What a ledger file begins with, but for the version.
const FORMAT: &str = "kotak_neo ledger ";

/// One record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    v: u64,
    /// The checksum of the line before.
    after: String,
    /// The boot in which it was written, where the system names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) boot: Option<String>,
    /// When in that boot, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) up_ms: Option<i64>,
    pub(super) record: Record,
}

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Record {
    /// A process took hold of the file (unix seconds).
    Opened { pid: u32, at: u64 },
    /// An instruction is about to be sent.
    Begin {
        number: u64,
        /// It begins at this time of the broker's (unix seconds) at the latest,
        /// as far as is known.
        by: Option<u64>,
        intent: Intent,
    },
    /// How it ended.
    End { number: u64, end: End },
    /// The broker's clock (unix seconds), asked at this time of the boot.
    Date { at: u64, asked_up_ms: Option<i64> },
}

/// The first line of a file, and the records of version 1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
enum Plain {
    Header { format: String },
    Begin { number: u64, intent: Intent },
    End { number: u64, end: End },
}

/// What a line that could be of any version says of it.
#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    v: u64,
    #[serde(default)]
    format: String,
}

/// When a record is written: the boot, and its time in milliseconds.
pub(super) type Stamp = Option<(String, i64)>;

/// A line, and its checksum.
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    pub(super) sum: u32,
}

/// The line of a record that follows the line with the checksum `after`.
pub(super) fn line(after: u32, stamp: Stamp, record: Record) -> Result<Made, serde_json::Error> {
    let (boot, up_ms) = stamp.unzip();
    made(&Line {
        v: VERSION,
        after: format!("{after:08x}"),
        boot,
        up_ms,
        record,
    })
}

/// The first line of a new file.
pub(super) fn header() -> Result<Made, serde_json::Error> {
    header_of(VERSION)
}

fn header_of(version: u64) -> Result<Made, serde_json::Error> {
    let format = format!("{FORMAT}{version}");
    made(&Plain::Header { format })
}

fn made(line: &impl Serialize) -> Result<Made, serde_json::Error> {
    let json = serde_json::to_vec(line)?;
    let sum = crc32fast::hash(&json);
    let mut bytes = format!("{sum:08x} ").into_bytes();
    bytes.extend_from_slice(&json);
    bytes.push(b'\n');
    Ok(Made { bytes, sum })
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) lines: Vec<Line>,
    /// How many bytes of it are whole lines.
    pub(super) whole: usize,
    /// The checksum of the last line.
    pub(super) sum: u32,
}

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It does not begin as a ledger does.
    NoLedger,
    /// The line at this byte is not what was written.
    Damaged(usize),
    /// Before the line at this byte another one is missing.
    Missing(usize),
    /// The line at this byte is of a version that is not known here.
    Newer(usize, u64),
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const CURE: &str = "nothing can be sent with it. Settle today's orders by the order book, \
                            then move the file away";
        match self {
            Self::NoLedger => f.write_str("is not a ledger, and is left as it is"),
            Self::Damaged(at) => write!(f, "has a damaged record at byte {at}; {CURE}"),
            Self::Missing(at) => write!(
                f,
                "lacks a record before byte {at}, or has one in the wrong place; {CURE}"
            ),
            Self::Newer(at, version) => write!(
                f,
                "was written by a newer version of this library: the record at byte {at} has \
                 version {version}, and this library knows {VERSION}; open it with that version"
            ),
        }
    }
}

/// Reads all whole lines.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, Unread> {
    let mut lines = Vec::new();
    let (mut at, mut sum) = (0, 0);
    // Nothing of version 1 follows what is chained.
    let mut chained = false;
    while let Some(length) = bytes[at..].iter().position(|b| *b == b'\n') {
        let line = &bytes[at..at + length];
        let Some((own, json)) = checked(line) else {
            let mut all = bytes.split(|b| *b == b'\n');
            return Err(match all.any(|line| checked(line).is_some()) {
                true => Unread::Damaged(at),
                false => Unread::NoLedger,
            });
        };
        if at == 0 {
            chained = read_header(json)? >= 2;
        } else if let Ok(line) = serde_json::from_slice::<Line>(json) {
            if line.v != VERSION {
                return Err(unknown(json, at));
            }
            if line.after != format!("{sum:08x}") {
                return Err(Unread::Missing(at));
            }
            chained = true;
            lines.push(line);
        } else {
            match serde_json::from_slice::<Plain>(json) {
                Ok(plain) if !chained => lines.extend(plain.into_line()),
                Ok(_) => return Err(Unread::Missing(at)),
                Err(_) => return Err(unknown(json, at)),
            }
        }
        (at, sum) = (at + length + 1, own);
    }
    if at == 0 && !is_torn_header(bytes) {
        return Err(Unread::NoLedger);
    }
    Ok(Contents {
        lines,
        whole: at,
        sum,
    })
}

/// The version of a first line.
fn read_header(json: &[u8]) -> Result<u64, Unread> {
    let found = serde_json::from_slice::<Version>(json).map_err(|_| Unread::Damaged(0))?;
    let version = found.format.strip_prefix(FORMAT);
    match version.and_then(|version| version.parse().ok()) {
        Some(version @ 1..=VERSION) => Ok(version),
        Some(version) if version > VERSION => Err(Unread::Newer(0, version)),
        _ => Err(Unread::Damaged(0)),
    }
}

/// What is wrong with a record that was written so, but is not understood.
fn unknown(json: &[u8], at: usize) -> Unread {
    match serde_json::from_slice::<Version>(json) {
        Ok(Version { v, .. }) if v > VERSION => Unread::Newer(at, v),
        _ => Unread::Damaged(at),
    }
}

/// Whether a file without any whole line is one whose first line was cut short.
fn is_torn_header(bytes: &[u8]) -> bool {
    let cut_short = |made: Made| made.bytes.starts_with(bytes);
    (1..=VERSION).any(|version| header_of(version).is_ok_and(cut_short))
}

/// The checksum of a line and its JSON, if they fit.
fn checked(line: &[u8]) -> Option<(u32, &[u8])> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    let own = crc32fast::hash(json);
    // Exactly as it was written: no plus sign, no capitals.
    (format!("{own:08x}") == sum).then_some((own, json))
}

impl Plain {
    fn into_line(self) -> Option<Line> {
        let record = match self {
            Self::Header { .. } => return None,
            Self::Begin { number, intent } => Record::Begin {
                number,
                by: None,
                intent,
            },
            Self::End { number, end } => Record::End { number, end },
        };
        Some(Line {
            v: 1,
            after: String::new(),
            boot: None,
            up_ms: None,
            record,
        })
    }
}
