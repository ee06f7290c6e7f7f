//! Bodies that were packed for their way: gzip and deflate, in layers if need be.
//!
//! All that is large is on the heap, and what comes out of it comes in pieces: neither
//! a small stack nor a body that unpacks to a thousand times its size is a danger.

use std::ops::Range;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_COMPUTE_ADLER32, TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_PARSE_ZLIB_HEADER,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use zeroize::Zeroizing;

/// How far back the format may look.
const WINDOW: usize = 32 * 1024;
/// So often may a body be packed: each layer has a window of its own.
const MOST_LAYERS: usize = 4;
/// So much of a foreign name is told.
const LONGEST_NAME: usize = 32;

/// Why a body cannot be had as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not what its head says.
    Broken,
    /// Its head names a coding that is not known.
    Unknown(String),
    /// It was packed too often.
    TooDeep,
}

/// The bytes are not of the format.
#[derive(Debug, PartialEq, Eq)]
struct Broken;

/// Takes a body as it comes and gives it as it was.
pub(super) struct Unpacker {
    /// Outermost first. None at all if it was not packed.
    layers: Vec<Layer>,
    /// Fails the body once there is one: an empty one was not packed.
    trouble: Option<Trouble>,
    /// The last piece of a body that was not packed.
    plain: Bytes,
}

/// One coding, and what of its input waits.
struct Layer {
    coding: Coding,
    input: Bytes,
}

enum Coding {
    Gzip(Gzip),
    Deflate(Deflate),
}

#[derive(Clone, Copy)]
enum Known {
    Gzip,
    Deflate,
}

impl Unpacker {
    /// What it can unpack, for the request.
    pub(super) const KNOWN: &str = "gzip, deflate";

    /// For the body of an answer with this head.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (known, trouble) = match codings(headers) {
            Ok(known) => (known, None),
            Err(trouble) => (Vec::new(), Some(trouble)),
        };
        // What was done last is undone first.
        let layers = known.into_iter().rev().map(|coding| Layer {
            coding: match coding {
                Known::Gzip => Coding::Gzip(Gzip::new()),
                Known::Deflate => Coding::Deflate(Deflate::new()),
            },
            input: Bytes::new(),
        });
        Self {
            layers: layers.collect(),
            trouble,
            plain: Bytes::new(),
        }
    }

    /// Whether the body comes as it was.
    pub(super) fn is_plain(&self) -> bool {
        self.layers.is_empty() && self.trouble.is_none()
    }

    /// The next piece of what is in `data`, which is taken off it. It may be empty: then
    /// there was work without a result, and the caller can look at the time. `None` once
    /// `data` is empty and nothing waits any more.
    pub(super) fn next(&mut self, data: &mut Bytes) -> Result<Option<&[u8]>, Trouble> {
        match &self.trouble {
            Some(trouble) if !data.is_empty() => return Err(trouble.clone()),
            _ => {}
        }
        if self.layers.is_empty() {
            self.plain = std::mem::take(data);
            return Ok((!self.plain.is_empty()).then_some(&self.plain));
        }
        pull(&mut self.layers, data).map_err(|Broken| Trouble::Broken)
    }

    /// There is nothing more. Fails if there should be.
    pub(super) fn end(&self) -> Result<(), Trouble> {
        let whole = |layer: &Layer| match &layer.coding {
            Coding::Gzip(gzip) => gzip.part == Part::Fixed(0),
            Coding::Deflate(deflate) => deflate.inflate.done || deflate.seen == 0,
        };
        match self.layers.iter().all(whole) {
            true => Ok(()),
            false => Err(Trouble::Broken),
        }
    }
}

/// The codings of a body in the order in which they were applied: all lines of its head
/// together are one list.
fn codings(headers: &HeaderMap) -> Result<Vec<Known>, Trouble> {
    let mut all = Vec::new();
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    for name in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let name = name.trim_ascii();
        let known = match &name.to_ascii_lowercase()[..] {
            b"" | b"identity" => continue,
            b"gzip" | b"x-gzip" => Known::Gzip,
            b"deflate" => Known::Deflate,
            _ => {
                let name = &name[..name.len().min(LONGEST_NAME)];
                return Err(Trouble::Unknown(name.escape_ascii().to_string()));
            }
        };
        all.push(known);
        if all.len() > MOST_LAYERS {
            return Err(Trouble::TooDeep);
        }
    }
    Ok(all)
}

/// Makes one step in the last layer that has something to do.
fn pull<'a>(layers: &'a mut [Layer], data: &mut Bytes) -> Result<Option<&'a [u8]>, Broken> {
    let Some((layer, before)) = layers.split_last_mut() else {
        return Ok(None);
    };
    // What it has already comes first.
    if layer.advance()? {
        return Ok(Some(layer.last()));
    }
    layer.input = match before {
        [] if data.is_empty() => return Ok(None),
        [] => std::mem::take(data),
        before => match pull(before, data)? {
            None => return Ok(None),
            // It is still packed: a secret does not show in it.
            Some(piece) => Bytes::copy_from_slice(piece),
        },
    };
    Ok(Some(match layer.advance()? {
        true => layer.last(),
        false => &[],
    }))
}

impl Layer {
    /// Makes the next piece, which [`last`](Self::last) gives.
    fn advance(&mut self) -> Result<bool, Broken> {
        match &mut self.coding {
            Coding::Gzip(gzip) => gzip.next(&mut self.input),
            Coding::Deflate(deflate) => deflate.next(&mut self.input),
        }
    }

    fn last(&self) -> &[u8] {
        match &self.coding {
            Coding::Gzip(gzip) => gzip.inflate.last(),
            Coding::Deflate(deflate) => deflate.inflate.last(),
        }
    }
}

/// What HTTP calls deflate: in the frame of zlib, as it is documented, or in none, as some
/// servers send it.
struct Deflate {
    inflate: Inflate,
    /// The first two bytes tell which. They are held until both are there.
    head: [u8; 2],
    seen: usize,
    held: Bytes,
}

impl Deflate {
    fn new() -> Self {
        Self {
            inflate: Inflate::new(RAW),
            head: [0; 2],
            seen: 0,
            held: Bytes::new(),
        }
    }

    fn next(&mut self, data: &mut Bytes) -> Result<bool, Broken> {
        while self.seen < self.head.len() {
            if data.is_empty() {
                return Ok(false);
            }
            self.head[self.seen] = data.get_u8();
            self.seen += 1;
            if self.seen == self.head.len() {
                if is_zlib(self.head) {
                    self.inflate.flags |= ZLIB;
                }
                self.held = Bytes::copy_from_slice(&self.head);
            }
        }
        if !self.held.is_empty() && self.inflate.next(&mut self.held)? {
            return Ok(true);
        }
        if self.inflate.next(data)? {
            return Ok(true);
        }
        // Nothing may follow its end.
        match self.held.is_empty() && data.is_empty() {
            true => Ok(false),
            false => Err(Broken),
        }
    }
}

/// Whether a stream begins as zlib has it (RFC 1950): deflate with a window of its size,
/// no dictionary, and a sum that fits. What is in no frame begins so only if the bits that
/// fill a byte are not zero.
fn is_zlib(head: [u8; 2]) -> bool {
    const DICTIONARY: u8 = 0x20;
    let [method, flags] = head;
    method & 0x0f == 8
        && method >> 4 <= 7
        && flags & DICTIONARY == 0
        && u16::from_be_bytes(head) % 31 == 0
}

/// In a frame of zlib, whose sum is checked.
const ZLIB: u32 = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_COMPUTE_ADLER32;
/// In no frame.
const RAW: u32 = 0;

/// One stream of deflate.
struct Inflate {
    state: Box<DecompressorOxide>,
    /// What came out last, in a ring. It may hold a token.
    window: Zeroizing<Vec<u8>>,
    /// Where in it.
    last: Range<usize>,
    flags: u32,
    done: bool,
}

impl Inflate {
    fn new(flags: u32) -> Self {
        Self {
            state: Box::default(),
            window: Zeroizing::new(vec![0; WINDOW]),
            last: 0..0,
            flags: flags | TINFL_FLAG_HAS_MORE_INPUT,
            done: false,
        }
    }

    /// Makes the next piece, which [`last`](Self::last) gives. None at its end, and when
    /// `data` is empty.
    fn next(&mut self, data: &mut Bytes) -> Result<bool, Broken> {
        let from = self.last.end % WINDOW;
        self.last = from..from;
        while !self.done && self.last.is_empty() {
            let window = &mut self.window;
            let (status, used, came) = decompress(&mut self.state, data, window, from, self.flags);
            data.advance(used);
            self.last.end += came;
            match status {
                TINFLStatus::Done => self.done = true,
                // Some output may wait for room.
                TINFLStatus::HasMoreOutput if came > 0 => {}
                TINFLStatus::NeedsMoreInput if data.is_empty() => break,
                TINFLStatus::NeedsMoreInput if used + came > 0 => {}
                _ => return Err(Broken),
            }
        }
        Ok(!self.last.is_empty())
    }

    fn last(&self) -> &[u8] {
        &self.window[self.last.clone()]
    }

    /// Makes it ready for another stream.
    fn again(&mut self) {
        self.state.init();
        self.last = 0..0;
        self.done = false;
    }
}

/// A file of gzip (RFC 1952): members, one behind the other.
struct Gzip {
    part: Part,
    /// Which parts of the head are still to come.
    flags: u8,
    inflate: Inflate,
    sum: crc32fast::Hasher,
    /// The sum and the length that the member itself tells, as they come.
    told: [u8; 8],
    length: u32,
}

/// What the next byte of a member belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The ten bytes that every head has.
    Fixed(u8),
    ExtraLength,
    ExtraLengthHigh(u8),
    Extra(u16),
    Name,
    Comment,
    HeadSum(u8),
    Data,
    Tail(u8),
}

const HEAD_SUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

impl Gzip {
    fn new() -> Self {
        Self {
            part: Part::Fixed(0),
            flags: 0,
            inflate: Inflate::new(RAW),
            sum: crc32fast::Hasher::new(),
            told: [0; 8],
            length: 0,
        }
    }

    fn next(&mut self, data: &mut Bytes) -> Result<bool, Broken> {
        loop {
            if self.part == Part::Data {
                if self.inflate.next(data)? {
                    let piece = self.inflate.last();
                    self.sum.update(piece);
                    // Of the length the format keeps 32 bits.
                    self.length = self.length.wrapping_add(piece.len() as u32);
                    return Ok(true);
                }
                if self.inflate.done {
                    self.part = Part::Tail(0);
                }
            }
            if !data.has_remaining() {
                return Ok(false);
            }
            if self.part != Part::Data {
                self.frame(data.get_u8())?;
            }
        }
    }

    /// Takes one byte of what is around the data.
    fn frame(&mut self, byte: u8) -> Result<(), Broken> {
        self.part = match self.part {
            Part::Fixed(at) => {
                let wrong = match at {
                    0 => byte != 0x1f,
                    1 => byte != 0x8b,
                    // Deflate.
                    2 => byte != 8,
                    3 => {
                        self.flags = byte;
                        byte & RESERVED != 0
                    }
                    // A time, a level, a system.
                    _ => false,
                };
                match at {
                    _ if wrong => return Err(Broken),
                    0..=8 => Part::Fixed(at + 1),
                    _ => self.after_fixed(),
                }
            }
            Part::ExtraLength => Part::ExtraLengthHigh(byte),
            Part::ExtraLengthHigh(low) => match u16::from_le_bytes([low, byte]) {
                0 => self.after_fixed(),
                length => Part::Extra(length),
            },
            Part::Extra(1) => self.after_fixed(),
            Part::Extra(left) => Part::Extra(left - 1),
            Part::Name | Part::Comment if byte == 0 => self.after_fixed(),
            Part::HeadSum(0) => Part::HeadSum(1),
            Part::HeadSum(_) => self.after_fixed(),
            Part::Tail(at) => {
                self.told[usize::from(at)] = byte;
                match at {
                    0..=6 => Part::Tail(at + 1),
                    _ => self.after_tail()?,
                }
            }
            part @ (Part::Name | Part::Comment | Part::Data) => part,
        };
        Ok(())
    }

    /// The next part of the head that there is, or the data.
    fn after_fixed(&mut self) -> Part {
        for (flag, part) in [
            (EXTRA, Part::ExtraLength),
            (NAME, Part::Name),
            (COMMENT, Part::Comment),
            (HEAD_SUM, Part::HeadSum(0)),
        ] {
            if self.flags & flag != 0 {
                self.flags &= !flag;
                return part;
            }
        }
        Part::Data
    }

    /// Checks a whole member, and makes ready for another one.
    fn after_tail(&mut self) -> Result<Part, Broken> {
        let sum = std::mem::take(&mut self.sum).finalize();
        let mut found = [0; 8];
        found[..4].copy_from_slice(&sum.to_le_bytes());
        found[4..].copy_from_slice(&self.length.to_le_bytes());
        if found != self.told {
            return Err(Broken);
        }
        self.length = 0;
        self.inflate.again();
        Ok(Part::Fixed(0))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A head with these lines of codings, each line behind a bar.
    fn head(codings: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in codings.split('|') {
            let line = http::HeaderValue::from_bytes(line.as_bytes()).expect("a header");
            headers.append(CONTENT_ENCODING, line);
        }
        headers
    }

    /// What a body gives that comes in pieces of this size.
    fn unpacked(coding: &str, body: &[u8], size: usize) -> Result<Vec<u8>, Trouble> {
        let mut unpacker = Unpacker::of(&head(coding));
        let mut all = Vec::new();
        for piece in body.chunks(size) {
            let mut data = Bytes::copy_from_slice(piece);
            while let Some(came) = unpacker.next(&mut data)? {
                assert!(came.len() <= WINDOW.max(size));
                all.extend_from_slice(came);
            }
            assert!(data.is_empty());
        }
        unpacker.end().map(|()| all)
    }

    /// Text that repeats itself near and far.
    fn text(length: usize) -> Vec<u8> {
        let words = (0_u64..).map(|n| n * n * n % 977);
        let mut text = Vec::new();
        for word in words {
            write!(text, "{word},").expect("memory");
            if text.len() >= length {
                text.truncate(length);
                return text;
            }
        }
        unreachable!("it is endless")
    }

    fn gzip(text: &[u8], flags: u8, extra: &[u8]) -> Vec<u8> {
        let mut body = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
        body.extend(extra);
        body.extend(miniz_oxide::deflate::compress_to_vec(text, 6));
        body.extend(crc32fast::hash(text).to_le_bytes());
        body.extend((text.len() as u32).to_le_bytes());
        body
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        miniz_oxide::deflate::compress_to_vec_zlib(text, 6)
    }

    fn raw_deflate(text: &[u8]) -> Vec<u8> {
        miniz_oxide::deflate::compress_to_vec(text, 6)
    }

    /// Packed so often.
    fn many(text: &[u8], times: usize) -> Vec<u8> {
        (0..times).fold(text.to_vec(), |text, _| gzip(&text, 0, b""))
    }

    #[test]
    fn gives_what_was_packed_however_it_comes() {
        for (length, sizes) in [
            (0, &[1, 9][..]),
            (1, &[1, 9]),
            (300, &[1, 7, 1000]),
            (32_768, &[4096, 1_000_000]),
            (100_000, &[5000, 1_000_000]),
        ] {
            let text = text(length);
            let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&text, 6);
            let stored = miniz_oxide::deflate::compress_to_vec_zlib(&text, 0);
            let raw = miniz_oxide::deflate::compress_to_vec(&text, 6);
            let raw_stored = miniz_oxide::deflate::compress_to_vec(&text, 0);
            for &size in sizes {
                for (coding, body) in [
                    ("gzip", &gzip(&text, 0, b"")),
                    ("GZIP", &gzip(&text, 4, b"\x03\0abc")),
                    ("gzip", &gzip(&text, 4, b"\0\0")),
                    ("gzip", &gzip(&text, 31, b"\x01\0xname\0comment\0\x01\x02")),
                    ("deflate", &zlib),
                    ("deflate", &stored),
                    ("Deflate", &raw),
                    ("deflate", &raw_stored),
                    ("x-gzip", &gzip(&text, 0, b"")),
                    ("X-GZip", &gzip(&text, 0, b"")),
                    ("identity", &text),
                    ("Identity, identity", &text),
                    (" , ,", &text),
                    ("identity, gzip", &gzip(&text, 0, b"")),
                    ("gzip|identity", &gzip(&text, 0, b"")),
                    (" gzip ,\t", &gzip(&text, 0, b"")),
                    ("gzip, deflate", &deflate(&gzip(&text, 0, b""))),
                    (
                        "gzip,identity|raw-deflate",
                        &raw_deflate(&gzip(&text, 0, b"")),
                    ),
                    ("deflate|gzip", &gzip(&zlib, 8, b"name\0")),
                    ("deflate, gzip|x-gzip", &gzip(&gzip(&raw, 0, b""), 0, b"")),
                    ("gzip,gzip,gzip,gzip", &many(&text, MOST_LAYERS)),
                ] {
                    let coding = coding.replace("raw-deflate", "deflate");
                    let found = unpacked(&coding, body, size);
                    assert!(found.as_ref() == Ok(&text), "{coding} {length} by {size}");
                }
            }
        }
    }

    #[test]
    fn members_follow_one_another() {
        let (one, two) = (text(50_000), text(7));
        let mut body = gzip(&one, 0, b"");
        body.extend(gzip(b"", 8, b"name\0"));
        body.extend(gzip(&two, 0, b""));
        for size in [1, 100, 1_000_000] {
            assert_eq!(unpacked("gzip", &body, size), Ok([&one[..], &two].concat()));
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_no_answer() {
        let (text, short) = (text(400), text(20));
        for (coding, text, body) in [
            ("gzip", &text, gzip(&text, 0, b"")),
            ("deflate", &text, deflate(&text)),
            ("gzip, deflate", &short, deflate(&gzip(&short, 0, b""))),
            ("deflate, gzip", &short, gzip(&deflate(&short), 0, b"")),
        ] {
            for size in [1, 1_000_000] {
                for end in 1..body.len() {
                    let cut = unpacked(coding, &body[..end], size);
                    assert_eq!(cut, Err(Trouble::Broken), "{coding} up to {end}");
                }
                let longer = [&body[..], b"x"].concat();
                assert_eq!(unpacked(coding, &longer, size), Err(Trouble::Broken));
            }
            let mut same_as_before = 0;
            for at in 0..body.len() {
                for bit in 0..8 {
                    let mut changed = body.clone();
                    changed[at] ^= 1 << bit;
                    // Some bits say nothing of the text: a time, what fills a last byte.
                    if let Ok(found) = unpacked(coding, &changed, 1000) {
                        assert!(found == *text, "{coding} {at} {bit}");
                        same_as_before += 1;
                    }
                }
            }
            let changes = 8 * body.len();
            assert!(
                same_as_before < changes / 3,
                "{same_as_before} of {changes}"
            );
            assert_eq!(unpacked(coding, b"", 1), Ok(Vec::new()));
        }
    }

    /// It has no sum: what is changed may be another text, but what is cut is none.
    #[test]
    fn deflate_without_a_frame_that_is_cut_is_no_answer() {
        for text in [&b""[..], b"x", &text(400)] {
            let body = raw_deflate(text);
            for size in [1, 1000] {
                for end in 1..body.len() {
                    let cut = unpacked("deflate", &body[..end], size);
                    assert_eq!(cut, Err(Trouble::Broken), "up to {end}");
                }
                for more in [&b"\0"[..], b"x", &body] {
                    let longer = [&body[..], more].concat();
                    let found = unpacked("deflate", &longer, size);
                    assert_eq!(found, Err(Trouble::Broken));
                }
            }
        }
    }

    /// Of what follows a member only another one is taken: of a text of which a part may be
    /// lost none is better.
    #[test]
    fn what_follows_gzip_must_be_gzip() {
        let body = gzip(b"text", 0, b"");
        for more in [
            &b"\0"[..],
            b"\0\0\0\0",
            b"\r\n",
            b"\x1f",
            b"\x1f\x8b",
            b"{}",
        ] {
            let longer = [&body[..], more].concat();
            for size in [1, 1000] {
                assert_eq!(unpacked("gzip", &longer, size), Err(Trouble::Broken));
            }
        }
    }

    #[test]
    fn a_coding_that_is_not_known_is_named_once_there_is_a_body() {
        let long = "x".repeat(1000);
        for (codings, told) in [
            ("br", "br"),
            ("Zstd", "Zstd"),
            ("gzip, br", "br"),
            ("identity|nonsense, gzip", "nonsense"),
            ("gzip;q=1", "gzip;q=1"),
            ("gzip deflate", "gzip deflate"),
            ("gzip\u{e9}", "gzip\\xc3\\xa9"),
            ("utf-8", "utf-8"),
            (&long, &long[..LONGEST_NAME]),
        ] {
            let unknown = Err(Trouble::Unknown(told.to_owned()));
            assert_eq!(unpacked(codings, b"{}", 1), unknown, "{codings}");
            assert_eq!(unpacked(codings, b"", 1), Ok(Vec::new()), "{codings}");
            assert!(!Unpacker::of(&head(codings)).is_plain());
        }
        let deep = ["gzip"; MOST_LAYERS + 1].join(",");
        let body = many(b"text", MOST_LAYERS + 1);
        assert_eq!(unpacked(&deep, &body, 100), Err(Trouble::TooDeep));
        // However many there are, they cost nothing.
        let deeper = vec!["gzip"; 100_000].join(",");
        assert_eq!(unpacked(&deeper, &body, 100), Err(Trouble::TooDeep));
        assert!(Unpacker::of(&HeaderMap::new()).is_plain());
        assert!(Unpacker::of(&head("identity, ,identity")).is_plain());
    }

    /// A layer may make much of little, and the next one nothing of that: between two
    /// steps the caller can look at the time.
    #[test]
    fn work_without_a_result_comes_in_steps() {
        // Blocks without content, of which the outer layer makes many from few bytes.
        let inner = [0, 0, 0, 255, 255].repeat(1_000_000);
        let body = raw_deflate(&inner);
        assert!(body.len() < inner.len() / 200);
        let mut unpacker = Unpacker::of(&head("deflate, deflate"));
        let mut data = Bytes::from(body);
        let mut steps = 0;
        while let Some(piece) = unpacker.next(&mut data).expect("it is well-formed") {
            assert!(piece.is_empty());
            steps += 1;
        }
        assert!(steps > inner.len() / WINDOW, "{steps}");
        assert_eq!(unpacker.end(), Err(Trouble::Broken));
    }

    #[test]
    fn blocks_without_content_give_nothing_and_need_nothing() {
        let mut unpacker = Unpacker::of(&head("gzip"));
        let mut head = Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        let mut nothing = |data: &mut Bytes| {
            while let Some(piece) = unpacker.next(data).expect("it is well-formed") {
                assert!(piece.is_empty());
            }
            assert!(data.is_empty());
        };
        nothing(&mut head);
        for _ in 0..1000 {
            nothing(&mut Bytes::from_static(&[
                0, 0, 0, 255, 255, 0, 0, 0, 255, 255,
            ]));
        }
        assert_eq!(unpacker.end(), Err(Trouble::Broken));
    }
}
