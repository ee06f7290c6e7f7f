//! Bodies that were packed for their way: gzip, and deflate in its frame of zlib.
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

/// The body is not what its head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Takes a body as it comes and gives it as it was.
pub(super) enum Unpacker {
    /// It was not packed, or in a way that was not asked for. Here is its last piece.
    Plain(Bytes),
    Gzip(Gzip),
    Deflate(Inflate),
}

impl Unpacker {
    /// What it can unpack, for the request.
    pub(super) const KNOWN: &str = "gzip, deflate";

    /// For the body of an answer with this head.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let coding = headers.get(CONTENT_ENCODING);
        match coding.map_or(&b""[..], |coding| coding.as_bytes()) {
            coding if coding.eq_ignore_ascii_case(b"gzip") => Self::Gzip(Gzip::new()),
            coding if coding.eq_ignore_ascii_case(b"deflate") => Self::Deflate(Inflate::new(ZLIB)),
            _ => Self::Plain(Bytes::new()),
        }
    }

    /// The next piece of what is in `data`, which is taken off it. `None` once it is
    /// empty and nothing waits any more.
    pub(super) fn next(&mut self, data: &mut Bytes) -> Result<Option<&[u8]>, Broken> {
        match self {
            Self::Plain(piece) => {
                *piece = std::mem::take(data);
                Ok((!piece.is_empty()).then_some(piece))
            }
            Self::Gzip(gzip) => gzip.next(data),
            Self::Deflate(inflate) => match inflate.next(data)? {
                true => Ok(Some(inflate.last())),
                false if data.is_empty() => Ok(None),
                // Nothing may follow its end.
                false => Err(Broken),
            },
        }
    }

    /// There is nothing more. Fails if there should be.
    pub(super) fn end(&self) -> Result<(), Broken> {
        let whole = match self {
            Self::Plain(_) => true,
            Self::Gzip(gzip) => gzip.part == Part::Fixed(0),
            Self::Deflate(inflate) => inflate.done || !inflate.begun,
        };
        whole.then_some(()).ok_or(Broken)
    }
}

/// In a frame of zlib, whose sum is checked.
const ZLIB: u32 = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_COMPUTE_ADLER32;
/// In no frame.
const RAW: u32 = 0;

/// One stream of deflate.
pub(super) struct Inflate {
    state: Box<DecompressorOxide>,
    /// What came out last, in a ring. It may hold a token.
    window: Zeroizing<Vec<u8>>,
    /// Where in it.
    last: Range<usize>,
    flags: u32,
    begun: bool,
    done: bool,
}

impl Inflate {
    fn new(flags: u32) -> Self {
        Self {
            state: Box::default(),
            window: Zeroizing::new(vec![0; WINDOW]),
            last: 0..0,
            flags: flags | TINFL_FLAG_HAS_MORE_INPUT,
            begun: false,
            done: false,
        }
    }

    /// Makes the next piece, which [`last`](Self::last) gives. None at its end, and when
    /// `data` is empty.
    fn next(&mut self, data: &mut Bytes) -> Result<bool, Broken> {
        let from = self.last.end % WINDOW;
        self.last = from..from;
        while !self.done && self.last.is_empty() {
            self.begun |= !data.is_empty();
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
        (self.begun, self.done) = (false, false);
    }
}

/// A file of gzip (RFC 1952): members, one behind the other.
pub(super) struct Gzip {
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

    fn next(&mut self, data: &mut Bytes) -> Result<Option<&[u8]>, Broken> {
        loop {
            if self.part == Part::Data {
                if self.inflate.next(data)? {
                    let piece = self.inflate.last();
                    self.sum.update(piece);
                    // Of the length the format keeps 32 bits.
                    self.length = self.length.wrapping_add(piece.len() as u32);
                    return Ok(Some(self.inflate.last()));
                }
                if self.inflate.done {
                    self.part = Part::Tail(0);
                }
            }
            if !data.has_remaining() {
                return Ok(None);
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

    fn head(coding: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static(coding));
        headers
    }

    /// What a body gives that comes in pieces of this size.
    fn unpacked(coding: &'static str, body: &[u8], size: usize) -> Result<Vec<u8>, Broken> {
        let mut unpacker = Unpacker::of(&head(coding));
        let mut all = Vec::new();
        for piece in body.chunks(size) {
            let mut data = Bytes::copy_from_slice(piece);
            while let Some(came) = unpacker.next(&mut data)? {
                assert!(!came.is_empty() && came.len() <= WINDOW.max(size));
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
            for &size in sizes {
                for (coding, body) in [
                    ("gzip", &gzip(&text, 0, b"")),
                    ("GZIP", &gzip(&text, 4, b"\x03\0abc")),
                    ("gzip", &gzip(&text, 4, b"\0\0")),
                    ("gzip", &gzip(&text, 31, b"\x01\0xname\0comment\0\x01\x02")),
                    ("deflate", &zlib),
                    ("deflate", &stored),
                    ("identity", &text),
                    ("br", &text),
                ] {
                    let found = unpacked(coding, body, size);
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
        let text = text(400);
        for (coding, body) in [
            ("gzip", gzip(&text, 0, b"")),
            (
                "deflate",
                miniz_oxide::deflate::compress_to_vec_zlib(&text, 6),
            ),
        ] {
            for size in [1, 1_000_000] {
                for end in 1..body.len() {
                    let cut = unpacked(coding, &body[..end], size);
                    assert_eq!(cut, Err(Broken), "{coding} up to {end}");
                }
                let longer = [&body[..], b"x"].concat();
                assert_eq!(unpacked(coding, &longer, size), Err(Broken));
            }
            let mut same_as_before = 0;
            for at in 0..body.len() {
                for bit in 0..8 {
                    let mut changed = body.clone();
                    changed[at] ^= 1 << bit;
                    // Some bits say nothing of the text: a time, what fills a last byte.
                    if let Ok(found) = unpacked(coding, &changed, 1000) {
                        assert!(found == text, "{coding} {at} {bit}");
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

    #[test]
    fn blocks_without_content_give_nothing_and_need_nothing() {
        let mut unpacker = Unpacker::of(&head("gzip"));
        let mut head = Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        assert_eq!(unpacker.next(&mut head), Ok(None));
        for _ in 0..1000 {
            let mut data = Bytes::from_static(&[0, 0, 0, 255, 255, 0, 0, 0, 255, 255]);
            assert_eq!(unpacker.next(&mut data), Ok(None));
            assert!(data.is_empty());
        }
        assert_eq!(unpacker.end(), Err(Broken));
    }
}
