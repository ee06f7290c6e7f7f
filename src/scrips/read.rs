//! Reads the rows of a file: on several threads, each record by itself.
//!
//! What cannot be read is counted and costs no more than itself: a cell, or a row.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use memchr::{memchr, memchr2_iter};

use super::contract::Names;
use super::csv::{Fault, cells, is_flag, line, long_record, number, split, text, trim};
use super::segment::Scheme;

const DAY: i64 = 24 * 3600;
/// How far India is ahead of UTC.
const INDIA: i64 = 19_800;
pub(super) const MOST_ROWS: usize = 1_000_000;
/// No count of time begins farther from 1970, in seconds.
const LARGEST_CORRECTION: f64 = 4e9;
/// More than a sound file has.
const MOST_CORRECTIONS: usize = 16;
/// After so many rows it is asked whether anybody still wants the file.
const STEP: usize = 1024;

/// Says whether anybody still wants the file. Asked by all threads that read it.
pub(super) type GoOn<'a> = &'a (dyn Fn() -> bool + Sync);

/// Kind of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionKind {
    Call,
    Put,
    Future,
    Other,
}

impl OptionKind {
    pub(crate) fn read(text: &str) -> Self {
        match text.trim() {
            t if t.eq_ignore_ascii_case("ce") => Self::Call,
            t if t.eq_ignore_ascii_case("pe") => Self::Put,
            t if t.eq_ignore_ascii_case("xx") => Self::Future,
            _ => Self::Other,
        }
    }
}

/// What searches compare of a row.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) start: u32,
    pub(super) end: u32,
    /// In 1/[`super::segment::RUPEE`]; `None` if blank.
    pub(super) strike: Option<i64>,
    /// Days since 1970, in India.
    pub(super) expiry: Option<i32>,
    pub(super) option: OptionKind,
}

/// Where the columns are that searches need, and those that rows are made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    pub(super) token: Option<usize>,
    pub(super) symbol: Option<usize>,
    pub(super) name: Option<usize>,
    pub(super) option: Option<usize>,
    pub(super) expiry: Option<usize>,
    pub(super) strike: Option<usize>,
    pub(super) correction: Option<usize>,
    pub(super) tick: Option<usize>,
    pub(super) lot: Option<usize>,
    pub(super) multiplier: Option<usize>,
    pub(super) numerator: Option<usize>,
    pub(super) denominator: Option<usize>,
    pub(super) freeze: Option<usize>,
    /// The last column, if all its cells are true or false.
    pub(super) last_flag: Option<usize>,
}

/// What is known of a file before its rows are read.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// How many columns there are.
    pub(super) count: usize,
    pub(super) at: Places,
    pub(super) scheme: Scheme,
    /// Whether every byte belongs to a text.
    pub(super) is_text: bool,
}

impl Layout {
    /// The day of a time of the file, in India. Nought and less stand for none.
    fn day(&self, seconds: Option<f64>, correction: i64) -> Option<i32> {
        let seconds = seconds.filter(|_| self.scheme.dated)?;
        if !(seconds > 0.0 && seconds < 1e12) {
            return None;
        }
        i32::try_from((seconds as i64 + correction + INDIA).div_euclid(DAY)).ok()
    }

    /// The days of all rows anew, counted otherwise than the segment is known to.
    pub(super) fn redate(
        &self,
        file: &[u8],
        rows: &mut [Row],
        correction: i64,
        faults: &mut Faults,
        go_on: GoOn<'_>,
    ) {
        (faults.dates, faults.first_date) = (0, None);
        let mut names = Names::new(self.scheme);
        for (at, row) in rows.iter_mut().enumerate() {
            if at % STEP == 0 && !go_on() {
                return;
            }
            let all: Vec<_> = cells(&file[row.start as usize..row.end as usize]).collect();
            let cell = |place: Option<usize>| {
                let found = place.and_then(|at| all.get(at));
                found.map_or(&b""[..], |cell| trim(cell))
            };
            row.expiry = self.day(number(cell(self.at.expiry)), correction);
            let (name, symbol) = (cell(self.at.name), cell(self.at.symbol));
            if row
                .expiry
                .is_some_and(|day| names.contradict(name, symbol, day))
            {
                faults.misdated(short(at));
            }
        }
    }
}

/// Rows by the name of their underlying in lower case.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) all: Vec<(String, Vec<u32>)>,
    places: HashMap<String, usize>,
    /// The same by the names as they are written: most rows need no other.
    written: HashMap<Vec<u8>, usize>,
}

impl Groups {
    fn of(&mut self, name: &[u8]) -> usize {
        if let Some(place) = self.written.get(name) {
            return *place;
        }
        let place = self.place(text(name).to_lowercase());
        self.written.insert(name.to_vec(), place);
        place
    }

    fn place(&mut self, name: String) -> usize {
        let next = self.all.len();
        *self.places.entry(name).or_insert_with_key(|name| {
            self.all.push((name.clone(), Vec::new()));
            next
        })
    }
}

/// What had to be left out, or cannot be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) rows: usize,
    pub(crate) cells: usize,
    /// Rows whose date contradicts the contract's name, and the first of them.
    pub(crate) dates: usize,
    pub(crate) first_date: Option<u32>,
}

impl Faults {
    fn misdated(&mut self, row: u32) {
        self.dates += 1;
        self.first_date.get_or_insert(row);
    }
}

/// What was read of some records that follow each other.
pub(super) struct Part {
    pub(super) rows: Vec<Row>,
    pub(super) groups: Groups,
    pub(super) faults: Faults,
    /// The values of `pCurrectionTime`, and how many rows have each.
    pub(super) corrections: Vec<(i64, usize)>,
    /// Whether the file ends within a row.
    pub(super) is_cut: bool,
    /// Where the record begins that follows.
    end: usize,
}

impl Part {
    /// Reads all records of `file` from `head` on in so many parts, each on a
    /// thread. The threads end before this returns, and soon if `go_on` says no.
    pub(super) fn read_all(
        parts: usize,
        file: &[u8],
        head: usize,
        layout: Layout,
        go_on: GoOn<'_>,
    ) -> Self {
        let mut pieces = Vec::with_capacity(parts);
        let mut start = head.min(file.len());
        for part in 1..=parts {
            let wanted = head + file.len().saturating_sub(head) / parts * part;
            let end = match memchr(b'\n', file.get(wanted..).unwrap_or_default()) {
                Some(more) if part < parts => wanted + more + 1,
                _ => file.len(),
            };
            pieces.push(start..end.max(start));
            start = end.max(start);
        }
        let read = |piece: Range<usize>| Self::read(file, piece, layout, go_on);
        std::thread::scope(|scope| {
            let mut pieces = pieces.into_iter();
            let first = pieces.next();
            let others: Vec<_> = pieces
                .map(|piece| {
                    let helper = std::thread::Builder::new().name("kneo-scrips".to_owned());
                    let own = piece.clone();
                    (piece, helper.spawn_scoped(scope, move || read(own)))
                })
                .collect();
            let mut all = read(first.unwrap_or(head..head));
            for (piece, helper) in others {
                let part = match helper {
                    Ok(helper) => match helper.join() {
                        Ok(part) => part,
                        Err(panic) => std::panic::resume_unwind(panic),
                    },
                    // The system gives no thread.
                    Err(_) => read(piece.clone()),
                };
                all.append(match all.end > piece.start {
                    false => part,
                    // It began within a record of several lines.
                    true => read(all.end..piece.end),
                });
            }
            all
        })
    }

    /// Reads the records that begin in `piece`.
    pub(super) fn read(file: &[u8], piece: Range<usize>, layout: Layout, go_on: GoOn<'_>) -> Self {
        let mut part = Self {
            rows: Vec::with_capacity((piece.len() / 256).min(MOST_ROWS)),
            groups: Groups::default(),
            faults: Faults::default(),
            corrections: Vec::new(),
            is_cut: false,
            end: piece.start,
        };
        let mut reader = Reader {
            part: &mut part,
            layout,
            names: Names::new(layout.scheme),
            last: (Vec::new(), 0),
        };
        let mut found: Vec<&[u8]> = Vec::with_capacity(layout.count + 1);
        let mut start = piece.start;
        let mut quoted = false;
        let mut lines = 0_usize;
        let marks = memchr2_iter(b'\n', b'"', file.get(start..).unwrap_or_default());
        let marks = marks.map(|at| piece.start + at);
        for at in marks.chain([file.len()]) {
            if at < start {
                // Within a record of several lines.
                continue;
            }
            if file.get(at) == Some(&b'"') {
                quoted = true;
                continue;
            }
            if start >= piece.end || reader.part.rows.len() > MOST_ROWS {
                break;
            }
            if lines % STEP == 0 && !go_on() {
                break;
            }
            lines += 1;
            let (end, whole) = if quoted {
                reader.quoted(file, start..at)
            } else {
                found.clear();
                let row = line(&file[start..at]);
                // One too many is enough to know a malformed row.
                split(row, layout.count + 1, &mut found);
                (at, reader.take(&mut found, start..start + row.len()))
            };
            // A whole row without a line break ends a file that is complete.
            reader.part.is_cut |= end >= file.len() && !whole;
            start = end + 1;
            quoted = false;
        }
        part.end = start;
        part
    }

    /// Takes in what was read of the records that follow.
    fn append(&mut self, next: Self) {
        let base = short(self.rows.len());
        self.rows.extend(next.rows);
        self.faults.rows += next.faults.rows;
        self.faults.cells += next.faults.cells;
        self.faults.dates += next.faults.dates;
        let first = next.faults.first_date.map(|row| base.saturating_add(row));
        self.faults.first_date = self.faults.first_date.or(first);
        for (value, count) in next.corrections {
            self.tally(value, count);
        }
        self.is_cut |= next.is_cut;
        self.end = self.end.max(next.end);
        for (name, rows) in next.groups.all {
            let place = self.groups.place(name);
            let rows = rows.into_iter().map(|row| base.saturating_add(row));
            self.groups.all[place].1.extend(rows);
        }
    }

    fn tally(&mut self, value: i64, more: usize) {
        let mut known = self.corrections.iter_mut();
        if let Some((_, count)) = known.find(|(other, _)| *other == value) {
            *count += more;
        } else if self.corrections.len() < MOST_CORRECTIONS {
            self.corrections.push((value, more));
        } else {
            self.faults.cells += more;
        }
    }

    /// What makes the file's dates unix times: what most of its rows say, else
    /// what is known of the segment. Rows that say otherwise have a bad cell.
    pub(super) fn correction(&mut self, scheme: Scheme) -> i64 {
        let told = self
            .corrections
            .iter()
            .map(|(value, count)| (*count, *value));
        let Some((most, value)) = told.max() else {
            return scheme.correction;
        };
        let all: usize = self.corrections.iter().map(|(_, count)| count).sum();
        self.faults.cells += all - most;
        value
    }
}

/// Takes rows in, one after the other.
struct Reader<'a> {
    part: &'a mut Part,
    layout: Layout,
    names: Names,
    /// The underlying of the last row, and its group.
    last: (Vec<u8>, usize),
}

impl Reader<'_> {
    /// A line with quotes in it, and those that belong to the same record; gives
    /// where the record ends, and whether it is whole.
    fn quoted(&mut self, file: &[u8], span: Range<usize>) -> (usize, bool) {
        let count = self.layout.count;
        let mut end = span.end;
        let read = |end: usize| {
            let row = line(&file[span.start..end]);
            let mut all = cells(row);
            let found: Vec<Cow<'_, [u8]>> = all.by_ref().take(count + 1).collect();
            (found, all.fault(), span.start + row.len())
        };
        let (mut found, mut fault, mut until) = read(end);
        if fault == Some(Fault::Open) {
            // A quote that nothing closes here: what follows begins anew, unless
            // all of it is one record.
            if let Some(length) = long_record(&file[span.start..], count) {
                end = span.start + length;
                (found, fault, until) = read(end);
            }
        }
        if fault.is_some() {
            found.clear();
        }
        let mut borrowed: Vec<&[u8]> = found.iter().map(|cell| &**cell).collect();
        (end, self.take(&mut borrowed, span.start..until))
    }

    /// One row, if its cells make one; gives whether nothing of it lacks.
    fn take(&mut self, found: &mut [&[u8]], span: Range<usize>) -> bool {
        let Layout { count, at, .. } = self.layout;
        if found.len() != count {
            // A blank line is none.
            let blank = found.len() == 1 && trim(found[0]).is_empty();
            self.part.faults.rows += usize::from(!blank);
            return blank;
        }
        if !self.layout.is_text {
            for cell in found.iter_mut() {
                if std::str::from_utf8(cell).is_err() {
                    *cell = b"";
                    self.part.faults.cells += 1;
                }
            }
        }
        let cell = |place: Option<usize>| place.map_or(&b""[..], |at| trim(found[at]));
        let (name, symbol) = (cell(at.name), cell(at.symbol));
        if symbol.is_empty() && cell(at.token).is_empty() {
            // Nothing could name it.
            self.part.faults.rows += 1;
            return false;
        }
        if self.last.0 != name || self.part.rows.is_empty() {
            self.last.1 = self.part.groups.of(name);
            self.last.0.clear();
            self.last.0.extend_from_slice(name);
        }
        let mut bad = 0;
        let mut read = |place: Option<usize>| {
            let cell = cell(place);
            let found = number(cell);
            bad += usize::from(found.is_none() && !cell.is_empty());
            found
        };
        let seconds = read(at.expiry);
        let strike = read(at.strike);
        let correction = read(at.correction);
        for place in [at.tick, at.lot, at.freeze] {
            read(place);
        }
        let strike = match strike {
            Some(number) => {
                let strike = self.layout.scheme.strike(number);
                bad += usize::from(strike.is_none());
                strike
            }
            None => None,
        };
        if let Some(value) = correction {
            match value.fract() == 0.0 && value.abs() < LARGEST_CORRECTION {
                true => self.part.tally(value as i64, 1),
                false => bad += 1,
            }
        }
        self.part.faults.cells += bad;
        let row = short(self.part.rows.len());
        let expiry = self.layout.day(seconds, self.layout.scheme.correction);
        if expiry.is_some_and(|day| self.names.contradict(name, symbol, day)) {
            self.part.faults.misdated(row);
        }
        let option = OptionKind::read(text(cell(at.option)));
        self.part.groups.all[self.last.1].1.push(row);
        self.part.rows.push(Row {
            start: short(span.start),
            end: short(span.end),
            strike,
            expiry,
            option,
        });
        let last = at.last_flag.map(|at| text(trim(found[at])));
        last.is_none_or(is_flag)
    }
}

/// Numbers of rows and places in a file fit: its size was looked at first.
pub(super) fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(count: usize) -> Layout {
        Layout {
            count,
            at: Places {
                token: Some(0),
                symbol: Some(1),
                name: Some(1),
                option: Some(2),
                strike: Some(3),
                correction: Some(4),
                ..Places::default()
            },
            scheme: Scheme::of("nse_fo"),
            is_text: true,
        }
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut file = "the header\n".to_owned();
        for row in 0..200 {
            let strike = if row == 150 { "" } else { "7.5" };
            let correction = if row % 7 == 0 { "" } else { "315513000" };
            let name = ["NIFTY", "TCS", "nifty"][row % 3];
            file += &match row % 5 {
                0 => format!("{row},{name},CE,{strike},{correction},\"a\nb\nc,d\"\n"),
                1 => format!("{row},\"{name}\",CE,{strike},{correction},\"a,b\"\r\n"),
                _ => format!("{row},{name},CE,{strike},{correction},x\n"),
            };
            if row % 60 == 0 {
                file += "too,short\n\n0,stray,\"CE,1,,\n";
            }
        }
        let head = 11;
        let none = Part::read_all(2, file.as_bytes(), head, layout(6), &|| false);
        assert!(none.rows.is_empty(), "nobody wants it");
        let whole = Part::read(file.as_bytes(), head..file.len(), layout(6), &|| true);
        assert_eq!((whole.rows.len(), whole.faults.rows), (200, 8));
        assert_eq!(whole.groups.all.len(), 2);
        assert_eq!(whole.corrections, [(315_513_000, 171)]);
        for parts in 1..=60 {
            let added = Part::read_all(parts, file.as_bytes(), head, layout(6), &|| true);
            assert_eq!(added.rows, whole.rows, "{parts}");
            assert_eq!(added.groups.all, whole.groups.all, "{parts}");
            assert_eq!(added.faults, whole.faults, "{parts}");
            assert_eq!(added.corrections, whole.corrections, "{parts}");
            assert!(!added.is_cut);
        }
    }

    /// A quote that nothing closes costs its row, and none that follows, wherever
    /// the file is parted.
    #[test]
    fn a_stray_quote_costs_one_row() {
        let rows: Vec<String> = (0..40)
            .map(|row| format!("{row},T{row},CE,1,,x\n"))
            .collect();
        for bad in 0..40 {
            for cell in 0..6 {
                let mut rows = rows.clone();
                let mut cells: Vec<String> =
                    rows[bad].trim_end().split(',').map(str::to_owned).collect();
                cells[cell].insert(0, '"');
                rows[bad] = cells.join(",") + "\n";
                let file = rows.concat();
                for parts in [1, 3] {
                    let part = Part::read_all(parts, file.as_bytes(), 0, layout(6), &|| true);
                    assert_eq!((part.rows.len(), part.faults.rows), (39, 1), "{bad} {cell}");
                }
            }
        }
    }

    /// Whatever the cells are: written as the standard has it they are found as
    /// the crate `csv` finds them.
    #[test]
    fn splitting_equals_the_csv_crate() {
        use kotak_neo_testing::dice::Dice;
        const PIECES: &[&str] = &[
            "a", "NIFTY", "7.5", "\"", ",", "\n", "\r\n", " ", "é", "\"\"", ",,", "x\"y", "",
        ];
        let mut dice = Dice::new(41);
        let mut quoted = 0;
        for round in 0..400 {
            let count = 6 + dice.roll(20) as usize;
            let ending = *dice.pick(&["\n", "\r\n"]);
            let mut rows = Vec::new();
            for row in 0..1 + dice.roll(30) {
                let mut cells = vec![row.to_string(), format!("T{row}")];
                while cells.len() < count {
                    let pieces = dice.roll(5);
                    let made = (0..pieces).map(|_| *dice.pick(PIECES)).collect();
                    cells.push(if dice.roll(3) == 0 {
                        made
                    } else {
                        String::new()
                    });
                }
                rows.push(cells);
            }
            let written = |cell: &String| {
                let must = cell.contains(['"', ',', '\n', '\r']);
                match must || cell.len() % 5 == 4 {
                    true => format!("\"{}\"", cell.replace('"', "\"\"")),
                    false => cell.clone(),
                }
            };
            let mut file: String = rows
                .iter()
                .map(|row| row.iter().map(written).collect::<Vec<_>>().join(",") + ending)
                .collect();
            if dice.roll(2) == 0 {
                file.truncate(file.len() - ending.len());
            }
            quoted += file.matches('"').count();
            let mut reader = ::csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(file.as_bytes());
            let theirs: Vec<Vec<Vec<u8>>> = reader
                .byte_records()
                .map(|row| {
                    let row = row.expect("rows of one length");
                    row.iter().map(<[u8]>::to_vec).collect()
                })
                .collect();
            let parts = 1 + dice.roll(4) as usize;
            let part = Part::read_all(parts, file.as_bytes(), 0, layout(count), &|| true);
            let ours: Vec<Vec<Vec<u8>>> = part
                .rows
                .iter()
                .map(|row| {
                    let row = &file.as_bytes()[row.start as usize..row.end as usize];
                    cells(row).map(Cow::into_owned).collect()
                })
                .collect();
            assert_eq!(ours, theirs, "{round}: {file}");
            assert_eq!(
                (part.faults.rows, part.is_cut),
                (0, false),
                "{round}: {file}"
            );
            let given: Vec<Vec<Vec<u8>>> = rows
                .iter()
                .map(|row| row.iter().map(|cell| cell.clone().into_bytes()).collect())
                .collect();
            assert_eq!(ours, given, "{round}");
        }
        assert!(quoted > 1000, "{quoted} quotes");
    }
}
