//! The lines of a ledger file.
//!
//! A line is eight hexadecimal digits of a CRC-32, a blank, one JSON object
//! without raw line breaks, and a line feed. A line that was cut short has no
//! line feed, so a torn end is never taken for a record.

use serde::{Deserialize, Serialize};

use super::{End, Intent};

/// What a ledger file begins with.
pub(super) const HEADER: &str = "kotak_neo ledger 1";

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Record {
    /// The first line.
    Header { format: String },
    /// An instruction is about to be sent.
    Begin { number: u64, intent: Intent },
    /// How it ended.
    End { number: u64, end: End },
}

/// The line of a record.
pub(super) fn line(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(record)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// What a file holds.
pub(super) struct Contents {
    pub(super) records: Vec<Record>,
    /// How many bytes of it are whole lines.
    pub(super) whole: usize,
}

/// Reads all whole lines. The error is the offset of a line that is not what
/// was written.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, usize> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(length) = bytes[at..].iter().position(|b| *b == b'\n') {
        match parse(&bytes[at..at + length]) {
            Some(record) if at > 0 || is_header(&record) => records.push(record),
            _ => return Err(at),
        }
        at += length + 1;
    }
    Ok(Contents { records, whole: at })
}

fn is_header(record: &Record) -> bool {
    matches!(record, Record::Header { format } if format == HEADER)
}

fn parse(line: &[u8]) -> Option<Record> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    // Exactly as it was written: no plus sign, no capitals.
    if format!("{:08x}", crc32fast::hash(json)) != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}
