//! The lines of a scrip-master file: their cells, and what the columns hold.
//!
//! No cell is quoted: a comma always parts two cells. A file has millions of
//! them, so splitting is done eight bytes at a time.

use std::fmt::Write;

use memchr::memchr;

use crate::base::json;

/// Without the carriage return of another system.
pub(super) fn line(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// The cells of a line, all at once, or the first so many. Cells are short, so
/// looking at eight bytes a time is several times faster than searching for one
/// comma after another.
pub(super) fn split<'a>(line: &'a [u8], most: usize, cells: &mut Vec<&'a [u8]>) {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const COMMAS: u64 = ONES * b',' as u64;
    const LOW: u64 = ONES * 0x7f;
    let mut start = 0;
    let mut words = line.chunks_exact(8);
    let mut base = 0;
    for word in &mut words {
        let Ok(word) = word.try_into() else { continue };
        let differs = u64::from_le_bytes(word) ^ COMMAS;
        // The highest bit of each byte that is a comma.
        let mut found = !(((differs & LOW) + LOW) | differs | LOW);
        while found != 0 {
            if cells.len() >= most {
                return;
            }
            let at = base + found.trailing_zeros() as usize / 8;
            cells.push(&line[start..at]);
            start = at + 1;
            found &= found - 1;
        }
        base += 8;
    }
    while let Some(more) = memchr(b',', &line[base.max(start)..]) {
        if cells.len() >= most {
            return;
        }
        let at = base.max(start) + more;
        cells.push(&line[start..at]);
        start = at + 1;
    }
    if cells.len() < most {
        cells.push(&line[start..]);
    }
}

/// The cells of a line, one after the other.
pub(super) fn cells(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let now = rest?;
        match memchr(b',', now) {
            Some(at) => {
                rest = Some(&now[at + 1..]);
                Some(&now[..at])
            }
            None => {
                rest = None;
                Some(now)
            }
        }
    })
}

/// A cell without the blanks around it.
pub(super) fn trim(cell: &[u8]) -> &[u8] {
    cell.trim_ascii()
}

/// A cell as text.
pub(super) fn text(cell: &[u8]) -> &str {
    // Checked once for the whole file.
    std::str::from_utf8(cell).unwrap_or("")
}

/// What all non-blank cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    Int,
    Float,
    Flag,
    Text,
}

impl Kind {
    fn of(cell: &[u8]) -> Self {
        match cell {
            int if is_int(int) => Self::Int,
            float if is_float(float) => Self::Float,
            flag if is_flag(flag) => Self::Flag,
            _ => Self::Text,
        }
    }

    /// What cells of both kinds are.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Blank, kind) | (kind, Self::Blank) => kind,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            _ => Self::Text,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) kind: Kind,
    /// Whether a cell is blank. A column of integers then holds floats.
    pub(super) has_blanks: bool,
}

/// What the columns are, as far as rows were seen.
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
    /// The columns of each kind but text, which stays text. Looking at those of
    /// a kind together spares a decision at every cell.
    of_kind: [Vec<usize>; 4],
}

impl Columns {
    pub(super) fn new(count: usize) -> Self {
        let column = Column {
            kind: Kind::Blank,
            has_blanks: false,
        };
        let mut of_kind = [const { Vec::new() }; 4];
        of_kind[Kind::Blank as usize] = (0..count).collect();
        Self {
            all: vec![column; count],
            of_kind,
        }
    }

    /// Takes the cells of one row in.
    pub(super) fn meet(&mut self, cells: &[&[u8]]) {
        self.sift(Kind::Blank, cells, |_| false);
        self.sift(Kind::Int, cells, is_int);
        self.sift(Kind::Float, cells, is_float);
        self.sift(Kind::Flag, cells, is_flag);
    }

    /// Takes in what other rows are like.
    pub(super) fn join(&mut self, other: &Self) {
        for (column, other) in self.all.iter_mut().zip(&other.all) {
            column.kind = column.kind.and(other.kind);
            column.has_blanks |= other.has_blanks;
        }
    }

    /// Finds the columns of a kind to which a cell does not belong.
    #[inline]
    fn sift(&mut self, kind: Kind, cells: &[&[u8]], belongs: impl Fn(&[u8]) -> bool) {
        let mut at = 0;
        while let Some(place) = self.of_kind[kind as usize].get(at).copied() {
            let cell = cells[place];
            if cell.is_empty() {
                self.all[place].has_blanks = true;
            } else if !belongs(cell) {
                self.of_kind[kind as usize].swap_remove(at);
                let kind = kind.and(Kind::of(cell));
                self.all[place].kind = kind;
                if kind != Kind::Text {
                    self.of_kind[kind as usize].push(place);
                }
                continue;
            }
            at += 1;
        }
    }
}

impl Column {
    pub(super) fn write(&self, out: &mut String, cell: &[u8]) {
        if cell.is_empty() {
            out.push_str("null");
            return;
        }
        let given = text(trim(cell));
        // Writing into a string cannot fail.
        let _ = match self.kind {
            Kind::Int if !self.has_blanks => match given.parse::<i64>() {
                Ok(number) => write!(out, "{number}"),
                Err(_) => write!(out, "null"),
            },
            Kind::Int | Kind::Float => match given.parse::<f64>() {
                Ok(number) if number.is_finite() => write!(out, "{number:?}"),
                _ => write!(out, "null"),
            },
            Kind::Flag => write!(out, "{}", given.eq_ignore_ascii_case("true")),
            Kind::Blank | Kind::Text => {
                json::write_string(out, text(cell));
                Ok(())
            }
        };
    }
}

fn is_int(cell: &[u8]) -> bool {
    let digits = match cell {
        [b'-' | b'+', rest @ ..] => rest,
        all => all,
    };
    (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// Digits, perhaps with a sign, a point and an exponent.
pub(super) fn is_float(cell: &[u8]) -> bool {
    let cell = trim(cell);
    let sign = |bytes: &mut &[u8]| {
        if let [b'-' | b'+', rest @ ..] = *bytes {
            *bytes = rest;
        }
    };
    let digits = |bytes: &mut &[u8]| {
        let count = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        *bytes = &bytes[count..];
        count
    };
    let mut rest = cell;
    sign(&mut rest);
    let mut count = digits(&mut rest);
    if let [b'.', after @ ..] = rest {
        rest = after;
        count += digits(&mut rest);
    }
    if let ([b'e' | b'E', after @ ..], true) = (rest, count > 0) {
        rest = after;
        sign(&mut rest);
        count = digits(&mut rest);
    }
    count > 0 && rest.is_empty()
}

fn is_flag(cell: &[u8]) -> bool {
    matches!(
        cell,
        b"true" | b"false" | b"True" | b"False" | b"TRUE" | b"FALSE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_between_commas() {
        for text in [
            "",
            ",",
            "a",
            "a,b",
            ",,,,,,,,,,",
            "12345678",
            "1234567,",
            "abcdefgh,ijklmnopq,r",
            "é,ü,,ö",
        ] {
            let mut found = Vec::new();
            split(text.as_bytes(), 100, &mut found);
            let plain: Vec<_> = text.split(',').map(str::as_bytes).collect();
            assert_eq!(found, plain, "{text}");
            found.clear();
            split(text.as_bytes(), 3, &mut found);
            assert_eq!(found, plain[..plain.len().min(3)], "{text}");
        }
    }
}
