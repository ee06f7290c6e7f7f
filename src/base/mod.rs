//! What every room stands on: the clock, texts and secrets, errors and
//! replies. It knows no broker and imports no other room.

pub(crate) mod calendar;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod decimal;
pub(crate) mod error;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod loopback;
pub(crate) mod pasted;
pub(crate) mod pointer;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod redact;
pub(crate) mod reply;
pub(crate) mod secret;
pub(crate) mod spelling;
pub(crate) mod status;
pub(crate) mod totp;
pub(crate) mod words;
